"""Chooses cadences by risk: the delivery interval with the best trade-off between stockouts and overstock.

A subscription is followed for 84 days (for one interval if that is longer), starting with a purchase. The k-th delivery
replaces the k-th purchase that the household would have made. A *stockout* occurs if any of these purchases would have
come before its delivery; a delivery is *early* if its purchase would have come later, or not within that time.

The interval is chosen as if the need continued. The first delivery is chosen as of today: the days since the last
purchase count, and so does the probability that the need has ended, when every delivery is early.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pantree_domain.cadence import LADDER
from pantree_domain.compiled import compiled
from pantree_frequency.core.records import Floats, Integers

LADDER_DAYS: Floats = np.array([step.interval_days for step in LADDER], np.float64)
STEPS: Integers = LADDER_DAYS.astype(np.int64)
HORIZON = 84

# Days for which distributions are computed: each of the horizon, then weeks, to beyond the longest step's grace.
DAYS: Floats = np.concatenate([np.arange(1.0, HORIZON + 1), np.arange(HORIZON + 7.0, 366.0, 7.0)])

# Days by which the next purchase of items with a rhythm of their own is known.
EVERY_DAY: Floats = np.arange(1.0, 366.0)

# Default weight of early deliveries against stockouts. Real households then have about as many stockouts as under the
# rule "mean interval" (see the model card).
DEFAULT_STOCKOUT_TOLERANCE = 0.5
# At a tolerance of 0.5, a stockout is as bad as this many early deliveries.
_STOCKOUT_WEIGHT = 10.0
# The chosen step is at most this many times as long, or as short, as the median interval. Without this bound the least
# total harm lies at the extremes: where a stockout is likely anyway, a weekly item would come every three weeks; and
# rarely bought items would come far too often, since a few early deliveries weigh little. Nine in ten products would
# come every 28 or every 56 days. On fitting households the bound matches the next interval more often (products: .196
# instead of .186), with 2 % more households that have a stockout and as many early deliveries.
_MAX_MEDIAN_RATIO = 1.5


# Days from today on which deliveries may begin: tomorrow, or after whole weeks. Twice as many are no better: on fitting
# households the share of early deliveries at equal stockouts differs by .001.
FIRST_DAYS: Integers = np.array([1, *range(7, HORIZON + 1, 7)])
# The same as `_STOCKOUT_WEIGHT` for the first delivery. Households then have as many stockouts as with deliveries every
# mean interval after the last purchase (fitting households, types).
_FIRST_STOCKOUT_WEIGHT = 6.5


@dataclass(frozen=True, eq=False)
class Risks:
    """Risks of each step of the ladder for `p` pairs."""

    stockout: Floats
    """[p, steps], probability of a stockout within 84 days, or one interval."""
    overstock: Floats
    """[p, steps], share of the deliveries within that time that are early."""
    allowed: NDArray[np.bool_]
    """[p, steps], the steps that `harm_of` prefers to others, at least one for each pair."""


@dataclass(frozen=True, eq=False)
class FirstDeliveries:
    """When deliveries at the chosen interval should begin, for each of `p` pairs."""

    days: Integers
    """[p], from the as-of day, 1 or more."""
    stockout_probability: Floats
    """[p], of a stockout within 84 days of the as-of day, or up to the first delivery if that is later."""
    overstock_ratio: Floats
    """[p], share of the deliveries within that time that are early."""


def risks_of(intervals: Floats, *, near_only: bool = False) -> Risks:
    """Risks of each step of the ladder, for independent intervals of one distribution.

    The day of the k-th purchase is a sum of k intervals, whose distribution is a convolution; stockouts are removed
    from it delivery by delivery. Steps longer than the horizon have one delivery.

    Args:
        intervals: float64[p, len(DAYS)], probability that an interval is at most each number of `DAYS` long.
        near_only: skips the steps that are not `allowed`, which saves most of the time; their risks are 0.
    """
    density = np.diff(intervals[:, :HORIZON], axis=1, prepend=0.0)
    allowed = _steps_near(median_days(intervals.round(9)))
    stockout = np.zeros((len(intervals), len(STEPS)))
    overstock = np.zeros_like(stockout)
    short = int(np.searchsorted(STEPS, HORIZON, side="right"))
    computed = allowed.copy() if near_only else np.ones_like(allowed)
    _add_risks(density, STEPS[:short], np.ascontiguousarray(computed[:, :short]), stockout, overstock)
    # Beyond the horizon, distributions are known by weeks.
    stockout[:, short:] = probabilities_by(intervals, LADDER_DAYS[short:] - 1)
    overstock[:, short:] = 1.0 - probabilities_by(intervals, LADDER_DAYS[short:])
    # The last bits depend on the machine; a response must not.
    return Risks(np.clip(stockout.round(9), 0.0, 1.0), np.clip(overstock.round(9), 0.0, 1.0), allowed)


def probability_by(curve: Floats, days: Floats | float) -> Floats:
    """float64[p], a curve over `DAYS` at one number of days, or at float64[p] days; at most the last of `DAYS`."""
    return np.asarray(curve[np.arange(len(curve)), _positions(days)])


def probabilities_by(curve: Floats, days: Floats) -> Floats:
    """float64[p, d], a curve over `DAYS` at each of float64[d] numbers of days; at most the last of `DAYS`."""
    return curve.take(_positions(days), axis=1)


def _positions(days: Floats | float) -> Integers:
    return np.asarray(np.clip(np.searchsorted(DAYS, days, side="right") - 1, 0, len(DAYS) - 1))


def _steps_near(median_days: Floats) -> NDArray[np.bool_]:
    """bool[p, steps], the steps at most `_MAX_MEDIAN_RATIO` times as long, or as short, as the median interval."""
    # Beyond the ends of the ladder its first or last step counts as near.
    median = np.clip(median_days, LADDER_DAYS[0], LADDER_DAYS[-1])[:, None]
    return np.asarray((median * _MAX_MEDIAN_RATIO >= LADDER_DAYS) & (median <= LADDER_DAYS * _MAX_MEDIAN_RATIO))


def harm_of(risks: Risks, stockout_tolerance: Floats | float = DEFAULT_STOCKOUT_TOLERANCE) -> Floats:
    """float64[p, steps], the harm of each step; infinite for steps that are not allowed.

    Each early delivery adds to the harm, each timely one subtracts as much; a stockout adds once. Deliveries count by
    number rather than by share; otherwise short steps would seem as good as long ones.

    Args:
        risks: of p pairs.
        stockout_tolerance: float64[p], or one for all: between 0 (avoid stockouts) and 1 (avoid overstock).
    """
    tolerance = np.broadcast_to(stockout_tolerance, len(risks.stockout))[:, None]
    harm = (1.0 - tolerance) * _STOCKOUT_WEIGHT * risks.stockout + tolerance * _surplus_of(risks)
    harm[~risks.allowed] = np.inf
    return np.asarray(harm)


def _surplus_of(risks: Risks) -> Floats:
    return np.asarray((2.0 * risks.overstock - 1.0) * np.maximum(HORIZON // STEPS, 1))


def min_harm_steps(harm: Floats) -> NDArray[np.intp]:
    """int[p], the position of the step of least harm; the longer one of equals."""
    return np.asarray(len(STEPS) - 1 - np.argmin(harm[:, ::-1], axis=1))


def steps_of_tolerances(risks: Risks, tolerances: Floats) -> NDArray[np.intp]:
    """int[p], the position of the step for each tolerance; a higher tolerance never has a shorter step.

    That is the step of least harm at the default tolerance. At a higher one it is the longest of the steps that have
    the least harm at any tolerance in between, at a lower one the shortest: a timely delivery subtracts from the harm,
    so the step of least harm at a higher tolerance may be shorter again.

    Args:
        risks: of p pairs.
        tolerances: float64[p], between 0 (avoid stockouts) and 1 (avoid overstock).
    """
    best = min_harm_steps(harm_of(risks).round(9))
    moved = np.flatnonzero(tolerances != DEFAULT_STOCKOUT_TOLERANCE)
    if not len(moved):
        return best
    some = Risks(risks.stockout[moved], risks.overstock[moved], risks.allowed[moved])
    tolerance, positions = tolerances[moved], np.arange(len(STEPS))
    # In terms of the odds of the tolerance, the harm of a step is a line, so it is least between two odds.
    odds = tolerance / (1.0 - tolerance)
    default = DEFAULT_STOCKOUT_TOLERANCE / (1.0 - DEFAULT_STOCKOUT_TOLERANCE)
    low, high = np.minimum(odds, default)[:, None], np.maximum(odds, default)[:, None]
    start, slope = _STOCKOUT_WEIGHT * some.stockout, _surplus_of(some)
    # Every step against every other: [p, steps, others].
    rivals = some.allowed[:, None, :]
    above, steeper = start[:, :, None] - start[:, None, :], slope[:, :, None] - slope[:, None, :]
    with np.errstate(divide="ignore", invalid="ignore"):
        crossing = -above / steeper
    first = np.maximum(low, np.where(rivals & (steeper < 0), crossing, -np.inf).max(axis=2))
    last = np.minimum(high, np.where(rivals & (steeper > 0), crossing, np.inf).min(axis=2))
    optimal = some.allowed & ~(rivals & (steeper == 0) & (above > 0)).any(axis=2)
    optimal &= first <= last
    max_position = np.where(optimal, positions, -1).max(axis=1)
    min_position = np.where(optimal, positions, len(STEPS)).min(axis=1)
    chosen = best[moved]
    best[moved] = np.where(odds > default, np.maximum(max_position, chosen), np.minimum(min_position, chosen))
    return best


def choose_first_deliveries(
    next_purchase: Floats,
    intervals: Floats,
    interval_days: Integers,
    earliest: Integers,
    stockout_tolerance: Floats | float = DEFAULT_STOCKOUT_TOLERANCE,
) -> FirstDeliveries:
    """The first day with the least harm in 84 days of deliveries at each pair's interval; the latest one of equals.

    Harm is weighed as for the interval. The first need follows `next_purchase`, all others follow it by independent
    intervals; a household whose need has ended has no stockout. The day is one of `FIRST_DAYS`, or the earliest; no
    later than the first of `FIRST_DAYS` by which the item is more likely than not to be needed. Otherwise the first
    delivery would be delayed where a stockout is likely anyway (on fitting households that would avoid two percent of
    the early deliveries at equal stockouts).

    Args:
        next_purchase: float64[p, len(DAYS)], probability that the next purchase comes within each number of `DAYS`.
        intervals: float64[p, len(DAYS)], probability that an interval is at most each number of `DAYS` long.
        interval_days: int64[p], steps of the ladder.
        earliest: int64[p], the first day that comes into question, 1 or more.
        stockout_tolerance: float64[p], or one for all: between 0 (avoid stockouts) and 1 (avoid overstock).
    """
    # The earliest day takes the place of tomorrow.
    candidates = np.tile(FIRST_DAYS, (len(earliest), 1))
    candidates[:, 0] = np.minimum(earliest, HORIZON)
    stockout, overstock = _first_risks(next_purchase, intervals, interval_days, candidates)
    deliveries = (HORIZON - candidates) // interval_days[:, None] + 1
    surplus = (2.0 * overstock - 1.0) * deliveries
    tolerance = np.broadcast_to(stockout_tolerance, len(earliest))[:, None]
    harm = (1.0 - tolerance) * _FIRST_STOCKOUT_WEIGHT * stockout + tolerance * surplus
    latest = np.searchsorted(FIRST_DAYS, median_days(next_purchase))
    late = np.arange(len(FIRST_DAYS)) > latest[:, None]
    late[:, 0] = False
    harm[late | (candidates < earliest[:, None])] = np.inf
    chosen = len(FIRST_DAYS) - 1 - np.argmin(harm[:, ::-1], axis=1)
    rows = np.arange(len(chosen))
    return FirstDeliveries(candidates[rows, chosen], stockout[rows, chosen], overstock[rows, chosen])


def first_deliveries_of_regular(
    next_purchase: Floats,
    intervals: Floats,
    interval_days: Integers,
    overdue: NDArray[np.bool_],
    stockout_tolerance: Floats | float,
) -> FirstDeliveries:
    """The first day by which an item is needed with the probability `stockout_tolerance`, at most an interval from now.

    A delivery that comes a day late costs a day without the item, one that comes a day early a day of stock. The
    expected cost is least on the day by which the purchase has come with a probability that equals the tolerance (the
    newsvendor rule; K. Arrow, T. Harris, J. Marschak, "Optimal Inventory Policy", Econometrica 1951). For items without
    a rhythm of their own the risks of all deliveries together decide better: see `choose_first_deliveries`. The need
    for an overdue item may have ended, so its first delivery leaves the household an interval to buy it or to decline.

    Args:
        next_purchase: float64[p, d], probability that the next purchase comes within each number of `EVERY_DAY`.
        intervals: float64[p, len(DAYS)], probability that an interval is at most each number of `DAYS` long.
        interval_days: int64[p], steps of the ladder.
        overdue: bool[p].
        stockout_tolerance: float64[p], or one for all: between 0 (avoid stockouts) and 1 (avoid overstock).
    """
    reached = next_purchase >= np.broadcast_to(stockout_tolerance, len(next_purchase))[:, None]
    reached[overdue] = False
    first = np.where(reached.any(axis=1), np.argmax(reached, axis=1) + 1, interval_days)
    days = np.clip(first, 1, interval_days).astype(np.int64)
    stockout, early = _first_risks(next_purchase, intervals, interval_days, days[:, None])
    late = days > HORIZON
    by_then = next_purchase[np.arange(len(days)), days - 1]
    return FirstDeliveries(
        days, np.where(late, by_then, stockout[:, 0]).round(9), np.where(late, 1.0 - by_then, early[:, 0]).round(9)
    )


def _first_risks(
    next_purchase: Floats, intervals: Floats, interval_days: Integers, first_days: Integers
) -> tuple[Floats, Floats]:
    """Probability of a stockout within the horizon, and share of early deliveries, float64[p, f] each.

    Args:
        next_purchase: float64[p, HORIZON or more], by each day of the horizon.
        intervals: float64[p, HORIZON or more], by each day of the horizon.
        interval_days: int64[p].
        first_days: int64[p, f], days on which deliveries may begin; those beyond the horizon have no risk.
    """
    stockout, early = np.zeros(first_days.shape), np.zeros(first_days.shape)
    _fill_first_risks(
        np.diff(next_purchase[:, :HORIZON], axis=1, prepend=0.0), np.diff(intervals[:, :HORIZON], axis=1, prepend=0.0),
        interval_days, first_days, stockout, early,
    )  # fmt: skip
    deliveries = np.maximum((HORIZON - first_days) // interval_days[:, None] + 1, 1)
    return np.clip(stockout.round(9), 0.0, 1.0), np.clip((early / deliveries).round(9), 0.0, 1.0)


def _quantile_days(curve: Floats, share: float) -> Floats:
    """float64[p], the first day on which a curve over `DAYS` has reached a share, interpolated; infinite if never."""
    reached = curve >= share
    position = np.argmax(reached, axis=1)
    rows = np.arange(len(curve))
    before = np.where(position > 0, curve[rows, position - 1], 0.0)
    start = np.where(position > 0, DAYS[position - 1], 0.0)
    part = (share - before) / np.maximum(curve[rows, position] - before, 1e-12)
    days = np.ceil((start + (DAYS[position] - start) * np.clip(part, 0.0, 1.0)).round(6))
    return np.where(reached.any(axis=1), days, np.inf)


def expected_days(curve: Floats) -> Floats:
    """float64[p], the mean of a curve over `DAYS`; more than the last of them counts as the last."""
    survival = 1.0 - np.concatenate([np.zeros((len(curve), 1)), curve], axis=1)
    return np.asarray(((survival[:, 1:] + survival[:, :-1]) / 2 * np.diff(DAYS, prepend=0.0)).sum(axis=1))


def variance_days(curve: Floats, mean: Floats) -> Floats:
    """float64[p], the variance of a curve over `DAYS`, as `expected_days` has the mean."""
    survival = 1.0 - np.concatenate([np.zeros((len(curve), 1)), curve], axis=1)
    weighted = survival * np.concatenate([[0.0], DAYS])
    squares = ((weighted[:, 1:] + weighted[:, :-1]) * np.diff(DAYS, prepend=0.0)).sum(axis=1)
    return np.asarray(np.maximum(squares - mean**2, 0.0))


def median_days(curve: Floats) -> Floats:
    """float64[p], the median of a curve over `DAYS`; infinite beyond the last of them."""
    return _quantile_days(curve, 0.5)


@compiled()
def _add_risks(
    density: Floats, steps: Integers, computed: NDArray[np.bool_], stockout: Floats, overstock: Floats
) -> None:
    """Adds the risks of each computed step for each pair.

    Args:
        density: float64[p, days], probability that an interval is 1, 2, … days long.
        steps: int64[s], ascending.
        computed: bool[p, s].
        stockout: float64[p, s].
        overstock: float64[p, s].
    """
    horizon = density.shape[1]
    sums, following = np.empty(horizon), np.empty(horizon)
    for pair in range(len(density)):
        intervals = density[pair]
        sums[:] = intervals
        position = 0
        while position < len(steps) and not computed[pair, position]:  # numpy's argmax takes seconds to compile
            position += 1
        if position == len(steps):
            continue
        shortest = steps[position]
        for number in range(1, horizon // shortest + 1):
            if number > 1:
                _add_interval(sums, number - 2, intervals, following)
                sums, following = following, sums
            for position in range(len(steps)):
                deliveries = horizon // steps[position]
                if computed[pair, position] and number <= deliveries:
                    overstock[pair, position] += (1.0 - sums[: number * steps[position]].sum()) / deliveries
        for position in range(len(steps)):
            if not computed[pair, position]:
                continue
            sums[:] = intervals
            before = 0
            for number in range(1, horizon // steps[position] + 1):
                # Purchases on the days before the delivery.
                before = number * steps[position] - 1
                stockout[pair, position] += sums[:before].sum()
                _add_interval(sums, before, intervals, following)
                sums, following = following, sums
            stockout[pair, position] += sums[before:].sum()


@compiled()
def _accumulate(density: Floats, distribution: Floats) -> None:
    """Overwrites `distribution` with the running total of `density`, float64[n] each."""
    total = 0.0
    for day in range(len(density)):
        total += density[day]
        distribution[day] = total


@compiled()
def _add_interval(days: Floats, first: int, intervals: Floats, following: Floats) -> None:
    """Fills `following` with the density of a day not before `first` plus one interval, up to the horizon.

    Args:
        days: float64[n], density of days 1, 2, …; those before `first` do not count.
        first: from 0.
        intervals: float64[n], density of the interval.
        following: float64[n], overwritten.
    """
    following[:] = 0.0
    for day in range(first, len(days) - 1):
        share = days[day]
        later = following[day + 1 :]
        for interval in range(len(later)):
            later[interval] += share * intervals[interval]


@compiled()
def _fill_first_risks(
    next_density: Floats, density: Floats, steps: Integers, first_days: Integers, stockout: Floats,
    early: Floats,
) -> None:  # fmt: skip
    """Fills the risks of each first day for each pair.

    Args:
        next_density: float64[p, days], probability that the next purchase comes in 1, 2, … days.
        density: float64[p, days], probability that an interval is 1, 2, … days long.
        steps: int64[p], days between deliveries.
        first_days: int64[p, f], days on which deliveries may begin, ascending; those beyond the horizon are left out.
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
        intervals, soonest, step, firsts = density[pair], next_density[pair], steps[pair], first_days[pair]
        sums[:] = soonest
        for number in range((horizon - firsts[0]) // step + 1):
            if number > 0:
                _add_interval(sums, number - 1, intervals, following)
                sums, following = following, sums
            _accumulate(sums, came)
            for position in range(len(firsts)):
                day = firsts[position] + number * step
                if day <= horizon:
                    early[pair, position] += 1.0 - came[day - 1]
        backwards[:] = intervals[::-1]
        _accumulate(soonest, came)
        _accumulate(intervals, passed)
        # unserved[t]: probability of a stockout if the last purchase that a delivery replaces comes on day t + 1, since
        # a further purchase has no delivery; late[t]: that this is the next purchase, on day t + 1 or later, and a
        # stockout follows.
        total = 0.0
        for day in range(horizon - 1, -1, -1):
            unserved[day] = passed[horizon - 2 - day] if day < horizon - 1 else 0.0
            total += soonest[day] * unserved[day]
            late[day] = total
        known[:] = False
        for position in range(len(firsts)):
            first = firsts[position]
            if first > horizon:
                continue
            # Deliveries that begin a step later are the same without the first: one pass computes them all.
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
    """Fills the probability of a stockout if deliveries begin on `first`, or whole steps later before `last`.

    Args:
        first: day of the first delivery, from 1.
        last: day of the last delivery.
        step: days between deliveries.
        soonest: float64[n], density of the next purchase's day.
        came: float64[n], probability that it comes by each day.
        passed: float64[n], probability that an interval is over by each day.
        backwards: float64[n], density of the interval, from its end.
        after: float64[n], of a later stockout, if the purchase that the last delivery replaces comes on each day from
            that delivery on; overwritten.
        ahead: float64[n], scratch.
        known: bool[n + 1], set for each first day that was computed.
        risk: float64[n + 1], filled for them.
    """
    horizon = len(soonest)
    for delivery in range(last - step, first - 1, -step):
        following = delivery + step
        before = delivery - 1
        # A purchase before the next delivery is a stockout.
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
