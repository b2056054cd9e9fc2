"""Subscriptions through the gateway, by the REST API: ids of requests, versions, problems, export and erasure."""

import asyncio
import contextlib
import json
import os
import shutil
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from google.protobuf.message import Message

from pantree.subscription.v1 import subscription_service_pb2 as subscriptions
from pantree_gateway.server import start as start_gateway
from pantree_gateway.settings import GatewaySettings
from pantree_history.__main__ import build as build_history
from pantree_history.rules import RULES
from pantree_history.settings import HistorySettings
from pantree_pipeline.__main__ import build as build_pipeline
from pantree_pipeline.settings import PipelineSettings
from pantree_runtime.errors import InvalidInput
from pantree_runtime.server import running
from pantree_runtime.validation import Violations

EXAMPLE = Path(__file__).resolve().parents[2] / "examples/subscriptions.sh"
WITHOUT_UNIT = subscriptions.DeliveryInterval(count=1)
MONTHLY = {"unit": "INTERVAL_UNIT_MONTH", "count": 1}


@contextlib.asynccontextmanager
async def mesh(settings: HistorySettings | None = None) -> AsyncIterator[str]:
    """URL of a gateway in front of pipeline and history; the parts that recommend are not running."""
    async with contextlib.AsyncExitStack() as stack:
        spec = await build_history(settings or HistorySettings(store_url="sqlite://:memory:"))
        history = (await stack.enter_async_context(running(spec))).address
        nowhere = dict.fromkeys(("simulation_address", "frequency_address", "recommendation_address"), "127.0.0.1:1")
        addresses = {**nowhere, "history_address": history, "vector_address": "", "enrichment_address": ""}
        pipeline = await build_pipeline(PipelineSettings(port=0).model_copy(update=addresses))
        address = (await stack.enter_async_context(running(pipeline))).address
        edge = GatewaySettings(port=0).model_copy(update={"pipeline_address": address, "history_address": history})
        gateway = await start_gateway(edge)
        stack.push_async_callback(gateway.stop, 0)
        yield f"http://{gateway.address}"


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
async def test_example_with_curl() -> None:
    async with mesh() as url:
        command = ("bash", str(EXAMPLE))
        process = await asyncio.create_subprocess_exec(
            *command, env={**os.environ, "PANTREE_URL": url}, stdout=PIPE, stderr=PIPE
        )
        output, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()
    *_, deliveries, events = map(json.loads, output.decode().splitlines())
    assert [one["status"] for one in deliveries["deliveries"]] == ["DELIVERY_STATUS_SKIPPED"]
    kinds = [one["type"].rpartition(".")[2] for one in events["events"]]
    assert kinds == ["created", "skipped", "paused", "interval_changed", "cancelled"]


@pytest.mark.parametrize(
    ("name", "request_", "field"),
    [
        ("CreateOffer", subscriptions.CreateOfferRequest(interval=WITHOUT_UNIT), "interval.unit"),
        ("CreateSubscription", subscriptions.CreateSubscriptionRequest(interval=WITHOUT_UNIT), "interval.unit"),
        (
            "ChangeSubscription",
            subscriptions.ChangeSubscriptionRequest(
                change_interval=subscriptions.ChangeInterval(interval=WITHOUT_UNIT)
            ),
            "change_interval.interval.unit",
        ),
        ("RecordDelivery", subscriptions.RecordDeliveryRequest(), "report"),
    ],
)
def test_required_enum_is_missed(name: str, request_: Message, field: str) -> None:
    violations = Violations()
    RULES[name](request_, violations)
    with pytest.raises(InvalidInput) as raised:
        violations.raise_if_any()
    assert field in [violation.field for violation in raised.value.violations]


