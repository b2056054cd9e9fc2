"""Analyzes histories: statistics of every item, when it is due, with what confidence, and how often to deliver it."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pantree_domain.cadence import GRACE_FACTOR
from pantree_domain.evidence import Need
from pantree_domain.purchases import PurchaseHistory
from pantree_frequency.core import cadence, need
from pantree_frequency.core.cadence import DAYS, LADDER_DAYS, STEPS
from pantree_frequency.core.costs import Costs
from pantree_frequency.core.features import FeatureTable, feature_table
from pantree_frequency.core.histories import Histories
from pantree_frequency.core.models import Model
from pantree_frequency.core.models.heuristic import recency_weight
from pantree_frequency.core.priors import Priors
from pantree_frequency.core.purchases import PairPurchases, purchases_by_pair
from pantree_frequency.core.records import Records
from pantree_frequency.core.rhythm import Rhythms
from pantree_frequency.core.statistics import ItemStatistics, pair_statistics, statistics_of_items
from pantree_frequency.core.supply import Options as SupplyOptions
from pantree_frequency.core.supply import options_of
from pantree_runtime.errors import FieldViolation, InvalidInput

CONFIDENCE_DAYS = 28.0
# Options sent with an item, cheapest first: enough for one that keeps, and for a longer step.
MAX_OPTIONS = 6
# A first delivery comes at the earliest after this share of the item's own interval since the last purchase.
_MIN_FIRST_FACTOR = 0.5
# Pairs forecast at a time. A forecast takes 5.5 KiB of memory a pair (measured), for curves of all days that are read
# once; blocks of 256 to 16,000 pairs take the same time.
_BLOCK_PAIRS = 1024
# Probabilities beyond this many days are extrapolated: labels of fits end there.
MAX_FITTED_DAYS = 120


class FirstDelivery(NamedTuple):
    """When deliveries at the recommended interval should begin, and the risks within 84 days of the as-of day."""

    day: int
    """Days since 1970-01-01."""
    stockout_probability: float
    overstock_ratio: float
    """Share of deliveries that come early; all of them if the need has ended."""


class DeliveryOption(NamedTuple):
    """A step of the ladder with the quantity that fits it."""

    interval_days: int
    quantity: int
    """Units of a delivery."""
    supply_ratio: float
    """Units delivered over units used, while the need lasts."""
    stockout_probability: float
    """Of a stockout within 84 days of deliveries, or within one interval if that is longer."""
    overstock_ratio: float
    """Share of the deliveries within that time that come early."""
    cadence_probability: float
    """Of a purchase within the interval × `GRACE_FACTOR`."""
    units_on_hand: float
    """Units at home on average, expected while the need lasts."""


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
    options: tuple[DeliveryOption, ...]
    """The best first: the recommended one. At least one."""
    use_days: float
    """Days in which the typical quantity is used up."""
    regularity_ratio: float
    """How far the pair's own rhythm is trusted, 0 to 1."""
    first_delivery: FirstDelivery
    """Of the recommended option."""
    need: Need
    """The most likely state."""
    need_probabilities: Mapping[Need, float]


@dataclass(frozen=True)
class HistoryAnalysis:
    """All items of a history."""

    items: tuple[ItemFrequency, ...]
    """Most confident first."""
    model_name: str
    model_version: str
    others: tuple[ItemStatistics, ...] = ()
    """Items that were bought too rarely for a forecast, by name; see `Options.min_purchases_to_forecast`."""


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
    min_purchases_to_forecast: int = 1
    """Items that were bought on fewer days have statistics, but no forecast."""


@dataclass(frozen=True)
class Models:
    """All models, and what they share."""

    by_name: Mapping[str, Model]
    default_name: str
    priors: Priors
    switching: need.Switching
    costs: Costs = field(default_factory=Costs)

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

    All histories share one sort and blocks of predictions, so that many small ones cost little more than one large one.

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
    records = pair_statistics(bought)
    statistics = statistics_of_items(bought.histories, bought.pairs["item"].tolist(), records)
    purchase_counts = bought.pairs["end"] - bought.pairs["first"]
    chosen = np.flatnonzero(purchase_counts >= options.min_purchases_to_forecast)
    table = feature_table(bought, models.priors, chosen)
    tolerances = tolerances_of(bought, records, models.costs, options.stockout_tolerance)[chosen]
    quantity = usual_quantity(records)[chosen]
    items: dict[int, ItemFrequency] = {}
    for start in range(0, len(table), _BLOCK_PAIRS):
        block = np.arange(start, min(start + _BLOCK_PAIRS, len(table)))
        forecasts = _forecasts(table.only(block), quantity[block], model, models.switching, tolerances[block])
        for position, (pair, household) in enumerate(
            zip(chosen[block].tolist(), table.households[block].tolist(), strict=True)
        ):
            items[pair] = _item_frequency(statistics[pair], forecasts, position, requests[household].as_of_day)
    analyses = []
    for begin, end in itertools.pairwise(bought.pair_starts.tolist()):
        forecast = [items[pair] for pair in range(begin, end) if pair in items]
        others = [statistics[pair] for pair in range(begin, end) if pair not in items]
        analyses.append(
            HistoryAnalysis(
                tuple(sorted(forecast, key=lambda item: (-item.confidence, item.statistics.name))),
                model.name,
                model.version,
                tuple(sorted(others, key=lambda item: item.name)),
            )
        )
    return analyses


