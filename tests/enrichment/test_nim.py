import asyncio
import contextlib
import json
import re
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from pantree_domain.catalog import Perishability
from pantree_enrichment.backends.nim import LATE, UNAVAILABLE, NimEnricher, open_client
from pantree_enrichment.backends.prompt import load_prompt
from pantree_enrichment.backends.reply import reply_schema
from pantree_enrichment.backends.request_form import StructuredOutputMode
from pantree_enrichment.core.item import (
    Failure,
    IntervalReason,
    ModelAnswer,
    ModelItem,
    Outcome,
    RelatedItem,
    Relation,
)
from tests.enrichment.answers import model_item_of
from tests.enrichment.nim_stub import NimStub, answer, completion, entries, entry, hang, mode_of, status, support
from tests.runtime.test_circuit_breaker import Clock

CRISPS = model_item_of("Zorblax Crisps", "Snacks")
JUICE = model_item_of("Zorblax Juice")
SECRET = "not-a-real-key"

USABLE = ModelAnswer(
    category="snacks",
    certainty_ratio=0.9,
    perishability=Perishability.MONTHS,
    related_items=(RelatedItem("Milk", Relation.COMPLEMENT),),
    suggested_interval_days=21,
    interval_reason=IntervalReason("used_now_and_then", "it is used now and then"),
)


@contextlib.asynccontextmanager
async def nim(
    transport: httpx.AsyncBaseTransport,
    *,
    clock: Callable[[], float] | None = None,
    timeout_seconds: float = 20.0,
    batch_size: int = 8,
    token_budget: int = 4096,
) -> AsyncIterator[NimEnricher]:
    enricher = NimEnricher(
        open_client("http://nim.test", SECRET, max_calls=2, transport=transport),
        load_prompt(),
        model="test-model",
        timeout_seconds=timeout_seconds,
        cool_down_seconds=30,
        batch_size=batch_size,
        token_budget=token_budget,
        clock=clock or Clock(),
    )
    try:
        yield enricher
    finally:
        await enricher.close()


async def ask(enricher: NimEnricher, *items: ModelItem) -> list[Outcome]:
    """The outcome of each item, each of which must be reported exactly once."""
    outcomes: list[tuple[int, Outcome]] = []
    await enricher.ask(items, lambda index, outcome: outcomes.append((index, outcome)))
    assert sorted(index for index, _ in outcomes) == list(range(len(items)))
    return [outcome for _, outcome in sorted(outcomes, key=lambda pair: pair[0])]


def mode(enricher: NimEnricher) -> StructuredOutputMode | None:
    """The structured-output mode that the server is known to support."""
    return None if enricher.request_form is None else enricher.request_form.mode


async def cause_of(stub: NimStub, **changes: Any) -> str:
    """The logged cause of a failure, about which callers learn nothing."""
    with capture_logs() as logs:
        async with nim(stub.transport, **changes) as enricher:
            (outcome,) = await ask(enricher, CRISPS)
    assert outcome in (Failure(UNAVAILABLE), Failure(LATE))
    causes = [log["cause"] for log in logs if log["log_level"] == "warning"]
    assert len(causes) == 1
    for secret in (SECRET, CRISPS.name):
        assert secret not in str(logs)
    return str(causes[0])


async def test_usable_answer_is_returned() -> None:
    stub = NimStub()
    async with nim(stub.transport) as enricher:
        assert await ask(enricher, CRISPS) == [USABLE]
    (request,) = stub.requests
    assert str(request.url) == "http://nim.test/v1/chat/completions"
    assert request.headers["authorization"] == f"Bearer {SECRET}"
    (call,) = stub.calls
    assert (call["model"], call["temperature"]) == ("test-model", 0)
    assert call["response_format"]["json_schema"]["strict"] is True
    assert (
        "snacks"
        in call["response_format"]["json_schema"]["schema"]["properties"]["items"]["items"]["properties"]["category"][
            "enum"
        ]
    )


async def test_server_without_a_key_gets_no_authorization() -> None:
    async with open_client("http://nim.test", "", max_calls=1) as client:
        assert "authorization" not in client.headers


