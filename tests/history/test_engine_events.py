"""Events of subscription engines: mirrored subscriptions are as their engine says, whatever arrives in what order."""

import json
from collections.abc import AsyncIterator, Callable
from datetime import date
from itertools import permutations
from typing import Any

import pytest

from pantree_client.exports import ordergroove_subscription, recharge_subscription, shopify_contract
from pantree_client.subscriptions import CustomerSubscription, to_subscription
from pantree_domain.days import calendar_day, day_number
from pantree_history.backends.sqlite import MEMORY, SqliteStore
from pantree_history.core.history import History
from pantree_history.core.store import Household
from pantree_history.core.subscriptions import keeper
from pantree_history.core.subscriptions.engines.webhooks import read_webhook
from pantree_history.core.subscriptions.evolve import begin, evolve_all
from pantree_history.core.subscriptions.keeper import Agreement, Call, Subscriptions, View
from pantree_history.core.subscriptions.mirroring import EngineResult, Outcome
from pantree_history.core.subscriptions.model import (
    Created,
    DeliveryStatus,
    Engine,
    Item,
    RecordDelivered,
    Skip,
    Status,
)
from pantree_history.core.subscriptions.reconcile import UNKNOWN_ITEM
from pantree_history.core.subscriptions.schedule import Interval, Unit
from pantree_history.core.subscriptions.store import CombinedStore
from pantree_history.subscriptions.convert import subscription_message
from pantree_runtime.errors import AlreadyExists, InvalidInput, InvalidState
from tests.history import engine_payloads as payloads
from tests.history.receipts import KEY, Clock, receipt

RECHARGE_ID, CONTRACT_ID, OG_ID = "recharge-27363808", "shopify-10746691881", "ordergroove-zzzz9999yyyy8888xxxx"


class Part:
    """What the history part keeps, and the events that it got."""

    def __init__(self, store: CombinedStore, clock: Clock) -> None:
        self.history = History(store, KEY, clock)
        self.subscriptions = Subscriptions(store.subscriptions, KEY, clock)
        self.store = store
        self.clock = clock

    async def take(self, engine: str, payload: Any, topic: str = "", event_id: str = "") -> list[EngineResult]:
        """Takes a webhook, which changes what is folded from events to what is stored, too."""
        event = read_webhook(Engine(engine), topic, event_id, payloads.text(payload))
        results = list(await self.subscriptions.mirroring.record("north", event, "digest", "UTC"))
        for one in results:
            if one.outcome is Outcome.APPLIED:
                stored = await self.store.subscriptions.subscription("north", one.subscription_id)
                events = await self.store.subscriptions.events("north", one.subscription_id, 0, 1000)
                assert stored is not None
                assert [event.number for event in events] == list(range(1, len(events) + 1))
                first = events[0].event
                assert isinstance(first, Created)
                state = begin(one.subscription_id, one.household_id, first, events[0].occurred_at)
                state = evolve_all(state, [event.event for event in events[1:]])
                assert (state.deliveries, state.mirror, state.segments, state.earlier_quantities) == (
                    stored.deliveries, stored.mirror, stored.segments, stored.earlier_quantities,
                )  # fmt: skip
        return results

    async def outcome(self, engine: str, payload: Any, topic: str = "", event_id: str = "") -> Outcome:
        (result,) = await self.take(engine, payload, topic, event_id)
        return result.outcome

    async def view(self, subscription_id: str) -> View:
        stored = await self.store.subscriptions.subscription("north", subscription_id)
        assert stored is not None
        return await self.subscriptions.get(Household("north", stored.household_id), subscription_id)

    async def seen(self, subscription_id: str) -> CustomerSubscription:
        """The subscription as clients see it."""
        return to_subscription(subscription_message(await self.view(subscription_id)))

    async def days(self, subscription_id: str) -> list[tuple[str, str]]:
        """The next three days and their statuses."""
        coming = (await self.seen(subscription_id)).next_deliveries[:3]
        return [(one.date.isoformat()[5:], one.status) for one in coming]


