"""What deliveries, skips and purchases say about a subscription.

A delivery of which nothing was reported counts as delivered on its day. A purchase within two days of a delivery is
that delivery, as far as its units go, because shops often list deliveries among purchases. Each of the others belongs
to the delivery before it: in the first half of the interval the household bought although it had just been supplied,
later it had run short. What is bought after a skipped or failed delivery says nothing.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Sequence
from itertools import pairwise
from typing import NamedTuple

from pantree_domain.listed_deliveries import units_not_delivered
from pantree_recommendation.core.review_state import (
    DeliveryRecord,
    DeliveryStatus,
    Evidence,
    ItemPurchase,
    SubscriptionState,
)

RECENT_DELIVERIES = 4
"""As many deliveries are looked back on: older ones say little about today."""
USE_DAYS = 182
"""Use is what was supplied in half a year, so that a season or a guest does not decide."""
MIN_SUPPLIES = 3
"""Two intervals are the fewest that show a pace."""
ADVISED = "stock_at_home"
"""Reason of a skip that a review advised: what led to it has counted already."""

_NOT_COMING = (DeliveryStatus.SKIPPED, DeliveryStatus.FAILED)
# Months differ by three days.
_MONTH_TOLERANCE_DAYS = 3
# Reasons of skips that do not mean too much. Any other, and none, does.
_OTHER_REASONS = frozenset(
    {ADVISED, "paused", "away", "vacation", "holiday", "moved", "too_expensive", "quality", "delivery", "out_of_stock"}
)


class Supply(NamedTuple):
    """Units that came to the household."""

    day: int
    units: float


def has_arrived(delivery: DeliveryRecord, as_of_day: int) -> bool:
    """Whether the units of a delivery are at the household."""
    return delivery.day <= as_of_day and delivery.status not in _NOT_COMING


def is_too_much(delivery: DeliveryRecord) -> bool:
    """Whether the household skipped a delivery because it has enough."""
    return delivery.status is DeliveryStatus.SKIPPED and delivery.reason not in _OTHER_REASONS


def arrived_units(delivery: DeliveryRecord) -> int:
    """Units of a delivery that the household kept."""
    came = delivery.quantity if delivery.delivered_quantity is None else delivery.delivered_quantity
    return max(0, came - delivery.returned_quantity)


def shop_purchases(state: SubscriptionState, as_of_day: int) -> list[ItemPurchase]:
    """Purchases of the item that are not its deliveries, until a day.

    A delivery past its cut-off may be listed before its day.
    """
    came = [
        (one.day, one.quantity if one.delivered_quantity is None else one.delivered_quantity)
        for one in state.deliveries
        if has_arrived(one, as_of_day) or (one.status not in _NOT_COMING and not one.is_open)
    ]
    bought = [one for one in state.purchases if one.day <= as_of_day]
    left = units_not_delivered([(one.day, one.quantity) for one in bought], came)
    return [one._replace(quantity=units) for one, units in zip(bought, left, strict=True) if units > 0]


def recent_deliveries(state: SubscriptionState, as_of_day: int) -> list[DeliveryRecord]:
    """The latest deliveries with the present interval and quantity that took place, failed or were skipped, by day.

    Deliveries that are skipped ahead are among them until the next one that will take place: the household has decided.
    """
    next_day = min(
        (one.day for one in state.deliveries if one.day > as_of_day and one.status not in _NOT_COMING),
        default=math.inf,
    )
    known = [
        one
        for one in state.deliveries
        if one.day <= as_of_day or (one.status is DeliveryStatus.SKIPPED and one.day < next_day)
    ]
    scheduled = {one.sequence: one.scheduled_day for one in state.deliveries}
    found: list[DeliveryRecord] = []
    for delivery in reversed(known):
        if delivery.quantity != state.quantity or len(found) == RECENT_DELIVERIES:
            break
        following = scheduled.get(delivery.sequence + 1)
        if following is None and found:
            # In between, another item was delivered.
            break
        if following is not None:
            interval = following - delivery.scheduled_day
            if abs(interval - state.interval_days) > (_MONTH_TOLERANCE_DAYS if interval >= 28 else 0):
                break
        found.append(delivery)
    return found[::-1]


def evidence_of(state: SubscriptionState, as_of_day: int) -> Evidence:
    """What happened under the present interval and quantity."""
    bought = shop_purchases(state, as_of_day)
    recent = recent_deliveries(state, as_of_day)
    arrived = [one for one in recent if has_arrived(one, as_of_day)]
    ends = {one.sequence: following.day for one, following in pairwise(recent)}
    top_ups = bought_anyway = silent = 0
    for delivery in arrived:
        end = min(ends.get(delivery.sequence, as_of_day), as_of_day)
        half = delivery.day + state.interval_days / 2
        days = [one.day for one in bought if delivery.day < one.day <= end]
        top_ups += any(day >= half for day in days)
        bought_anyway += any(day < half for day in days)
        is_over = delivery.sequence in ends and ends[delivery.sequence] <= as_of_day
        if days or delivery.returned_quantity:
            silent = 0
        elif is_over:
            silent += 1
    first_day = recent[0].day if recent else None
    since = [one for one in bought if first_day is not None and one.day > first_day]
    if recent and is_too_much(recent[-1]):
        silent = 0
    passed = [one for one in recent if one.day <= as_of_day]
    in_a_row = next((count for count, one in enumerate(reversed(passed)) if not is_too_much(one)), len(passed))
    first_delivery = min((one.day for one in state.deliveries if has_arrived(one, as_of_day)), default=None)
    earlier = by_day(one for one in bought if first_delivery is None or one.day < first_delivery)
    supplies = supplies_of(state, bought, as_of_day)
    use = use_per_day(supplies, as_of_day)
    return Evidence(
        first_day=first_day,
        delivered_count=len(arrived),
        silent_count=silent,
        skipped_count=sum(map(is_too_much, recent)),
        skipped_in_a_row=in_a_row,
        returned_count=sum(one.returned_quantity > 0 for one in arrived),
        top_up_count=top_ups,
        bought_anyway_count=bought_anyway,
        failed_count=sum(one.status is DeliveryStatus.FAILED for one in recent),
        purchase_count=len(since),
        purchased_units=sum(one.quantity for one in since),
        delivered_units=float(sum(map(arrived_units, arrived))),
        use_per_day=use,
        earlier_use_per_day=use_per_day(earlier, as_of_day if first_delivery is None else first_delivery),
        supply_per_day=use_per_day([one for one in supplies if first_day and one.day >= first_day], as_of_day),
        units_on_hand=None if use is None else units_on_hand(supplies, use, as_of_day, {one.day for one in bought}),
        skip_reasons=tuple(
            sorted(Counter(one.reason for one in recent if one.status is DeliveryStatus.SKIPPED).items())
        ),
    )


def supplies_of(state: SubscriptionState, bought: Sequence[ItemPurchase], as_of_day: int) -> list[Supply]:
    """Deliveries and purchases of half a year, one supply for each day, by day."""
    arrived = [
        ItemPurchase(one.day, arrived_units(one))
        for one in state.deliveries
        if has_arrived(one, as_of_day) and arrived_units(one)
    ]
    return [one for one in by_day([*bought, *arrived]) if one.day > as_of_day - USE_DAYS]


def by_day(found: Iterable[ItemPurchase]) -> list[Supply]:
    """One supply for each day, by day."""
    units: defaultdict[int, float] = defaultdict(float)
    for one in found:
        units[one.day] += one.quantity
    return [Supply(day, units[day]) for day in sorted(units)]


def use_per_day(supplies: Sequence[Supply], as_of_day: int) -> float | None:
    """Units used in a day: those that were used up when the latest ones came. None with too few supplies.

    When nothing has come for long, no more than everything that came can have been used.
    """
    if len(supplies) < MIN_SUPPLIES:
        return None
    first, last = supplies[0].day, supplies[-1].day
    units = sum(one.units for one in supplies)
    used_up = (units - supplies[-1].units) / (last - first)
    return min(used_up, units / (as_of_day - first)) if as_of_day > first else used_up


def units_on_hand(supplies: Sequence[Supply], use: float, as_of_day: int, purchase_days: Collection[int] = ()) -> float:
    """Units at home at the end of a day, if each day needs the same. Who buys has nothing left."""
    units, last_day = 0.0, supplies[0].day
    for supply in supplies:
        left = 0.0 if supply.day in purchase_days else max(0.0, units - use * (supply.day - last_day))
        units = left + supply.units
        last_day = supply.day
    return max(0.0, units - use * (as_of_day - last_day))
