"""The statistics by which simulated baskets are held against real ones."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

QUANTILES = (0.10, 0.25, 0.50, 0.75, 0.90)
MIN_PROMOTION_RATIO = 0.05
_DAYS_OF_HALF_A_YEAR = 181
_WEEKDAY_OF_DAY_0 = 3  # 1970-01-01 was a Thursday


@dataclass(frozen=True)
class Purchases:
    """Receipt lines of many households over a year; arrays of equal length."""

    households: Integers
    days: Integers
    """Days since 1970-01-01."""
    items: Integers
    """What one can put into a basket: a product, or an item of the catalog."""
    types: Integers
    """What items replace each other: a product type, or a kind of the catalog."""
    categories: Integers
    """Category of the catalog, by its position in `CATEGORIES`."""
    quantities: Integers
    prices: Floats
    """Shelf price of one unit."""
    savings: Floats
    """Taken off the line."""


@dataclass(frozen=True)
class Statistic:
    """A statistic, what it is on real baskets, and how far a simulation may be off."""

    name: str
    tolerance: float
    relative: bool
    """Whether the tolerance is a share of the real value."""
    compared: slice
    """Which of the values count: the three middle quantiles, or all."""

    def deviations(self, simulated: Floats, real: Floats) -> Floats:
        """How far the values that count are off, in tolerances: 1 is just within."""
        difference = np.abs(simulated - real)[self.compared]
        return difference / (self.tolerance * (np.abs(real)[self.compared] if self.relative else 1.0))


_MIDDLE, _ALL = slice(1, 4), slice(None)
STATISTICS = (
    Statistic("CV of a household's trip gaps", 0.20, True, _MIDDLE),
    Statistic("distinct items per trip day", 0.30, True, _MIDDLE),
    Statistic("interval between purchases of a type, days", 0.30, True, _MIDDLE),
    Statistic("CV of these intervals (6 or more purchase days)", 0.15, True, _MIDDLE),
    Statistic("lag-1 autocorrelation of these intervals (8 or more)", 0.10, False, _MIDDLE),
    Statistic("variance of log intervals that the type explains", 0.05, False, _ALL),
    Statistic("share of purchases of the most bought 1 %, 10 % of types", 0.30, True, _ALL),
    Statistic("share of (household, type) bought on one day only", 0.07, False, _ALL),
    Statistic("repeat share of purchase days in the second half-year", 0.07, False, _ALL),
    Statistic("weekday share, Monday to Sunday", 0.015, False, _ALL),
    Statistic("quantity 1, 2, 3, 4+", 0.04, False, _ALL),
    Statistic("shelf price per unit", 0.30, True, _MIDDLE),
    Statistic("share of purchases on promotion", 0.06, False, _ALL),
    Statistic("depth of promotions", 0.20, True, _MIDDLE),
)


@dataclass(frozen=True)
class Measured:
    """The statistics of some purchases, and the samples behind them for plots."""

    values: Mapping[str, Floats]
    samples: Mapping[str, Floats]


def measure(purchases: Purchases) -> Measured:
    """Every statistic of `STATISTICS`, by name: quantiles, or shares."""
    trip_gaps, trip_households = _intervals(purchases.households, purchases.days)
    gap_variations = _variations(trip_gaps, trip_households, min_count=10)
    _, basket_sizes = np.unique(
        _key(purchases.households, purchases.days)[_firsts(purchases.households, purchases.days, purchases.items)],
        return_counts=True,
    )
    pairs = _key(purchases.households, purchases.types)
    intervals, interval_pairs = _intervals(pairs, purchases.days)
    depths = purchases.savings / (purchases.prices * purchases.quantities)
    promoted = depths >= MIN_PROMOTION_RATIO
    trips = np.unique(_key(purchases.households, purchases.days)) % _KEY_BASE
    samples = {
        "CV of a household's trip gaps": gap_variations,
        "distinct items per trip day": basket_sizes.astype(np.float64),
        "interval between purchases of a type, days": intervals,
        "CV of these intervals (6 or more purchase days)": _variations(intervals, interval_pairs, min_count=5),
        "lag-1 autocorrelation of these intervals (8 or more)": _autocorrelations(
            intervals, interval_pairs, min_count=8
        ),
        "shelf price per unit": purchases.prices,
        "depth of promotions": depths[promoted],
    }
    units = np.minimum(purchases.quantities, 4)
    values = {name: np.quantile(sample, QUANTILES) for name, sample in samples.items()}
    values |= {
        "variance of log intervals that the type explains": np.array(
            [_explained_variance(np.log(intervals), interval_pairs % _KEY_BASE)]
        ),
        "share of purchases of the most bought 1 %, 10 % of types": _shares_of_popular(purchases.types),
        "share of (household, type) bought on one day only": np.array(
            [1 - len(np.unique(interval_pairs)) / len(np.unique(pairs))]
        ),
        "repeat share of purchase days in the second half-year": np.array([_repeat_share(pairs, purchases.days)]),
        "weekday share, Monday to Sunday": np.bincount((trips + _WEEKDAY_OF_DAY_0) % 7, minlength=7) / len(trips),
        "quantity 1, 2, 3, 4+": np.bincount(units, minlength=5)[1:] / len(units),
        "share of purchases on promotion": np.array([promoted.mean()]),
    }
    return Measured(values, samples)


def intervals_of_types(purchases: Purchases) -> tuple[Floats, Integers]:
    """Days between purchases of a type by a household, and the type of each."""
    intervals, pairs = _intervals(_key(purchases.households, purchases.types), purchases.days)
    return intervals, pairs % _KEY_BASE


# As many as the catalog has kinds: real types include hundreds that hardly anyone buys.
_COMPARED_TYPES = 250


def _shares_of_popular(types: Integers) -> Floats:
    counts = np.sort(np.bincount(types))[::-1][:_COMPARED_TYPES]
    counts = counts[counts > 0]
    return np.array([counts[: max(round(len(counts) * share), 1)].sum() / counts.sum() for share in (0.01, 0.1)])


def _explained_variance(values: Floats, groups: Integers) -> float:
    """Variance of the means of the groups over the variance of the values."""
    counts = np.bincount(groups)
    means = np.bincount(groups, values) / np.maximum(counts, 1)
    return float(means[groups].var() / values.var())


# Two numbers below this one make one key.
_KEY_BASE = 1 << 21


def _key(major: Integers, minor: Integers) -> Integers:
    return major.astype(np.int64) * _KEY_BASE + minor


def _firsts(*columns: Integers) -> Integers:
    """Positions of the first of each distinct combination of three columns."""
    major, middle, minor = columns
    order = np.lexsort((minor, middle, major))
    differs = np.ones(len(order), dtype=np.bool_)
    differs[1:] = (np.diff(major[order]) != 0) | (np.diff(middle[order]) != 0) | (np.diff(minor[order]) != 0)
    return order[differs]


def _intervals(groups: Integers, days: Integers) -> tuple[Floats, Integers]:
    """Days between successive distinct days of each group, in order, and the group of each."""
    order = np.lexsort((days, groups))
    groups, days = groups[order], days[order]
    gaps = np.diff(days)
    within = (np.diff(groups) == 0) & (gaps > 0)
    return gaps[within].astype(np.float64), groups[1:][within]


def _group_sums(groups: Integers) -> tuple[Integers, Integers]:
    """Where each group of an ordered column begins, and its size."""
    starts = np.flatnonzero(np.diff(groups, prepend=-1))
    return starts, np.diff(np.append(starts, len(groups)))


def _variations(values: Floats, groups: Integers, min_count: int) -> Floats:
    """Coefficient of variation of each group of at least some values."""
    starts, counts = _group_sums(groups)
    means = np.add.reduceat(values, starts) / counts
    squares = np.add.reduceat((values - np.repeat(means, counts)) ** 2, starts)
    enough = counts >= min_count
    return np.asarray(np.sqrt(squares[enough] / (counts[enough] - 1)) / means[enough])


def _autocorrelations(values: Floats, groups: Integers, min_count: int) -> Floats:
    """Correlation (Pearson's) of each value of a group with the one before, in groups of at least some values."""
    starts, counts = _group_sums(groups)
    sizes = np.repeat(counts, counts)
    is_start = np.zeros(len(values), dtype=np.bool_)
    is_start[starts] = True
    second = np.flatnonzero(~is_start & (sizes >= min_count))
    later, earlier, pair_groups = values[second], values[second - 1], groups[second]
    starts, counts = _group_sums(pair_groups)

    def centred(sample: Floats) -> Floats:
        return np.asarray(sample - np.repeat(np.add.reduceat(sample, starts) / counts, counts))

    x, y = centred(later), centred(earlier)
    products, xx, yy = (np.add.reduceat(product, starts) for product in (x * y, x * x, y * y))
    spread = np.sqrt(xx * yy)
    return np.asarray(products[spread > 0] / spread[spread > 0])


def _repeat_share(pairs: Integers, days: Integers) -> float:
    """Share of (household, type, day) in the second half-year whose type the household has bought on an earlier day."""
    order = np.lexsort((days, pairs))
    pairs, days = pairs[order], days[order]
    new_pair = np.diff(pairs, prepend=-1) != 0
    new_day = new_pair | (np.diff(days, prepend=-1) != 0)
    late = new_day & (days >= days.min() + _DAYS_OF_HALF_A_YEAR)
    return float((late & ~new_pair).sum() / late.sum())
