"""Webhooks of subscription engines through the gateway: signatures, tenants, and what comes out again."""

import asyncio
import base64
import contextlib
import hashlib
import hmac
import json
import os
import shutil
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
from starlette.datastructures import Headers

from pantree.subscription.v1.subscription_service_pb2 import (
    DESCRIPTOR,
    CustomerSubscription,
    GetSubscriptionResponse,
    ListDeliveriesResponse,
    ListSubscriptionsResponse,
    SubscriptionMirror,
)
from pantree_client import PantreeClient
from pantree_client.exports import recharge_subscription
from pantree_gateway.app import hide_documents
from pantree_gateway.engine_events import Engine, EngineAccess, is_signed, read_engines
from pantree_gateway.server import start as start_gateway
from pantree_gateway.settings import GatewaySettings
from pantree_gateway.transcoding.caller import Caller
from pantree_gateway.transcoding.json_codec import JsonCodec
from pantree_gateway.transcoding.upstream import Upstream, upstream_methods
from pantree_history.__main__ import build as build_history
from pantree_history.settings import HistorySettings
from pantree_runtime.server import running
from tests.gateway.test_access import AUDIENCE, ISSUER, key_set, token
from tests.history import engine_payloads as payloads

ROUTE = "/api/v1/engines/recharge/events"
KEY = "key of the shop"
EXAMPLE = Path(__file__).resolve().parents[2] / "examples/engine-events.sh"
BODY = payloads.text({"subscription": payloads.recharge(next_charge_scheduled_at="2026-12-12")}).encode()


def recharge_headers(secret: str, body: bytes) -> dict[str, str]:
    signature = hashlib.sha256(secret.encode() + body).hexdigest()
    return {"X-Recharge-Hmac-Sha256": signature, "Content-Type": "application/json"}


def ordergroove_headers(body: bytes, *secrets: str, time: str = "1592570791") -> dict[str, str]:
    signed = f"{time}.".encode() + body
    signatures = [hmac.new(secret.encode(), signed, "sha256").hexdigest() for secret in secrets]
    return {"Ordergroove-Signature": ",".join([f"ts={time}", *(f"sig={one}" for one in signatures)])}


def shopify_headers(secret: str, body: bytes) -> dict[str, str]:
    signature = base64.b64encode(hmac.new(secret.encode(), body, "sha256").digest()).decode()
    return {"X-Shopify-Hmac-Sha256": signature}


@contextlib.asynccontextmanager
async def gateway(**settings: Any) -> AsyncIterator[str]:
    """URL of a gateway in front of a history."""
    async with contextlib.AsyncExitStack() as stack:
        spec = await build_history(HistorySettings(store_url="sqlite://:memory:"))
        history = (await stack.enter_async_context(running(spec))).address
        addresses = {"pipeline_address": "127.0.0.1:1", "history_address": history, **settings}
        served = await start_gateway(GatewaySettings(port=0).model_copy(update=addresses))
        stack.push_async_callback(served.stop, 0)
        yield f"http://{served.address}"


def files(folder: Path) -> dict[str, str]:
    """Accounts of two tenants with Recharge, and API keys of both."""
    accounts = [
        {"engine": "recharge", "secret": "north's", "tenant": "north", "time_zone": "Europe/Berlin"},
        {"engine": "recharge", "secret": "south's", "tenant": "south"},
    ]
    keys = [
        {"name": name, "sha256": hashlib.sha256(f"{KEY} {name}".encode()).hexdigest(), "tenant": name, "scopes": scopes}
        for name, scopes in (("north", ["history"]), ("south", ["history"]), ("reader", ["pipeline"]))
    ]
    (folder / "engines.json").write_text(json.dumps(accounts))
    (folder / "keys.json").write_text(json.dumps(keys))
    return {"engines_file": str(folder / "engines.json"), "api_keys_file": str(folder / "keys.json")}


