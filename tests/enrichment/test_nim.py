import asyncio
import contextlib
import json
import re
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pantree_domain.catalog import Perishability
from pantree_enrichment.backends.nim import NimEnricher, open_client
from pantree_enrichment.backends.prompt import load_prompt
from pantree_enrichment.core import (
    EnrichedItem,
    IntervalReason,
    ItemToEnrich,
    Outcome,
    RelatedItem,
    Relation,
    Unanswered,
    question_about,
)
from tests.enrichment.nim_stub import NimStub, answer, completion, entries, entry, hang, speak, status
from tests.runtime.test_circuit_breaker import Clock

CRISPS = question_about(ItemToEnrich("Zorblax Crisps", "Snacks"))
JUICE = question_about(ItemToEnrich("Zorblax Juice"))
SECRET = "not-a-real-key"

USABLE = EnrichedItem(
    name="zorblax crisp",
    normalized_name="zorblax crisp",
    category="snacks",
    certainty_ratio=0.9,
    perishability=Perishability.MONTHS,
    related_items=(RelatedItem("Milk", Relation.COMPLEMENT),),
    suggested_interval_days=21,
    interval_reason=IntervalReason("used_now_and_then", "it is used now and then"),
    source="nim",
)


@contextlib.asynccontextmanager
async def nim(
    transport: httpx.AsyncBaseTransport,
    *,
    clock: Clock | None = None,
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


async def ask(enricher: NimEnricher, *questions: ItemToEnrich) -> list[Outcome]:
    """The outcome of each question, each of which must be told exactly once."""
    told: list[tuple[int, Outcome]] = []
    await enricher.ask(questions, lambda position, outcome: told.append((position, outcome)))
    assert sorted(position for position, _ in told) == list(range(len(questions)))
    return [outcome for _, outcome in sorted(told, key=lambda pair: pair[0])]


async def reason_of(stub: NimStub, **changes: Any) -> str:
    """Why the model says nothing about an item."""
    async with nim(stub.transport, **changes) as enricher:
        (outcome,) = await ask(enricher, CRISPS)
    assert isinstance(outcome, Unanswered)
    assert SECRET not in outcome.reason
    assert "top-secret" not in outcome.reason
    assert "nim.test" not in outcome.reason
    return outcome.reason


async def test_answer_of_the_model_is_taken_over() -> None:
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


@pytest.mark.parametrize("refusal", [httpx.Response(400), httpx.Response(422), completion("Sure! Crisps are snacks.")])
async def test_server_of_the_older_dialect_is_asked_again_once_and_then_directly(refusal: httpx.Response) -> None:
    stub = NimStub(speak("nvext", refusal))
    async with nim(stub.transport) as enricher:
        assert await ask(enricher, CRISPS) == [USABLE]
        assert await ask(enricher, CRISPS) == [USABLE]
    assert stub.dialects == ["response_format", "nvext", "nvext"]
    assert stub.calls[1]["nvext"]["guided_json"]["required"] == ["items"]


async def test_server_that_was_replaced_by_one_of_the_other_dialect_is_found_again() -> None:
    stub = NimStub(speak("nvext", httpx.Response(400)))
    async with nim(stub.transport) as enricher:
        await ask(enricher, CRISPS)
        stub.behavior = speak("response_format", httpx.Response(400))
        assert await ask(enricher, CRISPS) == [USABLE]
        assert await ask(enricher, CRISPS) == [USABLE]
    assert stub.dialects[2:] == ["nvext", "response_format", "response_format"]


async def test_server_that_was_replaced_by_one_that_ignores_the_dialect_is_found_again() -> None:
    clock = Clock()
    stub = NimStub()
    async with nim(stub.transport, clock=clock) as enricher:
        assert (await ask(enricher, CRISPS), enricher.dialect) == ([USABLE], "response_format")
        stub.behavior = speak("nvext", completion("Sure!"))
        for _ in range(3):
            assert isinstance((await ask(enricher, CRISPS))[0], Unanswered)
        clock.seconds += 30
        assert await ask(enricher, CRISPS) == [USABLE]
        assert enricher.dialect == "nvext.guided_json"


async def test_batches_that_run_side_by_side_agree_on_a_dialect() -> None:
    async def speak_slowly(call: dict[str, Any], items: list[dict[str, Any]]) -> httpx.Response:
        await asyncio.sleep(0.01)
        return answer(call, items) if "nvext" in call else completion("Sure!")

    stub = NimStub(speak_slowly)
    async with nim(stub.transport) as enricher:
        first, second = await asyncio.gather(ask(enricher, CRISPS), ask(enricher, JUICE))
        assert first == [USABLE]
        assert isinstance(second[0], EnrichedItem)
    assert stub.dialects == ["response_format", "response_format", "nvext", "nvext"]


async def test_server_that_refuses_both_dialects_is_told() -> None:
    stub = NimStub(status(400))
    assert "refused the request (HTTP 400)" in await reason_of(stub)
    assert stub.dialects == ["response_format", "nvext"]


async def test_server_too_slow_for_two_dialects_is_asked_in_the_second_one_next_time() -> None:
    async def prose_then_hang(call: dict[str, Any], items: list[dict[str, Any]]) -> httpx.Response:
        return completion("Sure!") if "response_format" in call else await hang(call, items)

    clock = Clock()
    stub = NimStub(prose_then_hang)
    async with nim(stub.transport, clock=clock, timeout_seconds=0.5) as enricher:
        await ask(enricher, CRISPS)
        stub.behavior = answer
        clock.seconds += 30
        assert await ask(enricher, CRISPS) == [USABLE]
    assert stub.dialects == ["response_format", "nvext", "nvext"]


@pytest.mark.parametrize(
    "content",
    [
        "Crisps are a snack.",
        "",
        "null",
        "[]",
        '{"items": {}}',
        '{"items": [{"index": 0, "name": "Zorblax Cri',
        "[" * 50_000,
    ],
)
async def test_reply_without_any_usable_answer_is_told_after_both_dialects(content: str) -> None:
    stub = NimStub(lambda call, items: completion(content))
    assert await reason_of(stub) == "the language model's reply was not usable"
    assert stub.dialects == ["response_format", "nvext"]


@pytest.mark.parametrize("content", ['{"items": []}', '{"items": [null, 1, "x"]}'])
async def test_reply_that_lists_nothing_of_use_is_told_after_both_dialects(content: str) -> None:
    stub = NimStub(lambda call, items: completion(content))
    assert await reason_of(stub) == "the language model left this item out"
    assert stub.dialects == ["response_format", "nvext"]


@pytest.mark.parametrize(
    "response",
    [
        httpx.Response(200, text="<html>"),
        httpx.Response(200, content=b"\xff"),
        httpx.Response(200, json=[]),
        httpx.Response(200, json={"choices": []}),
        httpx.Response(200, json={"choices": [{"message": {"content": None}}]}),
        httpx.Response(200, json={"choices": [{"message": {"content": [{"text": "{}"}]}}]}),
    ],
)
async def test_reply_that_is_no_completion_is_told(response: httpx.Response) -> None:
    assert await reason_of(NimStub(lambda call, items: response)) == "the language model's reply was not usable"


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
        {"name": "Some Other Item"},
        {"interval_reason": "because I say so"},
        {"interval_reason": None},
        {"related_items": None},
        {"related_items": [{"name": "Milk", "relation": "rival"}]},
        {"related_items": [{"name": "", "relation": "complement"}]},
        {"related_items": [{"name": "x" * 61, "relation": "complement"}]},
        {"related_items": [{"name": "Milk\x1b[31m", "relation": "complement"}]},
        {"related_items": [{"name": "Mi\u202elk", "relation": "complement"}]},
        {"related_items": [{"name": "Milk\ud800", "relation": "complement"}]},
        {"related_items": [{"name": "Milk", "relation": "complement"}] * 7},
        {"related_items": ["Milk"]},
    ],
)
async def test_wrong_answer_costs_only_its_own_item(changes: dict[str, Any]) -> None:
    stub = NimStub(
        lambda call, items: entries(
            [entry(item, **(changes if item["name"] == "zorblax juice" else {})) for item in items]
        )
    )
    async with nim(stub.transport) as enricher:
        usable, wrong = await ask(enricher, CRISPS, JUICE)
    assert usable == USABLE
    assert wrong == Unanswered("the language model's answer for this item was not usable", concerns_item_alone=True)
    assert stub.asked == [["zorblax crisp", "zorblax juice"], ["zorblax juice"]]


