"""The protocol of the quality run: who is asked about what, and what counts as the truth."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pantree_domain.cadence import LADDER
from pantree_frequency.core.features import FeatureTable, feature_table
from pantree_frequency.core.histories import Histories
from pantree_frequency.core.outcomes import Outcomes, outcomes
from pantree_frequency.core.priors import Priors
from pantree_frequency.core.sorting import sort_histories
from pantree_frequency.fitting import group_outcomes
from tests.quality.households import LAST_DAY, Level, ReceiptLines

Floats = NDArray[np.float64]

LEAST_PURCHASES = 3
LONGEST_DAYS = 84.0
CONFIDENCE_DAYS = 28.0


@dataclass(frozen=True, eq=False)
class Examination:
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
    earlier: list[NDArray[np.int64]]
    """[p] arrays, days from the cut-off back to each purchase up to it, 0 or negative."""

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
        complete = (self.truth.days_to_first <= self.truth.follow_up - LONGEST_DAYS) & (interval <= LONGEST_DAYS)
        return np.where(complete, interval, np.nan)

    @property
    def residual(self) -> Floats:
        """float64[p], days to the next purchase, given that it comes within 84: the truth of T1a; NaN elsewhere."""
        return np.where(self.truth.days_to_first <= LONGEST_DAYS, self.truth.days_to_first, np.nan)


def examination(lines: ReceiptLines, level: Level, cutoff: int, priors: Priors) -> Examination:
    """The examination of one level at one cut-off; everything up to the cut-off may be seen by models."""
    histories = lines.histories(level)
    as_of = np.full(histories.household_count, cutoff, np.int32)
    table = feature_table(sort_histories(histories, as_of), priors)
    truth = outcomes(histories, table, as_of, LAST_DAY)
    asked = table["pair_count"] >= LEAST_PURCHASES
    return Examination(
        level,
        cutoff,
        histories.household_ids[table.households[asked]],
        table.only(asked),
        truth.only(asked),
        group_outcomes(histories, table, truth)[asked],
        _purchase_days(histories, table.only(asked), cutoff, histories.days > cutoff),
        _purchase_days(histories, table.only(asked), cutoff, histories.days <= cutoff),
    )


def _purchase_days(
    histories: Histories, table: FeatureTable, cutoff: int, lines: NDArray[np.bool_]
) -> list[NDArray[np.int64]]:
    """Distinct days, counted from the cut-off, on which each pair of the table has one of these lines."""
    sizes = np.diff(histories.household_starts)
    item_count = len(histories.item_names)
    keys = np.repeat(np.arange(len(sizes)), sizes)[lines] * item_count + histories.item_indices[lines]
    days = histories.days[lines].astype(np.int64) - cutoff
    order = np.lexsort((days, keys))
    keys, days = keys[order], days[order]
    asked = table.households.astype(np.int64) * item_count + table.items
    starts, ends = np.searchsorted(keys, asked, "left"), np.searchsorted(keys, asked, "right")
    return [np.unique(days[start:end]) for start, end in zip(starts, ends, strict=True)]


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
    clipped, actual = np.clip(predicted[known], 1.0, LONGEST_DAYS), truth[known]
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


@dataclass(frozen=True)
class Deliveries:
    """What a cadence would have meant for real households."""

    early: float
    """Share of deliveries that come before the purchase that they replace, or that no purchase follows in the time."""
    early_count: float
    """How many such deliveries a subscription gets in 84 days."""
    ran_out: float
    """Share of pairs that at some time would have needed the item before its delivery."""
    count: int


def deliveries(cadence_days: NDArray[np.int64], asked: Examination) -> Deliveries:
    """Follows subscriptions for 84 days from the first purchase after the cut-off, for pairs that leave so much time.

    The k-th delivery, `k × cadence` days after that purchase, stands for the k-th purchase after it.
    """
    early = total = ran_out = pairs = 0
    for days, cadence, follow_up in zip(
        asked.later, cadence_days.tolist(), asked.truth.follow_up.tolist(), strict=True
    ):
        if not len(days) or days[0] > follow_up - LONGEST_DAYS:
            continue
        needs = days[1:] - days[0]
        needs = needs[needs <= LONGEST_DAYS]
        delivered = np.arange(cadence, LONGEST_DAYS + 1, cadence)
        common = min(len(needs), len(delivered))
        early += int((delivered[:common] < needs[:common]).sum()) + len(delivered) - common
        total += len(delivered)
        ran_out += bool((needs[:common] < delivered[:common]).any() or len(needs) > len(delivered))
        pairs += 1
    return Deliveries(early / total, early / pairs, ran_out / pairs, pairs)
