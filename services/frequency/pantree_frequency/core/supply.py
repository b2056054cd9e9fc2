"""Supply: how many units to deliver at each step of the ladder, and what each choice costs.

Units are used at the pace at which they are bought. At each step there is one option, the quantity whose supply comes
nearest to that use. The options of a pair are compared by one cost:

- Pairs with a rhythm of their own (`Rhythms.regular`): the squared logarithm of units delivered over
  units used, weighted by the tolerance, since what is over is stored and what is under runs out; plus the probability
  that the supply is off by more than a quarter, and small costs of another quantity than the usual one, of storing many
  units, and of many small deliveries.
- All others: the harm of stockouts and early deliveries in 84 days (`cadence.harm_of`), at the usual quantity. If the
  item is used up faster than the shortest step, that step brings as many whole units as are used in it.

Costs are compared within a pair only.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pantree_frequency.core import cadence
from pantree_frequency.core.cadence import HORIZON, LADDER_DAYS, STEPS
from pantree_frequency.core.records import Floats, Integers
from pantree_frequency.core.rhythm import Rhythms

# Costs in squared logarithms of the supply ratio: another quantity than the usual one is worth a deviation of 10 %;
# twice the usual quantity, which must be stored, or half of it, which takes more deliveries, one of 15 %.
_OTHER_QUANTITY = math.log(1.10) ** 2
_BUNDLING = math.log(1.15) ** 2
# A supply below .8 or above 1.25 of the use is wrong, and costs this much more whatever the tolerance: the steps of the
# ladder are no reason to run out, or to pile up, every time. The use is known with an error, so a choice close to the
# bounds is wrong with some probability. Of generated records with a CV up to .25 (`regular_records`, seed 1, without
# the plan), .974 are supplied right, .954 without this cost, and .985 if exactly the estimated use could be delivered.
# Half of the cost reaches .971; more of it delivers more units at once for little.
_MAX_SUPPLY_ERROR = math.log(1.25)
_WRONG_SUPPLY = 0.4
# Purchases are known to the day: an interval of three days that never varies may be one of 2.6 to 3.4 to the posterior.
_DAY_VARIANCE = 1 / 12
_MIN_USE_DEVIATION = 0.01
# Number of each delivery within the horizon, step by step, and where the deliveries of each step begin.
_DELIVERIES = np.maximum(HORIZON // STEPS, 1)
_NUMBERS: Floats = np.concatenate([np.arange(1.0, count + 1) for count in _DELIVERIES.tolist()])
_STARTS = np.cumsum(_DELIVERIES) - _DELIVERIES
# Deliveries that supply less than half of the use, or more than twice, are no options.
_MAX_SUPPLY_RATIO = 2.0
MAX_QUANTITY = 99


@dataclass(frozen=True, eq=False)
class Options:
    """What can be delivered at each step of the ladder, for `p` pairs."""

    quantity: Integers
    """[p, steps], units of a delivery."""
    supply_ratio: Floats
    """[p, steps], units delivered over units used, expected while the need lasts."""
    cost: Floats
    """[p, steps], less is better; infinite for steps that are no option."""
    stockout: Floats
    """[p, steps], probability of a stockout within 84 days, or one interval if that is longer."""
    overstock: Floats
    """[p, steps], share of the deliveries within that time that are early."""
    units_on_hand: Floats
    """[p, steps], units that the household has at home on average, expected while the need lasts."""
    use_days: Floats
    """[p], days in which the usual quantity of one purchase is used up."""
    best: NDArray[np.intp]
    """[p], the position of the recommended step. With a higher tolerance it never supplies more units a day."""


def options_of(
    intervals: Floats,
    rhythms: Rhythms,
    usual_quantity: Integers,
    stockout_tolerance: Floats | float = cadence.DEFAULT_STOCKOUT_TOLERANCE,
) -> Options:
    """The options of each pair.

    Args:
        intervals: float64[p, len(DAYS)], probability that an interval is at most each number of `DAYS` long.
        rhythms: of the same pairs.
        usual_quantity: int64[p], units that the household buys at once.
        stockout_tolerance: float64[p], or one for all: between 0 (avoid stockouts) and 1 (avoid overstock).
    """
    count = len(intervals)
    tolerances = np.broadcast_to(np.asarray(stockout_tolerance, np.float64), count)
    use_days = cadence.expected_days(intervals)
    quantity = np.repeat(usual_quantity[:, None], len(STEPS), axis=1)
    regular = rhythms.regular
    risks = cadence.risks_of(intervals[~regular], near_only=True)
    stockout, overstock, cost = (np.empty((count, len(STEPS))) for _ in range(3))
    stockout[~regular], overstock[~regular] = risks.stockout, risks.overstock
    cost[~regular] = cadence.harm_of(risks, tolerances[~regular])
    best = np.zeros(count, np.intp)
    best[~regular] = cadence.steps_of_tolerances(risks, tolerances[~regular])
    fast = ~regular & (use_days < LADDER_DAYS[0])
    quantity[fast, 0] = np.minimum(usual_quantity[fast] * LADDER_DAYS[0] / use_days[fast], MAX_QUANTITY).astype(int)
    chosen = np.flatnonzero(regular)
    variance, own_variance = cadence.variance_days(intervals, use_days), np.zeros(count)
    if len(chosen):
        own = rhythms.only(chosen)
        mean, variance[chosen], own_variance[chosen] = own.moments()
        use_days[chosen] = mean
        deviation = np.sqrt(np.maximum(own_variance[chosen] - _DAY_VARIANCE, 0.0)) / mean
        quantity[chosen], cost[chosen] = _regular_options(mean, deviation, usual_quantity[chosen], tolerances[chosen])
        best[chosen] = cadence.min_harm_steps(cost[chosen].round(9))
        relative = quantity[chosen] / usual_quantity[chosen, None]
        stockout[chosen], overstock[chosen] = _regular_risks(mean, variance[chosen], own_variance[chosen], relative)
    ratio = quantity * use_days[:, None] / (LADDER_DAYS * usual_quantity[:, None])
    early = _early_days(use_days, variance, own_variance, quantity / usual_quantity[:, None])
    on_hand = quantity * (ratio / 2.0 + early / LADDER_DAYS)
    return Options(
        quantity, ratio.round(9), cost.round(9), stockout.round(9), overstock.round(9), on_hand.round(6), use_days, best
    )


def _regular_options(
    use_days: Floats, deviation: Floats, usual: Integers, tolerances: Floats
) -> tuple[Integers, Floats]:
    """Quantity and cost of each step, [p, steps] each.

    Args:
        use_days: float64[p], in which the usual quantity is used.
        deviation: float64[p], standard deviation of its logarithm.
        usual: int64[p], units.
        tolerances: float64[p], of stockouts, 0 to 1.
    """
    tolerance = tolerances[:, None]
    spread = np.maximum(deviation, _MIN_USE_DEVIATION)[:, None]
    exact = LADDER_DAYS * usual[:, None] / use_days[:, None]
    best_quantity = np.ones(exact.shape, np.int64)
    best_cost = np.full(exact.shape, np.inf)
    for rounded in (np.floor(exact), np.ceil(exact), np.broadcast_to(usual[:, None], exact.shape)):
        quantity = np.clip(rounded, 1, MAX_QUANTITY)
        log_ratio = np.log(quantity / exact)
        weight = np.where(log_ratio < 0, 2.0 * (1.0 - tolerance), 2.0 * tolerance)
        relative = quantity / usual[:, None]
        # Does not depend on the tolerance, so that more of it still never delivers more.
        right = normal_probability((_MAX_SUPPLY_ERROR - log_ratio) / spread) - normal_probability(
            (-_MAX_SUPPLY_ERROR - log_ratio) / spread
        )
        cost = (
            weight * log_ratio**2
            + _WRONG_SUPPLY * (1.0 - right)
            + _OTHER_QUANTITY * (quantity != usual[:, None])
            + _BUNDLING * np.maximum(np.maximum(relative, 1.0 / relative) - 1.0, 0.0)
        )
        cost = np.where(np.abs(log_ratio) > math.log(_MAX_SUPPLY_RATIO), np.inf, cost)
        better = cost < best_cost
        best_quantity, best_cost = np.where(better, quantity, best_quantity), np.where(better, cost, best_cost)
    # Beyond the ends of the ladder its nearest step remains.
    none = ~np.isfinite(best_cost).any(axis=1)
    end = np.where(use_days[none] > LADDER_DAYS[-1], len(STEPS) - 1, 0)
    best_cost[np.flatnonzero(none), end] = 0.0
    return best_quantity.astype(np.int64), best_cost


def _regular_risks(mean: Floats, variance: Floats, own_variance: Floats, relative: Floats) -> tuple[Floats, Floats]:
    """Probability of a stockout and share of early deliveries of each step, [p, steps] each.

    The use of a rhythm deviates little from its mean, so the day on which a delivery is used up is taken as normally
    distributed: the variances of its intervals add up, that of their mean counts squared. A household runs out at the
    delivery at which that is most likely.

    Args:
        mean: float64[p], days in which the usual quantity is used.
        variance: float64[p], of an interval around the mean.
        own_variance: float64[p], of the mean, which is not known for sure.
        relative: float64[p, steps], units of a delivery over the usual quantity.
    """
    ahead, deviation = _days_ahead(mean, variance, own_variance, relative)
    late = normal_probability((-0.5 - ahead) / deviation)
    early = 1.0 - normal_probability((0.5 - ahead) / deviation)
    return np.maximum.reduceat(late, _STARTS, axis=1), np.add.reduceat(early, _STARTS, axis=1) / _DELIVERIES


def _early_days(mean: Floats, variance: Floats, own_variance: Floats, relative: Floats) -> Floats:
    """float64[p, steps], the days that a delivery is expected to wait at home until the earlier ones are used up.

    The mean over the deliveries of `_regular_risks`, of the positive part of a normal distribution. A delivery that is
    not early is used from its day on, linearly; so units at home are, on average, those of half a delivery for the
    share of the interval that it lasts, and of a whole one for the share that it waits (J. Little, "A Proof for the
    Queuing Formula L = λW", Operations Research 1961).

    Args:
        mean: float64[p], days in which the usual quantity is used.
        variance: float64[p], of an interval around the mean.
        own_variance: float64[p], of the mean, which is not known for sure.
        relative: float64[p, steps], units of a delivery over the usual quantity.
    """
    ahead, deviation = _days_ahead(mean, variance, own_variance, relative)
    score = ahead / deviation
    days = ahead * normal_probability(score) + deviation * np.exp(-0.5 * score**2) / math.sqrt(2.0 * math.pi)
    return np.asarray(np.add.reduceat(np.maximum(days, 0.0), _STARTS, axis=1) / _DELIVERIES)


def _days_ahead(mean: Floats, variance: Floats, own_variance: Floats, relative: Floats) -> tuple[Floats, Floats]:
    """Days between each delivery within the horizon and the day on which the earlier ones are used up, [p, numbers].

    Their mean and standard deviation, with the arguments of `_early_days`; the deliveries of all steps in turn.
    """
    used = _NUMBERS * np.repeat(relative, _DELIVERIES, axis=1)
    due = _NUMBERS * np.repeat(LADDER_DAYS, _DELIVERIES)
    deviation = np.sqrt(used * variance[:, None] + used**2 * own_variance[:, None] + 0.1)
    return used * mean[:, None] - due, deviation


def normal_probability(values: Floats) -> Floats:
    """Distribution function of the standard normal distribution, to 4 digits.

    Source: K. Page, "Approximations to the Cumulative Normal Function and its Inverse", Applied Statistics 1977.
    """
    bounded = np.clip(values, -6.0, 6.0)
    # A power of a float takes many times as long as its products.
    return np.asarray(1.0 / (1.0 + np.exp(-bounded * (1.5976 + 0.07056 * (bounded * bounded)))))
