"""The protocol of the quality run: who is asked about what, and what counts as the truth."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pantree_domain.cadence import LADDER
from pantree_domain.compiled import compiled
from pantree_fitting.frequency.models import group_outcomes
from pantree_fitting.frequency.outcomes import Outcomes, outcomes
from pantree_frequency.core.analysis import usual_quantity
from pantree_frequency.core.features import FeatureTable, feature_table
from pantree_frequency.core.histories import Histories
from pantree_frequency.core.priors import Priors
from pantree_frequency.core.purchases import purchases_by_pair
from pantree_frequency.core.statistics import pair_statistics
from pantree_research.quality.households import LAST_DAY, Level, ReceiptLines

Floats = NDArray[np.float64]

MIN_PURCHASES = 3
MAX_DAYS = 84.0
CONFIDENCE_DAYS = 28.0


@dataclass(frozen=True, eq=False)
class EvaluationSet:
    """Pairs of validation households with three purchase days or more up to a cut-off, and what they did after it."""

    level: Level
    cutoff: int
    households: NDArray[np.int64]
    """[p], ids."""
    table: FeatureTable
    truth: Outcomes
    others_within: Floats
    """[p], days to the next purchase of the group by whichever item."""
    later: list[NDArray[np.int64]]
    """[p] arrays, days from the cut-off to each later purchase."""
    later_units: list[NDArray[np.int64]]
    """[p] arrays, units of each later purchase."""
    earlier: list[NDArray[np.int64]]
    """[p] arrays, days from the cut-off back to each purchase up to it, 0 or negative."""
    typical_units: NDArray[np.int64]
    """[p], median units of a purchase up to the cut-off, as the product rounds them."""

    def only(self, chosen: NDArray[np.bool_]) -> "EvaluationSet":
        """The examination of some pairs."""
        kept = np.flatnonzero(chosen).tolist()
        return EvaluationSet(
            self.level,
            self.cutoff,
            self.households[chosen],
            self.table.only(chosen),
            self.truth.only(chosen),
            self.others_within[chosen],
            [self.later[pair] for pair in kept],
            [self.later_units[pair] for pair in kept],
            [self.earlier[pair] for pair in kept],
            self.typical_units[chosen],
        )

    @property
    def bought(self) -> NDArray[np.bool_]:
        """bool[p], whether each pair was bought within 28 days: the truth of T2."""
        return self.truth.days_to_first <= CONFIDENCE_DAYS

    @property
    def next_interval(self) -> Floats:
        """float64[p], the next complete interval: the truth of T1; NaN for pairs that T1 leaves out.

        T1 takes pairs whose first purchase after the cut-off leaves 84 days of follow-up and whose second comes in
        them.
        """
        with np.errstate(invalid="ignore"):
            interval = self.truth.days_to_second - self.truth.days_to_first
        complete = (self.truth.days_to_first <= self.truth.follow_up - MAX_DAYS) & (interval <= MAX_DAYS)
        return np.where(complete, interval, np.nan)

    @property
    def residual(self) -> Floats:
        """float64[p], days to the next purchase, given that it comes within 84: the truth of T1a; NaN elsewhere."""
        return np.where(self.truth.days_to_first <= MAX_DAYS, self.truth.days_to_first, np.nan)


def evaluation_set(lines: ReceiptLines, level: Level, cutoff: int, priors: Priors) -> EvaluationSet:
    """The examination of one level at one cut-off; everything up to the cut-off may be seen by models."""
    histories = lines.histories(level)
    as_of = np.full(histories.household_count, cutoff, np.int32)
    ordered = purchases_by_pair(histories, as_of)
    table = feature_table(ordered, priors)
    truth = outcomes(histories, table, as_of, LAST_DAY)
    evaluation = table["pair_count"] >= MIN_PURCHASES
    later = _purchases(histories, table.only(evaluation), cutoff, histories.lines["day"] > cutoff)
    earlier = _purchases(histories, table.only(evaluation), cutoff, histories.lines["day"] <= cutoff)
    units = usual_quantity(pair_statistics(ordered))[evaluation]
    return EvaluationSet(
        level,
        cutoff,
        histories.household_ids[table.households[evaluation]],
        table.only(evaluation),
        truth.only(evaluation),
        group_outcomes(histories, table, truth)[evaluation],
        [days for days, _ in later],
        [bought for _, bought in later],
        [days for days, _ in earlier],
        units,
    )


def _purchases(
    histories: Histories, table: FeatureTable, cutoff: int, lines: NDArray[np.bool_]
) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Distinct days, from the cut-off, on which each pair of the table has one of these lines, and their units."""
    sizes = np.diff(histories.household_starts)
    item_count = len(histories.item_names)
    households = np.repeat(np.arange(len(sizes)), sizes)[lines]
    keys = households * item_count + histories.lines["item"][lines]
    days = histories.lines["day"][lines].astype(np.int64) - cutoff
    order = np.lexsort((days, keys))
    keys, days, units = keys[order], days[order], histories.lines["quantity"][lines][order].astype(np.int64)
    firsts = np.flatnonzero((np.diff(keys, prepend=-1) != 0) | (np.diff(days, prepend=0) != 0))
    keys, days, units = keys[firsts], days[firsts], np.add.reduceat(units, firsts) if len(firsts) else units
    evaluation = table.households.astype(np.int64) * item_count + table.items
    starts, ends = np.searchsorted(keys, evaluation, "left"), np.searchsorted(keys, evaluation, "right")
    return [(days[start:end], units[start:end]) for start, end in zip(starts, ends, strict=True)]


