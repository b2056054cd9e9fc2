import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field

import pytest

from pantree_enrichment.backends.cache import MemoryCache
from pantree_enrichment.backends.shared_answers import SharedAnswers
from pantree_enrichment.core import EnrichedItem, ItemToEnrich, Outcome, Unanswered
from tests.enrichment.answers import answer_about
from tests.runtime.test_circuit_breaker import Clock

MILK, BREAD, JAM = ItemToEnrich("Milk"), ItemToEnrich("Bread"), ItemToEnrich("Jam")


@dataclass
class Model:
    """A language model that answers when it is told to, about two items at a time."""

    released: asyncio.Event = field(default_factory=asyncio.Event)
    reluctance: str = ""
    failure: Unanswered | None = None
    asked: list[list[str]] = field(default_factory=list)
    running: int = 0
    most_running: int = 0
    begun: asyncio.Event = field(default_factory=asyncio.Event)

    def batches(self, questions: Sequence[ItemToEnrich]) -> list[Sequence[ItemToEnrich]]:
        return [questions[start : start + 2] for start in range(0, len(questions), 2)]

    def why_not_to_wait(self, seconds: float | None) -> str:
        return self.reluctance

    async def ask(self, questions: Sequence[ItemToEnrich], answered: Callable[[int, Outcome], None]) -> None:
        self.asked.append([question.name for question in questions])
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        self.begun.set()
        try:
            await self.released.wait()
        finally:
            self.running -= 1
        for position, question in enumerate(questions):
            answered(position, self.failure or answer_about(question))

    async def close(self) -> None:
        """Holds nothing."""


@contextlib.asynccontextmanager
async def sharing(
    model: Model, *, seconds_left: float | None = None, clock: Clock | None = None
) -> AsyncIterator[SharedAnswers]:
    cache = MemoryCache(size=100, seconds_to_keep=3600, clock=clock or Clock())
    shared = SharedAnswers(model, cache, max_calls=2, seconds_left=lambda item_count: seconds_left)
    try:
        yield shared
    finally:
        await shared.close()


async def outcomes(shared: SharedAnswers, *items: ItemToEnrich) -> list[Outcome]:
    """The outcome of each item, each of which must come exactly once."""
    told = [pair async for group in shared.stream(items) for pair in group]
    assert sorted(position for position, _ in told) == list(range(len(items)))
    return [outcome for _, outcome in sorted(told, key=lambda pair: pair[0])]


async def asked_about(shared: SharedAnswers, model: Model, *items: ItemToEnrich) -> "asyncio.Task[list[Outcome]]":
    """A request that waits for its answers."""
    task = asyncio.create_task(outcomes(shared, *items))
    await model.begun.wait()
    return task


async def test_results_are_joined_in_order_with_the_names_that_were_asked() -> None:
    model = Model()
    model.released.set()
    items = [ItemToEnrich(f"{letter} 12oz") for letter in "abcde"]
    async with sharing(model) as shared:
        answers = await outcomes(shared, *items)
    assert [answer.name for answer in answers if isinstance(answer, EnrichedItem)] == list("abcde")
    assert sorted(model.asked) == [["a", "b"], ["c", "d"], ["e"]]


async def test_stampede_of_one_item_is_one_call() -> None:
    model = Model()
    async with sharing(model) as shared:
        requests = [asyncio.create_task(outcomes(shared, ItemToEnrich(f"MILK {size}OZ"))) for size in range(20)]
        await model.begun.wait()
        requests.append(asyncio.create_task(outcomes(shared, MILK, MILK)))
        await asyncio.sleep(0)
        model.released.set()
        for answers in await asyncio.gather(*requests):
            assert all(isinstance(answer, EnrichedItem) for answer in answers)
        await outcomes(shared, MILK)
    assert model.asked == [["milk"]]


async def test_answer_that_comes_after_the_request_has_gone_is_there_for_the_next_one() -> None:
    model = Model()
    async with sharing(model, seconds_left=0.02) as shared:
        (outcome,) = await outcomes(shared, MILK)
        assert outcome == Unanswered("the language model did not answer in the time that the request had")
        model.released.set()
        await asyncio.sleep(0)
        (outcome,) = await outcomes(shared, MILK)
        assert isinstance(outcome, EnrichedItem)
    assert model.asked == [["milk"]]


async def test_call_that_others_wait_for_goes_on_when_the_first_request_leaves() -> None:
    model = Model()
    async with sharing(model) as shared:
        first = await asked_about(shared, model, MILK)
        second = asyncio.create_task(outcomes(shared, MILK))
        await asyncio.sleep(0)
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        model.released.set()
        assert isinstance((await second)[0], EnrichedItem)


async def test_calls_that_have_not_begun_are_given_up_when_nobody_waits() -> None:
    model = Model()
    items = [ItemToEnrich(letter) for letter in "abcdefghij"]
    async with sharing(model, seconds_left=0.02) as shared:
        await outcomes(shared, *items)
        model.released.set()
        await asyncio.sleep(0.02)
        assert model.asked == [["a", "b"], ["c", "d"]]
        assert isinstance((await outcomes(shared, items[9]))[0], EnrichedItem)


async def test_calls_at_a_time_are_limited() -> None:
    model = Model()
    async with sharing(model) as shared:
        task = await asked_about(shared, model, *(ItemToEnrich(letter) for letter in "abcdefghij"))
        model.released.set()
        await task
    assert (model.most_running, len(model.asked)) == (2, 5)


async def test_request_does_not_wait_for_a_server_that_is_not_well_but_asks_for_the_next_one() -> None:
    model = Model(reluctance="it is slow")
    items = [ItemToEnrich(letter) for letter in "abcdefghij"]
    async with sharing(model) as shared:
        assert await outcomes(shared, *items) == [Unanswered("it is slow")] * 10
        await model.begun.wait()
        assert await outcomes(shared, *items) == [Unanswered("it is slow")] * 10
        model.released.set()
        await asyncio.sleep(0)
        answers = await outcomes(shared, *items)
        assert [isinstance(answer, EnrichedItem) for answer in answers] == [True] * 4 + [False] * 6
        assert model.asked[:2] == [["a", "b"], ["c", "d"]]


@pytest.mark.parametrize(("concerns_item_alone", "calls"), [(True, 1), (False, 2)])
async def test_failure_at_one_item_is_kept_for_a_while(concerns_item_alone: bool, calls: int) -> None:
    clock = Clock()
    model = Model(failure=Unanswered("no", concerns_item_alone))
    model.released.set()
    async with sharing(model, clock=clock) as shared:
        assert await outcomes(shared, MILK) == [model.failure]
        assert await outcomes(shared, MILK) == [model.failure]
        assert len(model.asked) == calls
        clock.seconds += 600
        await outcomes(shared, MILK)
        assert len(model.asked) == calls + 1


async def test_requests_under_way_are_answered_when_the_service_stops() -> None:
    model = Model()
    async with sharing(model) as shared:
        task = await asked_about(shared, model, MILK, BREAD, JAM)
    assert await task == [Unanswered("the language model was not asked: the service stopped")] * 3
