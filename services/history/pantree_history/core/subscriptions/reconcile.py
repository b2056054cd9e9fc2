"""What the reports of an engine make of a subscription that it keeps.

The engine is the master: whatever it reports holds, even where a lever would be refused. A report becomes the events
that lead from our state to its state.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import count

from pantree_domain.days import calendar_day
from pantree_history.core.subscriptions.calendar import held_from, is_edited, next_unedited, sequences_until
from pantree_history.core.subscriptions.decide import decide
from pantree_history.core.subscriptions.engines.reports import OrderReport, OrderStatus, Snapshot
from pantree_history.core.subscriptions.evolve import evolve_all
from pantree_history.core.subscriptions.model import (
    Cancelled,
    Created,
    DeliveryFailed,
    DeliveryLocked,
    DeliveryMoved,
    DeliveryOrdered,
    DeliveryOutOfStock,
    DeliveryRestored,
    DeliverySkipped,
    DeliveryStatus,
    Event,
    Expired,
    IntervalChanged,
    Item,
    ItemChanged,
    Mirrored,
    Paused,
    QuantityChanged,
    Reactivated,
    Resume,
    Status,
    Subscription,
    Terms,
)
from pantree_history.core.subscriptions.schedule import Segment
from pantree_runtime.errors import FieldViolation, InvalidInput

UNKNOWN_ITEM = Item("unknown item")
"""Item of a subscription whose engine does not report it."""
MAX_PAST_DAYS = 10 * 366
"""How long ago a subscription may have begun."""
MAX_AHEAD_DAYS = 3 * 366
"""How far ahead an engine may plan."""
_RUNNING = (Status.ACTIVE, Status.PAUSED)
_OPEN = (DeliveryStatus.PLANNED, DeliveryStatus.SKIPPED)
_MADE = (DeliveryStatus.LOCKED, DeliveryStatus.SENT, DeliveryStatus.DELIVERED)


class Outdated(Exception):
    """What is stored is newer than a report."""


class _Change:
    """Events, and the state that they lead to."""

    def __init__(self, state: Subscription) -> None:
        self.state = state
        self.events: list[Event] = []

    def add(self, *events: Event) -> None:
        self.events += events
        self.state = evolve_all(self.state, events)


def created_by(seen: Snapshot, time_zone: str, today: int) -> Created:
    """The event that begins a subscription which an engine reports.

    Raises:
        InvalidInput: its days are too far away.
    """
    _check_days(seen, today)
    day = seen.next_day if seen.next_day is not None else seen.first_day
    return Created(
        Terms(
            item=seen.item or UNKNOWN_ITEM,
            quantity=seen.quantity or 1,
            interval=seen.interval,
            anchor_day=today if day is None else day,
            time_zone=time_zone,
            mirror=seen.mirror,
        )
    )


def reconcile(state: Subscription, seen: Snapshot, today: int) -> Sequence[Event]:
    """Events that make a subscription what its engine reports; none if it is so already.

    Args:
        state: the subscription as of today.
        seen: what the engine reports.
        today: in the shop's time zone, in days since 1970-01-01.

    Raises:
        Outdated: a newer report is stored.
        InvalidInput: its days are too far away.
    """
    known = state.mirror
    assert known is not None
    # An engine without versions reports in order.
    if seen.mirror.version and seen.mirror.version < known.version:
        raise Outdated
    _check_days(seen, today)
    change = _Change(state)
    if seen.status in _RUNNING and state.status not in _RUNNING:
        change.add(_begun_again(state, seen, today))
    if seen.status is Status.ACTIVE and change.state.status is Status.PAUSED:
        change.add(*decide(change.state, Resume(), today))
    if seen.item is not None and seen.item != state.item:
        # The engine may still change what it sends today.
        change.add(ItemChanged(seen.item, *held_from(change.state, today)))
    if seen.quantity is not None and seen.quantity != state.quantity:
        change.add(QuantityChanged(seen.quantity, *held_from(change.state, today)))
    if seen.status in _RUNNING:
        change.add(*_scheduled(change.state, seen, today))
    change.add(*_ended(change.state, seen, today))
    if seen.mirror != known:
        change.add(Mirrored(replace(seen.mirror, version=max(seen.mirror.version, known.version))))
    return change.events


def apply_order(state: Subscription, report: OrderReport, today: int) -> Sequence[Event]:
    """Events of a report about an order; none if it says nothing new, or belongs to no delivery of the schedule.

    Args:
        state: the subscription as of today.
        report: what the engine reports.
        today: in the shop's time zone, in days since 1970-01-01.

    Raises:
        Outdated: a newer report about the order is stored.
        InvalidInput: its day is too far away.
    """
    _check_day("order", report.day, today)
    sequence = _sequence_of(state, report, today)
    if sequence is None:
        return []
    known = state.delivery(sequence)
    if report.order_id in ("", known.order_id) and 0 < report.version < known.order_version:
        raise Outdated
    change = _Change(state)
    change.add(*_APPLY[report.status](state, sequence, report))
    after = change.state.delivery(sequence)
    version = max(report.version, after.order_version)
    if report.order_id and (after.order_id, after.order_version) != (report.order_id, version):
        change.add(DeliveryOrdered(sequence, report.order_id, version))
    return change.events


def _check_days(seen: Snapshot, today: int) -> None:
    _check_day("next delivery", seen.next_day, today)
    _check_day("first delivery", seen.first_day, today)


def _check_day(name: str, day: int | None, today: int) -> None:
    if day is not None and not today - MAX_PAST_DAYS <= day <= today + MAX_AHEAD_DAYS:
        description = f"has its {name} on {calendar_day(day).isoformat()}, which is too far away"
        raise InvalidInput([FieldViolation("payload", description)])


def _begun_again(state: Subscription, seen: Snapshot, today: int) -> Reactivated:
    end = today if state.cancel_on is None else state.cancel_on
    first = next(one for one in count(_first_open(state)) if state.scheduled_day(one) >= end)
    if seen.next_day is not None:
        return Reactivated(Segment(first, seen.next_day, seen.interval))
    # The days of the schedule go on, without the numbers of those that passed.
    segment = state.segment
    at = next(one for one in count(first) if state.scheduled_day(one) > today)
    offset = segment.offset + (at - segment.first_sequence) * segment.interval.count
    return Reactivated(Segment(first, segment.anchor_day, segment.interval, offset))


def _scheduled(state: Subscription, seen: Snapshot, today: int) -> Iterable[Event]:
    """Events that set the interval and the day of the next delivery."""
    segment = state.segment
    if seen.next_day is None:
        if seen.interval == segment.interval:
            return []
        return [IntervalChanged(segment.from_sequence(next_unedited(state, today), seen.interval))]
    first = _first_open(state)
    if seen.interval == segment.interval:
        for one in sequences_until(state, seen.next_day, first):
            if state.day(one) == seen.next_day and state.delivery(one).status in _OPEN:
                return _left_out(state, range(first, one), one, today)
    # A new schedule. What was changed of deliveries of the old one is void.
    begin = next(one for one in count(first) if state.day(one) >= today)
    void = [one for one, delivery in sorted(state.deliveries.items()) if one >= begin and is_edited(delivery)]
    return [*map(DeliveryRestored, void), IntervalChanged(Segment(begin, seen.next_day, seen.interval))]


def _left_out(state: Subscription, before: range, sequence: int, today: int) -> Iterable[Event]:
    """Events if the next delivery is one of the schedule: those before it that have not come are skipped."""
    for one in before:
        if state.delivery(one).status is DeliveryStatus.PLANNED and state.day(one) > today:
            yield DeliverySkipped(one)
    if state.delivery(sequence).status is DeliveryStatus.SKIPPED:
        day = state.day(sequence)
        yield DeliveryRestored(sequence)
        if state.scheduled_day(sequence) != day:
            yield DeliveryMoved(sequence, day)


def _first_open(state: Subscription) -> int:
    """The first delivery after all that were made."""
    made = [one for one, delivery in state.deliveries.items() if delivery.status not in _OPEN]
    return max([*made, state.segment.first_sequence - 1]) + 1


def _ended(state: Subscription, seen: Snapshot, today: int) -> Iterable[Event]:
    """Events of a pause or an end."""
    on = today if seen.ended_on is None else min(seen.ended_on, today)
    if seen.status is Status.PAUSED and state.status is Status.ACTIVE:
        return [Paused(today, None)]
    if seen.status is Status.CANCELLED and (state.status, state.cancellation) != (Status.CANCELLED, seen.cancellation):
        return [Cancelled(on, seen.cancellation)]
    if seen.status is Status.EXPIRED and state.status is not Status.EXPIRED:
        return [Expired(on)]
    return []


def _sequence_of(state: Subscription, report: OrderReport, today: int) -> int | None:
    """The delivery of an order: the one with its id, or else the one whose day is closest, within half an interval."""
    if report.order_id:
        named = [one for one, delivery in state.deliveries.items() if delivery.order_id == report.order_id]
        if named:
            return named[0]
    if report.day is None:
        if state.status in (Status.CANCELLED, Status.EXPIRED):
            return None
        return next(
            one
            for one in count(_first_open(state))
            if state.day(one) >= today and state.delivery(one).status in _OPEN and not state.delivery(one).order_id
        )
    reach = state.segment.interval.days // 2
    found = [
        (abs(state.day(one) - report.day), one)
        for one in sequences_until(state, report.day + reach)
        if abs(state.day(one) - report.day) <= reach and not state.delivery(one).order_id
    ]
    return min(found)[1] if found else None


def _planned(state: Subscription, sequence: int, report: OrderReport) -> Iterable[Event]:
    status = state.delivery(sequence).status
    if status in _MADE:
        return
    known = state.day(sequence)
    if status is not DeliveryStatus.PLANNED:
        yield DeliveryRestored(sequence)
        known = state.scheduled_day(sequence)
    if report.day is not None and report.day != known:
        yield DeliveryMoved(sequence, report.day)


def _placed(state: Subscription, sequence: int, report: OrderReport) -> Iterable[Event]:
    known = state.delivery(sequence)
    if known.status in _MADE:
        return
    day = state.day(sequence) if report.day is None else report.day
    quantity = report.quantity or state.quantity_of(sequence)
    yield DeliveryLocked(sequence, day, state.item_of(sequence), quantity)


def _skipped(state: Subscription, sequence: int, report: OrderReport) -> Iterable[Event]:
    if state.delivery(sequence).status is DeliveryStatus.PLANNED:
        yield DeliverySkipped(sequence, report.reason)


def _failed(state: Subscription, sequence: int, report: OrderReport) -> Iterable[Event]:
    if state.delivery(sequence).status in (DeliveryStatus.PLANNED, DeliveryStatus.LOCKED):
        yield DeliveryFailed(sequence, report.reason)


def _out_of_stock(state: Subscription, sequence: int, _report: OrderReport) -> Iterable[Event]:
    if not state.delivery(sequence).is_out_of_stock:
        yield DeliveryOutOfStock(sequence)


def _named(_state: Subscription, _sequence: int, _report: OrderReport) -> Iterable[Event]:
    return []


_APPLY: Mapping[OrderStatus, Callable[[Subscription, int, OrderReport], Iterable[Event]]] = {
    OrderStatus.NAMED: _named,
    OrderStatus.PLANNED: _planned,
    OrderStatus.PLACED: _placed,
    OrderStatus.SKIPPED: _skipped,
    OrderStatus.FAILED: _failed,
    OrderStatus.OUT_OF_STOCK: _out_of_stock,
}