@dataclass(frozen=True)
class Cadence:
    """How well intervals are predicted."""

    mean_error: float
    median_error: float
    right_step: float
    within_one_step: float


def cadence_quality(predicted: Floats, truth: Floats) -> Cadence:
    """Errors of predicted intervals, clipped to 1…84 days, where the truth is known."""
    known = ~np.isnan(truth)
    clipped, actual = np.clip(predicted[known], 1.0, MAX_DAYS), truth[known]
    errors = np.abs(clipped - actual)
    steps = np.abs(_step(clipped) - _step(actual))
    return Cadence(
        float(errors.mean()), float(np.median(errors)), float(np.mean(steps == 0)), float(np.mean(steps <= 1))
    )


def _step(days: Floats) -> NDArray[np.intp]:
    """Position of the nearest ladder step, by ratio, as the product rounds."""
    ladder = np.array([step.interval_days for step in LADDER], np.float64)
    return np.asarray(np.argmin(np.abs(np.log(days[:, None] / ladder)), axis=1))


def median_within(curve: Floats, days: Floats) -> Floats:
    """float64[p], median day of a curve, given that the event comes by the last of `days`.

    Args:
        curve: float64[p, d], probability by each of `days`.
        days: float64[d].
    """
    share = curve / np.maximum(curve[:, -1:], 1e-12)
    position = np.argmax(share >= 0.5, axis=1)
    rows = np.arange(len(share))
    upper = share[rows, position]
    lower = np.where(position > 0, share[rows, position - 1], 0.0)
    before = np.where(position > 0, days[position - 1], 0.0)
    return np.asarray(
        before + (days[position] - before) * np.clip((0.5 - lower) / np.maximum(upper - lower, 1e-12), 0, 1)
    )


@dataclass(frozen=True, eq=False)
class Needs:
    """The days on which real households need each further unit, for `p` pairs laid end to end.

    The units of a purchase last until the next one, evenly: the first is needed on the day of the purchase.
    """

    days: Floats
    """[u], ascending within each pair, counted from the day on which the subscription is made."""
    starts: NDArray[np.int64]
    """[p + 1], where each pair's units begin."""
    evaluation: NDArray[np.bool_]
    """[p], pairs whose 84 days are seen."""


def needs_from_today(evaluation: EvaluationSet) -> Needs:
    """Needs when the subscription is made on the cut-off, whatever the household then does."""
    return _needs(evaluation.later, evaluation.later_units, evaluation.truth.follow_up >= MAX_DAYS)