@pytest.fixture
async def part(clock: Clock) -> AsyncIterator[Part]:
    found = Part(SqliteStore(MEMORY), clock)
    await found.history.open()
    yield found
    await found.history.close()


async def test_mirror_in_every_store(make_store: Callable[[], CombinedStore], clock: Clock) -> None:
    part = Part(make_store(), clock)
    await part.history.open()
    payload = {"subscription": payloads.recharge()}
    assert await part.outcome("recharge", payload) is Outcome.APPLIED
    assert await part.outcome("recharge", payload) is Outcome.REPEATED
    seen = await part.seen(RECHARGE_ID)
    assert (seen.customer_id, seen.status, seen.quantity, seen.interval_days) == ("43845860", "active", 2, 14)
    assert (seen.item.name, seen.item.variant, seen.item.item_id) == ("Sumatra Coffee", "500 g", "3844924611")
    assert [one.date.isoformat() for one in seen.next_deliveries[:2]] == ["2026-06-12", "2026-06-26"]
    await part.history.close()


RECHARGE_CHANGES: dict[str, dict[str, Any]] = {
    "as it began": {},
    "quantity": {"quantity": 5},
    "interval": {"order_interval_unit": "day", "order_interval_frequency": 10, "charge_interval_frequency": 10},
    "months": {"order_interval_unit": "month", "order_interval_frequency": 1},
    "next day": {"next_charge_scheduled_at": "2026-06-20"},
    "next day of the schedule": {"next_charge_scheduled_at": "2026-06-26"},
    "next day before": {"next_charge_scheduled_at": "2026-06-03"},
    "swap": {"product_title": "Tea", "variant_title": None, "external_variant_id": {"ecommerce": "77"}},
    "cancelled": {
        "status": "cancelled", "cancelled_at": "2026-06-01T12:00:00", "next_charge_scheduled_at": None,
        "cancellation_reason": "too_much", "cancellation_reason_comments": "My cupboard is full.",
    },
    "expired": {"status": "expired", "next_charge_scheduled_at": None},
    "API 2021-01": {
        "status": "ACTIVE", "order_interval_frequency": "3", "charge_interval_frequency": "3", "quantity": 1,
        "next_charge_scheduled_at": "2026-07-01T00:00:00",
    },
}  # fmt: skip


@pytest.mark.parametrize("change", RECHARGE_CHANGES.values(), ids=RECHARGE_CHANGES)
async def test_recharge_round_trip(part: Part, change: dict[str, Any]) -> None:
    """What Recharge says comes out again from our rows, after each change, and after the change is taken back."""
    for number, payload in enumerate([payloads.recharge(), payloads.recharge(**change), payloads.recharge()]):
        payload["updated_at"] = f"2026-06-01T10:00:0{number}"
        await part.take("recharge", {"subscription": payload})
        assert recharge_subscription(await part.seen(RECHARGE_ID)) == payload


async def test_engine_may_change_what_it_sends_today_but_not_what_was_before(part: Part, clock: Clock) -> None:
    await part.take("recharge", {"subscription": payloads.recharge()})
    clock.advance(days=25)  # 26 June; nothing was reported of 12 June
    changed = {"quantity": 5, "next_charge_scheduled_at": "2026-06-26", "updated_at": "2026-06-26T10:00:00"}
    await part.take("recharge", {"subscription": payloads.recharge(**changed)})
    state = (await part.view(RECHARGE_ID)).subscription
    found = [(calendar_day(state.day(one)).isoformat(), state.quantity_of(one)) for one in (1, 2, 3)]
    assert found == [("2026-06-12", 2), ("2026-06-26", 5), ("2026-07-10", 5)]


async def test_exports_follow_our_rows_and_not_only_the_document(part: Part) -> None:
    """A report about an order changes the rows alone."""
    await part.take("recharge", {"subscription": payloads.recharge()})
    await part.take("recharge", {"charge": payloads.recharge_charge(status="success")})
    exported = recharge_subscription(await part.seen(RECHARGE_ID))
    assert exported == payloads.recharge(next_charge_scheduled_at="2026-06-26")


