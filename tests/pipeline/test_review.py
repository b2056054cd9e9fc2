"""The review of stored subscriptions, through all parts that take part in it."""

import asyncio
import contextlib
import inspect
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from typing import Any, NamedTuple, cast

import grpc
import httpx
import numpy as np
import pytest
from typer.testing import CliRunner

from pantree.pipeline.v1 import pipeline_service_pb2 as pipeline
from pantree.pipeline.v1 import pipeline_service_pb2_grpc as pipeline_rpc
from pantree.purchase.v1.purchase_pb2 import PurchaseColumns
from pantree.recommendation.v1 import recommendation_service_pb2 as recommendation
from pantree.subscription.v1 import subscription_service_pb2 as subscription
from pantree.subscription.v1 import subscription_service_pb2_grpc as subscription_rpc
from pantree_cli.app import app
from pantree_client import ChangeInterval, DeliveryInterval, PantreeClient
from pantree_client.reviews import to_reviews
from pantree_domain.days import day_number
from pantree_gateway.server import start as start_gateway
from pantree_gateway.settings import GatewaySettings
from pantree_history.__main__ import build as build_history
from pantree_history.settings import HistorySettings
from pantree_pipeline import convert_review
from pantree_pipeline.__main__ import build as build_pipeline
from pantree_pipeline.backends.history import GrpcHistory
from pantree_pipeline.convert_review import review_request, review_result
from pantree_pipeline.core.ports import StoredHistory, StoredSubscription
from pantree_pipeline.servicer import PipelineServicer
from pantree_pipeline.settings import PipelineSettings
from pantree_recommendation import convert_review as convert_recommendation
from pantree_recommendation.__main__ import build as build_recommendation
from pantree_recommendation.settings import RecommendationSettings
from pantree_runtime.server import running

TODAY = datetime.now(UTC).date()
FIRST = TODAY + timedelta(days=7)


class Addresses(NamedTuple):
    gateway: str
    pipeline: str


@contextlib.asynccontextmanager
async def mesh(test_tenants: str = "") -> AsyncIterator[Addresses]:
    """Gateway, pipeline, history and recommendation."""
    async with contextlib.AsyncExitStack() as stack:
        specs = [
            await build_history(HistorySettings(store_url="sqlite://:memory:", test_tenants=test_tenants)),
            await build_recommendation(RecommendationSettings()),
        ]
        history, recommending = [(await stack.enter_async_context(running(spec))).address for spec in specs]
        update = dict.fromkeys(("simulation_address", "frequency_address"), "127.0.0.1:1")
        update |= {"history_address": history, "recommendation_address": recommending}
        update |= {"vector_address": "", "enrichment_address": ""}
        piped = await build_pipeline(PipelineSettings(port=0).model_copy(update=update))
        address = (await stack.enter_async_context(running(piped))).address
        settings = GatewaySettings(port=0).model_copy(update={"pipeline_address": address, "history_address": history})
        gateway = await start_gateway(settings)
        stack.push_async_callback(gateway.stop, 0)
        yield Addresses(f"http://{gateway.address}", address)