async def test_missing_answer_costs_only_its_own_item() -> None:
    stub = NimStub(lambda call, items: entries([entry(item) for item in items if item["name"] == "zorblax juice"]))
    async with nim(stub.transport) as enricher:
        missing, usable = await ask(enricher, CRISPS, JUICE)
    assert isinstance(missing, Unanswered)
    assert isinstance(usable, EnrichedItem)
    assert usable.name == "zorblax juice"
    assert stub.asked == [["zorblax crisp", "zorblax juice"], ["zorblax crisp"]]


@pytest.mark.parametrize(
    "spoilt", [entries([]), completion("Sure!"), completion('{"items": [{"index": 0, "na'), httpx.Response(200)]
)
async def test_spoilt_reply_is_asked_for_once_more_and_told_why(spoilt: httpx.Response) -> None:
    stub = NimStub()
    async with nim(stub.transport) as enricher:
        assert await ask(enricher, CRISPS) == [USABLE]
        replies = [spoilt, None]
        stub.behavior = lambda call, items: replies.pop(0) or answer(call, items)
        assert await ask(enricher, CRISPS) == [USABLE]
    first, repair = stub.calls[1:]
    assert [message["role"] for message in repair["messages"]] == ["system", "user"]
    assert repair["messages"][1] == first["messages"][1]
    prompt, told = first["messages"][0]["content"], repair["messages"][0]["content"]
    assert told.startswith(prompt)
    assert re.search("reply was not usable|left this item out", told.removeprefix(prompt))
    assert stub.dialects == ["response_format"] * 3