OG_CHANGES: dict[str, tuple[str, dict[str, Any]]] = {
    "quantity": ("subscription.change_quantity", {"quantity": 4}),
    "frequency": ("subscription.change_frequency", {"every": 5, "every_period": 1, "every_period_display": "Days"}),
    "years": ("subscription.change_frequency", {"every": 1, "every_period": 4, "every_period_display": "Years"}),
    "swap": ("subscription.sku_swap", {"product": "SKUxyz"}),
    "cancel": (
        "subscription.cancel",
        {"live": False, "cancelled": 1_780_300_001, "cancel_reason": "4|Overstocked", "cancel_reason_code": 4},
    ),
}


@pytest.mark.parametrize(("kind", "change"), OG_CHANGES.values(), ids=OG_CHANGES)
async def test_ordergroove_round_trip(part: Part, kind: str, change: dict[str, Any]) -> None:
    for number, payload in enumerate(
        [payloads.ordergroove(), payloads.ordergroove(kind, **change), payloads.ordergroove("subscription.reactivate")]
    ):
        payload["created"] += number
        assert await part.outcome("ordergroove", payload) is Outcome.APPLIED
        assert ordergroove_subscription(await part.seen(OG_ID)) == payload["data"]["object"]


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"status": "paused"},
        {"status": "failed"},
        {"status": "cancelled"},
        {"status": "expired"},
        {"delivery_policy": {"interval": "week", "interval_count": 3}},
        {"delivery_policy": {"interval": "year", "interval_count": 1}},
    ],
)
async def test_shopify_round_trip(part: Part, change: dict[str, Any]) -> None:
    for number, payload in enumerate([payloads.shopify(), payloads.shopify(**change), payloads.shopify()]):
        payload["revision_id"] = str(376707318057 + number)
        await part.take("shopify", payload, "subscription_contracts/update", f"webhook-{number}")
        assert shopify_contract(await part.seen(CONTRACT_ID)) == payload
    seen = await part.seen(CONTRACT_ID)
    assert (seen.item.name, seen.customer_id) == (UNKNOWN_ITEM.name, "6735677391145")


async def test_shopify_object_of_graphql_names_the_item(part: Part) -> None:
    await part.take("shopify", payloads.shopify(), "subscription_contracts/create", "w1")
    payload = payloads.shopify_object()
    await part.take("shopify", payload, "subscription_contracts/update", "w2")
    seen = await part.seen(CONTRACT_ID)
    assert (seen.item.name, seen.item.item_id, seen.quantity) == ("Sumatra Coffee", "3844924611", 3)
    # The 30th is a day of the schedule, which began on the 31st.
    assert [day for day, _ in await part.days(CONTRACT_ID)] == ["06-30", "07-31"]
    assert shopify_contract(seen) == payload
    assert await part.outcome("shopify", payloads.shopify(), "subscription_contracts/update", "w0") is Outcome.OUTDATED
    with pytest.raises(InvalidInput, match="must have one item"):
        two = {"nodes": payload["lines"]["nodes"] * 2}
        await part.take("shopify", payloads.shopify_object(lines=two), "subscription_contracts/update", "w3")


async def test_older_reports_of_any_order_of_arrival_change_nothing(part: Part) -> None:
    reports = [
        {"subscription": payloads.recharge(quantity=number, updated_at=f"2026-06-01T10:00:0{number}")}
        for number in (1, 2, 3)
    ]
    for order in permutations(range(3)):
        part.clock.advance()
        for one in order:
            reports[one]["subscription"]["id"] = 1000 + sum(10**at * place for at, place in enumerate(order))
            await part.take("recharge", reports[one])
        seen = await part.seen(f"recharge-{reports[0]['subscription']['id']}")
        assert seen.quantity == 3, order


