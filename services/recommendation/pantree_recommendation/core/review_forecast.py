"""What a subscription brings in the next twelve weeks, as it is and after a change."""

from collections.abc import Sequence
from typing import NamedTuple

from pantree_domain.money import round_to_cent
from pantree_recommendation.core.review_state import (
    FORECAST_DAYS,
    Change,
    DeliveryRecord,
    DeliveryStatus,
    Evidence,
    ReviewAction,
    SubscriptionState,
    SupplyForecast,
)

MIN_TOLERANCE_DAYS = 1.0
TOLERANCE_RATIO = 0.25
"""A delivery is early, and the household has run out, by more than this share of the interval."""


class ComingDelivery(NamedTuple):
    """A delivery that will take place."""

    day: int
    quantity: int
    is_open: bool
    """Whether it can be changed."""
    is_made: bool = False
    """Whether it arrives even after a cancellation."""


def next_changeable(state: SubscriptionState, as_of_day: int) -> DeliveryRecord | None:
    """The next delivery that can still be changed and is not skipped."""
    return next((one for one in state.deliveries if one.is_open and one.day > as_of_day), None)


def coming_deliveries(state: SubscriptionState, as_of_day: int) -> list[ComingDelivery]:
    """The deliveries of the next twelve weeks, continued at the interval after the last known one until the end."""
    coming = [one for one in state.deliveries if one.day > as_of_day]
    last_day = _last_day(state, as_of_day)
    found = [
        ComingDelivery(one.day, one.quantity, one.is_open, one.status is not DeliveryStatus.PLANNED)
        for one in coming
        if one.status not in (DeliveryStatus.SKIPPED, DeliveryStatus.FAILED)
        and one.day <= (last_day if one.status is DeliveryStatus.PLANNED else as_of_day + FORECAST_DAYS)
    ]
    if not coming or state.is_paused:
        return found
    first = max(one.scheduled_day for one in coming) + state.interval_days
    days = range(first, last_day + 1, state.interval_days)
    return found + [ComingDelivery(day, state.quantity, is_open=True) for day in days if day > as_of_day]


def _last_day(state: SubscriptionState, as_of_day: int) -> int:
    """The last day of the next twelve weeks on which there are deliveries."""
    last = as_of_day + FORECAST_DAYS
    return last if state.end_day is None else min(last, state.end_day - 1)


def changed_deliveries(
    state: SubscriptionState, as_of_day: int, action: ReviewAction, change: Change
) -> list[ComingDelivery]:
    """The same deliveries after an advice is followed; those past their cut-off stay, unless the subscription ends."""
    coming = coming_deliveries(state, as_of_day)
    fixed, open_ = [one for one in coming if not one.is_open], [one for one in coming if one.is_open]
    match action:
        case ReviewAction.STOP:
            return [one for one in coming if one.is_made]
        case ReviewAction.SKIP_NEXT:
            return fixed + open_[1:]
        case ReviewAction.PAUSE if change.pause_until is not None:
            return fixed + [one for one in open_ if one.day >= change.pause_until]
        case ReviewAction.CHANGE_QUANTITY if change.quantity is not None:
            return fixed + [one._replace(quantity=change.quantity) for one in open_]
        case ReviewAction.LENGTHEN | ReviewAction.SHORTEN if change.interval_days is not None and open_:
            # The next delivery keeps its day.
            first = open_[0]
            days = range(first.day, _last_day(state, as_of_day) + 1, change.interval_days)
            return fixed + [first._replace(day=day) for day in days]
        case _:
            return coming


def forecast(
    state: SubscriptionState, evidence: Evidence, deliveries: Sequence[ComingDelivery], as_of_day: int, digits: int
) -> SupplyForecast:
    """What deliveries bring in the next twelve weeks, if each day needs the same."""
    units = sum(one.quantity for one in deliveries)
    cost = round_to_cent(units * state.unit_price, digits) if state.unit_price else None
    use, on_hand = evidence.use_per_day, evidence.units_on_hand
    if not use or on_hand is None:
        return SupplyForecast(units, None, None, cost)
    tolerance = max(MIN_TOLERANCE_DAYS, TOLERANCE_RATIO * state.interval_days)
    early = stockouts = 0
    # Day on which the household has used what it has.
    lasts_until = as_of_day + on_hand / use
    for one in sorted(deliveries):
        early += lasts_until - one.day > tolerance
        stockouts += one.day - lasts_until > tolerance
        lasts_until = max(lasts_until, one.day) + one.quantity / use
    stockouts += as_of_day + FORECAST_DAYS - lasts_until > tolerance
    return SupplyForecast(units, early, stockouts, cost)
