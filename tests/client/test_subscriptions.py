"""Subscriptions with the client: directly, through a gateway and with the fake, with the same results."""

import contextlib
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta

import pytest

from pantree_client import (
    Cancel,
    ChangeInterval,
    ChangeItem,
    ChangeQuantity,
    ComponentUnavailable,
    DeliveryInterval,
    DeliveryReport,
    EtagMismatch,
    InvalidInput,
    InvalidState,
    Lever,
    Move,
    NotFound,
    OfferRequest,
    PantreeClient,
    Pause,
    Reactivate,
    RequestIdReused,
    Restore,
    Resume,
    SendNow,
    Skip,
    SubscribedItem,
    SubscriptionRequest,
)
from pantree_client.testing import FakePantree
from pantree_gateway.server import start as start_gateway
from pantree_gateway.settings import GatewaySettings
from pantree_history.__main__ import build as build_history
from pantree_history.settings import HistorySettings
from pantree_runtime.server import running

CUSTOMER = "cust 001/ä"
MILK, WEEKLY = SubscribedItem("Milk", item_id="m-1"), DeliveryInterval("week")
KINDS = ["direct", "gateway", "fake"]


@contextlib.asynccontextmanager
async def connected(kind: str) -> AsyncIterator[PantreeClient]:
    """A client of a new, empty service."""
    async with contextlib.AsyncExitStack() as stack:
        if kind == "fake":
            client = FakePantree().client()
        else:
            spec = await build_history(HistorySettings(store_url="sqlite://:memory:", test_tenants='[""]'))
            address = (await stack.enter_async_context(running(spec))).address
            client = PantreeClient("127.0.0.1:1", history_address=address)
            if kind == "gateway":
                update = {"pipeline_address": "127.0.0.1:1", "history_address": address}
                gateway = await start_gateway(GatewaySettings(port=0).model_copy(update=update))
                stack.push_async_callback(gateway.stop, 0)
                client = PantreeClient(f"http://{gateway.address}")
        yield await stack.enter_async_context(client)


def first_day(kind: str) -> date:
    """The fake has a constant date; services have the real one."""
    today = date(2026, 6, 1) if kind == "fake" else datetime.now(UTC).date()
    return today + timedelta(days=10)


@pytest.mark.parametrize("kind", KINDS)
async def test_offer_is_accepted_once_and_kept(kind: str) -> None:
    first = first_day(kind)
    async with connected(kind) as client:
        request = OfferRequest(CUSTOMER, MILK, WEEKLY, quantity=2, channel="app", recommendation_id="r-1")
        offer = await client.create_offer(request)
        assert (offer.item, offer.interval, offer.quantity, offer.channel) == (MILK, WEEKLY, 2, "app")
        accepted = SubscriptionRequest(CUSTOMER, first, offer_id=offer.offer_id, subscription_id="s/1", consent="Yes.")
        created = await client.create_subscription(accepted, actor="customer")
        assert (created.subscription_id, created.status, created.quantity) == ("s/1", "active", 2)
        assert (created.item, created.interval, created.interval_days) == (MILK, WEEKLY, 7)
        assert (created.recommendation_id, created.consent, created.cancel_on) == ("r-1", "Yes.", None)
        with pytest.raises(InvalidState, match="accepted already, by subscription s/1"):
            await client.create_subscription(SubscriptionRequest(CUSTOMER, first, offer_id=offer.offer_id))
        assert await client.subscription(CUSTOMER, "s/1") == created
        assert [one async for one in client.subscriptions(CUSTOMER)] == [created]
        assert [one.subscription_id async for one in client.offers(CUSTOMER)] == ["s/1"]
        assert [one.subscription_id async for one in client.subscriptions("another")] == []
        days = [one.date async for one in client.deliveries(CUSTOMER, "s/1", until=first + timedelta(days=20))]
        assert days == [first + timedelta(weeks=week) for week in range(3)]
        with pytest.raises(NotFound):
            await client.subscription("another", "s/1")