async def test_charges_of_recharge(part: Part) -> None:
    async def charge(minute: int, **fields: Any) -> Outcome:
        at = f"2026-06-01T11:{minute:02}:00"
        return await part.outcome("recharge", {"charge": payloads.recharge_charge(updated_at=at, **fields)})

    assert await charge(0) is Outcome.UNKNOWN  # the subscription itself has not arrived
    await part.take("recharge", {"subscription": payloads.recharge()})
    assert await charge(1, status="skipped") is Outcome.APPLIED
    assert await part.days(RECHARGE_ID) == [("06-12", "skipped"), ("06-26", "planned"), ("07-10", "planned")]
    assert await charge(0, status="queued") is Outcome.OUTDATED
    assert await charge(2, status="queued") is Outcome.APPLIED
    assert await charge(3, status="queued", scheduled_at="2026-06-14") is Outcome.APPLIED
    assert await part.days(RECHARGE_ID) == [("06-14", "planned"), ("06-26", "planned"), ("07-10", "planned")]
    failed = payloads.recharge_charge(status="error", retry_date="2026-06-15", updated_at="2026-06-01T11:04:00")
    assert await part.take("recharge", {"charge": failed}) == []  # it is tried again
    assert await charge(5, status="success", scheduled_at="2026-06-14") is Outcome.APPLIED
    assert (await part.days(RECHARGE_ID))[0] == ("06-14", "locked")
    assert await charge(5, status="success", scheduled_at="2026-06-14") is Outcome.REPEATED
    order = {**payloads.recharge_charge(status="success", scheduled_at="2026-06-14"), "charge": {"id": 377749210}}
    assert await part.outcome("recharge", {"order": {**order, "id": 5}}) is Outcome.OUTDATED
    order["updated_at"] = "2026-06-01T12:00:00"
    await part.take("recharge", {"order": {**order, "id": 5}})
    assert (await part.seen(RECHARGE_ID)).next_deliveries[0].order_id == "377749210"


async def test_skip_that_is_seen_by_the_next_day_alone(part: Part) -> None:
    await part.take("recharge", {"subscription": payloads.recharge()})
    later = payloads.recharge(next_charge_scheduled_at="2026-06-26", updated_at="2026-06-01T11:00:00")
    await part.take("recharge", {"subscription": later}, "subscription/skipped")
    assert await part.days(RECHARGE_ID) == [("06-12", "skipped"), ("06-26", "planned"), ("07-10", "planned")]
    again = payloads.recharge(updated_at="2026-06-01T12:00:00")
    await part.take("recharge", {"subscription": again}, "subscription/unskipped")
    assert (await part.days(RECHARGE_ID))[0] == ("06-12", "planned")


async def test_orders_of_ordergroove(part: Part) -> None:
    assert await part.take("ordergroove", payloads.ordergroove_order("order.create", 1, "2026-06-16")) == []
    await part.take("ordergroove", payloads.ordergroove())
    assert [day for day, _ in await part.days(OG_ID)] == ["06-01", "06-15", "06-29"]
    placed = payloads.ordergroove_item("item.successfully_placed", 1_780_310_000)
    placed["data"]["object"]["order"] = "first"
    assert await part.outcome("ordergroove", placed) is Outcome.APPLIED
    assert await part.outcome("ordergroove", payloads.ordergroove_item("item.create", 1_780_310_001)) is Outcome.APPLIED
    for kind, created, place, expected in [
        ("order.change_next_order_date", 1_780_310_010, "2026-06-18", ("06-18", "planned")),
        ("order.skip_order", 1_780_310_020, "2026-06-18", ("06-18", "skipped")),
        ("order.change_next_order_date", 1_780_310_030, "2026-06-19", ("06-19", "planned")),
        ("order.success", 1_780_310_040, "2026-06-19", ("06-19", "locked")),
    ]:
        assert await part.outcome("ordergroove", payloads.ordergroove_order(kind, created, place)) is Outcome.APPLIED
        assert (await part.days(OG_ID))[:2] == [("06-01", "locked"), expected]
    late = payloads.ordergroove_order("order.skip_order", 1_780_310_025, "2026-06-18")
    assert await part.outcome("ordergroove", late) is Outcome.OUTDATED


