"""History features: what a model sees of each (household, item) pair. One code path for fitting and for serving."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pantree_frequency.core import kernels
from pantree_frequency.core.derived import DERIVED, derive
from pantree_frequency.core.priors import PRIOR, Priors
from pantree_frequency.core.sorting import SortedHistories

FEATURES = (
    kernels.RAW
    + DERIVED
    + tuple(f"item_prior_{name}" for name in PRIOR)
    + tuple(f"type_prior_{name}" for name in PRIOR)
    + tuple(f"category_prior_{name}" for name in PRIOR)
)
COLUMN = {name: position for position, name in enumerate(FEATURES)}


# Columns that models are fitted on: of the household's trips only a few, since fitting households are few and their
# trips are as good as a name; nothing that goes up and down as time passes without a purchase.
_TRIP_COLUMNS = ("recency", "mean_interval", "in_28", "in_84", "decay_14", "decay_56")
_LEFT_OUT = ("log_squares", "ends_within_14", "ends_within_28")
_COUNTS = ("chances_28", "hits_28", "chances_84", "hits_84")
# Computed for the next fit; the artefact that ships was fitted without them.
_NEW = ("followed_28", "followed_84", "household_followed_28", "household_followed_84", "recency_by_supply",
    "supply_days", "recent_log_interval")  # fmt: skip


def _is_modelled(name: str) -> bool:
    level, _, rest = name.partition("_")
    if level == "trip" and rest in kernels.RHYTHM:
        return rest in _TRIP_COLUMNS
    if name in _COUNTS + _NEW:
        return False
    return rest not in _LEFT_OUT or (level == "pair" and rest != "log_squares")


MODELLED = tuple(name for name in FEATURES if _is_modelled(name))

_FALLING = ("recency", "age", "sd_interval", "longest_interval")


def monotone_direction(name: str) -> int:
    """Whether the hazard may only rise (1) or only fall (−1) with a column; 0 for either.

    As time passes without a purchase, every column that then moves is bound in the direction in which it speaks against
    the item, so that confidence cannot rise once the item is due; less regular intervals never speak for it. Nor do
    more units bought last: who stocks up comes back later.
    """
    level, _, rest = name.partition("_")
    if level in ("pair", "type", "category", "trip"):
        if rest in _FALLING and not (level == "trip" and rest != "recency"):
            return -1
        if rest.startswith(("in_", "decay_")):
            return 1
    if name in (
        "log_deviation", "overdue", "late", "type_overdue", "category_overdue", "recency_by_longest",
        "trip_recency_by_mean", "last_quantity", "quantity_ratio", "supply_days",
    ):  # fmt: skip
        return -1
    if name.startswith(("followed_", "household_followed_")):
        return 1
    return 1 if name in ("rate", "decay_ratio", "trips_expected_28", "recency_by_supply") else 0


@dataclass(frozen=True, eq=False)
class FeatureTable:
    """Features of `p` pairs, household by household, items in dictionary order within each."""

    pair_starts: NDArray[np.int64]
    """[h + 1], where each household's pairs begin."""
    households: NDArray[np.int32]
    """[p], position of the household."""
    items: NDArray[np.int32]
    """[p], position of the item in the dictionary."""
    values: NDArray[np.float32]
    """[p, len(FEATURES)]; NaN for what cannot be told."""

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, name: str) -> NDArray[np.float64]:
        """float64[p], one feature."""
        return self.values[:, COLUMN[name]].astype(np.float64)

    def only(self, chosen: NDArray[np.bool_] | NDArray[np.intp]) -> "FeatureTable":
        """The table of some pairs, without the grouping by household."""
        return FeatureTable(self.pair_starts, self.households[chosen], self.items[chosen], self.values[chosen])


def feature_table(ordered: SortedHistories, priors: Priors) -> FeatureTable:
    """Features of every item that each household has bought by its day of asking.

    Args:
        ordered: h households with their days of asking.
        priors: what other households say.
    """
    histories = ordered.histories
    size = ordered.pair_count
    values = np.empty((size, len(FEATURES)), np.float32)
    items = np.empty(size, np.int32)
    households = np.empty(size, np.int32)
    kernels.pair_features(
        0, histories.household_count, histories.household_starts, ordered.as_of, ordered.keys, ordered.line_counts,
        ordered.pair_starts, histories.quantities, histories.prices, histories.savings,
        _codes(histories.item_types), _codes(histories.item_categories), items, households, values,
    )  # fmt: skip
    derive(
        ordered.pair_starts,
        items,
        *priors.of_items(histories.item_names, histories.item_types, histories.item_categories),
        values,
    )
    return FeatureTable(ordered.pair_starts, households, items, values)


def known_or_zero(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The values of a feature, 0 where it cannot be told; `nan_to_num` looks for infinities, too, and takes longer."""
    return np.where(np.isnan(values), 0.0, values)


def _codes(texts: Sequence[str]) -> NDArray[np.int32]:
    """Number of each distinct text; -1 for an empty one."""
    numbers: dict[str, int] = {"": -1}
    return np.array([numbers.setdefault(text, len(numbers) - 1) for text in texts], np.int32)