async def test_answers_are_told_before_the_others_are_asked_for_once_more() -> None:
    async def lacks_one_then_hangs(call: dict[str, Any], items: list[dict[str, Any]]) -> httpx.Response:
        return entries([entry(items[0])]) if len(items) == 2 else await hang(call, items)

    first_told: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    async with nim(NimStub(lacks_one_then_hangs).transport) as enricher:
        task = asyncio.create_task(enricher.ask([CRISPS, JUICE], lambda position, _: first_told.set_result(position)))
        assert await first_told == 0
        assert not task.done()
        task.cancel()


async def test_two_answers_for_one_item_are_none() -> None:
    stub = NimStub(lambda call, items: entries([*map(entry, items), entry(items[0], category="pet")]))
    async with nim(stub.transport) as enricher:
        twice, _ = await ask(enricher, CRISPS, JUICE)
    assert isinstance(twice, Unanswered)


@pytest.mark.parametrize("index", [-1, 2, 10**30, 0.0, "0", True, None])
async def test_answer_for_an_item_that_was_not_asked_is_ignored(index: object) -> None:
    stub = NimStub(lambda call, items: entries([entry(items[0]), entry(items[1]), entry(items[0], index=index)]))
    async with nim(stub.transport) as enricher:
        outcomes = await ask(enricher, CRISPS, JUICE)
    assert all(isinstance(outcome, EnrichedItem) for outcome in outcomes)


@pytest.mark.parametrize(
    ("code", "told"),
    [
        (401, "check LLAMA_NIM_API_KEY"),
        (403, "check LLAMA_NIM_API_KEY"),
        (404, "check LLAMA_NIM_ENDPOINT and PANTREE_ENRICHMENT_NIM_MODEL"),
        (429, "asked too often (HTTP 429)"),
        (500, "failed (HTTP 500)"),
        (302, "failed (HTTP 302)"),
    ],
)
async def test_status_of_a_server_that_cannot_answer_is_told_after_one_call(code: int, told: str) -> None:
    stub = NimStub(status(code))
    assert told in await reason_of(stub)
    assert len(stub.calls) == 1


async def test_server_that_hangs_is_given_up_after_its_time() -> None:
    assert "did not answer within 0.05 s" in await reason_of(NimStub(hang), timeout_seconds=0.05)


async def test_server_that_sends_byte_by_byte_is_given_up_after_its_time() -> None:
    async def drip() -> AsyncIterator[bytes]:
        while True:
            yield b" "
            await asyncio.sleep(0.01)

    stub = NimStub(lambda call, items: httpx.Response(200, content=drip()))
    assert "did not answer within 0.05 s" in await reason_of(stub, timeout_seconds=0.05)


async def test_reply_without_end_is_cut_off() -> None:
    async def flood() -> AsyncIterator[bytes]:
        while True:
            yield b" " * 65_536

    stub = NimStub(lambda call, items: httpx.Response(200, content=flood()))
    assert "far too long" in await reason_of(stub)


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (httpx.ConnectError("refused by nim.test"), "cannot be reached; check LLAMA_NIM_ENDPOINT"),
        (httpx.ReadError("reset by nim.test"), "connection to the language model failed (ReadError)"),
        (httpx.RemoteProtocolError("nim.test"), "connection to the language model failed (RemoteProtocolError)"),
    ],
)
async def test_broken_connection_is_told(error: httpx.HTTPError, told: str) -> None:
    def broken(_: dict[str, Any], __: list[dict[str, Any]]) -> httpx.Response:
        raise error

    assert told in await reason_of(NimStub(broken))


async def test_failed_server_is_left_alone_until_the_cool_down_is_over() -> None:
    clock = Clock()
    stub = NimStub(status(500))
    async with nim(stub.transport, clock=clock) as enricher:
        await ask(enricher, CRISPS)
        stub.behavior = answer
        (outcome,) = await ask(enricher, CRISPS)
        assert outcome == Unanswered("the language model failed a short while ago; it is asked again later")
        assert len(stub.calls) == 1
        clock.seconds += 30
        assert await ask(enricher, CRISPS) == [USABLE]
        assert await ask(enricher, CRISPS) == [USABLE]


