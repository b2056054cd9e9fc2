"""Features that compare a pair's own rhythm with what is expected beforehand; compiled, like `kernels`."""

import math

import numpy as np

from pantree_domain.compiled import compiled
from pantree_frequency.core import kernels
from pantree_frequency.core.priors import PRIOR_SIZE

DERIVED = (
    "pace",  # how much slower this household buys than others do, log days
    "log_interval",  # shrunken mean log interval
    "log_deviation",  # shrunken standard deviation of log intervals
    "due_interval",  # days after the last purchase from which the item is overdue
    "earliness",  # (log recency − log_interval) / log_deviation, held once it is due
    "overdue",  # log of recency over due_interval, 0 until it is due
    "residual_7",  # log-normal probability within 7 days, given the days already passed; held once it is due
    "residual_14",
    "residual_28",
    "residual_56",
    "rate",  # shrunken purchases per day
    "recency_by_mean",  # held once it is due
    "recency_by_longest",
    "decay_ratio",
    "recency_by_median",  # held once it is due
    "recency_by_last",  # held once it is due
    "late",  # (log recency − log_interval) / log_deviation once it is due, 0 before
    "type_log_interval",
    "type_residual_28",  # held once the type is due
    "type_overdue",
    "category_log_interval",
    "category_residual_28",  # held once the category is due
    "category_overdue",
    "trip_recency_by_mean",
    "trips_expected_28",
    "hits_per_trip",
    "followed_28",  # shrunken share of the pair's purchases that were followed within 28 days
    "followed_84",
    "household_followed_28",  # the household's purchases that were followed within 28 days, over those expected
    "household_followed_84",
    "recency_by_supply",  # days passed over those for which the last purchase's units usually last; held once it is due
)
DERIVED_SIZE = len(DERIVED)

_RAW = kernels.RAW_SIZE
_PRIOR_BASE = _RAW + DERIVED_SIZE
FEATURE_COUNT = _PRIOR_BASE + 3 * PRIOR_SIZE
# Intervals that the prior of an item weighs as much as.
_INTERVAL_STRENGTH = 2.0
_DEVIATION_STRENGTH = 4.0
_PACE_STRENGTH = 15.0
_RATE_STRENGTH = 0.7
_FOLLOWED_STRENGTH = 3.0
_HOUSEHOLD_STRENGTH = 20.0
_CHANCES = kernels.RAW.index("chances_28")
_SUPPLY = kernels.RAW.index("supply_days")
_LOG_MEAN = kernels.RHYTHM.index("log_mean")
_LOG_SQUARES = kernels.RHYTHM.index("log_squares")
_DECAY_28 = kernels.RHYTHM.index("decay_28")
_IN_84 = kernels.RHYTHM.index("in_84")


@compiled()
def _upper_tail(value):
    return 0.5 * math.erfc(value / math.sqrt(2.0))


@compiled()
def _residual(recency, horizon, log_interval, log_deviation):
    """Log-normal probability of an event within `horizon` days, given that `recency` have passed without one."""
    # Half a day: a purchase late in the last day that passed.
    now = _upper_tail((math.log(recency + 0.5) - log_interval) / log_deviation)
    then = _upper_tail((math.log(recency + 0.5 + horizon) - log_interval) / log_deviation)
    return 1.0 - then / max(now, 1e-9)


@compiled()
def _shrunken(gaps, log_mean, log_squares, prior_mean, prior_deviation):
    """Mean and standard deviation of log intervals, shrunk towards what is expected beforehand."""
    own = log_mean if gaps > 0 else 0.0
    mean = (gaps * own + _INTERVAL_STRENGTH * prior_mean) / (gaps + _INTERVAL_STRENGTH)
    squares = log_squares if gaps > 0 else 0.0
    between = gaps * _INTERVAL_STRENGTH / (gaps + _INTERVAL_STRENGTH) * (own - prior_mean) ** 2 if gaps > 0 else 0.0
    variance = (squares + 0.3 * between + _DEVIATION_STRENGTH * prior_deviation**2) / (gaps + _DEVIATION_STRENGTH)
    return mean, math.sqrt(max(variance, 0.01))


