"""Statistics of the intervals at which a household buys each item.

A purchase of an item is a day on which it was bought, however many receipt lines that day has; an interval is the
number of days between two consecutive purchases.
"""

import enum
import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pantree_domain.purchases import PurchaseHistory

# A trend is told when the interval changes by more than this share of its mean from one interval to the next.
TREND_THRESHOLD_RATIO = 0.1
# A line through two points always fits; three intervals are the least that can show a trend.
LEAST_INTERVALS_FOR_TREND = 3


class Trend(enum.Enum):
    """How the intervals of an item change."""

    UNKNOWN = "unknown"
    STABLE = "stable"
    ACCELERATING = "accelerating"
    SLOWING = "slowing"


@dataclass(frozen=True)
class ItemStatistics:
    """Statistics of one item; `None` where there are too few intervals."""

    name: str
    category: str
    """An empty string when unknown."""
    purchase_count: int
    """Distinct days on which it was bought."""
    mean_interval_days: float | None
    """None for one purchase."""
    median_interval_days: float | None
    """None for one purchase."""
    standard_deviation_days: float | None
    """Sample standard deviation (n − 1); None below three purchases."""
    coefficient_of_variation: float | None
    """Standard deviation over mean; None below three purchases."""
    trend: Trend
    """UNKNOWN below four purchases."""
    trend_slope_days: float | None
    """Least-squares change from one interval to the next; None below four purchases."""
    first_day: int
    """Days since 1970-01-01."""
    last_day: int
    """Days since 1970-01-01."""
    total_quantity: int
    """Units bought."""
    total_spend: float
    """Paid, after savings."""
    mean_unit_price: float
    """Mean shelf price of a unit, weighted by quantity."""
    latest_unit_price: float
    """Shelf price of a unit on the latest purchase day, weighted by quantity."""
    typical_quantity: int
    """Median of the units bought per purchase, rounded down; at least 1."""

    @property
    def consistency_ratio(self) -> float:
        """1 / (1 + coefficient of variation), 0 to 1; 0 when the coefficient is unknown."""
        return 0.0 if self.coefficient_of_variation is None else 1.0 / (1.0 + self.coefficient_of_variation)


def item_statistics(history: PurchaseHistory) -> list[ItemStatistics]:
    """Statistics of every item that was bought, in dictionary order.

    Args:
        history: receipt lines in any order.
    """
    # By item, then day; lines of one day by what they hold, so that their order cannot change a sum's last digit.
    order = np.lexsort((history.savings, history.prices, history.quantities, history.days, history.item_indices))
    item_indices = history.item_indices[order]
    bounds = np.append(np.flatnonzero(np.diff(item_indices, prepend=-1)), len(item_indices))
    return [
        _statistics_of_item(history, int(item_indices[start]), order[start:end])
        for start, end in itertools.pairwise(bounds)
    ]


def _statistics_of_item(history: PurchaseHistory, item_index: int, lines: NDArray[np.intp]) -> ItemStatistics:
    days = history.days[lines]
    quantities = history.quantities[lines]
    shelf_spend = history.prices[lines] * quantities
    purchase_starts = np.flatnonzero(np.diff(days, prepend=-1))
    intervals = np.diff(days[purchase_starts]).astype(np.float64)
    mean = float(intervals.mean()) if len(intervals) else None
    deviation = float(intervals.std(ddof=1)) if len(intervals) > 1 else None
    slope = _slope(intervals) if len(intervals) >= LEAST_INTERVALS_FOR_TREND else None
    latest = slice(purchase_starts[-1], None)
    return ItemStatistics(
        name=history.item_names[item_index],
        category=history.item_categories[item_index],
        purchase_count=len(purchase_starts),
        mean_interval_days=mean,
        median_interval_days=float(np.median(intervals)) if len(intervals) else None,
        standard_deviation_days=deviation,
        coefficient_of_variation=None if deviation is None or mean is None else deviation / mean,
        trend=_trend(slope, mean),
        trend_slope_days=slope,
        first_day=int(days[0]),
        last_day=int(days[-1]),
        total_quantity=int(quantities.sum(dtype=np.int64)),
        total_spend=float(history.paid[lines].sum()),
        mean_unit_price=float(shelf_spend.sum() / quantities.sum()),
        latest_unit_price=float(shelf_spend[latest].sum() / quantities[latest].sum()),
        typical_quantity=max(1, int(np.median(np.add.reduceat(quantities, purchase_starts)))),
    )


def _slope(intervals: NDArray[np.float64]) -> float:
    """Least-squares slope of the intervals over their position, days per interval."""
    position = np.arange(len(intervals)) - (len(intervals) - 1) / 2
    return float(position @ intervals / (position @ position))


def _trend(slope: float | None, mean: float | None) -> Trend:
    if slope is None or mean is None:
        return Trend.UNKNOWN
    if slope > TREND_THRESHOLD_RATIO * mean:
        return Trend.SLOWING
    if slope < -TREND_THRESHOLD_RATIO * mean:
        return Trend.ACCELERATING
    return Trend.STABLE