def levers(first: date) -> list[tuple[Lever, str]]:
    """Every lever, with the type of its event."""
    later = first + timedelta(days=60)
    return [
        (Skip(reason="too_much"), "delivery.skipped"),
        (Restore(1), "delivery.restored"),
        (Move(first + timedelta(days=1), 1), "delivery.moved"),
        (Pause(first + timedelta(days=30)), "subscription.paused"),
        (Resume(), "subscription.resumed"),
        (ChangeInterval(DeliveryInterval("month", 2)), "subscription.interval_changed"),
        (ChangeQuantity(3), "subscription.quantity_changed"),
        (ChangeItem(SubscribedItem("Oat milk")), "subscription.item_changed"),
        (SendNow(), "delivery.locked"),
        (Cancel(later, "too_much", "longer_interval", "Bye."), "subscription.cancellation_scheduled"),
        (Reactivate(), "subscription.reactivated"),
        (Cancel(reason="other"), "subscription.cancelled"),
    ]  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
async def test_every_lever_is_one_event(kind: str) -> None:
    first = first_day(kind)
    async with connected(kind) as client:
        await client.create_subscription(SubscriptionRequest(CUSTOMER, first, MILK, WEEKLY, subscription_id="s"))
        for lever, event in levers(first):
            changed = await client.change_subscription(CUSTOMER, "s", lever, actor="support:anna")
            assert [(one.type, one.actor) for one in changed.events] == [(f"com.pantree.{event}", "support:anna")]
            assert changed.subscription.version == changed.events[0].number
            if isinstance(lever, Skip):
                skipped = changed.subscription.next_deliveries[0]
                assert (skipped.status, skipped.reason) == ("skipped", "too_much")
            if isinstance(lever, Pause):
                assert (changed.subscription.status, changed.subscription.pause_until) == ("paused", lever.until)
            if isinstance(lever, Cancel) and lever.cancel_on:
                assert (changed.subscription.status, changed.subscription.cancel_on) == ("active", lever.cancel_on)
                assert changed.subscription.cancellation is not None
                assert changed.subscription.cancellation.comment == "Bye."
        last = changed.subscription
        assert (last.status, last.quantity, last.item.name) == ("cancelled", 3, "Oat milk")
        assert last.interval == DeliveryInterval("month", 2)
        types = [one.type async for one in client.subscription_events(CUSTOMER, "s")]
        assert types == [f"com.pantree.{event}" for event in ("subscription.created", *dict(levers(first)).values())]


@pytest.mark.parametrize("kind", KINDS)
async def test_household_is_paused_until_the_clock_is_there(kind: str) -> None:
    first = first_day(kind)
    end = first + timedelta(days=30)
    async with connected(kind) as client:
        for name in ("a", "b", "c", "d"):
            request = SubscriptionRequest(CUSTOMER, first, MILK, WEEKLY, subscription_id=name)
            await client.create_subscription(request)
        await client.change_subscription(CUSTOMER, "c", Pause())
        await client.change_subscription(CUSTOMER, "d", Cancel(end))
        paused = await client.pause_subscriptions(CUSTOMER, end, request_id="one", actor="customer")
        assert await client.pause_subscriptions(CUSTOMER, end, request_id="one", actor="customer") == paused
        assert [one.subscription.subscription_id for one in paused] == ["a", "b", "d"]
        assert {one.subscription.pause_until for one in paused} == {end}
        assert {event.type for one in paused for event in one.events} == {"com.pantree.subscription.paused"}
        assert paused[0].events[0].message.data.household_pause
        new = await client.create_subscription(SubscriptionRequest(CUSTOMER, first, MILK, WEEKLY, subscription_id="e"))
        assert (new.status, new.pause_until, new.household_pause) == ("paused", end, True)
        await client.change_subscription(CUSTOMER, "b", Resume())
        now = await client.test_clock()
        advanced = await client.advance_test_clock(end - timedelta(days=1))
        assert (now < advanced.now, advanced.event_count) == (True, 0)
        advanced = await client.advance_test_clock(advanced.now + timedelta(days=2))
        # The pauses of a, d and e end, and d is cancelled.
        assert (advanced.now, advanced.event_count) == (await client.test_clock(), 4)
        statuses = {one.subscription_id: one.status async for one in client.subscriptions(CUSTOMER)}
        assert statuses == {"a": "active", "b": "active", "c": "paused", "d": "cancelled", "e": "active"}
        events = [one async for one in client.subscription_events(CUSTOMER, "d")]
        assert [one.type.rpartition(".")[2] for one in events[-2:]] == ["resumed", "cancelled"]
        assert {(one.occurred_at, one.actor) for one in events[-2:]} == {(f"{end}T00:00:00.000000Z", "schedule")}
        with pytest.raises(InvalidInput):
            await client.advance_test_clock(now)
        assert await client.resume_subscriptions(CUSTOMER) == ()
        await client.pause_subscriptions(CUSTOMER)
        assert [one.subscription.status for one in await client.resume_subscriptions(CUSTOMER)] == ["active"] * 3