async def test_advice_is_followed_as_it_is_returned() -> None:
    async with mesh() as addresses, httpx.AsyncClient(base_url=addresses.gateway, timeout=30) as rest:
        customer = "/api/v1/customers/4711"
        assert (await rest.get(f"{customer}/subscriptions:review")).json()["reviews"] == []
        rows = [
            {"order_id": str(weeks), "line_id": "1", "name": "milk", "price": 1.2, "quantity": 2,
             "date": (TODAY - timedelta(weeks=weeks)).isoformat()}
            for weeks in range(8)
        ]  # fmt: skip
        assert (await rest.post(f"{customer}/purchases", json={"purchases": rows})).status_code == 200
        for number, name in enumerate(("Milk", "Bread")):
            body = {
                "subscription_id": f"s-{number}", "item": {"name": name}, "quantity": 2, "cut_off_days": 1,
                "anchor_date": FIRST.isoformat(), "interval": {"unit": "INTERVAL_UNIT_WEEK", "count": 1},
            }  # fmt: skip
            assert (await rest.post(f"{customer}/subscriptions", json=body)).status_code == 200
        early = (await rest.get(f"{customer}/subscriptions:review", params={"as_of": TODAY.isoformat()})).json()
        assert [one["action"] for one in early["reviews"]] == ["REVIEW_ACTION_KEEP"] * 2
        milk = early["reviews"][0]
        assert milk["reasons"][0]["code"] == "REVIEW_TOO_EARLY"
        assert milk["now"]["cost"] == pytest.approx(12 * 2 * 1.2)
        assert milk["evidence"]["earlier_use_per_day"] == pytest.approx(2 / 7, rel=0.15)

        for sequence in (2, 3):
            skip = {"skip": {"sequence": sequence, "reason": "too_much"}}
            assert (await rest.post(f"{customer}/subscriptions/s-0:change", json=skip)).status_code == 200
        as_of = (FIRST + timedelta(days=8)).isoformat()
        reviewed = (await rest.get(f"{customer}/subscriptions:review", params={"as_of": as_of})).json()
        milk, bread = reviewed["reviews"]
        assert (milk["action"], bread["action"]) == ("REVIEW_ACTION_LENGTHEN", "REVIEW_ACTION_KEEP")
        assert milk["urgency"]["date"] == (FIRST + timedelta(days=21)).isoformat()
        assert milk["urgency"]["days_left"] == 12
        assert milk["after"]["delivered_units"] < milk["now"]["delivered_units"]

        printed = await asyncio.to_thread(
            CliRunner().invoke,
            app,
            ["subscriptions", "review", "4711", "--as-of", as_of, "--address", addresses.pipeline],
            env={"COLUMNS": "80"},
        )
        assert printed.exit_code == 0, printed.output
        assert "Milk (s-0): deliver less often, every 3 weeks." in printed.stdout
        assert "Bread (s-1): keep it as it is." in printed.stdout

        async with PantreeClient(addresses.gateway) as client:
            (first, second) = (await client.review_subscriptions("4711", as_of=date.fromisoformat(as_of))).reviews
            assert (first.action, first.lever) == ("lengthen", ChangeInterval(DeliveryInterval("week", 3)))
            assert (second.action, second.lever, second.now) == ("keep", None, second.after)

        followed = await rest.post(f"{customer}/subscriptions/s-0:change", json=milk["change"])
        assert followed.status_code == 200, followed.text
        assert followed.json()["subscription"]["interval_days"] == 21
        stale = await rest.post(f"{customer}/subscriptions/s-0:change", json=milk["change"])
        assert stale.status_code == 412


async def test_deliveries_after_the_last_day_of_the_contract_are_left_out() -> None:
    async with (
        mesh(test_tenants='[""]') as addresses,
        httpx.AsyncClient(base_url=addresses.gateway, timeout=30) as rest,
    ):
        assert (await rest.post("/api/v1/test-clock:advance", json={"now": "2199-12-20"})).status_code == 200
        body = {
            "item": {"name": "Milk"}, "quantity": 1, "anchor_date": "2199-12-25",
            "interval": {"unit": "INTERVAL_UNIT_WEEK", "count": 1},
        }  # fmt: skip
        customer = "/api/v1/customers/4711"
        assert (await rest.post(f"{customer}/subscriptions", json=body)).status_code == 200
        for as_of in ("2199-12-20", "2199-12-31"):
            reviewed = await rest.get(f"{customer}/subscriptions:review", params={"as_of": as_of})
            assert reviewed.status_code == 200, reviewed.text
            assert len(reviewed.json()["reviews"]) == 1


def stored(
    item: subscription.SubscribedItem, *deliveries: subscription.SubscriptionDelivery, subscription_id: str = "s-1"
) -> StoredSubscription:
    message = subscription.CustomerSubscription(
        subscription_id=subscription_id,
        item=item,
        quantity=1,
        interval_days=14,
        status=subscription.SUBSCRIPTION_STATUS_ACTIVE,
    )
    return StoredSubscription(message, deliveries)


def planned(item: subscription.SubscribedItem, day: int, cut_off_at: str) -> subscription.SubscriptionDelivery:
    return subscription.SubscriptionDelivery(
        sequence=day, status=subscription.DELIVERY_STATUS_PLANNED, date=f"2026-06-{day:02}", quantity=1,
        scheduled_date=f"2026-06-{day:02}", cut_off_at=cut_off_at, item=item,
    )  # fmt: skip


def history_of(*lines: tuple[str, str, int]) -> StoredHistory:
    """Lines of name, id and quantity, one a day since the first of May."""
    first = day_number(date(2026, 5, 1))
    items = list(dict.fromkeys((name, item_id) for name, item_id, _ in lines))
    columns = PurchaseColumns(
        item_names=[name for name, _ in items],
        item_ids=[item_id for _, item_id in items],
        item_categories=[""] * len(items),
        item_indices=[items.index((name, item_id)) for name, item_id, _ in lines],
        days=[first + number for number in range(len(lines))],
        quantities=[quantity for *_, quantity in lines],
        prices=[1.5] * len(lines),
        savings=np.zeros(len(lines)),
    )
    return StoredHistory(columns, "v1", 0, "EUR")


