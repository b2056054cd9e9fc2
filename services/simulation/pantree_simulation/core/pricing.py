"""Shelf prices that drift, and promotions that come in campaigns. All households of a seed see the same ones.

Both depend only on the seed, the item and the day, so any period can be computed without the previous ones.
"""

import functools
from collections.abc import Collection, Set

import numpy as np

from pantree_domain.compiled import compiled
from pantree_simulation.core.assortment import NamedAssortment
from pantree_simulation.core.behavior import Behavior
from pantree_simulation.core.records import Calendar, Floats, Keys, Positions
from pantree_simulation.core.streams import Purpose, bits_at, high_ratio, keys_of_names, low_ratio
from pantree_simulation.core.tables import normal_table, quantile, stepped_table

# Counters in an item's stream: the shift of its campaigns, and the keys of its prices and campaigns.
_SHIFT, _PRICES, _CAMPAIGNS = np.uint64(0), np.uint64(1), np.uint64(2)
# The drift of a price is the moving sum of this many random changes.
_SUMMED_CHANGES = 4
_SUM_SPREAD = 2.0  # standard deviation of the sum of so many standard normal numbers
_MIN_DRIFT = 0.1
_NORMAL, _DEPTHS = 0, 1


class Pricing:
    """Shelf prices and promotions of a seed.

    Items have their positions in the assortment.
    """

    def __init__(self, seed: int, assortment: NamedAssortment, behavior: Behavior) -> None:
        self._seed = seed
        self._item_names = assortment.item_names
        self._item_categories = assortment.item_categories
        self._keys = np.zeros(len(assortment.item_names), np.uint64)
        self._promotion_ratios = np.ones(len(self._keys))
        self._items_with_key: set[int] = set()
        self._drift_days = behavior.prices.drift_days
        self._drift_ratio = behavior.prices.drift_ratio
        self._campaign_days = behavior.promotions.campaign_days
        promotions = behavior.promotions
        self._ratios = promotions.ratios
        self._tables = _tables(promotions.depths, promotions.depth_shares)

    def calendar(self, from_day: int, until_day: int, items: Set[int] | None = None) -> Calendar:
        """Prices and promotions of the days from `from_day`, inclusive, to `until_day`, exclusive.

        Only those of the items at these positions are filled in, or of all items if None. Days count from 1970-01-01.
        """
        wanted = range(len(self._item_names)) if items is None else items
        self._add_keys(wanted)
        days = until_day - from_day
        first_change = from_day // self._drift_days
        changes = _interval_numbers(from_day % self._drift_days, days, self._drift_days)
        campaign_numbers = _interval_numbers(0, days + self._campaign_days, self._campaign_days)
        calendar = Calendar(
            from_day=from_day,
            changes=changes,
            drifts=np.zeros((len(self._keys), changes[-1] + 1)),
            shifts=np.zeros(len(self._keys), np.uint32),
            campaign_numbers=campaign_numbers,
            campaigns=np.zeros((len(self._keys), campaign_numbers[-1] + 1, 2)),
        )
        _fill(
            np.fromiter(wanted, np.uint32, len(wanted)),
            self._keys,
            self._promotion_ratios,
            first_change,
            self._drift_ratio,
            self._tables,
            self._campaign_days,
            calendar,
        )
        return calendar

    def _add_keys(self, items: Collection[int]) -> None:
        new = [item for item in items if item not in self._items_with_key]
        if new:
            self._keys[new] = keys_of_names(Purpose.PRICING, self._seed, self._item_names.take(new))
            self._promotion_ratios[new] = [self._ratios.get(each, 1.0) for each in self._item_categories.take(new)]
            self._items_with_key.update(new)


# The months of all households share a few distinct arrays.
@functools.lru_cache(maxsize=512)
def _interval_numbers(offset: int, days: int, length: int) -> Positions:
    """uint32[days], number of each day's interval of `length` days; interval 0 began `offset` days before the first."""
    return (np.arange(offset, offset + days) // length).astype(np.uint32)


@functools.lru_cache(maxsize=8)
def _tables(depths: tuple[float, ...], depth_shares: tuple[float, ...]) -> Floats:
    return np.array([normal_table(), stepped_table(depths, depth_shares)])


@compiled("numpy")
def _fill(
    items: Positions,
    keys: Keys,
    promotion_ratios: Floats,
    first_change: int,
    drift_ratio: float,
    tables: Floats,
    campaign_days: int,
    calendar: Calendar,
) -> None:
    drifts, campaigns = calendar.drifts, calendar.campaigns
    for item in items:
        prices = bits_at(keys[item], _PRICES)
        for change in range(drifts.shape[1]):
            moved = 0.0
            for later in range(_SUMMED_CHANGES):
                moved += quantile(
                    tables, _NORMAL, high_ratio(bits_at(prices, np.uint64(first_change + change + later)))
                )
            drifts[item, change] = max(1 + drift_ratio * moved / _SUM_SPREAD, _MIN_DRIFT)
        began = calendar.from_day + int(high_ratio(bits_at(keys[item], _SHIFT)) * campaign_days)
        calendar.shifts[item] = began % campaign_days
        stream = bits_at(keys[item], _CAMPAIGNS)
        first = began // campaign_days
        for campaign in range(campaigns.shape[1]):
            bits = bits_at(stream, np.uint64(first + campaign))
            campaigns[item, campaign, 0] = high_ratio(bits) / promotion_ratios[item]
            campaigns[item, campaign, 1] = quantile(tables, _DEPTHS, low_ratio(bits))