async def test_billing_of_shopify(part: Part) -> None:
    skip = {
        "subscription_contract_id": 10746691881, "cycle_start_at": "2026-06-30T00:00:00Z", "cycle_index": 2,
        "billing_attempt_expected_date": "2026-06-30T12:00:00Z", "skipped": True,
    }  # fmt: skip
    attempt = {
        "id": 1, "admin_graphql_api_id": "gid://shopify/SubscriptionBillingAttempt/1", "order_id": 77,
        "subscription_contract_id": 10746691881, "ready": True, "error_code": None,
        "created_at": "2026-07-31T01:00:00Z", "updated_at": "2026-07-31T01:00:05Z",
    }  # fmt: skip
    await part.take("shopify", payloads.shopify(), "subscription_contracts/create", "w1")
    assert await part.days(CONTRACT_ID) == [("06-30", "planned"), ("07-31", "planned")]
    assert await part.outcome("shopify", skip, "subscription_billing_cycles/skip", "w2") is Outcome.APPLIED
    assert await part.outcome("shopify", attempt, "subscription_billing_attempts/success", "w3") is Outcome.APPLIED
    assert await part.days(CONTRACT_ID) == [("06-30", "skipped"), ("07-31", "locked")]
    assert await part.outcome("shopify", skip, "subscription_billing_cycles/unskip", "w4") is Outcome.APPLIED
    assert (await part.days(CONTRACT_ID))[0] == ("06-30", "planned")


async def test_levers_belong_to_the_engine(part: Part) -> None:
    await part.take("recharge", {"subscription": payloads.recharge()})
    home = Household("north", "43845860")
    with pytest.raises(InvalidState, match="recharge keeps this subscription; change 27363808 there"):
        await part.subscriptions.change(home, RECHARGE_ID, Skip(), Call())
    await part.subscriptions.change(home, RECHARGE_ID, RecordDelivered(1), Call())
    view = await part.view(RECHARGE_ID)
    assert view.subscription.delivery(1).status is DeliveryStatus.DELIVERED
    # What was delivered stays so, whatever the engine plans afterward.
    later = payloads.recharge(next_charge_scheduled_at="2026-06-26", updated_at="2026-06-13T11:00:00")
    await part.take("recharge", {"subscription": later})
    assert await part.days(RECHARGE_ID) == [("06-12", "delivered"), ("06-26", "planned"), ("07-10", "planned")]


async def test_subscription_that_is_kept_here_is_not_taken_over(part: Part, monkeypatch: pytest.MonkeyPatch) -> None:
    agreement = Agreement(
        RECHARGE_ID, Item("Milk"), 1, Interval(Unit.WEEK, 1), day_number(date(2026, 6, 5)), 0, "UTC", None, "", "", ""
    )
    with pytest.raises(InvalidInput, match="must not begin with recharge-"):
        await part.subscriptions.create(Household("north", "43845860"), agreement, Call())
    # As earlier versions permitted.
    monkeypatch.setattr(keeper, "RESERVED_PREFIXES", ())
    await part.subscriptions.create(Household("north", "43845860"), agreement, Call())
    with pytest.raises(AlreadyExists, match="kept here"):
        await part.take("recharge", {"subscription": payloads.recharge()})


async def test_erased_customer_is_not_stored_again_and_merged_one_is_found(part: Part) -> None:
    await part.take("recharge", {"subscription": payloads.recharge()})
    await part.history.append(Household("north", "shopper"), receipt(1, 0, "Milk"), consent=False)
    await part.history.merge(Household("north", "shopper"), "43845860", "")
    update = payloads.recharge(quantity=3, updated_at="2026-06-02T10:00:00")
    (result,) = await part.take("recharge", {"subscription": update})
    assert (result.household_id, result.outcome) == ("shopper", Outcome.APPLIED)
    await part.history.erase(Household("north", "shopper"))
    assert await part.outcome("recharge", {"subscription": {**update, "quantity": 4}}) is Outcome.ERASED
    assert await part.store.subscriptions.subscription("north", RECHARGE_ID) is None


