import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field

import pytest

from pantree_enrichment.backends.answer_cache import TieredCache
from pantree_enrichment.backends.nim import LATE, UNAVAILABLE
from pantree_enrichment.backends.request_coalescer import RequestCoalescer
from pantree_enrichment.core.item import Failure, ItemToEnrich, ModelAnswer, ModelItem, Outcome
from tests.enrichment.answers import answer_about, model_item_of
from tests.runtime.test_circuit_breaker import Clock

MILK, BREAD, JAM = ItemToEnrich("Milk"), ItemToEnrich("Bread"), ItemToEnrich("Jam")


@dataclass
class Model:
    """A language model that answers when released, about two items per call."""

    released: asyncio.Event = field(default_factory=asyncio.Event)
    no_wait: str = ""
    failure: Failure | None = None
    names: list[list[str]] = field(default_factory=list)
    running: int = 0
    max_running: int = 0
    started: asyncio.Event = field(default_factory=asyncio.Event)

    def batches(self, items: Sequence[ModelItem]) -> list[Sequence[ModelItem]]:
        return [items[start : start + 2] for start in range(0, len(items), 2)]

    def no_wait_reason(self, seconds: float | None) -> str:
        return self.no_wait

    async def ask(self, items: Sequence[ModelItem], on_outcome: Callable[[int, Outcome], None]) -> None:
        self.names.append([item.name for item in items])
        self.running += 1
        self.max_running = max(self.max_running, self.running)
        self.started.set()
        try:
            await self.released.wait()
        finally:
            self.running -= 1
        for index, item in enumerate(items):
            on_outcome(index, self.failure or answer_about(item))

    async def close(self) -> None:
        """Does nothing."""


@contextlib.asynccontextmanager
async def coalescing(
    model: Model, *, seconds_left: float | None = None, clock: Clock | None = None
) -> AsyncIterator[RequestCoalescer]:
    cache = TieredCache(size=100, seconds=3600, clock=clock or Clock())
    coalescer = RequestCoalescer(model, cache, max_calls=2, seconds_left=lambda item_count: seconds_left)
    try:
        yield coalescer
    finally:
        await coalescer.close()


async def outcomes(coalescer: RequestCoalescer, *items: ItemToEnrich) -> list[Outcome]:
    """The outcome of each item, each of which must be streamed exactly once."""
    pairs = [pair async for group in coalescer.stream(items) for pair in group]
    assert sorted(position for position, _ in pairs) == list(range(len(items)))
    return [outcome for _, outcome in sorted(pairs, key=lambda pair: pair[0])]


async def waiting_request(
    coalescer: RequestCoalescer, model: Model, *items: ItemToEnrich
) -> "asyncio.Task[list[Outcome]]":
    """A request that waits for its answers."""
    task = asyncio.create_task(outcomes(coalescer, *items))
    await model.started.wait()
    return task


async def test_each_item_gets_its_own_answer() -> None:
    model = Model()
    model.released.set()
    items = [ItemToEnrich(f" {letter} ") for letter in "abcde"]
    async with coalescing(model) as coalescer:
        answers = await outcomes(coalescer, *items)
    assert answers == [answer_about(model_item_of(letter)) for letter in "abcde"]
    assert sorted(model.names) == [["a", "b"], ["c", "d"], ["e"]]


async def test_concurrent_requests_for_one_item_are_one_call() -> None:
    model = Model()
    async with coalescing(model) as coalescer:
        requests = [
            asyncio.create_task(outcomes(coalescer, ItemToEnrich(spelling)))
            for spelling in ("MILK", " milk", "Milk\u200b")
        ]
        await model.started.wait()
        requests.append(asyncio.create_task(outcomes(coalescer, MILK, MILK)))
        await asyncio.sleep(0)
        model.released.set()
        for answers in await asyncio.gather(*requests):
            assert all(isinstance(answer, ModelAnswer) for answer in answers)
        await outcomes(coalescer, MILK)
    assert model.names == [["MILK"]]


async def test_answer_after_the_deadline_of_a_request_serves_the_next_one() -> None:
    model = Model()
    async with coalescing(model, seconds_left=0.02) as coalescer:
        (outcome,) = await outcomes(coalescer, MILK)
        assert outcome == Failure(LATE)
        model.released.set()
        await asyncio.sleep(0)
        (outcome,) = await outcomes(coalescer, MILK)
        assert isinstance(outcome, ModelAnswer)
    assert model.names == [["Milk"]]


async def test_call_continues_for_other_requests_when_the_first_one_is_canceled() -> None:
    model = Model()
    async with coalescing(model) as coalescer:
        first = await waiting_request(coalescer, model, MILK)
        second = asyncio.create_task(outcomes(coalescer, MILK))
        await asyncio.sleep(0)
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        model.released.set()
        assert isinstance((await second)[0], ModelAnswer)


async def test_queued_calls_are_canceled_when_no_request_waits() -> None:
    model = Model()
    items = [ItemToEnrich(letter) for letter in "abcdefghij"]
    async with coalescing(model, seconds_left=0.02) as coalescer:
        await outcomes(coalescer, *items)
        model.released.set()
        await asyncio.sleep(0.02)
        assert model.names == [["a", "b"], ["c", "d"]]
        assert isinstance((await outcomes(coalescer, items[9]))[0], ModelAnswer)


async def test_concurrent_calls_are_limited() -> None:
    model = Model()
    async with coalescing(model) as coalescer:
        task = await waiting_request(coalescer, model, *(ItemToEnrich(letter) for letter in "abcdefghij"))
        model.released.set()
        await task
    assert (model.max_running, len(model.names)) == (2, 5)


async def test_request_that_should_not_wait_prefetches_for_the_next_one() -> None:
    model = Model(no_wait="it is slow")
    items = [ItemToEnrich(letter) for letter in "abcdefghij"]
    async with coalescing(model) as coalescer:
        assert await outcomes(coalescer, *items) == [Failure("it is slow")] * 10
        await model.started.wait()
        assert await outcomes(coalescer, *items) == [Failure("it is slow")] * 10
        model.released.set()
        await asyncio.sleep(0)
        answers = await outcomes(coalescer, *items)
        assert [isinstance(answer, ModelAnswer) for answer in answers] == [True] * 4 + [False] * 6
        assert model.names[:2] == [["a", "b"], ["c", "d"]]


@pytest.mark.parametrize(("is_item_specific", "calls"), [(True, 1), (False, 2)])
async def test_item_specific_failure_is_cached_for_a_while(is_item_specific: bool, calls: int) -> None:
    clock = Clock()
    model = Model(failure=Failure("no", is_item_specific))
    model.released.set()
    async with coalescing(model, clock=clock) as coalescer:
        assert await outcomes(coalescer, MILK) == [model.failure]
        assert await outcomes(coalescer, MILK) == [model.failure]
        assert len(model.names) == calls
        clock.seconds += 600
        await outcomes(coalescer, MILK)
        assert len(model.names) == calls + 1


async def test_requests_in_flight_are_answered_when_the_service_stops() -> None:
    model = Model()
    async with coalescing(model) as coalescer:
        task = await waiting_request(coalescer, model, MILK, BREAD, JAM)
    assert await task == [Failure(UNAVAILABLE)] * 3