async def test_signature_says_the_tenant(tmp_path: Path) -> None:
    async with gateway(**files(tmp_path)) as url, httpx.AsyncClient(base_url=url, timeout=30) as rest:
        taken = await rest.post(ROUTE, content=BODY, headers=recharge_headers("north's", BODY))
        assert taken.status_code == 200, taken.text
        (result,) = taken.json()["results"]
        assert (result["customer_id"], result["subscription_id"]) == ("43845860", "recharge-27363808")
        assert result["outcome"] == "ENGINE_EVENT_OUTCOME_APPLIED"
        assert [one["type"] for one in result["events"]] == ["com.pantree.subscription.created"]
        assert result["events"][0]["actor"] == "engine:recharge"
        again = await rest.post(ROUTE, content=BODY, headers=recharge_headers("north's", BODY))
        assert again.json()["results"][0]["outcome"] == "ENGINE_EVENT_OUTCOME_REPEATED"

        subscription = "/api/v1/customers/43845860/subscriptions/recharge-27363808"
        found = await rest.get(subscription, headers={"X-API-Key": f"{KEY} north"})
        assert found.json()["subscription"]["mirror"]["engine"] == "SUBSCRIPTION_ENGINE_RECHARGE"
        assert found.json()["subscription"]["time_zone"] == "Europe/Berlin"
        assert (await rest.get(subscription, headers={"X-API-Key": f"{KEY} south"})).status_code == 404
        lever = await rest.post(f"{subscription}:change", json={"skip": {}}, headers={"X-API-Key": f"{KEY} north"})
        assert (lever.status_code, lever.json()["code"]) == (400, "INVALID_STATE")
        assert "recharge keeps this subscription" in lever.json()["detail"]

        wrong: list[dict[str, str]] = [
            {},
            recharge_headers("another", BODY),
            recharge_headers("north's", BODY + b" "),
            {"X-API-Key": "wrong", **recharge_headers("north's", BODY)},
        ]
        for headers in wrong:
            refused = await rest.post(ROUTE, content=BODY, headers=headers)
            assert (refused.status_code, refused.json()["code"]) == (401, "UNAUTHENTICATED"), headers
        assert (await rest.post("/api/v1/engines/shopify/events", content=BODY)).status_code == 401
        reader = await rest.post(ROUTE, content=BODY, headers={"X-API-Key": f"{KEY} reader"})
        assert reader.status_code == 403
        async with PantreeClient(url, api_key=f"{KEY} north") as client:
            exported = recharge_subscription(await client.subscription("43845860", "recharge-27363808"))
        assert exported["properties"] == [{"name": "grind", "value": "drip"}]


@pytest.mark.parametrize(
    ("caller", "sees"),
    [
        (Caller(), True),
        (Caller(customer_id="4711", scopes=frozenset({"*"})), False),
        (Caller(customer_id="4711", scopes=frozenset({"history", "shop"})), True),
    ],
)
def test_customers_do_not_see_the_record_of_an_engine(caller: Caller, sees: bool) -> None:
    def channel() -> grpc.aio.Channel:
        raise AssertionError

    service = DESCRIPTOR.services_by_name["SubscriptionService"]
    upstream = Upstream(service, "history", channel, hide=hide_documents)
    mirrored = CustomerSubscription(mirror=SubscriptionMirror(external_id="1", document='{"note": "internal"}'))
    for answer in (
        GetSubscriptionResponse(subscription=mirrored),
        ListSubscriptionsResponse(subscriptions=[CustomerSubscription(), mirrored]),
        ListDeliveriesResponse(),
    ):
        before = str(answer)
        for method in upstream_methods([upstream], JsonCodec()):
            method.hide_from(caller, answer)
        assert ("internal" in str(answer)) == (sees and "internal" in before)
        assert ("external_id" in str(answer)) == ("external_id" in before)


@pytest.mark.parametrize(("claims", "sees"), [({"customer_id": "43845860"}, False), ({}, True)])
async def test_export_has_the_record_of_an_engine_for_the_shop_only(
    claims: dict[str, str], sees: bool, tmp_path: Path
) -> None:
    (tmp_path / "jwks.json").write_text(key_set())
    tokens = {"jwt_issuer": ISSUER, "jwt_audience": AUDIENCE, "jwt_jwks": str(tmp_path / "jwks.json")}
    async with gateway(**files(tmp_path), **tokens) as url, httpx.AsyncClient(base_url=url) as rest:
        await rest.post(ROUTE, content=BODY, headers=recharge_headers("north's", BODY))
        bearer = {"Authorization": f"Bearer {token(scope='history', tenant='north', **claims)}"}
        exported = await rest.get("/api/v1/customers/43845860/export", headers=bearer)
        pieces = [json.loads(line) for line in exported.text.splitlines()]
        (found,) = [one["data"] for one in pieces if one["type"] == "stored_subscription"]
        assert found["subscription"]["mirror"]["external_id"] == "27363808"
        assert ("drip" in exported.text) == sees


