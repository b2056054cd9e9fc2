"""Analyzes histories: statistics of every item, when it is due, with what confidence, and how often to deliver it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pantree_domain.cadence import GRACE_FACTOR
from pantree_domain.evidence import Need
from pantree_domain.purchases import PurchaseHistory
from pantree_frequency.core import cadence, need
from pantree_frequency.core.features import FeatureTable, feature_table
from pantree_frequency.core.histories import Histories
from pantree_frequency.core.models import Model
from pantree_frequency.core.models.heuristic import recency_weight
from pantree_frequency.core.priors import Priors
from pantree_frequency.core.purchases import PairPurchases, purchases_by_pair
from pantree_frequency.core.statistics import ItemStatistics, pair_statistics, statistics_of_items
from pantree_runtime.errors import FieldViolation, InvalidInput

CONFIDENCE_DAYS = 28.0
# Days of the curve to the next purchase: every day at first, up to a year, by which the median is known for nearly all.
_CURVE_DAYS: NDArray[np.float64] = np.concatenate([np.arange(1.0, 85.0), np.arange(91.0, 366.0, 7.0)])


class FirstDelivery(NamedTuple):
    """When deliveries at the recommended interval should begin, and the risks within 84 days of the as-of day."""

    day: int
    """Days since 1970-01-01."""
    stockout_probability: float
    overstock_ratio: float
    """Share of deliveries that come early; all of them if the need has ended."""


# Named tuples: there is one for every item of every history, and a dataclass takes three times as long to build.
class ItemFrequency(NamedTuple):
    """An item's statistics and forecast."""

    statistics: ItemStatistics
    recency_weight_ratio: float
    """1 while the item is not yet due, then falling; 0 to 1."""
    confidence: float
    """100 × the probability of a purchase within 28 days, 0 to 100."""
    next_due_day: int | None
    """Last purchase plus mean interval, days since 1970-01-01; None for one purchase."""
    ladder_probabilities: tuple[float, ...]
    """Probability of a purchase within each step of the ladder."""
    expected_days: float
    """From the as-of day to the next purchase; more than a year counts as a year."""
    median_days: float | None
    """From the as-of day to the next purchase; None if a year without a purchase is more likely than not."""
    recommended_interval_days: int
    """A step of the ladder."""
    stockout_probability: float
    """Of a stockout within 84 days of deliveries at that interval."""
    overstock_ratio: float
    """Share of deliveries at that interval that come early."""
    first_delivery: FirstDelivery
    probability_within_cadence: float
    """Of a purchase within the recommended interval × `GRACE_FACTOR`."""
    need: Need
    """The most likely state."""
    need_probabilities: Mapping[Need, float]


@dataclass(frozen=True)
class HistoryAnalysis:
    """All items of a history, most confident first."""

    items: tuple[ItemFrequency, ...]
    model_name: str
    model_version: str


@dataclass(frozen=True)
class AnalysisRequest:
    """One household's history to analyze."""

    history: PurchaseHistory
    as_of_day: int
    """Days since 1970-01-01."""
    item_types: tuple[str, ...] = ()
    """Type of each item of the dictionary; empty if all are unknown."""


@dataclass(frozen=True)
class Options:
    """Settings of an analysis."""

    model_name: str = ""
    """Empty for the default model."""
    stockout_tolerance: float = cadence.DEFAULT_STOCKOUT_TOLERANCE
    """Above 0 (avoid stockouts) and below 1 (avoid overstock)."""


@dataclass(frozen=True)
class Models:
    """All models, and what they share."""

    by_name: Mapping[str, Model]
    default_name: str
    priors: Priors
    switching: need.Switching

    def named(self, name: str) -> Model:
        """A model by its name; the default for an empty name.

        Raises:
            InvalidInput: if there is no such model.
        """
        model = self.by_name.get(name or self.default_name)
        if model is None:
            names = ", ".join(sorted(self.by_name))
            raise InvalidInput([FieldViolation("model_name", f"must be one of {names}; is {name!r}")])
        return model


def analyze_histories(requests: Sequence[AnalysisRequest], models: Models, options: Options) -> list[HistoryAnalysis]:
    """The analysis of each history, in order; items most confident first, then by name.

    All histories share one sort and one prediction, so that many small ones cost little more than one large one.

    Args:
        requests: histories with lines in any order, none later than the as-of day.
        models: to choose from.
        options: for all histories.

    Raises:
        InvalidInput: if there is no such model.
    """
    model = models.named(options.model_name)
    if not requests:
        return []
    bought = purchases_of(requests)
    statistics = statistics_of_items(bought.histories, bought.pairs["item"].tolist(), pair_statistics(bought))
    forecasts = _forecasts(feature_table(bought, models.priors), model, models.switching, options.stockout_tolerance)
    analyses = []
    for household, request in enumerate(requests):
        items = [
            _item_frequency(statistics[pair], forecasts, pair, request.as_of_day)
            for pair in range(bought.pair_starts[household], bought.pair_starts[household + 1])
        ]
        items.sort(key=lambda item: (-item.confidence, item.statistics.name))
        analyses.append(HistoryAnalysis(tuple(items), model.name, model.version))
    return analyses


