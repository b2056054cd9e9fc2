"""Every server that speaks the chat API in some form is used, and adapted to only once."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import httpx
import pytest
from structlog.testing import capture_logs

from pantree_enrichment.backends.nim import LATE
from pantree_enrichment.core.item import Failure, ModelAnswer
from tests.enrichment.answers import model_item_of
from tests.enrichment.nim_stub import NimStub, answer, entry, hang
from tests.enrichment.quirky_server import QUIRKS, document, events
from tests.enrichment.test_nim import USABLE, ask, nim
from tests.runtime.test_circuit_breaker import Clock

ITEMS = [model_item_of(name) for name in ("Zorblax Crisps", "バター", "दाल", 'A "quoted" {name}', "7 Up")]


def quirky(quirk: str) -> NimStub:
    def respond(call: dict[str, Any], items: list[dict[str, Any]]) -> httpx.Response:
        status, content_type, body = QUIRKS[quirk](call, items)
        return httpx.Response(status, headers={"Content-Type": content_type}, content=body)

    return NimStub(respond)


def related(outcomes: list[Any]) -> list[Any]:
    return [replace(outcome, related_items=USABLE.related_items, certainty_ratio=0.9) for outcome in outcomes]


@pytest.mark.parametrize("quirk", QUIRKS)
async def test_every_item_gets_its_answer(quirk: str) -> None:
    stub = quirky(quirk)
    async with nim(stub.transport) as enricher:
        outcomes = await ask(enricher, *ITEMS)
        assert related(outcomes) == [USABLE] * len(ITEMS)
        calls = len(stub.calls)
        assert related(await ask(enricher, *ITEMS)) == [USABLE] * len(ITEMS)
        # What the server refuses is remembered.
        again = len(stub.calls) - calls
        assert again == (3 if quirk == "small context" else 1)
    assert [item["name"] for item in entries_sent(stub)] == [item.name for item in ITEMS]


def entries_sent(stub: NimStub) -> list[dict[str, Any]]:
    """The items of the first call."""
    content = stub.calls[0]["messages"][-1]["content"]
    items: list[dict[str, Any]] = json.loads(content[content.rindex('{"items": [') :])["items"]
    return items


async def test_reason_of_the_server_is_logged_without_the_names_of_items() -> None:
    stub = NimStub(
        lambda call, items: httpx.Response(
            400, json={"error": {"message": f"{items[0]['name']}: exceeds the available context size (512 tokens)"}}
        )
    )
    with capture_logs() as logs:
        async with nim(stub.transport) as enricher:
            await ask(enricher, ITEMS[1])
    assert [log["cause"] for log in logs][-1] == "HTTP 400: …: exceeds the available context size (512 tokens)"
    assert ITEMS[1].name not in str(logs)


async def test_form_that_works_is_logged_with_the_reason() -> None:
    with capture_logs() as logs:
        async with nim(quirky("no system role").transport) as enricher:
            await ask(enricher, *ITEMS)
    assert [(log["event"], log.get("cause") or log.get("form")) for log in logs] == [
        ("language model refused a form of the request", "HTTP 400: System role not supported"),
        (
            "language model gets another form of the request",
            "structured output: response_format, token limit: max_tokens, no system role",
        ),
    ]


async def test_cut_reply_keeps_what_came() -> None:
    stub = NimStub(
        lambda call, items: httpx.Response(
            200,
            headers={"Content-Type": "text/event-stream"},
            content=events(document(items)[: -len(json.dumps(entry(items[-1]))) // 2])[2],
        )
    )
    async with nim(stub.transport) as enricher:
        outcomes = await ask(enricher, *ITEMS)
    assert sum(isinstance(outcome, ModelAnswer) for outcome in outcomes) == len(ITEMS) - 1
    # Only the item that was cut off is asked about again.
    assert stub.names == [[item.name for item in ITEMS], [ITEMS[-1].name]]


def slow_stream(seconds_per_item: float) -> NimStub:
    """A server that needs some time for each item."""

    async def stream(items: list[dict[str, Any]]) -> AsyncIterator[bytes]:
        for item in items:
            await asyncio.sleep(seconds_per_item)
            yield events(json.dumps(entry(item)), end="")[2]

    return NimStub(
        lambda call, items: httpx.Response(200, headers={"Content-Type": "text/event-stream"}, content=stream(items))
    )


async def test_slow_reply_keeps_what_came_in_time_and_the_next_batch_is_smaller() -> None:
    async with nim(slow_stream(0.1).transport, timeout_seconds=0.35, clock=asyncio.get_running_loop().time) as enricher:
        outcomes = await ask(enricher, *ITEMS)
        assert sum(isinstance(outcome, ModelAnswer) for outcome in outcomes) >= 2
        assert outcomes[-1] == Failure(LATE)
        sizes = {len(batch) for batch in enricher.batches(ITEMS)}
    assert sizes == {1}


async def test_faster_server_gets_larger_batches_again() -> None:
    clock = Clock()

    def timed(call: dict[str, Any], items: list[dict[str, Any]]) -> httpx.Response:
        clock.seconds += stub_seconds * len(items)
        return answer(call, items)

    stub_seconds = 9.0
    async with nim(NimStub(timed).transport, clock=clock, timeout_seconds=20) as enricher:
        assert [len(batch) for batch in enricher.batches(ITEMS)] == [5]
        await ask(enricher, ITEMS[0])
        assert [len(batch) for batch in enricher.batches(ITEMS)] == [1] * 5
        stub_seconds = 0.1
        for item in ITEMS:
            await ask(enricher, item)
        assert [len(batch) for batch in enricher.batches(ITEMS)] == [5]


async def test_server_that_never_answers_a_batch_in_time_gets_smaller_ones() -> None:
    async with nim(NimStub(hang).transport, timeout_seconds=0.02) as enricher:
        await ask(enricher, *ITEMS)
        assert max(len(batch) for batch in enricher.batches(ITEMS)) == 2
