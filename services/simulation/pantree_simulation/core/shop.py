"""What all households of a seed see alike: shelf prices that drift, and promotions that come in campaigns.

Both are functions of the seed, the item and the day, so that any period can be had without the ones before it.
"""

import functools

import numpy as np

from pantree_domain.compiled import compiled
from pantree_simulation.core.behaviour import Behaviour
from pantree_simulation.core.records import Calendar, Floats, Keys
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
        behaviour: how much prices move, how long campaigns last.
    """

    def __init__(self, seed: int, item_names: tuple[str, ...], behaviour: Behaviour) -> None:
        self._keys = keys_of_names(Purpose.SHOP, seed, item_names)
        self._drift_days = behaviour.prices.drift_days
        self._drift_ratio = behaviour.prices.drift_ratio
        self._campaign_days = behaviour.promotions.campaign_days
        promotions = behaviour.promotions
        self._tables = _tables(tuple(promotions.depths), tuple(promotions.depth_shares))

    def calendar(self, from_day: int, until_day: int) -> Calendar:
        """Prices and promotions of the days from one, inclusive, to another, exclusive."""
        items = len(self._keys)
        days = until_day - from_day
        first_change = from_day // self._drift_days
        changes = np.arange(from_day, until_day) // self._drift_days - first_change
        campaign_numbers = np.arange(days + self._campaign_days) // self._campaign_days
        calendar = Calendar(
            from_day=from_day,
            changes=changes.astype(np.uint32),
            drifts=np.zeros((items, changes[-1] + 1)),
            shifts=np.zeros(items, np.uint32),
            campaign_numbers=campaign_numbers.astype(np.uint32),
            campaigns=np.zeros((items, campaign_numbers[-1] + 1, 2)),
        )
        with np.errstate(over="ignore"):  # hashes overflow; without compilation numpy would warn of it
            _fill(
                self._keys,
                first_change,
                self._drift_ratio,
                self._tables,
                self._campaign_days,
                calendar,
            )
        return calendar

    def drifts(self, day: int) -> Floats:
        """float64[i], shelf prices of a day over their long-term level."""
        return self.calendar(day, day + 1).drifts[:, 0].copy()


@functools.lru_cache(maxsize=8)
def _tables(depths: tuple[float, ...], depth_shares: tuple[float, ...]) -> Floats:
    return np.array([normal_table(), stepped_table(depths, depth_shares)])


@compiled("numpy")
def _fill(
    keys: Keys,
    first_change: int,
    drift_ratio: float,
    tables: Floats,
    campaign_days: int,
    calendar: Calendar,
) -> None:
    drifts, campaigns = calendar.drifts, calendar.campaigns
    for item in range(len(keys)):
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
