"""Requests that no client would send: none is an internal error, whatever the store."""

import json
from base64 import urlsafe_b64encode
from collections.abc import Callable
from typing import Any

import grpc
import pytest

from pantree_history.core.subscriptions.store import CombinedStore
from pantree_runtime.tenants import tenant_metadata
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
