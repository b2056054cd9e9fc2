"""What all households of a seed see alike: shelf prices that drift, and promotions that come in campaigns.

Both are functions of the seed, the item and the day, so that any period can be had without the ones before it.
"""

import functools
from collections.abc import Collection, Set

import numpy as np

from pantree_domain.compiled import compiled
from pantree_simulation.core.assortment import Joined
from pantree_simulation.core.behavior import Behavior
from pantree_simulation.core.records import Calendar, Floats, Keys, Positions
from pantree_simulation.core.streams import Purpose, high_ratio, keys_of_names, low_ratio, number_at
from pantree_simulation.core.tables import drawn, normal_table, stepped_table

# Numbers of an item's stream: its campaigns' shift, then prices and campaigns side by side.
_SHIFT, _PRICES, _CAMPAIGNS = np.uint64(0), np.uint64(1), np.uint64(2)
# A price keeps something of what it was this many changes ago.
_REMEMBERED_CHANGES = 4
_MOVEMENT_SPREAD = 2.0  # standard deviation of the sum of so many standard normal numbers
_LEAST_DRIFT = 0.1
_NORMAL, _DEPTHS = 0, 1


class Shop:
    """Shelf prices and promotions of a seed.

    Args:
        seed: starts the random streams.
        item_names: the items, in the order that the kernel counts them by.
        behavior: how much prices move, how long campaigns last.
    """

    def __init__(self, seed: int, item_names: Joined, behavior: Behavior) -> None:
        self._seed = seed
        self._item_names = item_names
        self._keys = np.zeros(len(item_names), np.uint64)
        self._with_key: set[int] = set()
        self._drift_days = behavior.prices.drift_days
        self._drift_ratio = behavior.prices.drift_ratio
        self._campaign_days = behavior.promotions.campaign_days
        promotions = behavior.promotions
        self._tables = _tables(tuple(promotions.depths), tuple(promotions.depth_shares))

    def calendar(self, from_day: int, until_day: int, items: Set[int] | None = None) -> Calendar:
        """Prices and promotions of the days from one, inclusive, to another, exclusive.

        Args:
            from_day: the first day.
            until_day: the day after the last one.
            items: positions of the items to fill in, since a household buys few of them in a month; None for all.
        """
        wanted = range(len(self._item_names)) if items is None else items
        self._make_keys(wanted)
        days = until_day - from_day
        first_change = from_day // self._drift_days
        changes = _numbers(from_day % self._drift_days, days, self._drift_days)
        campaign_numbers = _numbers(0, days + self._campaign_days, self._campaign_days)
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
            first_change,
            self._drift_ratio,
            self._tables,
            self._campaign_days,
            calendar,
        )
        return calendar

    def _make_keys(self, items: Collection[int]) -> None:
        new = [item for item in items if item not in self._with_key]
        if new:
            self._keys[new] = keys_of_names(Purpose.SHOP, self._seed, self._item_names.at(new))
            self._with_key.update(new)


# Few values, so that the months of all households share them.
@functools.lru_cache(maxsize=512)
def _numbers(begun: int, days: int, length: int) -> Positions:
    """uint32[days], number of the stretch of equal length that each day lies in, of the first one `begun` days ago."""
    return (np.arange(begun, begun + days) // length).astype(np.uint32)


@functools.lru_cache(maxsize=8)
def _tables(depths: tuple[float, ...], depth_shares: tuple[float, ...]) -> Floats:
    return np.array([normal_table(), stepped_table(depths, depth_shares)])


@compiled("numpy")
def _fill(
    items: Positions,
    keys: Keys,
    first_change: int,
    drift_ratio: float,
    tables: Floats,
    campaign_days: int,
    calendar: Calendar,
) -> None:
    drifts, campaigns = calendar.drifts, calendar.campaigns
    for item in items:
        prices = number_at(keys[item], _PRICES)
        for change in range(drifts.shape[1]):
            moved = 0.0
            for later in range(_REMEMBERED_CHANGES):
                moved += drawn(tables, _NORMAL, high_ratio(number_at(prices, np.uint64(first_change + change + later))))
            drifts[item, change] = max(1 + drift_ratio * moved / _MOVEMENT_SPREAD, _LEAST_DRIFT)
        began = calendar.from_day + int(high_ratio(number_at(keys[item], _SHIFT)) * campaign_days)
        calendar.shifts[item] = began % campaign_days
        stream = number_at(keys[item], _CAMPAIGNS)
        first = began // campaign_days
        for campaign in range(campaigns.shape[1]):
            bits = number_at(stream, np.uint64(first + campaign))
            campaigns[item, campaign, 0] = high_ratio(bits)
            campaigns[item, campaign, 1] = drawn(tables, _DEPTHS, low_ratio(bits))