def test_request_has_the_purchases_of_the_item_and_locks_what_is_past_its_cut_off() -> None:
    coffee = subscription.SubscribedItem(name="Coffee", item_id="c-1")
    other = subscription.SubscribedItem(name="Tea", item_id="t-1")
    now = datetime(2026, 6, 2, 12, tzinfo=UTC)
    found = review_request(
        [
            stored(
                coffee,
                planned(other, 1, "2026-05-31T00:00:00.000000Z"),
                planned(coffee, 3, "2026-06-02T04:00:00.000000Z"),
                planned(coffee, 17, "2026-06-16T04:00:00.000000Z"),
            )
        ],
        history_of(("Coffee", "c-1", 2), ("Tea", "t-1", 1), ("Coffee", "c-9", 5), ("Coffee beans", "c-1", 1)),
        date(2026, 6, 2),
        now,
    )
    (one,) = found.subscriptions
    first = day_number(date(2026, 5, 1))
    assert [(purchase.day - first, purchase.quantity) for purchase in one.purchases] == [(0, 2), (3, 1)]
    assert [delivery.status for delivery in one.deliveries] == [
        subscription.DELIVERY_STATUS_LOCKED,
        subscription.DELIVERY_STATUS_PLANNED,
    ]
    assert list(found.trip_days) == [first, first + 1, first + 2, first + 3]
    assert (one.unit_price, found.currency_code) == (1.5, "EUR")
    assert not review_request([stored(coffee)], None, date(2026, 6, 2), now).subscriptions[0].purchases


def arrived(item: subscription.SubscribedItem, day: int, quantity: int, **more: Any) -> Any:
    return subscription.SubscriptionDelivery(
        sequence=day, date=f"2026-05-{day:02}", quantity=quantity, item=item,
        **{"status": subscription.DELIVERY_STATUS_PLANNED, "cut_off_at": "2026-05-01T00:00:00.000000Z", **more},
    )  # fmt: skip


def test_deliveries_of_other_subscriptions_of_a_need_are_no_purchases() -> None:
    large, small = (subscription.SubscribedItem(name=f"Milk {pack}") for pack in ("1 l", "500 ml"))
    skipped = {"status": subscription.DELIVERY_STATUS_SKIPPED}
    found = review_request(
        [
            stored(large, arrived(large, 2, 2), arrived(small, 9, 3), subscription_id="s-1"),
            stored(small, arrived(small, 4, 2), arrived(small, 7, 4, **skipped), subscription_id="s-2"),
            # Bought by mistake, or for someone else: the same once more.
            stored(large, arrived(large, 2, 1), subscription_id="s-3"),
        ],
        # A line on each of the days from 1 May on.
        history_of(
            ("Milk 1 l", "", 1), ("Milk 1 l", "", 4), ("Bread", "", 1), ("Bread", "", 1), ("Milk 500 ml", "", 2),
            ("Bread", "", 1), ("Milk 500 ml", "", 4), ("Milk 500 ml", "", 3), ("Bread", "", 1),
        ),
        date(2026, 6, 1),
        datetime(2026, 6, 1, tzinfo=UTC),
    )  # fmt: skip
    first = day_number(date(2026, 5, 1)) - 1
    bought = {
        one.subscription_id: {purchase.day - first: purchase.quantity for purchase in one.purchases}
        for one in found.subscriptions
    }
    # In units of 1 l: the delivery of 4 May is listed on 5 May, the one of 9 May, of another item, on 8 May.
    assert bought["s-1"] == {1: 1, 2: 3, 7: 2}
    assert bought["s-3"] == {1: 1, 2: 2, 7: 2}
    # In units of 500 ml: nothing of its own is subtracted.
    assert bought["s-2"] == {1: 2, 2: 2, 5: 2, 7: 4}


class Part(subscription_rpc.SubscriptionServiceServicer):
    """A history part with two ended subscriptions, one that is erased in between, and others."""

    def __init__(self) -> None:
        self.requested: list[str] = []
        self.at_once = self.max_at_once = 0

    async def ListSubscriptions(self, request: Any, context: Any) -> subscription.ListSubscriptionsResponse:
        ended = (subscription.SUBSCRIPTION_STATUS_CANCELLED, subscription.SUBSCRIPTION_STATUS_EXPIRED)
        running = [subscription.SUBSCRIPTION_STATUS_ACTIVE] * 20
        statuses = enumerate((*ended, *running))
        found = [subscription.CustomerSubscription(subscription_id=f"s-{at}", status=one) for at, one in statuses]
        return subscription.ListSubscriptionsResponse(subscriptions=found)

    async def ListDeliveries(self, request: Any, context: Any) -> subscription.ListDeliveriesResponse:
        self.requested.append(request.subscription_id)
        self.at_once += 1
        self.max_at_once = max(self.max_at_once, self.at_once)
        await asyncio.sleep(0.02)
        self.at_once -= 1
        if request.subscription_id == "s-5":
            await context.abort(grpc.StatusCode.NOT_FOUND, "erased")
        return subscription.ListDeliveriesResponse(deliveries=[subscription.SubscriptionDelivery(sequence=1)])