def purchases_of(requests: Sequence[AnalysisRequest]) -> PairPurchases:
    """What the households of at least one request bought of each item."""
    types = [request.item_types or ("",) * len(request.history.item_names) for request in requests]
    histories = Histories.of_households([request.history for request in requests], types)
    return purchases_by_pair(histories, np.array([request.as_of_day for request in requests], np.int32))


def tolerances_of(bought: PairPurchases, statistics: Records, costs: Costs, tolerance: float) -> NDArray[np.float64]:
    """float64[p], the tolerance of stockouts of each pair.

    Args:
        bought: p pairs.
        statistics: STATISTICS[p].
        costs: of stockouts and early deliveries.
        tolerance: of the request.
    """
    histories = bought.histories
    return costs.tolerances(
        tolerance,
        histories.item_types,
        histories.item_categories,
        bought.pairs["item"],
        statistics["latest_unit_price"],
    )


@dataclass(frozen=True, eq=False)
class _Forecasts:
    """Forecasts of `p` pairs as plain lists, which are read one pair at a time."""

    recency_weight: list[float]
    confidence: list[float]
    ladder: list[list[float]]
    expected_days: list[float]
    median_days: list[float]
    options: list[tuple[DeliveryOption, ...]]
    use_days: list[float]
    regularity: list[float]
    first_day: list[int]
    first_stockout: list[float]
    first_overstock: list[float]
    need: list[Need]
    need_probabilities: list[list[float]]


def usual_quantity(statistics: Records) -> NDArray[np.int64]:
    """int64[p], the median units of a purchase, rounded down, at least 1.

    Args:
        statistics: STATISTICS[p].
    """
    return np.maximum(statistics["median_quantity"].astype(np.int64), 1)


@dataclass(frozen=True, eq=False)
class Schedules:
    """Predictions for `p` pairs, and the deliveries that follow from them."""

    curve: NDArray[np.float64]
    """[p, len(DAYS)], probability of a purchase within each number of `cadence.DAYS`."""
    supply: SupplyOptions
    best: NDArray[np.intp]
    """[p], position of the recommended step."""
    first: cadence.FirstDeliveries
    """Of the recommended step."""
    own_days: NDArray[np.float64]
    """[p], the item's own interval."""


def schedules_of(
    table: FeatureTable,
    quantity: NDArray[np.int64],
    model: Model,
    tolerance: NDArray[np.float64] | float = cadence.DEFAULT_STOCKOUT_TOLERANCE,
) -> Schedules:
    """When and how each pair should be delivered.

    Args:
        table: features of p pairs.
        quantity: int64[p], units that the household buys at once.
        model: predicts the purchases.
        tolerance: float64[p], or one for all: of stockouts, above 0 and below 1.
    """
    # The last bits of an exponential depend on its place in an array; equal items must stay equal, or their order would
    # depend on their neighbors.
    curve = model.within(table, DAYS).round(12)
    intervals = model.interval_within(table, DAYS).round(12)
    supply = options_of(intervals, table.rhythms, quantity, tolerance)
    best = supply.best
    own_days = need.own_interval_days(table, supply.use_days)
    # What was bought lately is not delivered tomorrow, however unsure the forecast is.
    earliest = np.maximum(np.ceil(_MIN_FIRST_FACTOR * own_days - table["pair_recency"]), 1.0).astype(np.int64)
    first = cadence.choose_first_deliveries(curve, intervals, STEPS[best], earliest, tolerance)
    regular = np.flatnonzero(table.rhythms.regular)
    overdue = need.is_overdue(table["pair_recency"][regular].astype(np.float64), own_days[regular])
    own = _used_up(table.rhythms.only(regular), own_days[regular], overdue)
    tolerances = np.broadcast_to(tolerance, len(table))[regular]
    of_regular = cadence.first_deliveries_of_regular(own, intervals[regular], STEPS[best[regular]], overdue, tolerances)
    for every, some in zip(vars(first).values(), vars(of_regular).values(), strict=True):
        every[regular] = some
    return Schedules(curve, supply, best, first, own_days)


