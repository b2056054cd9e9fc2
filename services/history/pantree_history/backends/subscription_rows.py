"""Statements and rows of subscriptions, for both databases. `?` is a parameter; PostgreSQL's client takes `%s`."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple, get_args

from pydantic import TypeAdapter

from pantree_history.backends.webhook_scripts import ADD_EVENTS
from pantree_history.core.store import Household
from pantree_history.core.subscriptions.model import (
    Delivery,
    Event,
    HouseholdPause,
    Offer,
    RecordedEvent,
    Subscription,
)
from pantree_history.core.subscriptions.store import Key, Reading, Request, RequestPart, Writing

_SUBSCRIPTION, _DELIVERY, _OFFER = TypeAdapter(Subscription), TypeAdapter(Delivery), TypeAdapter(Offer)
_PARTS = TypeAdapter(tuple[RequestPart, ...])
_EVENTS: Mapping[str, TypeAdapter[Any]] = {kind.__name__: TypeAdapter(kind) for kind in get_args(Event)}

MERGED_INTO = "SELECT merged_into FROM household WHERE tenant_id = ? AND household_id = ?"
REQUEST = (
    "SELECT request_id, digest, created_at, subject_id, event_count, version, error_reason, error_message, parts "
    "FROM subscription_request WHERE tenant_id = ? AND household_id = ? AND request_id = ?"
)
SUBSCRIPTION = "SELECT content FROM subscription WHERE tenant_id = ? AND subscription_id = ?"
SUBSCRIPTIONS = (
    "SELECT content FROM subscription WHERE tenant_id = ? AND household_id = ? AND subscription_id > ? "
    "ORDER BY subscription_id LIMIT ?"
)
COUNT = "SELECT count(*) FROM subscription WHERE tenant_id = ? AND household_id = ?"
SUBSCRIPTIONS_OF_TENANT = (
    "SELECT content FROM subscription WHERE tenant_id = ? AND subscription_id > ? ORDER BY subscription_id LIMIT ?"
)
DELIVERIES_OF_HOUSEHOLD = (
    "SELECT subscription_id, content FROM subscription_delivery WHERE tenant_id = ? AND subscription_id IN "
    "(SELECT subscription_id FROM subscription WHERE tenant_id = ? AND household_id = ?) ORDER BY sequence"
)
PAUSE = "SELECT created_at, until_day FROM subscription_pause WHERE tenant_id = ? AND household_id = ?"
DELIVERIES = "SELECT content FROM subscription_delivery WHERE tenant_id = ? AND subscription_id = ? ORDER BY sequence"
OFFER = "SELECT content FROM subscription_offer WHERE tenant_id = ? AND offer_id = ?"
OFFERS = (
    "SELECT content FROM subscription_offer WHERE tenant_id = ? AND household_id = ? AND offer_id > ? "
    "ORDER BY offer_id LIMIT ?"
)
EVENTS = (
    "SELECT number, occurred_at, actor, name, content FROM subscription_event "
    "WHERE tenant_id = ? AND subscription_id = ? AND number > ? ORDER BY number LIMIT ?"
)
HOUSEHOLDS = (
    "SELECT DISTINCT tenant_id, household_id FROM subscription "
    "UNION SELECT DISTINCT tenant_id, household_id FROM subscription_offer "
    "UNION SELECT DISTINCT tenant_id, household_id FROM subscription_request "
    "UNION SELECT tenant_id, household_id FROM subscription_pause"
)
_PUT_SUBSCRIPTION = (
    "INSERT INTO subscription (tenant_id, subscription_id, household_id, version, created_at, content) "
    "VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (tenant_id, subscription_id) "
    "DO UPDATE SET version = excluded.version, content = excluded.content WHERE subscription.version = ?"
)
_PUT_DELIVERY = (
    "INSERT INTO subscription_delivery (tenant_id, subscription_id, sequence, content) VALUES (?, ?, ?, ?) "
    "ON CONFLICT (tenant_id, subscription_id, sequence) DO UPDATE SET content = excluded.content"
)
_PUT_EVENT = (
    "INSERT INTO subscription_event (tenant_id, subscription_id, number, occurred_at, actor, name, content) "
    "VALUES (?, ?, ?, ?, ?, ?, ?)"
)
_PUT_OFFER = (
    "INSERT INTO subscription_offer (tenant_id, offer_id, household_id, created_at, content) VALUES (?, ?, ?, ?, ?) "
    "ON CONFLICT (tenant_id, offer_id) DO UPDATE SET content = excluded.content"
)
_PUT_REQUEST = (
    "INSERT INTO subscription_request (tenant_id, household_id, request_id, digest, created_at, subject_id, "
    "event_count, version, error_reason, error_message, parts) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_PUT_PAUSE = (
    "INSERT INTO subscription_pause (tenant_id, household_id, created_at, until_day) VALUES (?, ?, ?, ?) "
    "ON CONFLICT (tenant_id, household_id) "
    "DO UPDATE SET created_at = excluded.created_at, until_day = excluded.until_day"
)
_REMOVE_PAUSE = "DELETE FROM subscription_pause WHERE tenant_id = ? AND household_id = ?"
_OF_HOUSEHOLD = "tenant_id = ? AND household_id = ? AND created_at <= ?"
_OF_SUBSCRIPTIONS = (
    f"tenant_id = ? AND subscription_id IN (SELECT subscription_id FROM subscription WHERE {_OF_HOUSEHOLD})"
)
_REMOVE_CURSORS = (
    "DELETE FROM webhook_cursor WHERE tenant_id = ? AND kind = 'subscription' AND subject_id IN "
    f"(SELECT subscription_id FROM subscription WHERE {_OF_HOUSEHOLD})"
)
# The end of time, in microseconds.
EVER = 2**62
# More rows than a household has.
ALL = 1_000_000


class Statement(NamedTuple):
    """A statement to run; it must change a row if `is_required`."""

    sql: str
    values: tuple[Any, ...]
    is_required: bool = False


def writes(tenant_id: str, household_id: str, before: Reading, writing: Writing) -> Iterator[Statement]:
    """What stores a change."""
    if writing.offer is not None:
        offer = writing.offer
        yield Statement(
            _PUT_OFFER, (tenant_id, offer.offer_id, household_id, offer.shown_at, _OFFER.dump_json(offer).decode())
        )
    if writing.subscription is not None and writing.events:
        state = writing.subscription
        known = 0 if before.subscription is None else before.subscription.version
        content = _SUBSCRIPTION.dump_json(replace(state, deliveries={})).decode()
        names = (tenant_id, state.subscription_id)
        # Of another household, or changed since it was read: no row changes.
        yield Statement(
            _PUT_SUBSCRIPTION, (*names, household_id, state.version, state.created_at, content, known), is_required=True
        )
        for delivery in writing.deliveries:
            yield Statement(_PUT_DELIVERY, (*names, delivery.sequence, _DELIVERY.dump_json(delivery).decode()))
        for one in writing.events:
            name = type(one.event).__name__
            text = _EVENTS[name].dump_json(one.event).decode()
            yield Statement(_PUT_EVENT, (*names, one.number, one.occurred_at, one.actor, name, text))
        now = writing.events[-1].occurred_at
        yield Statement(ADD_EVENTS, (state.subscription_id, known, state.version, now, now, tenant_id))
    known_states = {one.subscription_id: one for one in before.subscriptions}
    for other in writing.more:
        assert other.subscription is not None
        of_other = before._replace(subscription=known_states[other.subscription.subscription_id])
        yield from writes(tenant_id, household_id, of_other, other)
    if writing.pause is not None:
        pause = writing.pause
        yield Statement(_PUT_PAUSE, (tenant_id, household_id, pause.paused_at, pause.until))
    if writing.ends_pause:
        yield Statement(_REMOVE_PAUSE, (tenant_id, household_id))
    if writing.request is not None and writing.request != before.request:
        *values, parts = writing.request
        yield Statement(_PUT_REQUEST, (tenant_id, household_id, *values, _PARTS.dump_json(parts).decode()))


def removals(household: Household, created_until: int = EVER) -> Iterator[Statement]:
    """What erases the offers and subscriptions of a household that were created until an instant."""
    values = (*household, created_until)
    yield Statement(_REMOVE_CURSORS, (household.tenant_id, *values))
    for table in ("subscription_event", "subscription_delivery"):
        yield Statement(f"DELETE FROM {table} WHERE {_OF_SUBSCRIPTIONS}", (household.tenant_id, *values))
    for table in ("subscription_offer", "subscription_request", "subscription_pause", "subscription"):
        yield Statement(f"DELETE FROM {table} WHERE {_OF_HOUSEHOLD}", values)


def reads(tenant_id: str, household_id: str, key: Key) -> Sequence[Statement | None]:
    """What reads a change; None for what is not wanted.

    It reads a request, a subscription, its deliveries, an offer, the pause of the household, all its subscriptions,
    their deliveries, and their number.
    """
    household = (tenant_id, household_id)
    return [
        Statement(REQUEST, (tenant_id, household_id, key.request_id)) if key.request_id else None,
        Statement(SUBSCRIPTION, (tenant_id, key.subscription_id)) if key.subscription_id else None,
        Statement(DELIVERIES, (tenant_id, key.subscription_id)) if key.subscription_id else None,
        Statement(OFFER, (tenant_id, key.offer_id)) if key.offer_id else None,
        Statement(PAUSE, household) if key.pause or key.household else None,
        Statement(SUBSCRIPTIONS, (*household, "", ALL)) if key.household else None,
        Statement(DELIVERIES_OF_HOUSEHOLD, (tenant_id, *household)) if key.household else None,
        Statement(COUNT, household) if key.counted else None,
    ]


def moves(
    source: Household, target: Household, offers: Sequence[Any], subscriptions: Sequence[Any]
) -> Iterator[Statement]:
    """What moves offers and subscriptions, from the rows of `OFFERS` and `SUBSCRIPTIONS`, to another household."""
    tenant_id, household_id = target
    for (content,) in offers:
        offer = replace(_OFFER.validate_json(content), household_id=household_id)
        yield Statement(
            "UPDATE subscription_offer SET household_id = ?, content = ? WHERE tenant_id = ? AND offer_id = ?",
            (household_id, _OFFER.dump_json(offer).decode(), tenant_id, offer.offer_id),
        )
    for (content,) in subscriptions:
        state = replace(_SUBSCRIPTION.validate_json(content), household_id=household_id)
        yield Statement(
            "UPDATE subscription SET household_id = ?, content = ? WHERE tenant_id = ? AND subscription_id = ?",
            (household_id, _SUBSCRIPTION.dump_json(state).decode(), tenant_id, state.subscription_id),
        )
    # Only the pause of the household that remains holds for what begins later.
    yield Statement(_REMOVE_PAUSE, source)
    # Of two requests with one id, that of the household that remains counts.
    yield Statement(
        "DELETE FROM subscription_request WHERE tenant_id = ? AND household_id = ? AND request_id IN "
        "(SELECT request_id FROM subscription_request WHERE tenant_id = ? AND household_id = ?)",
        (*source, *target),
    )
    yield Statement(
        "UPDATE subscription_request SET household_id = ? WHERE tenant_id = ? AND household_id = ?",
        (household_id, *source),
    )


def reading_of(household: Household, is_erased: bool, rows: Sequence[Sequence[Any]]) -> Reading:
    """What a change reads, from the rows of `reads`."""
    request, subscription, deliveries, offer, pause, subscriptions, all_deliveries, count = rows
    deliveries_by_id = defaultdict(list)
    for subscription_id, content in all_deliveries:
        deliveries_by_id[subscription_id].append((content,))
    states = [subscription_of(content, ()) for (content,) in subscriptions]
    return Reading(
        household,
        is_erased,
        Request(*request[0][:-1])._replace(parts=_PARTS.validate_json(request[0][-1])) if request else None,
        subscription_of(subscription[0][0], deliveries) if subscription else None,
        offer_of(offer[0]) if offer else None,
        HouseholdPause(*pause[0]) if pause else None,
        [_with_deliveries(one, deliveries_by_id[one.subscription_id]) for one in states],
        count[0][0] if count else 0,
    )


def subscription_of(content: str, deliveries: Sequence[Any]) -> Subscription:
    """A subscription with its deliveries."""
    return _with_deliveries(_SUBSCRIPTION.validate_json(content), deliveries)


def _with_deliveries(state: Subscription, deliveries: Sequence[Any]) -> Subscription:
    found = [_DELIVERY.validate_json(text) for (text,) in deliveries]
    return replace(state, deliveries={one.sequence: one for one in found})


def offer_of(row: Sequence[Any]) -> Offer:
    """An offer."""
    return _OFFER.validate_json(row[0])


def event_of(row: Sequence[Any]) -> RecordedEvent:
    """An event."""
    number, occurred_at, actor, name, content = row
    return RecordedEvent(number, occurred_at, actor, _EVENTS[name].validate_json(content))


Change = Callable[[Reading], Writing]