@pytest.mark.parametrize(
    "rejection", [httpx.Response(400), httpx.Response(422), completion("Sure! Crisps are snacks.")]
)
async def test_server_of_the_older_mode_is_adapted_to_once(rejection: httpx.Response) -> None:
    stub = NimStub(support("nvext", rejection))
    async with nim(stub.transport) as enricher:
        assert await ask(enricher, CRISPS) == [USABLE]
        assert await ask(enricher, CRISPS) == [USABLE]
    assert stub.modes == ["response_format", "plain_schema", "nvext", "nvext"]
    assert stub.calls[2]["nvext"]["guided_json"]["required"] == ["items"]


async def test_mode_is_detected_again_when_the_server_rejects_it() -> None:
    stub = NimStub(support("nvext", httpx.Response(400)))
    async with nim(stub.transport) as enricher:
        await ask(enricher, CRISPS)
        stub.behavior = support("response_format", httpx.Response(400))
        assert await ask(enricher, CRISPS) == [USABLE]
        assert await ask(enricher, CRISPS) == [USABLE]
    assert stub.modes[3:] == ["nvext", "json_object", "json_object"]


async def test_mode_is_detected_again_when_the_server_ignores_it() -> None:
    clock = Clock()
    stub = NimStub()
    async with nim(stub.transport, clock=clock) as enricher:
        assert await ask(enricher, CRISPS) == [USABLE]
        assert mode(enricher) is StructuredOutputMode.RESPONSE_FORMAT
        stub.behavior = support("nvext", completion("Sure!"))
        assert isinstance((await ask(enricher, CRISPS))[0], Failure)
        assert await ask(enricher, CRISPS) == [USABLE]
        assert mode(enricher) is StructuredOutputMode.GUIDED_JSON


async def test_server_that_rejects_every_form_is_reported() -> None:
    stub = NimStub(status(400))
    assert "rejected every form of the request: HTTP 400" in await cause_of(stub)
    assert len(stub.calls) == 11


async def test_call_after_a_timeout_in_the_second_mode_starts_with_that_mode() -> None:
    async def prose_then_hang(call: dict[str, Any], items: list[dict[str, Any]]) -> httpx.Response:
        return completion("Sure!") if mode_of(call) == "response_format" else await hang(call, items)

    clock = Clock()
    stub = NimStub(prose_then_hang)
    async with nim(stub.transport, clock=clock, timeout_seconds=0.5) as enricher:
        await ask(enricher, CRISPS)
        stub.behavior = answer
        clock.seconds += 30
        assert await ask(enricher, CRISPS) == [USABLE]
    assert stub.modes == ["response_format", "plain_schema", "plain_schema"]


@pytest.mark.parametrize(
    "content",
    [
        "Crisps are a snack.",
        "",
        "null",
        "[]",
        '{"items": [{"index": 0, "name": "Zorblax Cri',
        "[" * 50_000,
    ],
)
async def test_unusable_reply_is_reported_after_all_modes(content: str) -> None:
    stub = NimStub(lambda call, items: completion(content))
    assert await cause_of(stub) == "the language model's reply was not usable"
    assert stub.modes == ["response_format", "plain_schema", "nvext", "json_object", "text"]


@pytest.mark.parametrize("content", ['{"items": []}', '{"items": [null, 1, "x"]}'])
async def test_reply_without_usable_entries_is_reported_after_all_modes(content: str) -> None:
    stub = NimStub(lambda call, items: completion(content))
    assert await cause_of(stub) == "the language model left this item out"
    assert stub.modes == ["response_format", "plain_schema", "nvext", "json_object", "text"]


@pytest.mark.parametrize(
    "response",
    [
        httpx.Response(200, text="<html>"),
        httpx.Response(200, content=b"\xff"),
        httpx.Response(200, json=[]),
        httpx.Response(200, json={"choices": []}),
        httpx.Response(200, json={"choices": [{"message": {"content": None}}]}),
        httpx.Response(200, json={"choices": [{"message": {"content": [{"text": "{}"}]}}]}),
        httpx.Response(200, json={"choices": [{"message": {"tool_calls": [{"function": None}]}}]}),
    ],
)
async def test_reply_that_is_not_a_completion_is_reported(response: httpx.Response) -> None:
    assert await cause_of(NimStub(lambda call, items: response)) == "the language model's reply was not usable"