async def test_subscription_from_an_offer_to_its_erasure() -> None:
    async with mesh() as url, httpx.AsyncClient(base_url=url, timeout=30) as rest:
        customer = "/api/v1/customers/4711"
        milk = {"name": "Milk", "item_id": "m-1"}
        offer = await rest.post(f"{customer}/offers", json={"item": milk, "quantity": 2, "interval": MONTHLY})
        offer_id = offer.json()["offer"]["offer_id"]
        first_day = (datetime.now(UTC) + timedelta(days=10)).date().isoformat()
        body = {"offer_id": offer_id, "subscription_id": "s-1", "anchor_date": first_day, "consent": "I agree."}
        created = await rest.post(f"{customer}/subscriptions", json=body, headers={"Idempotency-Key": '"one"'})
        subscription = created.json()["subscription"]
        assert (subscription["status"], subscription["quantity"]) == ("SUBSCRIPTION_STATUS_ACTIVE", 2)
        again = await rest.post(f"{customer}/subscriptions", json=body, headers={"Idempotency-Key": "one"})
        assert again.json() == created.json()
        other = {**body, "consent": "No."}
        reused = await rest.post(f"{customer}/subscriptions", json=other, headers={"Idempotency-Key": "one"})
        assert (reused.status_code, reused.json()["code"]) == (422, "IDEMPOTENCY_KEY_REUSED")

        lever = f"{customer}/subscriptions/s-1:change"
        skip = {"skip": {"reason": "too_much"}, "actor": "customer"}
        headers = {"If-Match": f'"{subscription["etag"]}"', "Idempotency-Key": "two"}
        skipped = (await rest.post(lever, json=skip, headers=headers)).json()
        assert [one["type"] for one in skipped["events"]] == ["com.pantree.delivery.skipped"]
        assert (await rest.post(lever, json=skip, headers=headers)).json() == skipped
        stale = await rest.post(lever, json={"pause": {}}, headers={"If-Match": headers["If-Match"]})
        assert (stale.status_code, stale.json()["code"]) == (412, "ETAG_MISMATCH")
        wrong = await rest.post(lever, json={"resume": {}}, headers={"If-Match": "*"})
        assert (wrong.status_code, wrong.json()["code"]) == (400, "INVALID_STATE")
        wrong_bodies: list[dict[str, object]] = [{}, {"pause": {}, "resume": {}}, {"etag": "x", "pause": {}}]
        for missing in wrong_bodies:
            answer = await rest.post(lever, json=missing, headers={"If-Match": "y"})
            assert (answer.status_code, answer.json()["code"]) == (400, "INVALID_INPUT"), missing
        cancelled = await rest.post(lever, json={"cancel": {"cancellation": {"reason": "too_much", "comment": "Bye."}}})
        assert cancelled.json()["subscription"]["cancellation"]["comment"] == "Bye."

        listed = (await rest.get(f"{customer}/subscriptions")).json()["subscriptions"]
        assert [one["subscription_id"] for one in listed] == ["s-1"]
        events = (await rest.get(f"{customer}/subscriptions/s-1/events", params={"page_size": 2})).json()
        rest_of_events = {"page_token": events["next_page_token"]}
        more = (await rest.get(f"{customer}/subscriptions/s-1/events", params=rest_of_events)).json()
        assert [one["number"] for one in events["events"] + more["events"]] == [1, 2, 3]
        deliveries = (await rest.get(f"{customer}/subscriptions/s-1/deliveries")).json()["deliveries"]
        assert [(one["sequence"], one["status"]) for one in deliveries] == [(1, "DELIVERY_STATUS_SKIPPED")]
        exported = (await rest.get(f"{customer}/export")).text
        assert "I agree." in exported
        assert "Bye." in exported
        strange = await rest.get("/api/v1/customers/4712/subscriptions/s-1")
        assert strange.status_code == 404
        assert (await rest.delete(customer)).status_code == 200
        assert (await rest.get(f"{customer}/subscriptions")).json()["subscriptions"] == []
        assert (await rest.get(f"{customer}/export")).status_code == 404
        refused = await rest.post(
            f"{customer}/subscriptions", json={**body, "offer_id": "", "item": milk, "interval": MONTHLY}
        )
        assert refused.json()["code"] == "CUSTOMER_ERASED"