async def test_deliveries_of_running_subscriptions_are_read_at_the_same_time() -> None:
    part, server = Part(), grpc.aio.server()  # type: ignore[abstract] # what is not called is missing
    subscription_rpc.add_SubscriptionServiceServicer_to_server(part, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            found = await GrpcHistory(channel).subscriptions("", "4711")
    finally:
        await server.stop(0)
    ids = [cast(subscription.CustomerSubscription, one.payload).subscription_id for one in found]
    assert ids == [f"s-{at}" for at in range(2, 22) if at != 5]
    assert sorted(part.requested) == sorted([*ids, "s-5"])
    assert 1 < part.max_at_once <= 8


def test_today_is_that_of_utc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(convert_review, "utc_now", lambda: datetime(2026, 6, 1, 23, 59, tzinfo=UTC))
    assert inspect.signature(PipelineServicer).parameters["today"].default() == date(2026, 6, 1)


async def test_what_an_engine_keeps_is_changed_there() -> None:
    mirror = subscription.SubscriptionMirror(engine=subscription.SUBSCRIPTION_ENGINE_RECHARGE)
    kept = [
        StoredSubscription(subscription.CustomerSubscription(subscription_id="a", etag="1", mirror=mirror), ()),
        StoredSubscription(subscription.CustomerSubscription(subscription_id="b", etag="2"), ()),
    ]
    lever = subscription.ChangeInterval(
        interval=subscription.DeliveryInterval(unit=subscription.INTERVAL_UNIT_WEEK, count=3)
    )
    reviews = [
        recommendation.SubscriptionReview(
            subscription_id=one,
            item=subscription.SubscribedItem(name="Milk"),
            action=recommendation.REVIEW_ACTION_LENGTHEN,
            urgency=recommendation.ReviewUrgency(cut_off_at="2026-06-02T04:00:00.000000Z"),
            change=subscription.ChangeSubscriptionRequest(change_interval=lever),
        )
        for one in "ab"
    ]
    advised = recommendation.ReviewSubscriptionsResponse(reviews=reviews)
    answer = review_result("4711", date(2026, 6, 1), kept, None, advised)
    mirrored, own = answer.result.reviews
    assert (mirrored.HasField("change"), own.change.etag) == (False, "2")
    assert (mirrored.engine, own.engine) == (subscription.SUBSCRIPTION_ENGINE_RECHARGE, 0)
    assert [one.engine for one in to_reviews(answer.result).reviews] == ["recharge", ""]

    class Advisor(pipeline_rpc.PipelineServiceServicer):
        async def ReviewSubscriptions(self, request: Any, context: Any) -> pipeline.ReviewSubscriptionsResponse:
            return answer

    server = grpc.aio.server()
    pipeline_rpc.add_PipelineServiceServicer_to_server(Advisor(), server)  # type: ignore[abstract] # as above
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        command = ["subscriptions", "review", "4711", "--address", f"127.0.0.1:{port}"]
        printed = await asyncio.to_thread(CliRunner().invoke, app, command, env={"COLUMNS": "80"})
    finally:
        await server.stop(0)
    assert "Milk (a): deliver less often." in printed.stdout
    assert "Change it in Recharge, which keeps it, before 2026-06-02 04:00 UTC." in printed.stdout
    assert "Milk (b): deliver less often, every 3 weeks." in printed.stdout


@pytest.mark.parametrize(
    ("cancel_on", "expires_on", "end_date"),
    [("", "", ""), ("2026-07-01", "", "2026-07-01"), ("2026-07-01", "2026-06-20", "2026-06-20")],
)
def test_request_has_the_end_of_a_subscription(cancel_on: str, expires_on: str, end_date: str) -> None:
    one = stored(subscription.SubscribedItem(name="Milk"))
    one.payload.cancel_on, one.payload.expires_on = cancel_on, expires_on  # type: ignore[attr-defined]
    found = review_request([one], None, date(2026, 6, 2), datetime(2026, 6, 2, 12, tzinfo=UTC))
    assert found.subscriptions[0].end_date == end_date
    (state,) = convert_recommendation.review_request(found).subscriptions
    assert state.end_day == (day_number(date.fromisoformat(end_date)) if end_date else None)