@pytest.mark.parametrize(
    "changes",
    [
        {"category": "weapons"},
        {"category": ["snacks"]},
        {"category": None},
        {"certainty_ratio": 1.01},
        {"certainty_ratio": float("nan")},
        {"certainty_ratio": True},
        {"certainty_ratio": "0.9"},
        {"perishability": "forever"},
        {"suggested_interval_days": 0},
        {"suggested_interval_days": 366},
        {"suggested_interval_days": 7.5},
        {"suggested_interval_days": True},
        {"suggested_interval_days": 10**400},
        {"interval_reason": "because I say so"},
        {"interval_reason": None},
        {"complements": None},
        {"substitutes": "Milk"},
    ],
)
async def test_invalid_answer_affects_only_its_own_item(changes: dict[str, Any]) -> None:
    stub = NimStub(
        lambda call, items: entries([entry(item, **(changes if item["name"] == JUICE.name else {})) for item in items])
    )
    async with nim(stub.transport) as enricher:
        usable, invalid = await ask(enricher, CRISPS, JUICE)
    assert usable == USABLE
    assert invalid == Failure("the language model's answer for this item was not usable", is_item_specific=True)
    assert stub.names == [[CRISPS.name, JUICE.name], [JUICE.name]]


async def test_missing_answer_affects_only_its_own_item() -> None:
    stub = NimStub(lambda call, items: entries([entry(item) for item in items if item["name"] == JUICE.name]))
    async with nim(stub.transport) as enricher:
        missing, usable = await ask(enricher, CRISPS, JUICE)
    assert isinstance(missing, Failure)
    assert missing.is_item_specific
    assert isinstance(usable, ModelAnswer)
    assert stub.names == [[CRISPS.name, JUICE.name], [CRISPS.name]]


@pytest.mark.parametrize(
    "unusable", [entries([]), completion("Sure!"), completion('{"items": [{"index": 0, "na'), completion("")]
)
async def test_unusable_reply_is_repaired_by_a_second_call_that_names_the_problem(unusable: httpx.Response) -> None:
    stub = NimStub()
    async with nim(stub.transport) as enricher:
        assert await ask(enricher, CRISPS) == [USABLE]
        replies = [unusable, None]
        stub.behavior = lambda call, items: replies.pop(0) or answer(call, items)
        assert await ask(enricher, CRISPS) == [USABLE]
    first, repair = stub.calls[1:]
    assert [message["role"] for message in repair["messages"]] == ["system", "user"]
    assert repair["messages"][1] == first["messages"][1]
    prompt, repair_prompt = first["messages"][0]["content"], repair["messages"][0]["content"]
    assert repair_prompt.startswith(prompt)
    assert re.search("reply was not usable|left this item out", repair_prompt.removeprefix(prompt))
    assert stub.modes == ["response_format"] * 3


async def test_answers_are_reported_before_the_second_call() -> None:
    async def lacks_one_then_hangs(call: dict[str, Any], items: list[dict[str, Any]]) -> httpx.Response:
        return entries([entry(items[0])]) if len(items) == 2 else await hang(call, items)

    first_index: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    async with nim(NimStub(lacks_one_then_hangs).transport) as enricher:
        task = asyncio.create_task(enricher.ask([CRISPS, JUICE], lambda index, _: first_index.set_result(index)))
        assert await first_index == 0
        assert not task.done()
        task.cancel()


async def test_first_of_two_answers_for_one_item_counts() -> None:
    stub = NimStub(lambda call, items: entries([*map(entry, items), entry(items[0], category="pet")]))
    async with nim(stub.transport) as enricher:
        assert await ask(enricher, CRISPS, JUICE) == [USABLE, USABLE]


@pytest.mark.parametrize("index", [-1, 2, 1, 10**30, 0.0, "0", True, None])
async def test_name_decides_which_item_an_answer_is_about(index: object) -> None:
    stub = NimStub(lambda call, items: entries([entry(items[0], index=index), entry(items[1], category="pet")]))
    async with nim(stub.transport) as enricher:
        crisps, juice = await ask(enricher, CRISPS, JUICE)
    assert crisps == USABLE
    assert juice == replace(USABLE, category="pet")


async def test_index_decides_between_items_with_the_same_name() -> None:
    stub = NimStub(lambda call, items: entries([entry(items[1], category="pet"), entry(items[0])]))
    async with nim(stub.transport) as enricher:
        assert await ask(enricher, model_item_of("A"), model_item_of("A", "Pets")) == [
            USABLE,
            replace(USABLE, category="pet"),
        ]


