"""Statistics of the intervals at which a household buys each item.

A purchase of an item is a day on which it was bought, however many receipt lines that day has; an interval is the
number of days between two consecutive purchases.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pantree_domain.evidence import Trend
from pantree_domain.purchases import PurchaseHistory
from pantree_frequency.core import kernels
from pantree_frequency.core.histories import Histories
from pantree_frequency.core.sorting import SortedHistories, sort_histories
from pantree_frequency.core.trend import p_value, trend_of


# A tuple, as `ItemFrequency` is.
class ItemStatistics(NamedTuple):
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
    trend_p_value: float | None
    """Two-sided, of Student's t-test of the slope: how likely a slope so far from 0 is when nothing changes; None below
    four purchases."""
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
    mean_paid_unit_price: float
    """What a unit really cost on average, promotions included: spend over units."""
    paid_unit_price_deviation: float | None
    """Sample standard deviation over purchases of what a unit really cost; None for one purchase."""

    @property
    def consistency_ratio(self) -> float:
        """1 / (1 + coefficient of variation), 0 to 1; 0 when the coefficient is unknown."""
        return 0.0 if self.coefficient_of_variation is None else 1.0 / (1.0 + self.coefficient_of_variation)


@dataclass(frozen=True, eq=False)
class PairStatistics:
    """Statistics of `p` (household, item) pairs, household by household, items in dictionary order."""

    items: NDArray[np.int32]
    """[p], position of the item in the dictionary."""
    columns: NDArray[np.float64]
    """[len(kernels.STATISTICS), p]; NaN for what cannot be told."""

    def __getitem__(self, name: str) -> NDArray[np.float64]:
        """float64[p], one statistic, by its name in `kernels.STATISTICS`."""
        return np.asarray(self.columns[kernels.STATISTICS.index(name)])


def pair_statistics(ordered: SortedHistories) -> PairStatistics:
    """Statistics of every item that each household bought.

    Args:
        ordered: sorted histories.
    """
    histories = ordered.histories
    items = np.empty(ordered.pair_count, np.int32)
    columns = np.empty((len(kernels.STATISTICS), ordered.pair_count))
    kernels.pair_statistics(
        0, histories.household_count, histories.household_starts, ordered.keys, ordered.line_counts,
        ordered.pair_starts, histories.quantities, histories.prices, histories.savings, items, columns,
    )  # fmt: skip
    return PairStatistics(items, columns)


def statistics_of_items(histories: Histories, statistics: PairStatistics, pairs: range) -> list[ItemStatistics]:
    """Statistics of some pairs, one by one.

    Args:
        histories: whose dictionary names the items.
        statistics: of all pairs.
        pairs: which pairs.
    """
    rows = statistics.columns[:, pairs.start : pairs.stop].T.tolist()
    return [
        _item_statistics(histories.item_names[item], histories.item_categories[item], row)
        for item, row in zip(statistics.items[pairs.start : pairs.stop].tolist(), rows, strict=True)
    ]


def item_statistics(history: PurchaseHistory) -> list[ItemStatistics]:
    """Statistics of every item that was bought, in dictionary order.

    Args:
        history: receipt lines in any order.
    """
    histories = Histories.of_households([history])
    ordered = sort_histories(histories, np.array([np.iinfo(np.int32).max], np.int32))
    return statistics_of_items(histories, pair_statistics(ordered), range(ordered.pair_count))


def _item_statistics(name: str, category: str, row: list[float]) -> ItemStatistics:
    (
        count,
        *spread,
        first_day,
        last_day,
        quantity,
        spend,
        mean_price,
        latest_price,
        median_quantity,
        trend_t,
        price_deviation,
    ) = row
    mean, median, deviation, variation, slope = (None if math.isnan(value) else value for value in spread)
    return ItemStatistics(
        name=name,
        category=category,
        purchase_count=int(count),
        mean_interval_days=mean,
        median_interval_days=median,
        standard_deviation_days=deviation,
        coefficient_of_variation=variation,
        trend=trend_of(slope, mean),
        trend_slope_days=slope,
        # Of count − 1 intervals, a line takes two.
        trend_p_value=None if slope is None else p_value(trend_t, int(count) - 3),
        first_day=int(first_day),
        last_day=int(last_day),
        total_quantity=int(quantity),
        total_spend=spend,
        mean_unit_price=mean_price,
        latest_unit_price=latest_price,
        typical_quantity=max(1, int(median_quantity)),
        # Savings may exceed the price by a rounding error.
        mean_paid_unit_price=max(0.0, spend / quantity),
        paid_unit_price_deviation=None if math.isnan(price_deviation) else price_deviation,
    )
