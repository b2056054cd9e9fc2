"""Subscriptions in every store: each change with its events and its request, in one transaction."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import date
from typing import NamedTuple

import pytest

from pantree_domain.days import day_number
from pantree_history.backends.sqlite import SqliteStore
from pantree_history.core.history import History
from pantree_history.core.store import Household
from pantree_history.core.subscriptions.evolve import begin, evolve_all
from pantree_history.core.subscriptions.keeper import Agreement, Call, Changed, Subscriptions, etag_of
from pantree_history.core.subscriptions.model import (
    Cancel,
    Cancellation,
    ChangeItem,
    ChangeQuantity,
    Created,
    Item,
    Offer,
    Pause,
    RecordDelivered,
    RecordLocked,
    RecordReturned,
    RecordSent,
    Resume,
    Skip,
    Status,
)
from pantree_history.core.subscriptions.schedule import Interval, Unit, local_day, start_of_day
from pantree_history.core.subscriptions.store import CombinedStore
from pantree_runtime.errors import (
    AlreadyExists,
    CustomerErased,
    EtagMismatch,
    InvalidInput,
    InvalidState,
    NotFound,
    RequestIdReused,
)
from tests.history.receipts import KEY, START, Clock, receipt

HOME = Household("north", "4711")
TODAY = day_number(date(2026, 6, 1))
MILK = Item("Milk", "dairy", "m-1", "1 l")
WEEKLY = Interval(Unit.WEEK, 1)
ANONYMOUS = Call()


class Part(NamedTuple):
    """What the history part keeps."""

    history: History
    subscriptions: Subscriptions


@pytest.fixture
async def part(make_store: Callable[[], CombinedStore], clock: Clock) -> AsyncIterator[Part]:
    store = make_store()
    history = History(store, KEY, clock)
    await history.open()
    yield Part(history, Subscriptions(store.subscriptions, KEY, clock))
    await history.close()


def agreement(subscription_id: str = "s-1", **fields: object) -> Agreement:
    content: dict[str, object] = {
        "item": MILK, "quantity": 2, "interval": WEEKLY, "anchor_day": TODAY + 3, "cut_off_days": 1, "time_zone": "UTC",
        "expires_on": None, "offer_id": "", "recommendation_id": "", "consent": "yes", **fields,
    }  # fmt: skip
    return Agreement(subscription_id=subscription_id, **content)  # type: ignore[arg-type]


async def created(part: Part, **fields: object) -> Changed:
    return await part.subscriptions.create(HOME, agreement(**fields), ANONYMOUS)  # type: ignore[arg-type]


async def test_offer_is_accepted_once_and_gives_its_terms(part: Part) -> None:
    offer = await part.subscriptions.offer(HOME, Offer("", "", MILK, 3, WEEKLY, 0, "app", "r-1"), Call(request_id="o"))
    assert await part.subscriptions.offer(HOME, offer, Call(request_id="o")) == offer
    accepted = await created(part, offer_id=offer.offer_id, item=None, quantity=None, interval=None)
    state = accepted.view.subscription
    assert (state.item, state.quantity, state.segment.interval) == (MILK, 3, WEEKLY)
    assert (state.terms.recommendation_id, state.terms.consent) == ("r-1", "yes")
    assert [one.subscription_id for one in await part.subscriptions.offers(HOME, "", 10)] == ["s-1"]
    with pytest.raises(InvalidState, match="accepted already"):
        await created(part, subscription_id="s-2", offer_id=offer.offer_id)
    with pytest.raises(NotFound):
        await part.subscriptions.create(
            Household("north", "4712"), agreement("s-3", offer_id=offer.offer_id), ANONYMOUS
        )


async def test_id_is_unique_within_the_tenant_only(part: Part) -> None:
    await created(part)
    for household in (HOME, Household("north", "4712")):
        with pytest.raises(AlreadyExists):
            await part.subscriptions.create(household, agreement(), ANONYMOUS)
    await part.subscriptions.create(Household("south", "4711"), agreement(), ANONYMOUS)
    for other in (Household("north", "4712"), Household("west", "4711")):
        with pytest.raises(NotFound):
            await part.subscriptions.get(other, "s-1")
        with pytest.raises(NotFound):
            await part.subscriptions.change(other, "s-1", Skip(), ANONYMOUS)


async def test_repeated_request_is_answered_as_the_first_time(part: Part, clock: Clock) -> None:
    first = await part.subscriptions.create(HOME, agreement(), Call("customer", "", "a", "1"))
    clock.advance(days=1)
    skip = Call("customer", etag_of(first.view.subscription), "b", "2")
    skipped = await part.subscriptions.change(HOME, "s-1", Skip(), skip)
    clock.advance(days=1)
    await part.subscriptions.change(HOME, "s-1", ChangeQuantity(5), ANONYMOUS)
    assert await part.subscriptions.change(HOME, "s-1", Skip(), skip) == skipped
    assert await part.subscriptions.create(HOME, agreement(), Call("customer", "", "a", "1")) == first
    with pytest.raises(RequestIdReused):
        await part.subscriptions.change(HOME, "s-1", Pause(), Call("customer", "", "b", "3"))
    # A failure is kept too: what it depends on may have changed since.
    stale = Call("customer", skip.etag, "c", "4")
    with pytest.raises(EtagMismatch):
        await part.subscriptions.change(HOME, "s-1", Resume(), stale)
    wrong = Call(request_id="d")
    with pytest.raises(InvalidState, match="the subscription is active"):
        await part.subscriptions.change(HOME, "s-1", Resume(), wrong)
    await part.subscriptions.change(HOME, "s-1", Pause(), ANONYMOUS)
    with pytest.raises(InvalidState, match="the subscription is active"):
        await part.subscriptions.change(HOME, "s-1", Resume(), wrong)
    events = await part.subscriptions.events(HOME, "s-1", 0, 100)
    assert [(one.number, type(one.event).__name__, one.actor) for one in events] == [
        (1, "Created", "customer"), (2, "DeliverySkipped", "customer"), (3, "QuantityChanged", ""), (4, "Paused", ""),
    ]  # fmt: skip


async def test_concurrent_changes_are_one_after_the_other_and_each_request_once(part: Part) -> None:
    await created(part)
    calls = [Call(request_id=str(number % 6)) for number in range(18)]
    results = await asyncio.gather(
        *(part.subscriptions.change(HOME, "s-1", ChangeQuantity(10 + int(call.request_id)), call) for call in calls)
    )
    events = await part.subscriptions.events(HOME, "s-1", 0, 100)
    assert [one.number for one in events] == list(range(1, 8))
    by_request = {(call.request_id, one.events[0].number) for call, one in zip(calls, results, strict=True)}
    assert len(by_request) == 6
    first = events[0].event
    assert isinstance(first, Created)
    folded = evolve_all(begin("s-1", "4711", first, START), [one.event for one in events[1:]])
    stored = (await part.subscriptions.get(HOME, "s-1")).subscription
    assert replace(folded, changed_at=stored.changed_at) == stored


async def test_past_deliveries_of_which_nothing_was_reported_keep_their_content(part: Part, clock: Clock) -> None:
    await created(part)
    clock.advance(days=12)
    await part.subscriptions.change(HOME, "s-1", ChangeQuantity(5), ANONYMOUS)
    clock.advance(days=7)
    await part.subscriptions.change(HOME, "s-1", ChangeItem(Item("Oat milk")), ANONYMOUS)
    state = (await part.subscriptions.get(HOME, "s-1")).subscription
    found = [(state.quantity_of(one), state.item_of(one).name) for one in range(1, 5)]
    assert found == [(2, "Milk"), (2, "Milk"), (5, "Milk"), (5, "Oat milk")]
    first, *events = [one.event for one in await part.subscriptions.events(HOME, "s-1", 0, 100)]
    assert isinstance(first, Created)
    folded = evolve_all(begin("s-1", "4711", first, START), events)
    assert replace(folded, created_at=state.created_at, changed_at=state.changed_at) == state


async def test_days_that_come_change_the_status_without_a_call(part: Part, clock: Clock) -> None:
    await created(part)
    await part.subscriptions.change(HOME, "s-1", Pause(TODAY + 12), ANONYMOUS)
    await part.subscriptions.change(HOME, "s-1", Cancel(TODAY + 30, Cancellation("too_much", "", "bye")), ANONYMOUS)
    view, found = await part.subscriptions.deliveries(HOME, "s-1", 1, TODAY + 40, 0)
    assert view.subscription.status is Status.PAUSED
    assert [(one.day - TODAY, str(one.delivery.status)) for one in found] == [
        (3, "skipped"), (10, "skipped"), (17, "planned"), (24, "planned"),
    ]  # fmt: skip
    clock.advance(days=13)
    assert (await part.subscriptions.get(HOME, "s-1")).subscription.status is Status.ACTIVE
    clock.advance(days=20)
    with pytest.raises(InvalidState, match="the subscription is cancelled"):
        await part.subscriptions.change(HOME, "s-1", Skip(), ANONYMOUS)
    late = await part.subscriptions.change(HOME, "s-1", RecordSent(3), Call("engine:own"))
    assert [(type(one.event).__name__, one.actor) for one in late.events] == [
        ("Resumed", "schedule"), ("Cancelled", "schedule"), ("DeliverySent", "engine:own"),
    ]  # fmt: skip


async def test_reports_follow_the_life_of_a_delivery(part: Part) -> None:
    await created(part)

    async def report(command: object) -> Changed:
        return await part.subscriptions.change(HOME, "s-1", command, ANONYMOUS)  # type: ignore[arg-type]

    for command in (RecordLocked(1), RecordSent(1), RecordDelivered(1, 1), RecordReturned(1, 1)):
        assert len((await report(command)).events) == 1
    assert not (await report(RecordDelivered(1))).events
    with pytest.raises(InvalidState, match="delivery 1 is delivered"):
        await report(RecordSent(1))
    with pytest.raises(InvalidInput, match="at most the 0 units"):
        await report(RecordReturned(1, 1))
    with pytest.raises(InvalidInput, match="within 366 days"):
        await report(RecordLocked(500))


async def test_erasure_removes_everything_and_a_restored_backup_brings_nothing_back(part: Part, clock: Clock) -> None:
    await part.subscriptions.offer(HOME, Offer("", "", MILK, 1, WEEKLY, 0), Call(request_id="o"))
    await created(part)
    await part.subscriptions.change(HOME, "s-1", Cancel(None, Cancellation(comment="too salty")), Call(request_id="x"))
    offers, subscriptions = await part.subscriptions.export(HOME)
    assert (len(offers), len(subscriptions), len(subscriptions[0][1].events)) == (1, 1, 2)
    clock.advance()
    await part.history.erase(HOME)
    assert await part.subscriptions.export(HOME) == ([], [])
    with pytest.raises(NotFound):
        await part.subscriptions.get(HOME, "s-1")
    with pytest.raises(CustomerErased):
        await created(part)
    clock.advance()
    await part.history.append(HOME, receipt(1, 5, "Milk"), consent=True)
    assert len((await created(part)).events) == 1


async def test_erased_subscriptions_are_erased_again_after_a_backup_is_restored(tmp_path: object, clock: Clock) -> None:
    paths = (f"{tmp_path}/backup.db", f"{tmp_path}/ledger.db")
    for path in (f"{tmp_path}/other.db", paths[0]):
        store = SqliteStore(path, paths[1])
        history, subscriptions = History(store, KEY, clock), Subscriptions(store.subscriptions, KEY, clock)
        erased = await history.open()
        if path == paths[0]:
            assert erased == 0
        await history.close()
    store = SqliteStore(paths[0], f"{tmp_path}/none.db")
    history, subscriptions = History(store, KEY, clock), Subscriptions(store.subscriptions, KEY, clock)
    await history.open()
    await subscriptions.create(HOME, agreement(), ANONYMOUS)
    await history.close()
    clock.advance()
    other = History(SqliteStore(f"{tmp_path}/other.db", paths[1]), KEY, clock)
    await other.open()
    await other.erase(HOME)
    await other.close()
    store = SqliteStore(*paths)
    history, subscriptions = History(store, KEY, clock), Subscriptions(store.subscriptions, KEY, clock)
    assert await history.open() == 1
    assert await subscriptions.export(HOME) == ([], [])
    await history.close()


def test_days_begin_in_the_time_zone_of_the_shop() -> None:
    # 2026-03-29 has 23 hours in Berlin, and its first hour is one of the day before in UTC.
    day = day_number(date(2026, 3, 29))
    start, end = (start_of_day(one, "Europe/Berlin") for one in (day, day + 1))
    assert end - start == 23 * 3600 * 1_000_000
    assert [local_day(instant, "Europe/Berlin") - day for instant in (start - 1, start, end - 1, end)] == [-1, 0, 0, 1]
    assert local_day(start, "UTC") == day - 1
