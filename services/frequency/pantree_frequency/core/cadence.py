"""Cadence by risk: the delivery interval that best trades running out against piling up.

A subscription is followed for the longest step of the ladder, 84 days, from a purchase on. The k-th delivery stands
for the k-th purchase that the household would have made. It *runs out* when some purchase would have come before its
delivery; a delivery comes *early* when its purchase would have come only later, or not at all in that time.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pantree_domain.cadence import LADDER
from pantree_domain.compiled import compiled

Floats = NDArray[np.float64]

LADDER_DAYS: Floats = np.array([step.interval_days for step in LADDER], np.float64)
_STEPS: NDArray[np.int64] = LADDER_DAYS.astype(np.int64)
_HORIZON = int(_STEPS[-1])

# Days on which the interval's distribution is looked at.
DAYS: Floats = np.arange(1.0, _HORIZON + 1)

# How harm by early deliveries is weighed against harm by running out when the caller does not say; at this trade-off
# real households run out about as often as under the rule "mean interval" (see the model card).
DEFAULT_RUN_OUT_TOLERANCE = 0.5
# At even weights, having run out is as bad as this many early deliveries; so the even trade-off lies in the middle.
_RUN_OUT_WEIGHT = 10.0
# The chosen step is at most this many times as long, or as short, as the median interval. Without it the least harm
# overall is had at the ends: whoever runs out at times anyway is let down for good, so that a weekly item comes every
# three weeks, and seldom bought items come far too often, since a few early deliveries weigh little; nine in ten
# products would come every 28 or every 56 days. On fitting households the bound brings the right step more often
# (products: .196 of the next intervals after .186), at 2 % more households that run out and as many early deliveries.
_FARTHEST_RATIO = 1.5


@dataclass(frozen=True, eq=False)
class Risks:
    """What each step of the ladder would mean for `p` pairs."""

    run_out: Floats
    """[p, steps], probability that the household runs out at some time within 84 days."""
    pile_up: Floats
    """[p, steps], share of the deliveries in 84 days that come early."""
    median_days: Floats
    """[p], median interval; infinite when it lies beyond the 84 days."""


@dataclass(frozen=True, eq=False)
class Cadences:
    """The chosen step of the ladder for each of `p` pairs."""

    interval_days: NDArray[np.int64]
    """[p]."""
    run_out_probability: Floats
    """[p]."""
    pile_up_ratio: Floats
    """[p]."""


def risks_of(intervals: Floats) -> Risks:
    """What each step of the ladder would mean, for independent intervals of one distribution.

    The day of the k-th purchase is a sum of k intervals, whose distribution is a convolution; those that run out are
    taken out of it delivery by delivery.

    Args:
        intervals: float64[p, len(DAYS)], probability that an interval is at most each number of `DAYS` long.
    """
    density = np.diff(intervals, axis=1, prepend=0.0)
    run_out = np.zeros((len(intervals), len(_STEPS)))
    pile_up = np.zeros_like(run_out)
    _reckon(density, _STEPS, run_out, pile_up)
    # The last bits are a matter of the machine; an answer must not be.
    return Risks(
        np.clip(run_out.round(9), 0.0, 1.0), np.clip(pile_up.round(9), 0.0, 1.0), _median_days(intervals.round(9))
    )


def choose_cadences(risks: Risks, run_out_tolerance: float = DEFAULT_RUN_OUT_TOLERANCE) -> Cadences:
    """The ladder step near the median interval with the least harm for each pair; the longer one when two are equal.

    Every early delivery does harm, every timely one does as much good; running out does harm once. Counting deliveries
    rather than their share keeps the short steps from looking as good as the long ones.

    Args:
        risks: of p pairs.
        run_out_tolerance: between 0 (never run out) and 1 (never pile up).
    """
    surplus = (2.0 * risks.pile_up - 1.0) * (_HORIZON // _STEPS)
    harm = (1.0 - run_out_tolerance) * _RUN_OUT_WEIGHT * risks.run_out + run_out_tolerance * surplus
    # The ladder goes on from its ends: what is bought daily comes weekly, what is bought yearly comes quarterly.
    median = np.clip(risks.median_days, LADDER_DAYS[0], LADDER_DAYS[-1])[:, None]
    harm[(median * _FARTHEST_RATIO < LADDER_DAYS) | (median > LADDER_DAYS * _FARTHEST_RATIO)] = np.inf
    chosen = len(_STEPS) - 1 - np.argmin(harm[:, ::-1], axis=1)
    rows = np.arange(len(chosen))
    return Cadences(_STEPS[chosen].astype(np.int64), risks.run_out[rows, chosen], risks.pile_up[rows, chosen])


@compiled()
def _reckon(density: Floats, steps: NDArray[np.int64], run_out: Floats, pile_up: Floats) -> None:
    """Adds the risks of each step for each pair.

    Args:
        density: float64[p, days], probability that an interval is 1, 2, … days long.
        steps: int64[s], ascending.
        run_out: float64[p, s].
        pile_up: float64[p, s].
    """
    horizon = density.shape[1]
    sums, following = np.empty(horizon), np.empty(horizon)
    for pair in range(len(density)):
        intervals = density[pair]
        sums[:] = intervals
        for number in range(1, horizon // steps[0] + 1):
            if number > 1:
                _follow(sums, number - 2, intervals, following)
                sums, following = following, sums
            for position in range(len(steps)):
                deliveries = horizon // steps[position]
                if number <= deliveries:
                    pile_up[pair, position] += (1.0 - sums[: number * steps[position]].sum()) / deliveries
        for position in range(len(steps)):
            sums[:] = intervals
            before = 0
            for number in range(1, horizon // steps[position] + 1):
                # Purchases on the days before the delivery.
                before = number * steps[position] - 1
                run_out[pair, position] += sums[:before].sum()
                _follow(sums, before, intervals, following)
                sums, following = following, sums
            run_out[pair, position] += sums[before:].sum()


def _median_days(intervals: Floats) -> Floats:
    return np.where(intervals[:, -1] >= 0.5, DAYS[np.argmax(intervals >= 0.5, axis=1)], np.inf)


@compiled()
def _follow(days: Floats, first: int, intervals: Floats, following: Floats) -> None:
    """Density of a day, not before `first`, and one more interval after it, up to the horizon.

    Args:
        days: float64[n], density of days 1, 2, …; those before `first` (from 0) do not count.
        first: the first day that counts.
        intervals: float64[n], density of the interval.
        following: float64[n], is overwritten.
    """
    following[:] = 0.0
    for day in range(first, len(days) - 1):
        share = days[day]
        later = following[day + 1 :]
        for interval in range(len(later)):
            later[interval] += share * intervals[interval]
