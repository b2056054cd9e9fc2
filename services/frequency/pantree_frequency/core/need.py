"""The state of a need: active, late, paused, ended, or switched to another item of the same type."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pantree_domain.evidence import Need
from pantree_frequency.core.features import FeatureTable, known_or_zero
from pantree_frequency.core.records import Floats

# An item is overdue after this many of its own intervals without a purchase.
OVERDUE_FACTOR = 1.5
SOON_DAYS = 28.0
# A need without a purchase for 84 days, or two of its own intervals, has ended, as far as a subscription is concerned.
GONE_DAYS = 84.0
_GONE_FACTOR = 2.0

NEEDS = tuple(Need)


@dataclass(frozen=True)
class Switching:
    """Logistic model of whether the household still buys the type (or category) of an item that it no longer buys."""

    weights: Mapping[str, float]
    """Of `intercept` and of the columns of `switching_columns`."""

    def __call__(self, table: FeatureTable) -> Floats:
        """float64[p], probability of other items of the group within `GONE_DAYS`; 0 if the group is unknown."""
        columns = switching_columns(table)
        score = self.weights["intercept"] + sum(self.weights[name] * column for name, column in columns.items())
        known = ~np.isnan(np.where(np.isnan(table["type_count"]), table["category_count"], table["type_count"]))
        return np.where(known, 1.0 / (1.0 + np.exp(-score)), 0.0)


def switching_columns(table: FeatureTable) -> dict[str, Floats]:
    """Inputs of `Switching`, float64[p] each: purchases of the other items of the type, else category."""
    has_type = ~np.isnan(table["type_count"])
    days_since = np.where(has_type, table["type_days_since_last"], table["category_days_since_last"])
    decayed = np.where(has_type, table["type_decay_56"], table["category_decay_56"]) - table["pair_decay_56"]
    recency = np.where(has_type, table["type_recency"], table["category_recency"])
    return {
        "others_since": np.log1p(known_or_zero(days_since)),
        "others_decayed": np.log1p(np.maximum(known_or_zero(decayed), 0.0)),
        "group_recency": np.log1p(known_or_zero(recency)),
        "has_type": has_type.astype(np.float64),
    }


def own_interval_days(table: FeatureTable, use_days: Floats) -> Floats:
    """float64[p], the item's own interval: that of its rhythm, else the mean so far; the forecast for one purchase.

    Args:
        table: of p pairs.
        use_days: float64[p], forecast of the days between purchases.
    """
    mean = np.where(np.isnan(table["pair_mean_interval"]), use_days, table["pair_mean_interval"])
    # After a purchase of more units than usual, the next one is due later.
    return np.where(table.rhythms.regular, use_days, mean) * np.maximum(table.rhythms.first_scale, 1.0)


def is_overdue(recency: Floats, own_days: Floats) -> NDArray[np.bool_]:
    """bool[p], whether more than `OVERDUE_FACTOR` of the item's own intervals have passed since the last purchase."""
    return np.asarray(recency > OVERDUE_FACTOR * own_days)


def gone_days(own_days: Floats) -> Floats:
    """float64[p], days without a purchase after which a need has ended."""
    return np.maximum(GONE_DAYS, _GONE_FACTOR * own_days)


def need_probabilities(soon: Floats, ever: Floats, overdue: NDArray[np.bool_], switching: Floats) -> Floats:
    """float64[p, len(NEEDS)], probability of each state; each row sums to 1.

    Args:
        soon: float64[p], probability of a purchase within `SOON_DAYS`.
        ever: float64[p], the same within `gone_days`.
        overdue: bool[p], from `is_overdue`.
        switching: float64[p], probability that other items of the group are bought, given that this one is not.
    """
    columns = {
        Need.ACTIVE: np.where(overdue, 0.0, ever),
        Need.LATE: np.where(overdue, soon, 0.0),
        Need.PAUSED: np.where(overdue, ever - soon, 0.0),
        Need.ENDED: (1.0 - ever) * (1.0 - switching),
        Need.SWITCHED: (1.0 - ever) * switching,
    }
    return np.stack([columns[need] for need in NEEDS], axis=1)


def likeliest_needs(probabilities: Floats, overdue: NDArray[np.bool_], counts: Floats) -> list[Need]:
    """The most likely state of each pair; one that was bought twice is active while it is not overdue.

    Args:
        probabilities: from `need_probabilities`.
        overdue: bool[p], from `is_overdue`.
        counts: float64[p], purchases.
    """
    on_time = ~overdue & (counts > 1)
    found = np.where(on_time, NEEDS.index(Need.ACTIVE), np.argmax(probabilities, axis=1))
    return [NEEDS[position] for position in found.tolist()]
