"""Statistics of the intervals at which a household buys each item.

A purchase of an item is a day on which it was bought, however many receipt lines that day has; an interval is the
number of days between two consecutive purchases.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from pantree_domain.compiled import compiled
from pantree_domain.evidence import Trend
from pantree_domain.purchases import PurchaseHistory
from pantree_frequency.core.histories import Histories
from pantree_frequency.core.intervals import deviation_of_ratios, median_of, slope_of, slope_t, spread
from pantree_frequency.core.purchases import PairPurchases, purchases_by_pair
from pantree_frequency.core.records import STATISTICS, Purchases, Records
from pantree_frequency.core.trend import p_value, trend_of

# Latest purchases whose units are typical: a household that has grown or shrunk buys other quantities than before.
_TYPICAL_PURCHASES = 5


# A named tuple: there is one for every item of every history, and a dataclass takes three times as long to build.
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


def pair_statistics(bought: PairPurchases) -> Records:
    """STATISTICS[p] of every item that each household bought."""
    rows = np.empty(len(bought.pairs), STATISTICS)
    _pair_statistics(bought.pairs, bought.purchases, rows)
    return rows


def statistics_of_items(histories: Histories, items: Sequence[int], rows: Records) -> list[ItemStatistics]:
    """Statistics of some pairs, one by one.

    Args:
        histories: whose dictionary names the items.
        items: position of each item in the dictionary.
        rows: STATISTICS of each item.
    """
    return [
        _item_statistics(histories.item_names[item], histories.item_categories[item], *row)
        for item, row in zip(items, rows.tolist(), strict=True)
    ]


def item_statistics(history: PurchaseHistory) -> list[ItemStatistics]:
    """Statistics of every item that was bought, in dictionary order.

    Args:
        history: receipt lines in any order.
    """
    histories = Histories.of_households([history])
    bought = purchases_by_pair(histories, np.array([np.iinfo(np.int32).max], np.int32))
    return statistics_of_items(histories, bought.pairs["item"].tolist(), pair_statistics(bought))


def _item_statistics(
    name: str, category: str, count: float, mean: float, median: float, deviation: float, variation: float,
    slope: float, trend_t: float, first_day: float, last_day: float, quantity: float, spend: float, mean_price: float,
    latest_price: float, median_quantity: float, price_deviation: float,
) -> ItemStatistics:  # fmt: skip
    mean_days, slope_days = _known(mean), _known(slope)
    return ItemStatistics(
        name=name,
        category=category,
        purchase_count=int(count),
        mean_interval_days=mean_days,
        median_interval_days=_known(median),
        standard_deviation_days=_known(deviation),
        coefficient_of_variation=_known(variation),
        trend=trend_of(slope_days, mean_days),
        trend_slope_days=slope_days,
        # Of count − 1 intervals, a line takes two.
        trend_p_value=None if slope_days is None else p_value(trend_t, int(count) - 3),
        first_day=int(first_day),
        last_day=int(last_day),
        total_quantity=int(quantity),
        total_spend=spend,
        mean_unit_price=mean_price,
        latest_unit_price=latest_price,
        typical_quantity=max(1, int(median_quantity)),
        # Savings may exceed the price by a rounding error.
        mean_paid_unit_price=max(0.0, spend / quantity),
        paid_unit_price_deviation=_known(price_deviation),
    )


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value


@compiled("numpy")
def _pair_statistics(pairs: Records, purchases: Purchases, rows: Records) -> None:
    """Fills `rows`, STATISTICS[p], with the statistics of `pairs`, PAIR[p]."""
    size = 1
    for pair in range(len(pairs)):
        size = max(size, pairs[pair].end - pairs[pair].first)
    intervals = np.empty(size, np.int64)
    ordered = np.empty(size, np.int64)
    for pair in range(len(pairs)):
        row, total = rows[pair], pairs[pair]
        first, end = total.first, total.end
        days, units = purchases.days[first:end], purchases.units[first:end]
        mean, row.median_interval_days, deviation = spread(days, len(days), intervals, ordered)
        row.purchase_count = end - first
        row.mean_interval_days = mean
        row.standard_deviation_days = deviation
        row.coefficient_of_variation = deviation / mean
        row.trend_slope_days = row.trend_t = row.paid_unit_price_deviation = np.nan
        if end - first > 3:
            slope, bottom = slope_of(intervals[: end - first - 1])
            row.trend_slope_days = slope
            row.trend_t = slope_t(intervals[: end - first - 1], slope, bottom)
        if end - first > 1:
            row.paid_unit_price_deviation = deviation_of_ratios(purchases.paid[first:end], units)
        row.first_day = days[0]
        row.last_day = days[-1]
        row.total_quantity = total.units
        row.total_spend = total.paid
        row.mean_unit_price = total.shelf / total.units
        row.latest_unit_price = purchases.shelf[end - 1] / units[-1]
        row.median_quantity = median_of(units[-_TYPICAL_PURCHASES:], ordered)
