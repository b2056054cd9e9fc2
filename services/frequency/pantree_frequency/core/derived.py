"""Features that compare a pair's own intervals with what is expected from priors; compiled."""

import math
from typing import Any

import numpy as np

from pantree_domain.compiled import compiled
from pantree_frequency.core.records import Integers, Records

# Weights of priors, in intervals, purchases or days of the pair's own.
_INTERVAL_STRENGTH = 2.0
_DEVIATION_STRENGTH = 4.0
_HOUSEHOLD_STRENGTH = 15.0
_RATE_STRENGTH = 0.7


@compiled()
def _upper_tail(value: float) -> float:
    return 0.5 * math.erfc(value / math.sqrt(2.0))


@compiled()
def _residual(recency: float, horizon: float, log_interval: float, log_deviation: float) -> float:
    """Log-normal probability of an event within `horizon` days, given that `recency` have passed without one."""
    # Half a day: a purchase late in the last day that passed.
    now = _upper_tail((math.log(recency + 0.5) - log_interval) / log_deviation)
    then = _upper_tail((math.log(recency + 0.5 + horizon) - log_interval) / log_deviation)
    return 1.0 - then / max(now, 1e-9)


@compiled()
def _shrunken(intervals: Any, prior_mean: float, prior_deviation: float) -> tuple[float, float]:
    """Mean and standard deviation of the log intervals of an INTERVALS record, shrunk toward those of a prior."""
    gaps = np.float64(intervals.count) - 1.0
    own = np.float64(0.0)
    squares = np.float64(0.0)
    between = np.float64(0.0)
    if gaps > 0:
        own = np.float64(intervals.log_mean)
        squares = np.float64(intervals.log_squares)
        between = gaps * _INTERVAL_STRENGTH / (gaps + _INTERVAL_STRENGTH) * (own - prior_mean) ** 2
    mean = (gaps * own + _INTERVAL_STRENGTH * prior_mean) / (gaps + _INTERVAL_STRENGTH)
    variance = (squares + 0.3 * between + _DEVIATION_STRENGTH * prior_deviation**2) / (gaps + _DEVIATION_STRENGTH)
    return mean, math.sqrt(max(variance, 0.01))


@compiled()
def _group_timing(intervals: Any, prior: Any, household_log_ratio: float) -> tuple[float, float, float]:
    """Log interval, probability within 28 days and log overdue ratio of a pair's group; NaN where it is unknown."""
    if not (intervals.count > 0 and prior.log_deviation > 0):
        return np.nan, np.nan, np.nan
    prior_mean = np.float64(prior.log_interval) + household_log_ratio
    mean, deviation = _shrunken(intervals, prior_mean, np.float64(prior.log_deviation))
    due = math.exp(mean)
    residual = _residual(min(np.float64(intervals.recency), due), 28.0, mean, deviation)
    return mean, residual, math.log(max(np.float64(intervals.recency) / due, 1.0))


@compiled()
def derive(pair_starts: Integers, features: Records) -> None:
    """Fills the features after `rank_in_basket`, household by household.

    Args:
        pair_starts: int64[h + 1].
        features: FEATURES[p]; those of types and categories are NaN where these are unknown.
    """
    for household in range(len(pair_starts) - 1):
        rows = features[pair_starts[household] : pair_starts[household + 1]]
        weight = 0.0
        pull = 0.0
        for pair in range(len(rows)):
            gaps = np.float64(rows[pair].pair.count) - 1.0
            if gaps > 0:
                share = gaps / (gaps + 1.0)
                weight += share
                pull += share * (rows[pair].pair.log_mean - rows[pair].item_prior.log_interval)
        for pair in range(len(rows)):
            _derive_pair(rows[pair], pull / (weight + _HOUSEHOLD_STRENGTH))


@compiled()
def _derive_pair(row: Any, household_log_ratio: float) -> None:
    """Fills the derived features of one FEATURES record."""
    own, prior, trip = row.pair, row.item_prior, row.trip
    count, recency = np.float64(own.count), np.float64(own.recency)
    prior_mean = np.float64(prior.log_interval) + household_log_ratio
    mean, deviation = _shrunken(own, prior_mean, np.float64(prior.log_deviation))
    due = math.exp(mean)
    if count > 1:
        due = max(due, np.float64(own.mean_interval))
    # Once the item is overdue, features that would rise with its recency stay as they were on the day it was due.
    capped = min(recency, due)
    row.household_log_ratio = household_log_ratio
    row.log_interval = mean
    row.log_deviation = deviation
    row.due_interval = due
    row.recency_z = (math.log(capped + 0.5) - mean) / deviation
    row.overdue = math.log(max(recency / due, 1.0))
    row.residual_7 = _residual(capped, 7.0, mean, deviation)
    row.residual_14 = _residual(capped, 14.0, mean, deviation)
    row.residual_28 = _residual(capped, 28.0, mean, deviation)
    row.residual_56 = _residual(capped, 56.0, mean, deviation)
    prior_rate = math.exp(np.float64(prior.log_rate) - household_log_ratio)
    row.rate = (count - 1.0 + _RATE_STRENGTH) / (np.float64(own.age) + _RATE_STRENGTH / prior_rate)
    row.recency_by_mean = capped / np.float64(own.mean_interval)
    row.recency_by_max = recency / own.max_interval
    row.decay_ratio = own.decay_28 / max(own.decay_112, np.float32(1e-9))
    row.recency_by_median = capped / np.float64(own.median_interval)
    row.recency_by_last = capped / np.float64(own.last_interval)
    row.overdue_z = max((math.log(recency + 0.5) - math.log(due + 0.5)) / deviation, 0.0)
    row.type_log_interval, row.type_residual_28, row.type_overdue = _group_timing(
        row.type, row.type_prior, household_log_ratio
    )
    row.category_log_interval, row.category_residual_28, row.category_overdue = _group_timing(
        row.category, row.category_prior, household_log_ratio
    )
    row.trip_recency_by_mean = trip.recency / trip.mean_interval
    row.trips_expected_28 = 28.0 * (trip.in_84 + 1.0) / (min(trip.age + 1.0, 84.0) + 14.0)
    row.purchases_per_trip = own.decay_28 / max(trip.decay_28, np.float32(1e-9))