async def test_reactivation_after_a_cancellation(part: Part) -> None:
    await part.take("recharge", {"subscription": payloads.recharge()})
    gone = {"status": "cancelled", "cancelled_at": "2026-06-01T11:00:00", "next_charge_scheduled_at": None}
    await part.take("recharge", {"subscription": payloads.recharge(**gone, updated_at="2026-06-01T11:00:00")})
    assert (await part.view(RECHARGE_ID)).subscription.status is Status.CANCELLED
    assert await part.days(RECHARGE_ID) == []
    part.clock.advance(days=60)
    back = payloads.recharge(next_charge_scheduled_at="2026-08-05", updated_at="2026-07-31T12:00:00")
    await part.take("recharge", {"subscription": back})
    assert await part.days(RECHARGE_ID) == [("08-05", "planned"), ("08-19", "planned"), ("09-02", "planned")]


BAD_PAYLOADS: dict[str, tuple[str, str, str, str]] = {
    "no JSON": ("recharge", "", "{", "payload: must be a JSON object"),
    "a list": ("recharge", "", "[]", "payload: must be a JSON object"),
    "not a number": ("recharge", "", '{"subscription": NaN}', "payload: must be a JSON object"),
    "missing": ("recharge", "", '{"subscription": {}}', "payload.subscription.id: Field required"),
    "unit": (
        "recharge", "", payloads.text({"subscription": payloads.recharge(order_interval_unit="year")}),
        "payload.subscription.order_interval_unit: must be one of day, week, month",
    ),
    "status": (
        "recharge", "", payloads.text({"subscription": payloads.recharge(status="odd")}),
        "payload.subscription.status: must be one of",
    ),
    "period": (
        "ordergroove", "", payloads.text(payloads.ordergroove(every_period=9)),
        "payload.data.object.every_period: must be one of 1, 2, 3, 4",
    ),
    "count": ("ordergroove", "", payloads.text(payloads.ordergroove(every=0)), "must be 1 to 366 weeks; is 0"),
    "topic": ("shopify", "", payloads.text(payloads.shopify()), "X-Shopify-Topic"),
    "long": (
        "shopify", "subscription_contracts/update", payloads.text(payloads.shopify(note="x" * 40_000)),
        "must have at most 32,768 characters",
    ),
    "deep": (
        "shopify", "subscription_contracts/update", '{"note":' * 900 + "1" + "}" * 900, "payload: is nested too deeply",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("engine", "topic", "body", "message"), BAD_PAYLOADS.values(), ids=BAD_PAYLOADS)
def test_payload_that_is_not_documented_is_refused(engine: str, topic: str, body: str, message: str) -> None:
    with pytest.raises(InvalidInput) as raised:
        read_webhook(Engine(engine), topic, "", body)
    assert message in str(raised.value)


async def test_days_too_far_away_are_refused(part: Part) -> None:
    for day in ("2009-01-01", "2099-01-01"):
        payload = {"subscription": payloads.recharge(next_charge_scheduled_at=day)}
        with pytest.raises(InvalidInput, match="too far away"):
            await part.take("recharge", payload)
    await part.take("recharge", {"subscription": payloads.recharge()})
    with pytest.raises(InvalidInput, match="order on 9999-01-01, which is too far away"):
        await part.take("recharge", {"charge": payloads.recharge_charge(scheduled_at="9999-01-01")})


async def test_half_of_an_emoji_becomes_a_question_mark(part: Part) -> None:
    await part.take("recharge", {"subscription": payloads.recharge(cancellation_reason_comments="late \ud83d")})
    mirror = (await part.seen(RECHARGE_ID)).mirror
    assert mirror is not None
    assert "late ?" in mirror.document


def test_other_topics_are_about_no_subscription() -> None:
    for engine, topic, body in [
        ("recharge", "", {"customer": {"id": 1}}),
        ("ordergroove", "", {**payloads.ordergroove("subscriber.create"), "data": {"object": {}}}),
        ("shopify", "orders/create", {"id": 1}),
    ]:
        event = read_webhook(Engine(engine), topic, "e", json.dumps(body))
        assert (event.event_id, event.snapshots, event.orders) == ("e", (), ())
