"""Replays deliveries on what a household really bought.

A real purchase is a need: on that day, the household needed the units that it bought. Delivered units wait until they
are needed, those of the earliest delivery first, and take the place of the purchase. What is needed and not on hand
has run out: the household still buys it, at the price really paid. A delivery comes before the purchases of its day.
"""

import math
from collections import deque
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pantree_domain.money import CENT_DIGITS, round_to_cent

DAYS_PER_WEEK = 7
# Units are shares of packs where packs differ, so that sums of them are not exact.
_UNIT_DIGITS = 6


class Delivery(NamedTuple):
    """A delivery of an item."""

    day: int
    """Days since 1970-01-01."""
    item: int
    """Position of the item."""
    quantity: int
    price: float
    """Of all its units, in cents."""


class Need(NamedTuple):
    """What a household really bought of an item on a day."""

    day: int
    item: int
    units: float
    paid: float
    """For all of them, in cents."""


class ReplayedDelivery(NamedTuple):
    """A delivery, and what became of it."""

    delivery: Delivery
    units_on_hand: float
    """Of earlier deliveries, when it came."""
    needed_day: int | None
    """Day on which the first of its units was needed; None if none was."""


class ReplayedNeed(NamedTuple):
    """A real purchase, and what remains of it with the deliveries."""

    need: Need
    units_from_stock: float
    units_bought: float
    purchase_cost: float
    """Of the units bought, in cents."""


class Totals(NamedTuple):
    """Sums over deliveries and needs; see `WhatIfTotals` in the contract."""

    box_count: int
    delivery_count: int
    early_delivery_count: int
    need_count: int
    stockout_count: int
    delivered_units: float
    needed_units: float
    bought_units: float
    paid: float
    delivery_cost: float
    purchase_cost: float
    savings: float


class Replay(NamedTuple):
    """What would have happened."""

    first_day: int
    deliveries: tuple[ReplayedDelivery, ...]
    """By day and item."""
    needs: tuple[ReplayedNeed, ...]
    """By day and item."""
    units_on_hand: NDArray[np.float64]
    """[items, days], at the end of each day."""
    stock_costs: NDArray[np.float64]
    """[items], what the units cost that are on hand at the end."""
    digits: int
    """Decimal places of a cent."""

    def totals(self, weeks: range | None = None, item: int | None = None) -> Totals:
        """Sums over all weeks or those numbered from 0, and over all items or one."""

        def included(day: int, at: int) -> bool:
            week = (day - self.first_day) // DAYS_PER_WEEK
            return (weeks is None or week in weeks) and (item is None or at == item)

        deliveries = [one for one in self.deliveries if included(one.delivery.day, one.delivery.item)]
        needs = [one for one in self.needs if included(one.need.day, one.need.item)]
        paid = self._money(one.need.paid for one in needs)
        delivery_cost = self._money(one.delivery.price for one in deliveries)
        purchase_cost = self._money(one.purchase_cost for one in needs)
        return Totals(
            box_count=len({one.delivery.day for one in deliveries}),
            delivery_count=len(deliveries),
            early_delivery_count=sum(one.units_on_hand > 0 for one in deliveries),
            need_count=len(needs),
            stockout_count=sum(one.units_bought > 0 for one in needs),
            delivered_units=float(sum(one.delivery.quantity for one in deliveries)),
            needed_units=_units(math.fsum(one.need.units for one in needs)),
            bought_units=_units(math.fsum(one.units_bought for one in needs)),
            paid=paid,
            delivery_cost=delivery_cost,
            purchase_cost=purchase_cost,
            savings=self._money((paid, -delivery_cost, -purchase_cost)),
        )

    @property
    def stock_cost(self) -> float:
        """What the units cost that are on hand at the end."""
        return self._money(self.stock_costs.tolist())

    def _money(self, amounts: Iterable[float]) -> float:
        return round_to_cent(math.fsum(amounts), self.digits)


def replay(
    deliveries: Sequence[Delivery],
    needs: Sequence[Need],
    item_count: int,
    first_day: int,
    day_count: int,
    digits: int = CENT_DIGITS,
) -> Replay:
    """What would have happened with the deliveries.

    Args:
        deliveries: of the days of the replay.
        needs: of the same days, at most one for each item and day.
        item_count: number of items.
        first_day: of the replay, days since 1970-01-01.
        day_count: number of its days.
        digits: decimal places of a cent.
    """
    stock: list[deque[list[float]]] = [deque() for _ in range(item_count)]  # of units and their delivery
    changes = np.zeros((item_count, day_count))
    arrived: list[ReplayedDelivery] = []
    met: list[ReplayedNeed] = []
    # Tuples of events are compared by day, then deliveries before needs, then item.
    events = sorted(
        [(delivery.day, 0, delivery.item, number) for number, delivery in enumerate(deliveries)]
        + [(need.day, 1, need.item, number) for number, need in enumerate(needs)]
    )
    for day, is_need, item, number in events:
        on_hand = stock[item]
        if not is_need:
            delivery = deliveries[number]
            arrived.append(ReplayedDelivery(delivery, _units(math.fsum(units for units, _ in on_hand)), None))
            on_hand.append([float(delivery.quantity), len(arrived) - 1])
            changes[item, day - first_day] += delivery.quantity
            continue
        need = needs[number]
        missing = need.units
        while missing > 0 and on_hand:
            source = int(on_hand[0][1])
            used = min(on_hand[0][0], missing)
            if arrived[source].needed_day is None:
                arrived[source] = arrived[source]._replace(needed_day=day)
            on_hand[0][0] = _units(on_hand[0][0] - used)
            missing = _units(missing - used)
            if not on_hand[0][0]:
                on_hand.popleft()
        changes[item, day - first_day] -= need.units - missing
        cost = round_to_cent(need.paid * missing / need.units, digits)
        met.append(ReplayedNeed(need, _units(need.units - missing), missing, cost))
    costs = [
        math.fsum(arrived[int(at)].delivery.price * units / arrived[int(at)].delivery.quantity for units, at in on_hand)
        for on_hand in stock
    ]
    return Replay(
        first_day,
        tuple(arrived),
        tuple(met),
        np.abs(np.cumsum(changes, axis=1).round(_UNIT_DIGITS)),
        np.array([round_to_cent(cost, digits) for cost in costs]),
        digits,
    )


def _units(units: float) -> float:
    return round(units, _UNIT_DIGITS)