async def test_answer_to_another_name_is_ignored() -> None:
    stub = NimStub(lambda call, items: entries([entry(items[0], name="Some Other Item"), *map(entry, items[1:])]))
    async with nim(stub.transport) as enricher:
        missing, usable = await ask(enricher, CRISPS, JUICE)
    assert isinstance(missing, Failure)
    assert usable == USABLE


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (401, "check LLAMA_NIM_API_KEY"),
        (403, "check LLAMA_NIM_API_KEY"),
        (404, "check LLAMA_NIM_ENDPOINT and PANTREE_ENRICHMENT_NIM_MODEL"),
        (429, "HTTP 429: top-secret"),
        (500, "HTTP 500: top-secret"),
        (302, "redirects are not followed"),
    ],
)
async def test_error_status_is_reported_after_one_call(code: int, reason: str) -> None:
    stub = NimStub(status(code))
    assert reason in await cause_of(stub)
    assert len(stub.calls) == 1


async def test_hanging_server_times_out() -> None:
    assert "did not answer within 0.05 s" in await cause_of(NimStub(hang), timeout_seconds=0.05)


async def test_server_that_sends_byte_by_byte_times_out() -> None:
    async def drip() -> AsyncIterator[bytes]:
        while True:
            yield b" "
            await asyncio.sleep(0.01)

    stub = NimStub(lambda call, items: httpx.Response(200, content=drip()))
    assert "did not answer within 0.05 s" in await cause_of(stub, timeout_seconds=0.05)


async def test_reply_without_end_is_cut_off() -> None:
    async def flood() -> AsyncIterator[bytes]:
        while True:
            yield b" " * 65_536

    stub = NimStub(lambda call, items: httpx.Response(200, content=flood()))
    assert "far too long" in await cause_of(stub)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (httpx.ConnectError("refused by nim.test"), "the connection failed (ConnectError)"),
        (httpx.ReadError("reset by nim.test"), "the connection failed (ReadError)"),
        (httpx.RemoteProtocolError("nim.test"), "the connection failed (RemoteProtocolError)"),
    ],
)
async def test_broken_connection_is_reported(error: httpx.HTTPError, reason: str) -> None:
    def broken(_: dict[str, Any], __: list[dict[str, Any]]) -> httpx.Response:
        raise error

    assert reason in await cause_of(NimStub(broken))


async def test_failed_server_is_not_called_during_the_cool_down() -> None:
    clock = Clock()
    stub = NimStub(status(500))
    async with nim(stub.transport, clock=clock) as enricher:
        await ask(enricher, CRISPS)
        stub.behavior = answer
        (outcome,) = await ask(enricher, CRISPS)
        assert outcome == Failure(UNAVAILABLE)
        assert len(stub.calls) == 1
        clock.seconds += 30
        assert await ask(enricher, CRISPS) == [USABLE]
        assert await ask(enricher, CRISPS) == [USABLE]


@pytest.mark.parametrize(
    "headers",
    [
        {"Retry-After": "3"},
        {"Retry-After": "120"},
        {"Retry-After": "Wed, 21 Oct 2026 07:30:00 GMT", "Date": "Wed, 21 Oct 2026 07:28:00 GMT"},
    ],
)
async def test_retry_after_replaces_the_cool_down(headers: dict[str, str]) -> None:
    clock = Clock()
    seconds = 3 if headers["Retry-After"] == "3" else 120
    stub = NimStub(status(429, **headers))
    async with nim(stub.transport, clock=clock) as enricher:
        await ask(enricher, CRISPS)
        stub.behavior = answer
        clock.seconds += seconds - 1
        assert isinstance((await ask(enricher, CRISPS))[0], Failure)
        clock.seconds += 1
        assert await ask(enricher, CRISPS) == [USABLE]


async def test_third_consecutive_unusable_reply_opens_the_circuit() -> None:
    stub = NimStub(lambda call, items: completion("Sure!"))
    async with nim(stub.transport) as enricher:
        await ask(enricher, CRISPS)
        stub.behavior = answer
        assert await ask(enricher, CRISPS) == [USABLE]
        stub.behavior = lambda call, items: completion("Sure!")
        for _ in range(3):
            await ask(enricher, CRISPS)
        calls = len(stub.calls)
        await ask(enricher, CRISPS)
        assert len(stub.calls) == calls


@pytest.mark.parametrize("value", ["", "soon", "-5", "Wed, 21 Oct 2026 07:30:00 GMT", "1e9"])
async def test_invalid_retry_after_is_ignored(value: str) -> None:
    clock = Clock()
    stub = NimStub(status(429, **{"Retry-After": value}))
    async with nim(stub.transport, clock=clock) as enricher:
        await ask(enricher, CRISPS)
        stub.behavior = answer
        clock.seconds += 30
        assert await ask(enricher, CRISPS) == [USABLE]