@pytest.mark.parametrize("kind", KINDS)
async def test_changes_are_applied_once_and_to_the_known_version(kind: str) -> None:
    first = first_day(kind)
    async with connected(kind) as client:
        created = await client.create_subscription(
            SubscriptionRequest(CUSTOMER, first, MILK, WEEKLY, subscription_id="s")
        )
        skipped = await client.change_subscription(CUSTOMER, "s", Skip(), etag=created.etag, request_id="one")
        assert await client.change_subscription(CUSTOMER, "s", Skip(), etag=created.etag, request_id="one") == skipped
        with pytest.raises(RequestIdReused):
            await client.change_subscription(CUSTOMER, "s", Resume(), request_id="one")
        with pytest.raises(EtagMismatch):
            await client.change_subscription(CUSTOMER, "s", Pause(), etag=created.etag)
        sent = await client.record_delivery(CUSTOMER, "s", DeliveryReport(2, "sent"))
        assert sent.subscription.next_deliveries[1].status == "sent"
        await client.record_delivery(CUSTOMER, "s", DeliveryReport(2, "delivered"))
        returned = await client.record_delivery(CUSTOMER, "s", DeliveryReport(2, "returned", quantity=1))
        second = returned.subscription.next_deliveries[1]
        assert (second.status, second.delivered_quantity, second.returned_quantity) == ("delivered", 1, 1)
        assert returned.subscription.version == 5


@pytest.mark.parametrize("kind", ["direct", "gateway"])
async def test_invalid_fields_are_named(kind: str) -> None:
    async with connected(kind) as client:
        with pytest.raises(InvalidInput) as error:
            await client.create_offer(OfferRequest(CUSTOMER, SubscribedItem(" "), DeliveryInterval("week", 0)))
        assert [one.field for one in error.value.violations] == ["item.name", "interval.count"]
        with pytest.raises(InvalidInput, match="subscription_id"):
            await client.subscription(CUSTOMER, "")


async def test_each_call_of_the_client_has_its_own_request_id() -> None:
    fake = FakePantree()
    async with fake.client() as client:
        await client.create_subscription(
            SubscriptionRequest(CUSTOMER, date(2026, 6, 3), MILK, WEEKLY, subscription_id="s")
        )
        await client.change_subscription(CUSTOMER, "s", Skip())
        await client.change_subscription(CUSTOMER, "s", Skip())
        assert [one.status for one in (await client.subscription(CUSTOMER, "s")).next_deliveries[:3]] == [
            "skipped", "skipped", "planned",
        ]  # fmt: skip
        fake.fail_next(ComponentUnavailable("history", "down"))
        with pytest.raises(ComponentUnavailable):
            await client.change_subscription(CUSTOMER, "s", Skip())
        await client.erase_customer(CUSTOMER)
        assert [one async for one in client.subscriptions(CUSTOMER)] == []
    ids = [one.request_id for one in fake.subscription_requests]
    assert len({one for one in ids if one}) == 4


def test_sync_client_has_subscriptions() -> None:
    with FakePantree().sync_client() as client:
        offer = client.create_offer(OfferRequest(CUSTOMER, MILK, DeliveryInterval("month")))
        created = client.create_subscription(SubscriptionRequest(CUSTOMER, date(2027, 12, 31), offer_id=offer.offer_id))
        number = created.subscription_id
        days = [one.date.isoformat() for one in client.deliveries(CUSTOMER, number)]
        assert days[:4] == ["2027-12-31", "2028-01-31", "2028-02-29", "2028-03-31"]
        client.change_subscription(CUSTOMER, number, Pause())
        client.record_delivery(CUSTOMER, number, DeliveryReport(1, "failed", reason="nobody_home"))
        assert client.subscription(CUSTOMER, number).status == "paused"
        assert [one.number for one in client.subscription_events(CUSTOMER, number)] == [1, 2, 3]
        assert [one.subscription_id for one in client.offers(CUSTOMER)] == [number]
        assert [one.version for one in client.subscriptions(CUSTOMER)] == [3]