def needs_from_next_purchase(evaluation: EvaluationSet) -> Needs:
    """Needs when the subscription is made with the next purchase, of households whose need so is known to last."""
    begun = evaluation.truth.days_to_first <= evaluation.truth.follow_up - MAX_DAYS
    days, units = [], []
    for known, purchases, bought in zip(begun, evaluation.later, evaluation.later_units, strict=True):
        # The units of that purchase are at home already; what is left of them delays the next need as it did.
        days.append(purchases[1:] - purchases[0] if known else purchases[:0])
        units.append(bought[1:] if known else bought[:0])
    return _needs(days, units, begun)


def _needs(
    purchase_days: list[NDArray[np.int64]], units: list[NDArray[np.int64]], evaluation: NDArray[np.bool_]
) -> Needs:  # fmt: skip
    """Spreads the units of each purchase over the days up to the next one."""
    purchases = np.cumsum([0, *map(len, purchase_days)])
    days = np.concatenate([np.empty(0), *purchase_days])
    count = np.concatenate([np.empty(0, np.int64), *units])
    lasts = np.append(days[1:], np.inf) - days
    lasts[purchases[1:][np.diff(purchases) > 0] - 1] = np.inf  # the end of the last one is unknown
    first_units = np.cumsum(count) - count
    number = np.arange(count.sum()) - np.repeat(first_units, count)
    later = np.where(number > 0, np.maximum(number, 1) * np.repeat(lasts / count, count), 0.0)
    before = np.append(first_units, count.sum())
    return Needs(np.repeat(days, count) + later, before[purchases].astype(np.int64), evaluation)


@dataclass(frozen=True)
class Deliveries:
    """What a way to deliver would have meant for real households."""

    early: float
    """Share of deliveries that come while what was there before still lasts."""
    early_count: float
    """How many such deliveries a subscription gets in 84 days."""
    ran_out: float
    """Share of pairs that at some time would have needed a unit before the delivery that brings it."""
    count: int


def deliveries(
    first_days: NDArray[np.int64], interval_days: NDArray[np.int64], units: NDArray[np.int64], needs: Needs
) -> Deliveries:
    """Follows subscriptions for 84 days.

    Stock is carried over: the deliveries bring the first, second, … units that are needed, whenever that is. A delivery
    is early when the first of its units is needed only later; the household runs out when it needs a unit sooner.

    Args:
        first_days: int64[p], day of the first delivery, from 1.
        interval_days: int64[p], days between deliveries.
        units: int64[p], units of a delivery.
        needs: of p pairs.
    """
    count = len(interval_days)
    early, total, ran_out = np.zeros(count), np.zeros(count), np.zeros(count, np.bool_)
    _follow(first_days, interval_days, units, needs.days, needs.starts, int(MAX_DAYS), early, total, ran_out)
    early, total, ran_out = early[needs.evaluation], total[needs.evaluation], ran_out[needs.evaluation]
    return Deliveries(
        float(early.sum() / max(total.sum(), 1.0)), float(early.mean()), float(ran_out.mean()), len(early)
    )


@compiled()
def _follow(
    first_days: NDArray[np.int64], interval_days: NDArray[np.int64], units: NDArray[np.int64], days: Floats,
    starts: NDArray[np.int64], horizon: int, early: Floats, total: Floats, ran_out: NDArray[np.bool_],
) -> None:  # fmt: skip
    for pair in range(len(first_days)):
        unit, end = starts[pair], starts[pair + 1]
        for day in range(first_days[pair], horizon + 1, interval_days[pair]):
            total[pair] += 1.0
            if unit >= end or days[unit] > day:
                early[pair] += 1.0
            for _ in range(units[pair]):
                if unit < end:
                    if days[unit] < day:
                        ran_out[pair] = True
                    unit += 1
        if unit < end and days[unit] <= horizon:
            ran_out[pair] = True