def _used_up(rhythms: Rhythms, own_days: NDArray[np.float64], is_overdue: NDArray[np.bool_]) -> NDArray[np.float64]:
    """float64[p, d], probability that the last purchase is used up within each number of `EVERY_DAY` of the as-of day.

    What was bought is used at the item's own pace, whether or not the household has been to the shop since: a purchase
    that is late moves nothing. An item is used up before it is overdue, if the need lasts and no purchase is missed.
    Once it is overdue, the need has perhaps ended: then it is the probability of a purchase.

    Args:
        rhythms: of p pairs.
        own_days: float64[p], the item's own interval.
        is_overdue: bool[p].
    """
    since_purchase = replace(rhythms, recency=np.zeros_like(rhythms.recency)).within(cadence.EVERY_DAY)
    last = since_purchase.shape[1]
    overdue = np.clip(np.floor(need.OVERDUE_FACTOR * own_days), 3, last).astype(np.int64)
    by_then = since_purchase[np.arange(len(overdue)), overdue - 1]
    days = np.minimum(rhythms.recency[:, None] + np.arange(last), last - 1)
    used = np.minimum(np.take_along_axis(since_purchase, days, axis=1) / np.maximum(by_then, 1e-9)[:, None], 1.0)
    late = np.flatnonzero(is_overdue)
    used[late] = rhythms.only(late).within(cadence.EVERY_DAY)
    return np.asarray(used.round(12))


def _forecasts(
    table: FeatureTable,
    quantity: NDArray[np.int64],
    model: Model,
    switching: need.Switching,
    tolerances: NDArray[np.float64],
) -> _Forecasts:
    schedules = schedules_of(table, quantity, model, tolerances)
    curve, supply, first = schedules.curve, schedules.supply, schedules.first
    recency = table["pair_recency"]
    overdue = need.is_overdue(recency, schedules.own_days)
    ever = cadence.probability_by(curve, need.gone_days(schedules.own_days))
    needs = need.need_probabilities(curve[:, int(need.SOON_DAYS) - 1], ever, overdue, switching(table))
    within = cadence.probabilities_by(curve, LADDER_DAYS * GRACE_FACTOR)
    return _Forecasts(
        recency_weight=recency_weight(recency, table["pair_mean_interval"]).tolist(),
        confidence=(100.0 * curve[:, int(CONFIDENCE_DAYS) - 1]).tolist(),
        ladder=cadence.probabilities_by(curve, LADDER_DAYS).tolist(),
        expected_days=cadence.expected_days(curve).tolist(),
        median_days=np.where(curve[:, -1] >= 0.5, DAYS[np.argmax(curve >= 0.5, axis=1)], np.nan).tolist(),
        options=_delivery_options(supply, quantity, schedules.best, within),
        use_days=supply.use_days.tolist(),
        regularity=np.where(table.rhythms.regular, np.sqrt(table.rhythms.trust), 0.0).tolist(),
        first_day=first.days.tolist(),
        first_stockout=first.stockout_probability.tolist(),
        first_overstock=first.overstock_ratio.tolist(),
        need=need.likeliest_needs(needs, overdue, table["pair_count"]),
        need_probabilities=needs.tolist(),
    )


def _delivery_options(
    supply: SupplyOptions,
    usual_quantity: NDArray[np.int64],
    best: NDArray[np.intp],
    within: NDArray[np.float64],
) -> list[tuple[DeliveryOption, ...]]:
    """The options of each pair by cost, and the next longer steps that the risks leave out.

    One of them brings no more than the household buys at once, if any does: what spoils may not be delivered in larger
    quantities.

    Args:
        supply: of p pairs.
        usual_quantity: int64[p], units that the household buys at once.
        best: int[p], position of the recommended step.
        within: float64[p, steps], probability of a purchase within each step's grace.
    """
    rows, positions = np.arange(len(best)), np.arange(len(STEPS))
    # The best one, other options by cost, then longer steps, which have no cost, and what is no option.
    rank = supply.cost.copy()
    rank[np.isinf(rank) & (positions <= best[:, None])] = np.nan
    rank[rows, best] = -np.inf
    order = np.argsort(rank, axis=1, stable=True)
    counts = (~np.isnan(rank)).sum(axis=1)
    small = np.take_along_axis(supply.quantity <= usual_quantity[:, None], order, axis=1)
    small &= positions < counts[:, None]
    only_later = np.flatnonzero(small.any(axis=1) & ~small[:, :MAX_OPTIONS].any(axis=1))
    last = min(MAX_OPTIONS, len(STEPS)) - 1  # a retailer's ladder may be short
    order[only_later, last] = order[only_later, small[only_later].argmax(axis=1)]
    order = order[:, : last + 1]
    columns = (supply.quantity, supply.supply_ratio, supply.stockout, supply.overstock, within, supply.units_on_hand)
    options = zip(
        STEPS[order].tolist(), *(np.take_along_axis(column, order, axis=1).tolist() for column in columns), strict=True
    )
    return [
        tuple(map(DeliveryOption._make, zip(*pair, strict=True)))[:count]
        for pair, count in zip(options, counts.tolist(), strict=True)
    ]


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
        options=forecasts.options[pair],
        use_days=forecasts.use_days[pair],
        regularity_ratio=forecasts.regularity[pair],
        first_delivery=FirstDelivery(
            as_of_day + forecasts.first_day[pair], forecasts.first_stockout[pair], forecasts.first_overstock[pair]
        ),
        need=forecasts.need[pair],
        need_probabilities=dict(zip(need.NEEDS, forecasts.need_probabilities[pair], strict=True)),
    )
