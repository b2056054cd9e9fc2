"""The review of stored subscriptions, through all parts that take part in it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple

import httpx
import numpy as np
import pytest
from typer.testing import CliRunner

from pantree.purchase.v1.purchase_pb2 import PurchaseColumns
from pantree.subscription.v1 import subscription_service_pb2 as subscription
from pantree_cli.app import app
from pantree_client import ChangeInterval, DeliveryInterval, PantreeClient
from pantree_domain.days import day_number
from pantree_gateway.server import start as start_gateway
from pantree_gateway.settings import GatewaySettings
from pantree_history.__main__ import build as build_history
from pantree_history.settings import HistorySettings
from pantree_pipeline.__main__ import build as build_pipeline
from pantree_pipeline.convert_review import review_request
from pantree_pipeline.core.ports import StoredHistory, StoredSubscription
from pantree_pipeline.settings import PipelineSettings
from pantree_recommendation.__main__ import build as build_recommendation
from pantree_recommendation.settings import RecommendationSettings
from pantree_runtime.server import running

TODAY = datetime.now(UTC).date()
FIRST = TODAY + timedelta(days=7)


class Addresses(NamedTuple):
    gateway: str
    pipeline: str


@contextlib.asynccontextmanager
async def mesh() -> AsyncIterator[Addresses]:
    """Gateway, pipeline, history and recommendation."""
    async with contextlib.AsyncExitStack() as stack:
        specs = [
            await build_history(HistorySettings(store_url="sqlite://:memory:")),
            await build_recommendation(RecommendationSettings()),
        ]
        history, recommending = [(await stack.enter_async_context(running(spec))).address for spec in specs]
        update = dict.fromkeys(("simulation_address", "frequency_address"), "127.0.0.1:1")
        update |= {"history_address": history, "recommendation_address": recommending}
        update |= {"vector_address": "", "enrichment_address": ""}
        pipeline = await build_pipeline(PipelineSettings(port=0).model_copy(update=update))
        address = (await stack.enter_async_context(running(pipeline))).address
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
        early = (await rest.get(f"{customer}/subscriptions:review")).json()
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


def stored(item: subscription.SubscribedItem, *deliveries: subscription.SubscriptionDelivery) -> StoredSubscription:
    message = subscription.CustomerSubscription(
        subscription_id="s-1", item=item, quantity=1, interval_days=14, status=subscription.SUBSCRIPTION_STATUS_ACTIVE
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