@pytest.mark.parametrize(
    "headers",
    [
        {"Retry-After": "120"},
        {"Retry-After": "Wed, 21 Oct 2026 07:30:00 GMT", "Date": "Wed, 21 Oct 2026 07:28:00 GMT"},
    ],
)
async def test_server_that_names_a_time_is_left_alone_that_long(headers: dict[str, str]) -> None:
    clock = Clock()
    stub = NimStub(status(429, **headers))
    async with nim(stub.transport, clock=clock) as enricher:
        await ask(enricher, CRISPS)
        stub.behavior = answer
        clock.seconds += 119
        assert isinstance((await ask(enricher, CRISPS))[0], Unanswered)
        clock.seconds += 1
        assert await ask(enricher, CRISPS) == [USABLE]


async def test_one_spoilt_reply_does_not_stop_the_next_call_but_three_in_a_row_do() -> None:
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
async def test_time_that_means_nothing_is_no_error(value: str) -> None:
    clock = Clock()
    stub = NimStub(status(429, **{"Retry-After": value}))
    async with nim(stub.transport, clock=clock) as enricher:
        await ask(enricher, CRISPS)
        stub.behavior = answer
        clock.seconds += 30
        assert await ask(enricher, CRISPS) == [USABLE]


async def test_requests_wait_for_a_well_server_only() -> None:
    clock = Clock()
    stub = NimStub(status(500))
    async with nim(stub.transport, clock=clock) as enricher:
        assert enricher.why_not_to_wait(None) == ""
        assert enricher.why_not_to_wait(1.0) == ""
        assert "too little of the request's time" in enricher.why_not_to_wait(0.01)
        await ask(enricher, CRISPS)
        assert "failed a short while ago" in enricher.why_not_to_wait(None)
        clock.seconds += 30
        assert "failed a short while ago" in enricher.why_not_to_wait(None)
        stub.behavior = answer
        await ask(enricher, CRISPS)
        assert enricher.why_not_to_wait(None) == ""


async def test_requests_do_not_wait_for_a_server_that_took_longer_than_they_have() -> None:
    clock = Clock()

    def slowly(call: dict[str, Any], items: list[dict[str, Any]]) -> httpx.Response:
        clock.seconds += 6
        return answer(call, items)

    stub = NimStub(slowly)
    async with nim(stub.transport, clock=clock) as enricher:
        await ask(enricher, CRISPS)
        assert "takes longer at present" in enricher.why_not_to_wait(5.0)
        assert enricher.why_not_to_wait(7.0) == ""
        stub.behavior = answer
        await ask(enricher, CRISPS)
        assert enricher.why_not_to_wait(5.0) == ""


async def test_requests_do_not_wait_for_a_server_that_has_been_silent_for_longer_than_they_have() -> None:
    clock = Clock()
    async with nim(NimStub(hang).transport, clock=clock) as enricher:
        task = asyncio.create_task(ask(enricher, CRISPS))
        await asyncio.sleep(0)
        assert enricher.why_not_to_wait(5.0) == ""
        clock.seconds += 6
        assert "takes longer at present" in enricher.why_not_to_wait(5.0)
        task.cancel()


@given(
    st.lists(st.text(max_size=200), max_size=30),
    st.integers(min_value=1, max_value=50),
    st.integers(min_value=2048, max_value=10_000),
)
async def test_batches_hold_every_question_once_in_order_and_fit(
    names: list[str], batch_size: int, token_budget: int
) -> None:
    questions = [ItemToEnrich(name) for name in names]
    async with nim(NimStub().transport, batch_size=batch_size, token_budget=token_budget) as enricher:
        batches = enricher.batches(questions)
        assert [question for batch in batches for question in batch] == questions
        assert all(1 <= len(batch) <= batch_size for batch in batches)


@pytest.mark.parametrize("name", ["milk", "organic boneless chicken breast fillet family pack", "牛乳" * 30])
async def test_calls_keep_to_the_token_budget(name: str) -> None:
    budget = 2048
    stub = NimStub()
    async with nim(stub.transport, batch_size=50, token_budget=budget) as enricher:
        for batch in enricher.batches([ItemToEnrich(f"{name} {number}") for number in range(60)]):
            await ask(enricher, *batch)
    assert len(stub.calls) > 1
    for call in stub.calls:
        # Three bytes per token is on the safe side for Llama 3, which is what the budget is there for.
        asked_bytes = sum(len(message["content"].encode()) for message in call["messages"])
        schema_bytes = len(json.dumps(call["response_format"]["json_schema"]["schema"]))
        assert (asked_bytes + schema_bytes) / 3 + call["max_tokens"] <= budget