def purchases_of(requests: Sequence[AnalysisRequest]) -> PairPurchases:
    """What the households of at least one request bought of each item."""
    types = [request.item_types or ("",) * len(request.history.item_names) for request in requests]
    histories = Histories.of_households([request.history for request in requests], types)
    return purchases_by_pair(histories, np.array([request.as_of_day for request in requests], np.int32))


@dataclass(frozen=True, eq=False)
class _Forecasts:
    """Forecasts of `p` pairs as plain lists, which are read one pair at a time."""

    recency_weight: list[float]
    confidence: list[float]
    ladder: list[list[float]]
    expected_days: list[float]
    median_days: list[float]
    cadence: list[int]
    stockout: list[float]
    overstock: list[float]
    first_day: list[int]
    first_stockout: list[float]
    first_overstock: list[float]
    within_cadence: list[float]
    need: list[Need]
    need_probabilities: list[list[float]]


def min_steps(table: FeatureTable) -> NDArray[np.int64]:
    """int64[p], the shortest step of the ladder that each pair's own intervals allow."""
    return cadence.min_steps(table["pair_count"], table["pair_mean_interval"], table["pair_sd_interval"])


def _forecasts(table: FeatureTable, model: Model, switching: need.Switching, tolerance: float) -> _Forecasts:
    # The last bits of an exponential depend on its place in an array; equal items must stay equal, or their order would
    # depend on their neighbors.
    curve = model.within(table, _CURVE_DAYS).round(12)
    intervals = model.interval_within(table, cadence.DAYS).round(12)
    cadences = cadence.choose_cadences(cadence.risks_of(intervals, min_steps(table), near_only=True), tolerance)
    near = curve[:, : len(cadence.DAYS)]  # the curve begins with the same days
    first = cadence.choose_first_deliveries(near, intervals, cadences.interval_days, tolerance)
    soon, ever = curve[:, int(need.SOON_DAYS) - 1], curve[:, int(need.GONE_DAYS) - 1]
    recency = table["pair_recency"]
    needs = need.need_probabilities(soon, ever, need.is_overdue(recency, intervals), switching(table))
    days = np.concatenate([[0.0], _CURVE_DAYS])
    survival = 1.0 - np.concatenate([np.zeros((len(table), 1)), curve], axis=1)
    median_known = curve[:, -1] >= 0.5
    grace_ends = np.searchsorted(_CURVE_DAYS, cadences.interval_days * GRACE_FACTOR, side="right") - 1
    return _Forecasts(
        recency_weight=recency_weight(recency, table["pair_mean_interval"]).tolist(),
        confidence=(100.0 * curve[:, int(CONFIDENCE_DAYS) - 1]).tolist(),
        ladder=curve[:, cadence.LADDER_DAYS.astype(int) - 1].tolist(),
        expected_days=((survival[:, 1:] + survival[:, :-1]) / 2 * np.diff(days)).sum(axis=1).tolist(),
        median_days=np.where(median_known, _CURVE_DAYS[np.argmax(curve >= 0.5, axis=1)], np.nan).tolist(),
        cadence=cadences.interval_days.tolist(),
        stockout=cadences.stockout_probability.tolist(),
        overstock=cadences.overstock_ratio.tolist(),
        first_day=first.days.tolist(),
        first_stockout=first.stockout_probability.tolist(),
        first_overstock=first.overstock_ratio.tolist(),
        within_cadence=curve[np.arange(len(table)), grace_ends].tolist(),
        need=need.likeliest_needs(needs),
        need_probabilities=needs.tolist(),
    )


def _item_frequency(statistics: ItemStatistics, forecasts: _Forecasts, pair: int, as_of_day: int) -> ItemFrequency:
    mean, median = statistics.mean_interval_days, forecasts.median_days[pair]
    return ItemFrequency(
        statistics=statistics,
        recency_weight_ratio=forecasts.recency_weight[pair],
        confidence=forecasts.confidence[pair],
        next_due_day=None if mean is None else statistics.last_day + round(mean),
        ladder_probabilities=tuple(forecasts.ladder[pair]),
        expected_days=forecasts.expected_days[pair],
        median_days=None if np.isnan(median) else median,
        recommended_interval_days=forecasts.cadence[pair],
        stockout_probability=forecasts.stockout[pair],
        overstock_ratio=forecasts.overstock[pair],
        first_delivery=FirstDelivery(
            as_of_day + forecasts.first_day[pair], forecasts.first_stockout[pair], forecasts.first_overstock[pair]
        ),
        probability_within_cadence=forecasts.within_cadence[pair],
        need=forecasts.need[pair],
        need_probabilities=dict(zip(need.NEEDS, forecasts.need_probabilities[pair], strict=True)),
    )
