"""What an event makes of a subscription."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from pantree_history.core.subscriptions.model import (
    Cancellation,
    CancellationScheduled,
    Cancelled,
    Created,
    Delivery,
    DeliveryDelivered,
    DeliveryFailed,
    DeliveryLocked,
    DeliveryMoved,
    DeliveryOrdered,
    DeliveryOutOfStock,
    DeliveryRestored,
    DeliveryReturned,
    DeliverySent,
    DeliverySkipped,
    DeliveryStatus,
    DeliverySubstituted,
    EarlierItem,
    EarlierQuantity,
    Event,
    Expired,
    IntervalChanged,
    ItemChanged,
    Mirrored,
    Paused,
    QuantityChanged,
    Reactivated,
    RecordedEvent,
    Resumed,
    Status,
    Subscription,
)
from pantree_history.core.subscriptions.schedule import Segment

_T = TypeVar("_T")

PAUSED = "paused"
"""Reason of deliveries that are skipped because of a pause."""


def begin(subscription_id: str, household_id: str, event: Created, now: int) -> Subscription:
    """The subscription that an event begins."""
    terms = event.terms
    return Subscription(
        subscription_id=subscription_id,
        household_id=household_id,
        terms=terms,
        item=terms.item,
        quantity=terms.quantity,
        segments=(Segment(1, terms.anchor_day, terms.interval),),
        created_at=now,
        changed_at=now,
        expires_on=terms.expires_on,
        mirror=terms.mirror,
    )


def evolve(state: Subscription, event: Event) -> Subscription:
    """The subscription after an event."""
    return replace(_EVOLUTIONS[type(event)](state, event), version=state.version + 1)


def evolve_all(state: Subscription, events: Iterable[Event]) -> Subscription:
    """The subscription after some events."""
    for event in events:
        state = evolve(state, event)
    return state


def replayed(
    subscription_id: str, household_id: str, events: Iterable[RecordedEvent]
) -> Iterator[tuple[RecordedEvent, Subscription]]:
    """All events of a subscription, each with the subscription after it.

    Args:
        subscription_id: the subscription.
        household_id: whose it is now.
        events: ordered by number, from the first one.
    """
    state: Subscription | None = None
    for one in events:
        if isinstance(one.event, Created):
            state = begin(subscription_id, household_id, one.event, one.occurred_at)
        else:
            assert state is not None
            state = replace(evolve(state, one.event), changed_at=one.occurred_at)
        yield one, state


def _with(state: Subscription, sequence: int, **changes: Any) -> Subscription:
    changed = replace(state.delivery(sequence), **changes)
    return replace(state, deliveries={**state.deliveries, sequence: changed})


def _skipped(state: Subscription, event: DeliverySkipped) -> Subscription:
    return _with(state, event.sequence, status=DeliveryStatus.SKIPPED, reason=event.reason)


def _restored(state: Subscription, event: DeliveryRestored) -> Subscription:
    return _with(state, event.sequence, status=DeliveryStatus.PLANNED, moved_to=None, reason="")


def _moved(state: Subscription, event: DeliveryMoved) -> Subscription:
    return _with(state, event.sequence, status=DeliveryStatus.PLANNED, moved_to=event.day, reason="")


def _paused(state: Subscription, event: Paused) -> Subscription:
    return replace(
        state,
        status=Status.PAUSED,
        paused_on=event.on,
        pause_until=event.until,
        household_pause=event.household,
        alone_until=event.alone_until,
    )


def _without_pause(state: Subscription, status: Status, skipped: Iterable[int]) -> Subscription:
    for sequence in skipped:
        state = _with(state, sequence, status=DeliveryStatus.SKIPPED, reason=PAUSED)
    return replace(state, status=status, paused_on=None, pause_until=None, household_pause=False, alone_until=None)


def _resumed(state: Subscription, event: Resumed) -> Subscription:
    return _without_pause(state, Status.ACTIVE, event.skipped)


def _reactivated(state: Subscription, event: Reactivated) -> Subscription:
    kept = replace(state, cancel_on=None, cancellation=None)
    if event.segment is None:
        return kept
    first = event.segment.first_sequence
    # Nothing of what was planned before the end applies to the deliveries that begin again.
    fresh = {one: Delivery(one) for one in state.deliveries if one >= first}
    return replace(
        _without_pause(kept, Status.ACTIVE, ()),
        expires_on=None,
        segments=(*_before(state, first), event.segment),
        deliveries={**state.deliveries, **fresh},
        earlier_items=tuple(EarlierItem(*one) for one in _clipped(state.earlier_items, first, state.item)),
        earlier_quantities=tuple(
            EarlierQuantity(*one) for one in _clipped(state.earlier_quantities, first, state.quantity)
        ),
    )


def _interval_changed(state: Subscription, event: IntervalChanged) -> Subscription:
    return replace(state, segments=(*_before(state, event.segment.first_sequence), event.segment))


def _before(state: Subscription, sequence: int) -> tuple[Segment, ...]:
    return tuple(one for one in state.segments if one.first_sequence < sequence)


def _quantity_changed(state: Subscription, event: QuantityChanged) -> Subscription:
    for sequence in event.kept:
        state = _with(state, sequence, quantity=state.quantity_of(sequence))
    earlier = [EarlierQuantity(*one) for one in _until(state.earlier_quantities, event.first_sequence, state.quantity)]
    return replace(state, quantity=event.quantity, earlier_quantities=tuple(earlier))


def _item_changed(state: Subscription, event: ItemChanged) -> Subscription:
    for sequence in event.kept:
        state = _with(state, sequence, item=state.item_of(sequence))
    earlier = [EarlierItem(*one) for one in _until(state.earlier_items, event.first_sequence, state.item)]
    return replace(state, item=event.item, earlier_items=tuple(earlier))


def _until(earlier: Sequence[tuple[int, _T]], first: int, current: _T) -> Iterator[tuple[int, _T]]:
    """What held for the deliveries before one.

    Args:
        earlier: what holds before a delivery each, ascending.
        first: the delivery.
        current: what holds after all of them.
    """
    yield from (one for one in earlier if one[0] < first)
    if first > 1:
        yield first, next((value for before, value in earlier if before >= first), current)


def _clipped(earlier: Sequence[tuple[int, _T]], first: int, current: _T) -> Iterable[tuple[int, _T]]:
    """The same, if no delivery from one on is an earlier one any more."""
    return _until(earlier, first, current) if earlier and earlier[-1][0] > first else earlier


def _cancellation_scheduled(state: Subscription, event: CancellationScheduled) -> Subscription:
    return replace(state, cancel_on=event.on, cancellation=event.cancellation)


def _cancelled(state: Subscription, event: Cancelled) -> Subscription:
    ended = _without_pause(state, Status.CANCELLED, event.skipped)
    return replace(ended, cancel_on=event.on, cancellation=event.cancellation or Cancellation())


def _expired(state: Subscription, event: Expired) -> Subscription:
    return _without_pause(state, Status.EXPIRED, event.skipped)


def _locked(state: Subscription, event: DeliveryLocked) -> Subscription:
    moved_to = None if event.day == state.scheduled_day(event.sequence) else event.day
    return _with(
        state,
        event.sequence,
        status=DeliveryStatus.LOCKED,
        moved_to=moved_to,
        item=event.item,
        quantity=event.quantity,
        reason="",
    )


def _fixed(state: Subscription, sequence: int) -> dict[str, Any]:
    """Item and quantity of a delivery, which no later change of the subscription may change."""
    return {"item": state.item_of(sequence), "quantity": state.quantity_of(sequence)}


def _sent(state: Subscription, event: DeliverySent) -> Subscription:
    return _with(state, event.sequence, status=DeliveryStatus.SENT, reason="", **_fixed(state, event.sequence))


def _delivered(state: Subscription, event: DeliveryDelivered) -> Subscription:
    return _with(
        state,
        event.sequence,
        status=DeliveryStatus.DELIVERED,
        delivered_quantity=event.quantity,
        reason="",
        **_fixed(state, event.sequence),
    )


def _failed(state: Subscription, event: DeliveryFailed) -> Subscription:
    return _with(
        state, event.sequence, status=DeliveryStatus.FAILED, reason=event.reason, **_fixed(state, event.sequence)
    )


def _out_of_stock(state: Subscription, event: DeliveryOutOfStock) -> Subscription:
    return _with(state, event.sequence, is_out_of_stock=True)


def _substituted(state: Subscription, event: DeliverySubstituted) -> Subscription:
    return _with(state, event.sequence, item=event.item)


def _returned(state: Subscription, event: DeliveryReturned) -> Subscription:
    returned = state.delivery(event.sequence).returned_quantity + event.quantity
    return _with(state, event.sequence, returned_quantity=returned)


def _ordered(state: Subscription, event: DeliveryOrdered) -> Subscription:
    return _with(state, event.sequence, order_id=event.order_id, order_version=event.version)


def _mirrored(state: Subscription, event: Mirrored) -> Subscription:
    return replace(state, mirror=event.mirror)


_EVOLUTIONS: Mapping[type, Callable[[Subscription, Any], Subscription]] = {
    DeliverySkipped: _skipped,
    DeliveryRestored: _restored,
    DeliveryMoved: _moved,
    Paused: _paused,
    Resumed: _resumed,
    Reactivated: _reactivated,
    IntervalChanged: _interval_changed,
    QuantityChanged: _quantity_changed,
    ItemChanged: _item_changed,
    CancellationScheduled: _cancellation_scheduled,
    Cancelled: _cancelled,
    Expired: _expired,
    DeliveryLocked: _locked,
    DeliverySent: _sent,
    DeliveryDelivered: _delivered,
    DeliveryFailed: _failed,
    DeliveryOutOfStock: _out_of_stock,
    DeliverySubstituted: _substituted,
    DeliveryReturned: _returned,
    DeliveryOrdered: _ordered,
    Mirrored: _mirrored,
}
