"""Requests that no client would send: none is an internal error, whatever the store."""

import json
from base64 import urlsafe_b64encode
from collections.abc import Callable
from typing import Any

import grpc
import pytest

from pantree.subscription.v1 import subscription_service_pb2 as subscriptions
from pantree.subscription.v1 import subscription_service_pb2_grpc as subscription_rpc
from pantree_history.core.subscriptions.keeper import MAX_SUBSCRIPTIONS
from pantree_history.core.subscriptions.store import CombinedStore
from pantree_runtime.tenants import tenant_metadata
from tests.history.engine_payloads import recharge
from tests.history.test_tenant_separation import CALLS, METHODS, SERVICES, Step, part
from tests.loopback import loopback

TENANT = "north"
ANSWERS = {
    grpc.StatusCode.OK,
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.FAILED_PRECONDITION,
}
# Values of tokens that clients made themselves: numbers that no column holds, texts that no database has.
_NUMBERS = [-5, 0, 2**31, 2**63 - 1, 2**63, 10**300, -(10**20)]
_TEXTS = ["", "\x00", "\ud800", "é", "x" * 200]
TOKENS = [
    urlsafe_b64encode(text.encode()).decode()
    for text in [
        *(json.dumps([one]) for one in [*_NUMBERS, *_TEXTS]),
        *(json.dumps([one, one]) for one in [*_NUMBERS, *_TEXTS]),
        *(json.dumps([1, one, one]) for one in _TEXTS),
        *(json.dumps([one, "a", "a"]) for one in _NUMBERS),
        "[" * 350,
        "[NaN]",
        "[1e400]",
        "null",
        "{}",
    ]
] + ["====", "é", "A"]


async def code_of(channel: grpc.aio.Channel, name: str, request: Any) -> grpc.StatusCode:
    """Status of a call."""
    method = METHODS[name]
    stub = next(make(channel) for service, make in SERVICES if service is method.containing_service)
    call = getattr(stub, name)(request, metadata=tenant_metadata(TENANT), timeout=30)
    try:
        if method.server_streaming:
            async for _ in call:
                pass
        else:
            await call
    except grpc.aio.AioRpcError as error:
        return error.code()
    return grpc.StatusCode.OK


async def test_tokens_that_clients_made_themselves_are_no_internal_errors(
    make_store: Callable[[], CombinedStore],
) -> None:
    with_token = [
        (name, field.name)
        for name, method in METHODS.items()
        for field in method.input_type.fields
        if field.name in ("page_token", "since")
    ]
    assert len(with_token) >= 9
    async with loopback(part(make_store())) as channel:
        for name in ("AppendPurchases", "CreateOffer", "CreateSubscription", "CreateWebhook"):
            assert await code_of(channel, name, CALLS[name](Step(TENANT, name, "4711", 0))) is grpc.StatusCode.OK
        for name, field in with_token:
            for token in TOKENS:
                request = CALLS[name](Step(TENANT, name, "4711", 0))
                setattr(request, field, token)
                assert await code_of(channel, name, request) in ANSWERS, (name, field, token)


@pytest.mark.parametrize("name", ["ListEvents", "ListDeliveries"])
async def test_a_number_below_zero_is_no_page(name: str, make_store: Callable[[], CombinedStore]) -> None:
    async with loopback(part(make_store())) as channel:
        created = CALLS["CreateSubscription"](Step(TENANT, "CreateSubscription", "4711", 0))
        assert await code_of(channel, "CreateSubscription", created) is grpc.StatusCode.OK
        request: Any = CALLS[name](Step(TENANT, name, "4711", 0))
        request.page_token = urlsafe_b64encode(b"[-5]").decode()
        assert await code_of(channel, name, request) is grpc.StatusCode.INVALID_ARGUMENT


async def test_pages_end_before_a_message_is_full(make_store: Callable[[], CombinedStore]) -> None:
    async with loopback(part(make_store())) as channel:
        stub, metadata = subscription_rpc.SubscriptionServiceStub(channel), tenant_metadata(TENANT)
        for number in range(150):
            payload = json.dumps({"subscription": recharge(id=number, customer_id="4711", note="x" * 31_000)})
            event = subscriptions.RecordEngineEventRequest(
                engine=subscriptions.SUBSCRIPTION_ENGINE_RECHARGE, payload=payload
            )
            await stub.RecordEngineEvent(event, metadata=metadata)
        request = subscriptions.ListSubscriptionsRequest(customer_id="4711", page_size=1000)
        pages: list[list[str]] = []
        while not pages or request.page_token:
            page = await stub.ListSubscriptions(request, metadata=metadata)
            pages.append([one.subscription_id for one in page.subscriptions])
            request.page_token = page.next_page_token
    assert len(pages) > 1
    found = [one for page in pages for one in page]
    assert found == sorted(f"recharge-{number}" for number in range(150))


async def test_a_customer_has_a_limited_number_of_subscriptions_all_paused_at_once(
    make_store: Callable[[], CombinedStore],
) -> None:
    async with loopback(part(make_store())) as channel:
        stub, metadata = subscription_rpc.SubscriptionServiceStub(channel), tenant_metadata(TENANT)
        first = CALLS["CreateSubscription"](Step(TENANT, "CreateSubscription", "4711", 0))
        assert isinstance(first, subscriptions.CreateSubscriptionRequest)
        first.ClearField("request_id")
        first.item.name, first.consent = "m" * 200, "c" * 2000
        for number in range(MAX_SUBSCRIPTIONS):
            first.subscription_id = f"s-{number}"
            await stub.CreateSubscription(first, metadata=metadata)
        first.subscription_id = "one more"
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await stub.CreateSubscription(first, metadata=metadata)
        assert raised.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        pause = subscriptions.PauseSubscriptionsRequest(customer_id="4711")
        assert len((await stub.PauseSubscriptions(pause, metadata=metadata)).changed) == MAX_SUBSCRIPTIONS
        first.customer_id = "4712"
        await stub.CreateSubscription(first, metadata=metadata)


async def test_no_customer_takes_the_id_of_a_subscription_that_an_engine_has_yet_to_report(
    make_store: Callable[[], CombinedStore],
) -> None:
    async with loopback(part(make_store())) as channel:
        taken: Any = CALLS["CreateSubscription"](Step(TENANT, "CreateSubscription", "4711", 0))
        for prefix in ("recharge", "ordergroove", "shopify"):
            taken.subscription_id = f"{prefix}-27363808"
            assert await code_of(channel, "CreateSubscription", taken) is grpc.StatusCode.INVALID_ARGUMENT
        event = CALLS["RecordEngineEvent"](Step(TENANT, "RecordEngineEvent", "4712", 0))
        assert await code_of(channel, "RecordEngineEvent", event) is grpc.StatusCode.OK
