"""Figures of a series of purchase days, shared by statistics and features; compiled."""

import math
from typing import Any

import numpy as np

from pantree_domain.compiled import compiled
from pantree_frequency.core.records import Floats, Integer, Integers


@compiled(allocates=False)
def _insert(ordered: Integers, count: Integer, value: Integer) -> None:
    """Inserts a value into the first `count` ascending ones.

    Intervals are few, and a call of numpy's sort costs more than all the insertions.
    """
    place = count
    while place > 0 and ordered[place - 1] > value:
        ordered[place] = ordered[place - 1]
        place -= 1
    ordered[place] = value


@compiled(allocates=False)
def median_of(values: Integers, ordered: Integers) -> float:
    """Median of at least one value; the mean of the middle two if their number is even.

    Args:
        values: int64[n].
        ordered: int64[n or more], scratch.
    """
    for position in range(len(values)):
        _insert(ordered, position, values[position])
    return float((ordered[(len(values) - 1) >> 1] + ordered[len(values) >> 1]) / 2)


@compiled("numpy", allocates=False)
def spread(days: Integers, count: Integer, intervals: Integers, ordered: Integers) -> tuple[float, float, float]:
    """Mean, median and sample standard deviation of the intervals between days; NaN where there are too few.

    Args:
        days: int64[count or more], ascending, distinct.
        count: how many days there are; a slice of them would cost as much as all the rest.
        intervals: int64[count - 1 or more], filled.
        ordered: int64[count - 1 or more], scratch.
    """
    gaps = count - 1
    if gaps < 1:
        return np.nan, np.nan, np.nan
    for gap in range(gaps):
        intervals[gap] = days[gap + 1] - days[gap]
        _insert(ordered, gap, intervals[gap])
    mean = (days[gaps] - days[0]) / gaps
    median = (ordered[(gaps - 1) >> 1] + ordered[gaps >> 1]) / 2
    if gaps < 2:
        return mean, median, np.nan
    squares = 0.0
    for gap in range(gaps):
        squares += (intervals[gap] - mean) ** 2
    return mean, median, math.sqrt(squares / (gaps - 1))


@compiled("numpy", allocates=False)
def slope_of(intervals: Integers) -> tuple[float, float]:
    """Least-squares change from one interval to the next, and the sum of squares of their positions."""
    gaps = len(intervals)
    top = 0.0
    bottom = 0.0
    for gap in range(gaps):
        place = gap - (gaps - 1) / 2
        top += place * intervals[gap]
        bottom += place * place
    return top / bottom, bottom


@compiled("numpy", allocates=False)
def slope_t(intervals: Integers, slope: float, bottom: float) -> float:
    """T statistic of a slope, with gaps − 2 degrees of freedom.

    Intervals that lie on a line to the last digit have an infinite t, those that are all equal have 0.
    """
    if slope == 0.0:
        return 0.0
    gaps = len(intervals)
    mean = 0.0
    for gap in range(gaps):
        mean += intervals[gap] / gaps
    squares = 0.0
    total = 0.0
    for gap in range(gaps):
        squares += (intervals[gap] - mean - slope * (gap - (gaps - 1) / 2)) ** 2
        total += (intervals[gap] - mean) ** 2
    if squares <= 1e-20 * total:
        return math.copysign(np.inf, slope)
    return slope / math.sqrt(squares / (gaps - 2) / bottom)


@compiled("numpy", allocates=False)
def deviation_of_ratios(tops: Floats, bottoms: Integers) -> float:
    """Sample standard deviation of quotients."""
    mean = 0.0
    for number in range(len(tops)):
        mean += tops[number] / bottoms[number]
    mean /= len(tops)
    squares = 0.0
    for number in range(len(tops)):
        squares += (tops[number] / bottoms[number] - mean) ** 2
    return math.sqrt(squares / (len(tops) - 1))


@compiled(allocates=False)
def days_after(days: Integers, day: Integer) -> Integer:
    """How many of the ascending days are later than a day."""
    low = 0
    high = len(days)
    while low < high:
        middle = (low + high) // 2
        if days[middle] <= day:
            low = middle + 1
        else:
            high = middle
    return len(days) - low


@compiled(allocates=False)
def decayed_count(days: Integers, as_of: Integer, half_life: float) -> float:
    """Number of days, each halved for every half-life that has passed since."""
    total = 0.0
    for day in days:
        total += 0.5 ** ((as_of - day) / half_life)
    return total


@compiled(allocates=False)
def interval_features(days: Integers, as_of: Integer, intervals: Integers, ordered: Integers, out: Any) -> None:
    """Fills an INTERVALS record with the features of a series of purchase days.

    Args:
        days: int64[d], ascending, distinct.
        as_of: not before the last of them.
        intervals: int64[d - 1 or more], filled.
        ordered: int64[d - 1 or more], scratch.
        out: filled; NaN to begin with, which stays where there are too few days.
    """
    gaps = len(days) - 1
    out.count = len(days)
    out.recency = as_of - days[gaps]
    out.age = as_of - days[0]
    out.mean_interval, out.median_interval, out.sd_interval = spread(days, len(days), intervals, ordered)
    out.in_7 = days_after(days, as_of - 7)
    out.in_14 = days_after(days, as_of - 14)
    out.in_28 = days_after(days, as_of - 28)
    out.in_56 = days_after(days, as_of - 56)
    out.in_84 = days_after(days, as_of - 84)
    out.in_168 = days_after(days, as_of - 168)
    out.decay_7 = decayed_count(days, as_of, 7.0)
    out.decay_14 = decayed_count(days, as_of, 14.0)
    out.decay_28 = decayed_count(days, as_of, 28.0)
    out.decay_56 = decayed_count(days, as_of, 56.0)
    out.decay_112 = decayed_count(days, as_of, 112.0)
    if gaps < 1:
        return
    log_sum = 0.0
    for gap in range(gaps):
        log_sum += math.log(intervals[gap])
    log_mean = log_sum / gaps
    log_squares = 0.0
    for gap in range(gaps):
        log_squares += (math.log(intervals[gap]) - log_mean) ** 2
    out.last_interval = intervals[gaps - 1]
    out.max_interval = ordered[gaps - 1]
    out.log_mean = log_mean
    out.log_squares = log_squares
    if gaps > 2:
        out.trend = slope_of(intervals[:gaps])[0] / ((days[gaps] - days[0]) / gaps)
