"""Quantile tables: a distribution as its quantiles at equally spaced ratios.

A draw is one random number and one interpolation, the same on every machine and with or without compilation.
"""

import functools
import math
import statistics
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pantree_domain.compiled import compiled

CELLS = 256
_NEXT = np.uint64(1)
# The outermost quantiles represent the tails; an unbounded distribution has no quantiles at 0 and 1.
_TAIL_RATIO = 1 / (8 * CELLS)
_GRID_POINTS = 20_001

Table = NDArray[np.float64]


@compiled("numpy")
def quantile(tables: NDArray[np.float64], row: int, ratio: float) -> float:
    """Quantile of the distribution in a row of `tables`, float64[t, CELLS + 1], for a ratio from 0 to below 1."""
    place = ratio * CELLS
    whole = int(place)
    cell = np.uint64(whole)
    low = tables[row, cell]
    return low + (tables[row, cell + _NEXT] - low) * (place - whole)  # type: ignore[no-any-return]


def _ratios() -> NDArray[np.float64]:
    return np.clip(np.linspace(0, 1, CELLS + 1), _TAIL_RATIO, 1 - _TAIL_RATIO)


@functools.cache
def normal_table() -> Table:
    """The standard normal distribution."""
    normal = statistics.NormalDist()
    return np.array([normal.inv_cdf(ratio) for ratio in _ratios()])


def factor_table(spread: float) -> Table:
    """Log-normal factors with mean 1; `spread` is the standard deviation of the logarithm."""
    return _with_mean_1(np.exp(normal_table() * spread))


def interval_table(variation: float) -> Table:
    """Log-normal intervals with mean 1; `variation` is the coefficient of variation."""
    return factor_table(math.sqrt(math.log1p(variation**2)))


def spell_table(spread: float) -> Table:
    """Log-normal factors whose reciprocals have mean 1, so that spells do not change the mean trip frequency.

    `spread` is the standard deviation of the logarithm.
    """
    factors = np.exp(normal_table() * spread)
    return np.asarray(factors * table_mean(1 / factors))


def exponential_table() -> Table:
    """Exponentially distributed times with mean 1."""
    return _with_mean_1(-np.log1p(-_ratios()))


def residual_table(intervals: Table) -> Table:
    """Residual time of an interval at a random moment (the equilibrium distribution of renewal theory)."""
    # The density of the residual time is the share of intervals that are longer, over their mean.
    lengths = np.diff(intervals, prepend=0.0)
    longer = 1 - np.linspace(0, 1, CELLS + 1)
    shares = np.concatenate([[0.0], np.cumsum(lengths * np.append(1.0, longer[:-1]))])
    times = np.append(0.0, intervals)
    return np.asarray(np.interp(_ratios(), shares / shares[-1], times))


def mixed_table(shares: Sequence[float], means: Sequence[float], variations: Sequence[float]) -> Table:
    """A mixture of gamma distributions, scaled to mean 1.

    Args:
        shares: shares of the components; they sum to 1.
        means: their means.
        variations: their coefficients of variation, at most 1.
    """
    upper_bound = max(mean * (1 + 12 * variation) for mean, variation in zip(means, variations, strict=True))
    grid = np.linspace(0, upper_bound, _GRID_POINTS)[1:]
    density = np.zeros_like(grid)
    for share, mean, variation in zip(shares, means, variations, strict=True):
        shape = variation**-2
        scale = mean / shape
        logarithm = (shape - 1) * np.log(grid / scale) - grid / scale - math.lgamma(shape)
        density += share / scale * np.exp(logarithm)
    below = np.cumsum(density)
    return _with_mean_1(np.interp(_ratios(), below / below[-1], grid))


def stepped_table(values: Sequence[float], ratios: Sequence[float]) -> Table:
    """A distribution with these quantiles, ascending, at these ratios, from 0 to 1; interpolated linearly."""
    return np.asarray(np.interp(np.linspace(0, 1, CELLS + 1), ratios, values))


def mean_below_table(ends: Sequence[float], values: Sequence[float]) -> Table:
    """Running mean of a step function, which is not a distribution but is looked up like one.

    Args:
        ends: bounds of the steps, from 0 to 1.
        values: value of each step.
    """
    places = np.linspace(0, 1, CELLS + 1)
    sums = np.concatenate([[0.0], np.cumsum(np.diff(ends) * values)])
    return np.asarray(np.append(values[0], np.interp(places[1:], ends, sums) / places[1:]))


def table_mean(table: Table) -> float:
    """Mean of the values drawn from a table."""
    return float(((table[1:] + table[:-1]) / 2).mean())


def table_mean_square(table: Table) -> float:
    """Mean of the squared values drawn from a table."""
    low, high = table[:-1], table[1:]
    return float(((low * low + low * high + high * high) / 3).mean())


def _with_mean_1(table: Table) -> Table:
    return table / table_mean(table)
