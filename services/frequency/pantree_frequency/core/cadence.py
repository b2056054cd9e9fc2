"""Cadence by risk: the delivery interval that best trades running out against piling up.

A subscription is followed for the longest step of the ladder, 84 days, from a purchase on. The k-th delivery stands
for the k-th purchase that the household would have made. It *runs out* when some purchase would have come before its
delivery; a delivery comes *early* when its purchase would have come only later, or not at all in that time.

The interval is chosen as if the need went on. When deliveries begin is chosen from today's point of view: the days that
have already passed since the last purchase count, and so does the chance that the need has ended, when every delivery
would come early.
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
# From so many purchases on, no step is shorter than the item's own rhythm allows (see `least_steps`). From four on, the
# bound would be felt by 93 real pairs (types), and the step miss their next interval by 25 days instead of 19.
_PURCHASES_OF_A_RHYTHM = 6

# Days from today on which deliveries may begin: at once, or after whole weeks, up to the longest step of the ladder.
# Twice as many would do no better: on fitting households the same share comes early at equal run-outs, to .001.
FIRST_DAYS: NDArray[np.int64] = np.array([1, *range(7, _HORIZON + 1, 7)])
# At even weights, having run out is as bad as this many early deliveries when the first day is chosen. Households then
# run out as often as with deliveries every mean interval from the last purchase on (fitting households, types).
_FIRST_RUN_OUT_WEIGHT = 6.5


@dataclass(frozen=True, eq=False)
class Risks:
    """What each step of the ladder would mean for `p` pairs."""

    stockout: Floats
    """[p, steps], probability that the household runs out at some time within 84 days."""
    overstock: Floats
    """[p, steps], share of the deliveries in 84 days that come early."""
    choosable: NDArray[np.bool_]
    """[p, steps], the steps that `choose_cadences` may take, at least one of each pair."""


@dataclass(frozen=True, eq=False)
class Cadences:
    """The chosen step of the ladder for each of `p` pairs."""

    interval_days: NDArray[np.int64]
    """[p]."""
    stockout_probability: Floats
    """[p]."""
    overstock_ratio: Floats
    """[p]."""


@dataclass(frozen=True, eq=False)
class FirstDeliveries:
    """When deliveries at the chosen interval best begin, for each of `p` pairs."""

    days: NDArray[np.int64]
    """[p], from the day of asking, one of `FIRST_DAYS`."""
    stockout_probability: Floats
    """[p], that the household runs out at some time within 84 days of the day of asking."""
    overstock_ratio: Floats
    """[p], share of the deliveries in that time that come early."""


def least_steps(purchase_counts: Floats, mean_days: Floats, deviation_days: Floats) -> NDArray[np.int64]:
    """int64[p], the shortest step that suits each pair's own record.

    With six purchases or more that is the longest step within the mean interval less a standard deviation, otherwise
    the first one. Needs as regular as that are rarer than the models were taught: the trees take the intervals of an
    item that was bought every eight weeks to the day for three weeks long. On real baskets the bound is never felt: of
    34,000 pairs of fitting households (types, at 2017-08-31) none would be delivered more often than it allows.

    Args:
        purchase_counts: float64[p].
        mean_days: float64[p], mean interval; NaN for one purchase.
        deviation_days: float64[p], standard deviation of the intervals; NaN below three purchases.
    """
    shortest = np.where(purchase_counts >= _PURCHASES_OF_A_RHYTHM, mean_days - deviation_days, 0.0)
    position = np.searchsorted(LADDER_DAYS, shortest, side="right") - 1
    return _STEPS[np.clip(position, 0, len(_STEPS) - 1)]


def risks_of(intervals: Floats, least: NDArray[np.int64] | None = None, *, near_only: bool = False) -> Risks:
    """What each step of the ladder would mean, for independent intervals of one distribution.

    The day of the k-th purchase is a sum of k intervals, whose distribution is a convolution; those that run out are
    taken out of it delivery by delivery.

    Args:
        intervals: float64[p, len(DAYS)], probability that an interval is at most each number of `DAYS` long.
        least: int64[p], the shortest step of each pair that may be chosen; None for any.
        near_only: leaves out the steps that `choose_cadences` never takes, which saves most of the time; their risks
            are 0.
    """
    density = np.diff(intervals, axis=1, prepend=0.0)
    choosable = _steps_near(_median_days(intervals.round(9)))
    if least is not None:
        choosable &= least[:, None] <= _STEPS
        choosable |= ~choosable.any(axis=1, keepdims=True) & (least[:, None] == _STEPS)
    stockout = np.zeros((len(intervals), len(_STEPS)))
    overstock = np.zeros_like(stockout)
    wanted = choosable if near_only else np.ones_like(choosable)
    _reckon(density, _STEPS, wanted, stockout, overstock)
    # The last bits are a matter of the machine; an answer must not be.
    return Risks(np.clip(stockout.round(9), 0.0, 1.0), np.clip(overstock.round(9), 0.0, 1.0), choosable)


def _steps_near(median_days: Floats) -> NDArray[np.bool_]:
    """bool[p, steps], the steps at most `_FARTHEST_RATIO` times as long, or as short, as the median interval."""
    # The ladder goes on from its ends: what is bought daily comes weekly, what is bought yearly comes quarterly.
    median = np.clip(median_days, LADDER_DAYS[0], LADDER_DAYS[-1])[:, None]
    return np.asarray((median * _FARTHEST_RATIO >= LADDER_DAYS) & (median <= LADDER_DAYS * _FARTHEST_RATIO))


def choose_cadences(risks: Risks, stockout_tolerance: float = DEFAULT_RUN_OUT_TOLERANCE) -> Cadences:
    """The choosable step of the ladder with the least harm for each pair; the longer one when two are equal.

    Every early delivery does harm, every timely one does as much good; running out does harm once. Counting deliveries
    rather than their share keeps the short steps from looking as good as the long ones.

    Args:
        risks: of p pairs.
        stockout_tolerance: between 0 (never run out) and 1 (never pile up).
    """
    surplus = (2.0 * risks.overstock - 1.0) * (_HORIZON // _STEPS)
    harm = (1.0 - stockout_tolerance) * _RUN_OUT_WEIGHT * risks.stockout + stockout_tolerance * surplus
    harm[~risks.choosable] = np.inf
    chosen = len(_STEPS) - 1 - np.argmin(harm[:, ::-1], axis=1)
    rows = np.arange(len(chosen))
    return Cadences(_STEPS[chosen].astype(np.int64), risks.stockout[rows, chosen], risks.overstock[rows, chosen])


def choose_first_deliveries(
    next_purchase: Floats,
    intervals: Floats,
    interval_days: NDArray[np.int64],
    stockout_tolerance: float = DEFAULT_RUN_OUT_TOLERANCE,
) -> FirstDeliveries:
    """The first day with the least harm in 84 days of deliveries at each pair's interval; the latest one of equals.

    Harm is weighed as for the interval. The day of the first need comes from `next_purchase`, all further ones follow
    it by independent intervals; a household whose need has ended never runs out. No first delivery is later than the
    first of `FIRST_DAYS` by which the item is needed more likely than not: whoever is likely to run out at some time
    anyway would otherwise be kept waiting on purpose (on fitting households that would spare two per cent of the early
    deliveries at equal run-outs).

    Args:
        next_purchase: float64[p, len(DAYS)], probability that the next purchase comes within each number of `DAYS`.
        intervals: float64[p, len(DAYS)], probability that an interval is at most each number of `DAYS` long.
        interval_days: int64[p], steps of the ladder.
        stockout_tolerance: between 0 (never run out) and 1 (never pile up).
    """
    stockout = np.zeros((len(intervals), len(FIRST_DAYS)))
    early = np.zeros_like(stockout)
    _reckon_first(
        np.diff(next_purchase, axis=1, prepend=0.0), np.diff(intervals, axis=1, prepend=0.0), interval_days, FIRST_DAYS,
        stockout, early,
    )  # fmt: skip
    deliveries = (_HORIZON - FIRST_DAYS) // interval_days[:, None] + 1
    stockout, overstock = np.clip(stockout.round(9), 0.0, 1.0), np.clip((early / deliveries).round(9), 0.0, 1.0)
    surplus = (2.0 * overstock - 1.0) * deliveries
    harm = (1.0 - stockout_tolerance) * _FIRST_RUN_OUT_WEIGHT * stockout + stockout_tolerance * surplus
    latest = np.searchsorted(FIRST_DAYS, _median_days(next_purchase))
    harm[np.arange(len(FIRST_DAYS)) > latest[:, None]] = np.inf
    chosen = len(FIRST_DAYS) - 1 - np.argmin(harm[:, ::-1], axis=1)
    rows = np.arange(len(chosen))
    return FirstDeliveries(FIRST_DAYS[chosen], stockout[rows, chosen], overstock[rows, chosen])


@compiled()
def _reckon(
    density: Floats, steps: NDArray[np.int64], wanted: NDArray[np.bool_], stockout: Floats, overstock: Floats
) -> None:
    """Adds the risks of each wanted step for each pair.

    Args:
        density: float64[p, days], probability that an interval is 1, 2, … days long.
        steps: int64[s], ascending.
        wanted: bool[p, s], at least one for each pair.
        stockout: float64[p, s].
        overstock: float64[p, s].
    """
    horizon = density.shape[1]
    sums, following = np.empty(horizon), np.empty(horizon)
    for pair in range(len(density)):
        intervals = density[pair]
        sums[:] = intervals
        position = 0
        while not wanted[pair, position]:  # numpy's argmax takes seconds to compile
            position += 1
        shortest = steps[position]
        for number in range(1, horizon // shortest + 1):
            if number > 1:
                _follow(sums, number - 2, intervals, following)
                sums, following = following, sums
            for position in range(len(steps)):
                deliveries = horizon // steps[position]
                if wanted[pair, position] and number <= deliveries:
                    overstock[pair, position] += (1.0 - sums[: number * steps[position]].sum()) / deliveries
        for position in range(len(steps)):
            if not wanted[pair, position]:
                continue
            sums[:] = intervals
            before = 0
            for number in range(1, horizon // steps[position] + 1):
                # Purchases on the days before the delivery.
                before = number * steps[position] - 1
                stockout[pair, position] += sums[:before].sum()
                _follow(sums, before, intervals, following)
                sums, following = following, sums
            stockout[pair, position] += sums[before:].sum()


def _median_days(intervals: Floats) -> Floats:
    return np.where(intervals[:, -1] >= 0.5, DAYS[np.argmax(intervals >= 0.5, axis=1)], np.inf)


@compiled()
def _accumulate(density: Floats, distribution: Floats) -> None:
    """Overwrites `distribution` with the running total of `density`, float64[n] each."""
    total = 0.0
    for day in range(len(density)):
        total += density[day]
        distribution[day] = total


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


@compiled()
def _reckon_first(
    next_density: Floats, density: Floats, steps: NDArray[np.int64], firsts: NDArray[np.int64], stockout: Floats,
    early: Floats,
) -> None:  # fmt: skip
    """Fills the risks of each first day for each pair.

    Args:
        next_density: float64[p, days], probability that the next purchase comes in 1, 2, … days.
        density: float64[p, days], probability that an interval is 1, 2, … days long.
        steps: int64[p], days between deliveries.
        firsts: int64[f], days on which deliveries may begin.
        stockout: float64[p, f], filled.
        early: float64[p, f], filled with the expected number of early deliveries.
    """
    horizon = density.shape[1]
    sums, following, backwards = np.empty(horizon), np.empty(horizon), np.empty(horizon)
    came, passed = np.empty(horizon), np.empty(horizon)
    unserved, late = np.empty(horizon), np.empty(horizon)
    after, ahead = np.empty(horizon), np.empty(horizon)
    known = np.empty(horizon + 1, np.bool_)
    risk = np.empty(horizon + 1)
    for pair in range(len(density)):
        intervals, soonest, step = density[pair], next_density[pair], steps[pair]
        sums[:] = soonest
        for number in range((horizon - firsts[0]) // step + 1):
            if number > 0:
                _follow(sums, number - 1, intervals, following)
                sums, following = following, sums
            _accumulate(sums, came)
            for position in range(len(firsts)):
                day = firsts[position] + number * step
                if day <= horizon:
                    early[pair, position] += 1.0 - came[day - 1]
        backwards[:] = intervals[::-1]
        _accumulate(soonest, came)
        _accumulate(intervals, passed)
        # unserved[t]: of running out when the last purchase that is served comes on day t + 1, since any further one is
        # too many; late[t]: of both, when the next purchase is the one and comes on day t + 1 or later.
        total = 0.0
        for day in range(horizon - 1, -1, -1):
            unserved[day] = passed[horizon - 2 - day] if day < horizon - 1 else 0.0
            total += soonest[day] * unserved[day]
            late[day] = total
        known[:] = False
        for position in range(len(firsts)):
            first = firsts[position]
            # Deliveries that begin a step later are the same ones without the first: one pass serves them all.
            if not known[first]:
                last = first + (horizon - first) // step * step
                risk[last] = _before(last, came) + late[last - 1]
                known[last] = True
                if first < last:
                    after[last - 1 :] = unserved[last - 1 :]
                    _risks_along(first, last, step, soonest, came, passed, backwards, after, ahead, known, risk)
            stockout[pair, position] = risk[first]


@compiled()
def _before(day: int, distribution: Floats) -> float:
    """Probability by the day before `day`, days being counted from 1."""
    return float(distribution[day - 2]) if day > 1 else 0.0


@compiled()
def _risks_along(
    first: int, last: int, step: int, soonest: Floats, came: Floats, passed: Floats, backwards: Floats, after: Floats,
    ahead: Floats, known: NDArray[np.bool_], risk: Floats,
) -> None:  # fmt: skip
    """Probability of running out when deliveries begin on `first`, or any whole number of steps later before `last`.

    Args:
        first: day of the first delivery, from 1.
        last: day of the last delivery.
        step: days between deliveries.
        soonest: float64[n], density of the next purchase's day.
        came: float64[n], probability that it comes by each day.
        passed: float64[n], probability that an interval is over by each day.
        backwards: float64[n], density of the interval, from its end.
        after: float64[n], of running out hereafter, when the purchase that the last delivery stands for comes on each
            day from that delivery on; is overwritten.
        ahead: float64[n], scratch.
        known: bool[n + 1], set for each first day that was reckoned.
        risk: float64[n + 1], filled for them.
    """
    horizon = len(soonest)
    for delivery in range(last - step, first - 1, -step):
        following = delivery + step
        before = delivery - 1
        # A purchase before the delivery that follows finds nothing.
        for day in range(before, following - 2):
            ahead[day] = passed[following - 3 - day]
        ahead[following - 2 :] = 0.0
        for day in range(following - 1, horizon):
            share = after[day]
            earlier = ahead[before:day]
            weights = backwards[horizon - day + before :]
            for position in range(len(earlier)):
                earlier[position] += share * weights[position]
        after[before:] = ahead[before:]
        late = 0.0
        for day in range(before, horizon):
            late += soonest[day] * after[day]
        risk[delivery] = _before(delivery, came) + late
        known[delivery] = True
