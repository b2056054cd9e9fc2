"""Which deliveries of a subscription can be changed, and which will take place."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import count
from typing import NamedTuple

from pantree_history.core.subscriptions.evolve import PAUSED
from pantree_history.core.subscriptions.model import Delivery, DeliveryStatus, Status, Subscription

MAX_AHEAD_DAYS = 366
"""How far ahead deliveries can be named and listed."""
_OPEN = (DeliveryStatus.PLANNED, DeliveryStatus.SKIPPED)


class DeliveryOf(NamedTuple):
    """A delivery and its days."""

    delivery: Delivery
    scheduled_day: int
    day: int


def is_changeable(state: Subscription, sequence: int, today: int) -> bool:
    """Whether a delivery has not reached its cut-off, nor been locked."""
    return state.delivery(sequence).status in _OPEN and state.day(sequence) - state.terms.cut_off_days > today


def is_edited(delivery: Delivery) -> bool:
    """Whether a delivery was skipped or moved by someone."""
    return delivery.status is DeliveryStatus.SKIPPED or delivery.moved_to is not None


def sequences_until(state: Subscription, day: int, first: int = 1) -> Iterator[int]:
    """Sequences from `first` on whose day or scheduled day is not after a day, ascending."""
    # Up to there, a later delivery may be earlier than one before it.
    beyond = max([*state.deliveries, state.segment.first_sequence])
    for sequence in count(first):
        if state.scheduled_day(sequence) > day and sequence > beyond:
            return
        if min(state.scheduled_day(sequence), state.day(sequence)) <= day:
            yield sequence


def next_changeable(state: Subscription, today: int) -> int | None:
    """The next delivery that can be changed, is not skipped, and will take place; the earliest by day."""
    found = [
        (state.day(one), one)
        for one in sequences_until(state, today + MAX_AHEAD_DAYS)
        if is_changeable(state, one, today)
        and state.delivery(one).status is DeliveryStatus.PLANNED
        and not _is_paused_on(state, state.day(one))
        and not _has_ended_on(state, state.day(one))
    ]
    return min(found)[1] if found else None


def next_unedited(state: Subscription, today: int) -> int:
    """The first delivery from which on a new schedule can hold: it can be changed, and is as the schedule says."""
    return next(
        one
        for one in count(state.segment.first_sequence)
        if is_changeable(state, one, today) and not is_edited(state.delivery(one))
    )


def held_from(state: Subscription, day: int) -> tuple[int, tuple[int, ...]]:
    """The deliveries for which another item or quantity holds: those on a day or later that are not locked.

    Returns:
        The first of them, and later ones that are before the day.
    """
    first = next(one for one in count(1) if state.delivery(one).status in _OPEN and state.day(one) >= day)
    kept = (one for one in sequences_until(state, day - 1, first) if state.day(one) < day)
    return first, tuple(one for one in kept if state.delivery(one).status in _OPEN)


def missed_by_pause(state: Subscription, until: int) -> tuple[int, ...]:
    """Deliveries that a pause prevented.

    Args:
        state: a paused subscription.
        until: first day on which deliveries take place again.
    """
    assert state.paused_on is not None
    first = state.paused_on + state.terms.cut_off_days + 1
    return tuple(
        one
        for one in sequences_until(state, until - 1)
        if state.delivery(one).status is DeliveryStatus.PLANNED and first <= state.day(one) < until
    )


def deliveries(state: Subscription, until: int, first: int = 1) -> Iterator[DeliveryOf]:
    """Deliveries as they were and will be, from a sequence to a day, ascending by sequence."""
    for one in sequences_until(state, until, first):
        delivery, day = state.delivery(one), state.day(one)
        if delivery.status is DeliveryStatus.PLANNED:
            if _has_ended_on(state, day):
                continue
            if _is_paused_on(state, day):
                delivery = replace(delivery, status=DeliveryStatus.SKIPPED, reason=PAUSED)
        yield DeliveryOf(delivery, state.scheduled_day(one), day)


def _is_paused_on(state: Subscription, day: int) -> bool:
    if state.status is not Status.PAUSED or state.paused_on is None:
        return False
    # What had reached its cut-off when the pause began still arrives.
    return day - state.terms.cut_off_days > state.paused_on and (state.pause_until is None or day < state.pause_until)


def _has_ended_on(state: Subscription, day: int) -> bool:
    return any(end is not None and day >= end for end in (state.cancel_on, state.expires_on))