async def test_shop_sends_what_its_app_has_read_without_a_signature(tmp_path: Path) -> None:
    route, headers = "/api/v1/engines/shopify/events", {"X-API-Key": f"{KEY} south"}
    async with gateway(**files(tmp_path)) as url, httpx.AsyncClient(base_url=url, headers=headers) as rest:
        topic = {"topic": "subscription_contracts/update"}
        taken = await rest.post(route, json=payloads.shopify_object(), params=topic)
        assert taken.json()["results"][0]["outcome"] == "ENGINE_EVENT_OUTCOME_APPLIED"
        found = await rest.get("/api/v1/customers/6735677391145/subscriptions")
        assert found.json()["subscriptions"][0]["item"]["name"] == "Sumatra Coffee"
        wrong = await rest.post(route, json=payloads.shopify_object(status="odd"), params=topic)
        assert (wrong.status_code, wrong.json()["errors"][0]["field"]) == (400, "payload.status")
        for content in (b"", b"\xff"):
            refused = await rest.post(route, content=content, params=topic)
            assert (refused.status_code, refused.json()["errors"][0]["field"]) == (400, "payload")
        unknown = await rest.post("/api/v1/engines/other/events", json={})
        assert (unknown.status_code, unknown.json()["code"]) == (404, "NOT_FOUND")


async def test_gateway_without_credentials_takes_events() -> None:
    async with gateway() as url, httpx.AsyncClient(base_url=url) as rest:
        taken = await rest.post("/api/v1/engines/ordergroove/events", json=payloads.ordergroove())
        assert taken.json()["results"][0]["customer_id"] == "h183738"


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
async def test_example_with_curl(tmp_path: Path) -> None:
    accounts = tmp_path / "engines.json"
    accounts.write_text(json.dumps([{"engine": "recharge", "secret": "hidden"}]))
    async with gateway(engines_file=str(accounts)) as url:
        environment = {**os.environ, "PANTREE_URL": url, "SECRET": "hidden"}
        process = await asyncio.create_subprocess_exec("bash", str(EXAMPLE), env=environment, stdout=PIPE, stderr=PIPE)
        output, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()
    *outcomes, deliveries = map(json.loads, output.decode().splitlines())
    kinds = [one["results"][0]["outcome"].removeprefix("ENGINE_EVENT_OUTCOME_") for one in outcomes]
    assert kinds == ["APPLIED", "REPEATED", "APPLIED"]
    assert deliveries["deliveries"][0]["status"] == "DELIVERY_STATUS_SKIPPED"


def test_signatures_are_those_that_the_engines_document() -> None:
    def signed(engine: Engine, headers: dict[str, str], body: bytes = BODY) -> bool:
        return is_signed(EngineAccess.model_validate({"engine": engine, "secret": "s"}), Headers(headers), body)

    assert signed(Engine.SHOPIFY, shopify_headers("s", BODY))
    assert signed(Engine.RECHARGE, recharge_headers("s", BODY))
    assert signed(Engine.ORDERGROOVE, ordergroove_headers(BODY, "s"))
    assert signed(Engine.ORDERGROOVE, ordergroove_headers(BODY, "new", "s"))  # while a key is replaced
    for engine, headers in [
        (Engine.SHOPIFY, shopify_headers("other", BODY)),
        (Engine.SHOPIFY, recharge_headers("s", BODY)),
        (Engine.RECHARGE, recharge_headers("other", BODY)),
        (Engine.RECHARGE, {"X-Recharge-Hmac-Sha256": hmac.new(b"s", BODY, "sha256").hexdigest()}),
        (Engine.ORDERGROOVE, ordergroove_headers(BODY, "other")),
        (Engine.ORDERGROOVE, {"Ordergroove-Signature": ordergroove_headers(BODY, "s")["Ordergroove-Signature"][4:]}),
        (Engine.ORDERGROOVE, {"Ordergroove-Signature": "ts=1592570791"}),
        (Engine.SHOPIFY, {}),
        (Engine.SHOPIFY, {"X-Shopify-Hmac-Sha256": "é"}),
    ]:
        assert not signed(engine, headers), (engine, headers)
    assert not signed(Engine.SHOPIFY, shopify_headers("s", BODY), BODY + b" ")


def test_file_of_engines_that_is_wrong_is_refused_without_its_secrets(tmp_path: Path) -> None:
    file = tmp_path / "engines.json"
    for text in (
        '[{"engine": "other", "secret": "hidden"}]',
        '[{"engine": "shopify", "secret": "hidden", "time_zone": "X"}]',
    ):
        file.write_text(text)
        with pytest.raises(ValueError, match="cannot read the file of engines") as raised:
            read_engines(str(file))
        assert "hidden" not in str(raised.value)
