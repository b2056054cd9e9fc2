"""What a command does to a subscription, or why it cannot be done."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import count
from typing import Any

from pantree_domain.days import calendar_day
from pantree_history.core.subscriptions.calendar import (
    MAX_AHEAD_DAYS,
    held_from,
    is_changeable,
    is_edited,
    missed_by_pause,
    next_changeable,
    next_unedited,
)
from pantree_history.core.subscriptions.evolve import evolve, evolve_all
from pantree_history.core.subscriptions.model import (
    Cancel,
    Cancellation,
    CancellationScheduled,
    Cancelled,
    ChangeInterval,
    ChangeItem,
    ChangeQuantity,
    Command,
    DeliveryDelivered,
    DeliveryFailed,
    DeliveryLocked,
    DeliveryMoved,
    DeliveryOutOfStock,
    DeliveryRestored,
    DeliveryReturned,
    DeliverySent,
    DeliverySkipped,
    DeliveryStatus,
    DeliverySubstituted,
    Event,
    Expired,
    IntervalChanged,
    ItemChanged,
    Move,
    Pause,
    Paused,
    PauseHousehold,
    QuantityChanged,
    Reactivate,
    Reactivated,
    RecordDelivered,
    RecordFailed,
    RecordLocked,
    RecordOutOfStock,
    RecordReturned,
    RecordSent,
    RecordSubstituted,
    Restore,
    Resume,
    Resumed,
    ResumeHousehold,
    SendNow,
    Skip,
    Status,
    Subscription,
)
from pantree_history.core.subscriptions.schedule import Segment
from pantree_runtime.errors import FieldViolation, InvalidInput, InvalidState

_RUNNING = frozenset({Status.ACTIVE, Status.PAUSED})
_ENDED = frozenset({Status.CANCELLED, Status.EXPIRED})

LEVERS: Mapping[type, frozenset[Status]] = {
    Skip: _RUNNING,
    Restore: _RUNNING,
    Move: _RUNNING,
    SendNow: frozenset({Status.ACTIVE}),
    Pause: _RUNNING,
    Resume: frozenset({Status.PAUSED}),
    PauseHousehold: _RUNNING | _ENDED,  # what has ended stays as it is
    ResumeHousehold: _RUNNING | _ENDED,
    Reactivate: _RUNNING | _ENDED,  # of a running one, an announced cancellation is taken back
    ChangeInterval: _RUNNING,
    ChangeQuantity: _RUNNING,
    ChangeItem: _RUNNING,
    Cancel: _RUNNING,
}
"""Statuses of a subscription in which a lever can be used."""

_PLANNED, _LOCKED, _SENT, _DELIVERED, _SKIPPED, _FAILED = DeliveryStatus

REPORTS: Mapping[type, frozenset[DeliveryStatus]] = {
    RecordLocked: frozenset({_PLANNED}),
    # What is reported as sent was sent, whatever was planned.
    RecordSent: frozenset({_PLANNED, _LOCKED, _SKIPPED}),
    RecordDelivered: frozenset({_PLANNED, _LOCKED, _SENT, _SKIPPED}),
    RecordFailed: frozenset({_PLANNED, _LOCKED, _SENT}),
    RecordOutOfStock: frozenset({_PLANNED, _LOCKED}),
    RecordSubstituted: frozenset({_PLANNED, _LOCKED, _SENT}),
    RecordReturned: frozenset({_DELIVERED}),
}
"""Statuses of a delivery in which a report about it can be recorded."""


Elapsed = Resumed | Cancelled | Expired


def elapse(state: Subscription, today: int) -> Sequence[Elapsed]:
    """Events that happened because a day came: the end of a pause, a cancellation, an expiry."""
    events: list[Elapsed] = []
    while (event := _next_elapsed(state, today)) is not None:
        events.append(event)
        state = evolve(state, event)
    return events


def as_of(state: Subscription, today: int) -> Subscription:
    """The subscription on a day, with what happened because the day came."""
    return evolve_all(state, elapse(state, today))


def decide(state: Subscription, command: Command, today: int) -> Sequence[Event]:
    """Events of a command; none if it changes nothing.

    Args:
        state: the subscription as of today.
        command: the command.
        today: day in the shop's time zone, in days since 1970-01-01.

    Raises:
        InvalidState: the command cannot be done in this state.
        InvalidInput: a day or a sequence is not possible.
    """
    kind = type(command)
    if kind in LEVERS and state.status not in LEVERS[kind]:
        allowed = " or ".join(sorted(LEVERS[kind]))
        raise InvalidState(f"the subscription is {state.status}; this needs one that is {allowed}")
    return _DECISIONS[kind](state, command, today)


def _next_elapsed(state: Subscription, today: int) -> Elapsed | None:
    if state.status not in _RUNNING:
        return None
    ends: list[tuple[int, Elapsed]] = []
    if state.pause_until is not None:
        ends.append((state.pause_until, Resumed(state.pause_until, missed_by_pause(state, state.pause_until))))
    if state.cancel_on is not None:
        ends.append((state.cancel_on, _cancelled(state, state.cancel_on, state.cancellation)))
    if state.expires_on is not None:
        ends.append((state.expires_on, Expired(state.expires_on, _missed_before(state, state.expires_on))))
    due = [one for one in ends if one[0] <= today]
    return min(due, key=lambda one: one[0])[1] if due else None


def _cancelled(state: Subscription, on: int, cancellation: Cancellation | None) -> Cancelled:
    return Cancelled(on, cancellation or Cancellation(), _missed_before(state, on))


def _missed_before(state: Subscription, end: int) -> tuple[int, ...]:
    return missed_by_pause(state, end) if state.status is Status.PAUSED else ()


def _skip(state: Subscription, command: Skip, today: int) -> Sequence[Event]:
    sequence = command.sequence or _next(state, today)
    if state.delivery(sequence).status is DeliveryStatus.SKIPPED:
        return []
    _check_changeable(state, sequence, today)
    return [DeliverySkipped(sequence, command.reason)]


def _restore(state: Subscription, command: Restore, today: int) -> Sequence[Event]:
    if not is_edited(state.delivery(command.sequence)):
        return []
    _check_changeable(state, command.sequence, today)
    if state.scheduled_day(command.sequence) - state.terms.cut_off_days <= today:
        raise InvalidState(
            f"the day of delivery {command.sequence} in the schedule is past its cut-off; move it instead"
        )
    return [DeliveryRestored(command.sequence)]


def _move(state: Subscription, command: Move, today: int) -> Sequence[Event]:
    sequence = command.sequence or _next(state, today)
    _check_changeable(state, sequence, today)
    _check_day(state, command.day, today, "day")
    if command.day == state.day(sequence) and state.delivery(sequence).status is DeliveryStatus.PLANNED:
        return []
    return [DeliveryMoved(sequence, command.day)]


def _send_now(state: Subscription, command: SendNow, today: int) -> Sequence[Event]:
    sequence = _next(state, today)
    return [DeliveryLocked(sequence, today, state.item_of(sequence), state.quantity_of(sequence))]


def _pause(state: Subscription, command: Pause, today: int) -> Sequence[Event]:
    _check_until(command.until, today)
    if state.status is Status.PAUSED:
        assert state.paused_on is not None
        is_same = command.until == state.pause_until and not state.household_pause
        return [] if is_same else [Paused(state.paused_on, command.until)]
    return [Paused(today, command.until)]


def _resume(state: Subscription, command: Resume, today: int) -> Sequence[Event]:
    # Deliveries that reached their cut-off during the pause can no longer be prepared.
    until = today + state.terms.cut_off_days + 1
    return [
        Resumed(today, missed_by_pause(state, until if state.pause_until is None else min(until, state.pause_until)))
    ]


def _pause_household(state: Subscription, command: PauseHousehold, today: int) -> Sequence[Event]:
    if state.status in _ENDED:
        return []
    _check_until(command.until, today)
    if state.status is Status.ACTIVE:
        return [Paused(today, command.until, household=True)]
    assert state.paused_on is not None
    # The longer one of both pauses holds. A pause of its own is remembered while that of the household outlasts it.
    alone_until = state.alone_until if state.household_pause else state.pause_until
    is_alone = not state.household_pause or alone_until is not None
    if is_alone and (alone_until is None or (command.until is not None and command.until <= alone_until)):
        return _paused_until(state, Paused(state.paused_on, alone_until))
    return _paused_until(state, Paused(state.paused_on, command.until, household=True, alone_until=alone_until))


def _resume_household(state: Subscription, command: ResumeHousehold, today: int) -> Sequence[Event]:
    if not state.household_pause:
        return []
    if state.alone_until is not None and state.alone_until > today:
        assert state.paused_on is not None
        return [Paused(state.paused_on, state.alone_until)]
    return _resume(state, Resume(), today)


def _paused_until(state: Subscription, event: Paused) -> Sequence[Event]:
    return [] if evolve(state, event) == replace(state, version=state.version + 1) else [event]


def _check_until(until: int | None, today: int) -> None:
    if until is not None and until <= today:
        raise InvalidInput([FieldViolation("until", f"must be after today, {calendar_day(today).isoformat()}")])


def _reactivate(state: Subscription, command: Reactivate, today: int) -> Sequence[Event]:
    if command.next_day is not None:
        _check_day(state, command.next_day, today, "next_day")
    if state.status in _RUNNING:
        if command.next_day is not None:
            raise InvalidState("the subscription has not ended; change its interval to set the next day")
        return [] if state.cancel_on is None else [Reactivated(None)]
    end = state.cancel_on if state.status is Status.CANCELLED else state.expires_on
    assert end is not None
    made = [one for one, delivery in state.deliveries.items() if delivery.status not in (_PLANNED, _SKIPPED)]
    after_made = max([*made, state.segment.first_sequence - 1]) + 1
    first = next(one for one in count(after_made) if state.scheduled_day(one) >= end)
    if command.next_day is not None:
        return [Reactivated(Segment(first, command.next_day, state.segment.interval))]
    # The days of the schedule go on, without the numbers of those that passed.
    segment = state.segment
    at = next(one for one in count(first) if state.scheduled_day(one) - state.terms.cut_off_days > today)
    offset = segment.offset + (at - segment.first_sequence) * segment.interval.count
    return [Reactivated(Segment(first, segment.anchor_day, segment.interval, offset))]


def _change_interval(state: Subscription, command: ChangeInterval, today: int) -> Sequence[Event]:
    sequence = next_unedited(state, today)
    if command.next_day is not None:
        _check_day(state, command.next_day, today, "next_day")
        return [IntervalChanged(Segment(sequence, command.next_day, command.interval))]
    if command.interval == state.segment.interval:
        return []
    return [IntervalChanged(state.segment.from_sequence(sequence, command.interval))]


def _change_quantity(state: Subscription, command: ChangeQuantity, today: int) -> Sequence[Event]:
    if command.quantity == state.quantity:
        return []
    return [QuantityChanged(command.quantity, *held_from(state, today + state.terms.cut_off_days + 1))]


def _change_item(state: Subscription, command: ChangeItem, today: int) -> Sequence[Event]:
    if command.item == state.item:
        return []
    return [ItemChanged(command.item, *held_from(state, today + state.terms.cut_off_days + 1))]


def _cancel(state: Subscription, command: Cancel, today: int) -> Sequence[Event]:
    if command.on is None or command.on == today:
        return [_cancelled(state, today, command.cancellation)]
    if command.on < today:
        raise InvalidInput([FieldViolation("on", f"must not be before today, {calendar_day(today).isoformat()}")])
    return [CancellationScheduled(command.on, command.cancellation)]


def _locked(state: Subscription, command: RecordLocked, today: int) -> Sequence[Event]:
    if _is_repeated(state, command, DeliveryStatus.LOCKED, today):
        return []
    sequence = command.sequence
    return [DeliveryLocked(sequence, state.day(sequence), state.item_of(sequence), state.quantity_of(sequence))]


def _sent(state: Subscription, command: RecordSent, today: int) -> Sequence[Event]:
    return [] if _is_repeated(state, command, _SENT, today) else [DeliverySent(command.sequence)]


def _delivered(state: Subscription, command: RecordDelivered, today: int) -> Sequence[Event]:
    if _is_repeated(state, command, _DELIVERED, today):
        return []
    quantity = state.quantity_of(command.sequence) if command.quantity is None else command.quantity
    return [DeliveryDelivered(command.sequence, quantity)]


def _failed(state: Subscription, command: RecordFailed, today: int) -> Sequence[Event]:
    return [] if _is_repeated(state, command, _FAILED, today) else [DeliveryFailed(command.sequence, command.reason)]


def _out_of_stock(state: Subscription, command: RecordOutOfStock, today: int) -> Sequence[Event]:
    _is_repeated(state, command, None, today)
    return [] if state.delivery(command.sequence).is_out_of_stock else [DeliveryOutOfStock(command.sequence)]


def _substituted(state: Subscription, command: RecordSubstituted, today: int) -> Sequence[Event]:
    _is_repeated(state, command, None, today)
    known = state.delivery(command.sequence).item
    return [] if known == command.item else [DeliverySubstituted(command.sequence, command.item)]


def _returned(state: Subscription, command: RecordReturned, today: int) -> Sequence[Event]:
    _is_repeated(state, command, None, today)
    known = state.delivery(command.sequence)
    left = (known.delivered_quantity or 0) - known.returned_quantity
    if command.quantity > left:
        raise InvalidInput([FieldViolation("quantity", f"must be at most the {left:,} units that were kept")])
    return [DeliveryReturned(command.sequence, command.quantity)]


def _next(state: Subscription, today: int) -> int:
    sequence = next_changeable(state, today)
    if sequence is None:
        raise InvalidState(f"no delivery within {MAX_AHEAD_DAYS} days can be changed")
    return sequence


def _check_changeable(state: Subscription, sequence: int, today: int) -> None:
    _check_sequence(state, sequence, today)
    if not is_changeable(state, sequence, today):
        status = state.delivery(sequence).status
        why = "is past its cut-off" if status in (_PLANNED, _SKIPPED) else f"is {status}"
        raise InvalidState(f"delivery {sequence} {why}, so it cannot be changed")


def _check_sequence(state: Subscription, sequence: int, today: int) -> None:
    if sequence not in state.deliveries and state.scheduled_day(sequence) > today + MAX_AHEAD_DAYS:
        raise InvalidInput(
            [FieldViolation("sequence", f"must be of a delivery within {MAX_AHEAD_DAYS} days; is {sequence:,}")]
        )


def _check_day(state: Subscription, day: int, today: int, field: str) -> None:
    first, last = today + state.terms.cut_off_days + 1, today + MAX_AHEAD_DAYS
    if not first <= day <= last:
        text = f"must be {calendar_day(first).isoformat()} to {calendar_day(last).isoformat()}"
        raise InvalidInput([FieldViolation(field, f"{text}; is {calendar_day(day).isoformat()}")])


def _is_repeated(state: Subscription, command: Any, status: DeliveryStatus | None, today: int) -> bool:
    """Whether a delivery has a status already.

    Raises:
        InvalidState: the report contradicts what is known of the delivery.
    """
    _check_sequence(state, command.sequence, today)
    known = state.delivery(command.sequence).status
    if known is status:
        return True
    if known not in REPORTS[type(command)]:
        raise InvalidState(f"delivery {command.sequence} is {known}, which this report contradicts")
    return False


_DECISIONS: Mapping[type, Callable[[Subscription, Any, int], Sequence[Event]]] = {
    Skip: _skip,
    Restore: _restore,
    Move: _move,
    SendNow: _send_now,
    Pause: _pause,
    Resume: _resume,
    PauseHousehold: _pause_household,
    ResumeHousehold: _resume_household,
    Reactivate: _reactivate,
    ChangeInterval: _change_interval,
    ChangeQuantity: _change_quantity,
    ChangeItem: _change_item,
    Cancel: _cancel,
    RecordLocked: _locked,
    RecordSent: _sent,
    RecordDelivered: _delivered,
    RecordFailed: _failed,
    RecordOutOfStock: _out_of_stock,
    RecordSubstituted: _substituted,
    RecordReturned: _returned,
}