async def test_requests_do_not_wait_while_the_circuit_is_open() -> None:
    clock = Clock()
    stub = NimStub(status(500))
    async with nim(stub.transport, clock=clock) as enricher:
        assert enricher.no_wait_reason(None) == ""
        assert enricher.no_wait_reason(1.0) == ""
        assert enricher.no_wait_reason(0.01) == LATE
        await ask(enricher, CRISPS)
        assert enricher.no_wait_reason(None) == UNAVAILABLE
        clock.seconds += 30
        assert enricher.no_wait_reason(None) == UNAVAILABLE
        stub.behavior = answer
        await ask(enricher, CRISPS)
        assert enricher.no_wait_reason(None) == ""


async def test_requests_do_not_wait_if_the_last_call_took_longer_than_they_have() -> None:
    clock = Clock()

    def slowly(call: dict[str, Any], items: list[dict[str, Any]]) -> httpx.Response:
        clock.seconds += 6
        return answer(call, items)

    stub = NimStub(slowly)
    async with nim(stub.transport, clock=clock) as enricher:
        await ask(enricher, CRISPS)
        assert enricher.no_wait_reason(5.0) == LATE
        assert enricher.no_wait_reason(7.0) == ""
        stub.behavior = answer
        await ask(enricher, CRISPS)
        assert enricher.no_wait_reason(5.0) == ""


async def test_requests_do_not_wait_if_a_call_in_flight_takes_longer_than_they_have() -> None:
    clock = Clock()
    async with nim(NimStub(hang).transport, clock=clock) as enricher:
        task = asyncio.create_task(ask(enricher, CRISPS))
        await asyncio.sleep(0)
        assert enricher.no_wait_reason(5.0) == ""
        clock.seconds += 6
        assert enricher.no_wait_reason(5.0) == LATE
        task.cancel()


@given(
    st.lists(st.text(max_size=200), max_size=30),
    st.integers(min_value=1, max_value=50),
    st.integers(min_value=2048, max_value=10_000),
)
async def test_batches_have_every_item_once_in_order(names: list[str], batch_size: int, token_budget: int) -> None:
    items = [model_item_of(name) for name in names]
    async with nim(NimStub().transport, batch_size=batch_size, token_budget=token_budget) as enricher:
        batches = enricher.batches(items)
        assert [item for batch in batches for item in batch] == items
        assert all(1 <= len(batch) <= batch_size for batch in batches)


@pytest.mark.parametrize("name", ["milk", "organic boneless chicken breast fillet family pack", "牛乳" * 30])
async def test_calls_keep_to_the_token_budget(name: str) -> None:
    budget = 2048
    stub = NimStub()
    async with nim(stub.transport, batch_size=50, token_budget=budget) as enricher:
        for batch in enricher.batches([model_item_of(f"{name} {number}") for number in range(60)]):
            await ask(enricher, *batch)
    assert len(stub.calls) > 1
    for call in stub.calls:
        # Three bytes per token is an upper estimate for Llama 3.
        prompt_bytes = sum(len(message["content"].encode()) for message in call["messages"])
        schema_bytes = len(json.dumps(reply_schema()))
        assert (prompt_bytes + schema_bytes) / 3 + call["max_tokens"] <= budget


async def test_health_follows_the_server() -> None:
    clock = Clock()
    stub = NimStub(status(503))
    async with nim(stub.transport, clock=clock) as enricher:
        assert await enricher.check() == "answers HTTP 503"
        await ask(enricher, CRISPS)
        assert await enricher.check() == "HTTP 503: top-secret"
        stub.behavior = answer
        # A call with a short reply shows that the model works again, so requests need not wait for the cool-down.
        assert await enricher.check() == ""
        assert await ask(enricher, CRISPS) == [USABLE]


async def test_server_that_lists_models_and_does_not_answer_is_unhealthy() -> None:
    stub = NimStub(hang)
    async with nim(stub.transport, timeout_seconds=0.02) as enricher:
        await ask(enricher, CRISPS)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.02):
                await enricher.check()
        stub.behavior = answer
        assert await enricher.check() == ""


async def test_server_without_a_list_of_models_is_healthy() -> None:
    async with nim(NimStub(status(404)).transport) as enricher:
        assert await enricher.check() == ""