@compiled()
def derive(pair_starts, pair_items, item_priors, type_priors, category_priors, out):
    """Fills the columns after the raw ones, household by household.

    Args:
        pair_starts: int64[h + 1].
        pair_items: int32[p].
        item_priors: float32[k, PRIOR_SIZE].
        type_priors: float32[k, PRIOR_SIZE]; NaN where the type is not known.
        category_priors: float32[k, PRIOR_SIZE]; NaN where the category is not known.
        out: float32[p, FEATURE_COUNT].
    """
    expected = np.empty(2)
    hits = np.empty(2)
    for household in range(len(pair_starts) - 1):
        weight = 0.0
        pull = 0.0
        expected[:] = 0.0
        hits[:] = 0.0
        for pair in range(pair_starts[household], pair_starts[household + 1]):
            gaps = out[pair, 0] - 1.0
            if gaps > 0:
                share = gaps / (gaps + 1.0)
                weight += share
                pull += share * (out[pair, _LOG_MEAN] - item_priors[pair_items[pair], 0])
            for window in range(2):
                expected[window] += out[pair, _CHANCES + 2 * window] * item_priors[pair_items[pair], 2 + window]
                hits[window] += out[pair, _CHANCES + 2 * window + 1]
        pace = pull / (weight + _PACE_STRENGTH)
        for pair in range(pair_starts[household], pair_starts[household + 1]):
            row = out[pair]
            item = pair_items[pair]
            for column in range(PRIOR_SIZE):
                row[_PRIOR_BASE + column] = item_priors[item, column]
                row[_PRIOR_BASE + PRIOR_SIZE + column] = type_priors[item, column]
                row[_PRIOR_BASE + 2 * PRIOR_SIZE + column] = category_priors[item, column]
            count = row[0]
            recency = row[1]
            age = row[2]
            mean, deviation = _shrunken(
                count - 1.0, row[_LOG_MEAN], row[_LOG_SQUARES], item_priors[item, 0] + pace, item_priors[item, 1]
            )
            due = math.exp(mean)
            if count > 1:
                due = max(due, np.float64(row[3]))
            held = min(np.float64(recency), due)
            row[_RAW] = pace
            row[_RAW + 1] = mean
            row[_RAW + 2] = deviation
            row[_RAW + 3] = due
            row[_RAW + 4] = (math.log(held + 0.5) - mean) / deviation
            row[_RAW + 5] = math.log(max(recency / due, 1.0))
            row[_RAW + 6] = _residual(held, 7.0, mean, deviation)
            row[_RAW + 7] = _residual(held, 14.0, mean, deviation)
            row[_RAW + 8] = _residual(held, 28.0, mean, deviation)
            row[_RAW + 9] = _residual(held, 56.0, mean, deviation)
            prior_rate = math.exp(item_priors[item, 4] - pace)
            row[_RAW + 10] = (count - 1.0 + _RATE_STRENGTH) / (age + _RATE_STRENGTH / prior_rate)
            row[_RAW + 11] = held / row[3]
            row[_RAW + 12] = recency / row[7]
            row[_RAW + 13] = row[_DECAY_28] / max(row[_DECAY_28 + 2], np.float32(1e-9))
            row[_RAW + 14] = held / row[4]
            row[_RAW + 15] = held / row[6]
            row[_RAW + 16] = max((math.log(recency + 0.5) - math.log(due + 0.5)) / deviation, 0.0)
            for level in range(2):
                base = kernels.TYPE_BASE if level == 0 else kernels.CATEGORY_BASE
                prior = type_priors[item] if level == 0 else category_priors[item]
                place = _RAW + 17 + 3 * level
                row[place : place + 3] = np.nan
                if row[base] > 0 and prior[1] > 0:
                    mean, deviation = _shrunken(
                        row[base] - 1.0, row[base + _LOG_MEAN], row[base + _LOG_SQUARES], prior[0] + pace, prior[1]
                    )
                    group_due = math.exp(mean)
                    row[place] = mean
                    row[place + 1] = _residual(min(np.float64(row[base + 1]), group_due), 28.0, mean, deviation)
                    row[place + 2] = math.log(max(row[base + 1] / group_due, 1.0))
            trips = kernels.TRIP_BASE
            row[_RAW + 23] = row[trips + 1] / row[trips + 3]
            row[_RAW + 24] = 28.0 * (row[trips + _IN_84] + 1.0) / (min(row[trips + 2] + 1.0, 84.0) + 14.0)
            row[_RAW + 25] = row[_DECAY_28] / max(row[trips + _DECAY_28], np.float32(1e-9))
            for window in range(2):
                prior_ratio = item_priors[item, 2 + window]
                chances = row[_CHANCES + 2 * window]
                row[_RAW + 26 + window] = (row[_CHANCES + 2 * window + 1] + _FOLLOWED_STRENGTH * prior_ratio) / (
                    chances + _FOLLOWED_STRENGTH
                )
                row[_RAW + 28 + window] = (hits[window] + _HOUSEHOLD_STRENGTH) / (
                    expected[window] + _HOUSEHOLD_STRENGTH
                )
            row[_RAW + 30] = held / row[_SUPPLY]
