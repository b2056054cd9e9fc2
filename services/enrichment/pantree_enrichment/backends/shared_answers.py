"""A language model's answers, asked for once and shared by all requests that want them.

A call goes on when the request that caused it has gone, so that the next one finds the answer. So a request never waits
for longer than it has, and a model too slow for one request serves the next.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from pantree_enrichment.backends.cache import AnswerCache
from pantree_enrichment.core import ItemToEnrich, Outcome, Unanswered, question_about
from pantree_runtime import telemetry

_TOO_LATE = Unanswered("the language model did not answer in the time that the request had")
_GIVEN_UP = Unanswered("the language model was not asked: the service stopped")


class LanguageModel(Protocol):
    """Something that answers about a list of items in one call."""

    def batches(self, questions: Sequence[ItemToEnrich]) -> list[Sequence[ItemToEnrich]]:
        """Questions cut into lists that one call each can answer, in their order."""

    def why_not_to_wait(self, seconds: float | None) -> str:
        """Why a request that has so much time left should not wait for an answer; empty when it should.

        Args:
            seconds: what is left; None for no limit.
        """

    async def ask(self, questions: Sequence[ItemToEnrich], answered: Callable[[int, Outcome], None]) -> None:
        """Asks about one batch. Never raises: each item fails by itself.

        Args:
            questions: one of `batches`.
            answered: called once for each question, as soon as its outcome is known, with its position.
        """

    async def close(self) -> None:
        """Gives back what it holds."""


@dataclass(eq=False)
class _Call:
    """A batch that is being asked about, or waits for its turn."""

    questions: Sequence[ItemToEnrich]
    outcomes: dict[ItemToEnrich, asyncio.Future[Outcome]]
    waiting_requests: int = 0
    has_begun: bool = False
    task: asyncio.Task[None] | None = field(default=None, repr=False)


class SharedAnswers:
    """An `ItemEnricher` that asks a language model about what is not in the cache and not being asked already."""

    def __init__(
        self,
        model: LanguageModel,
        cache: AnswerCache,
        *,
        max_calls: int,
        seconds_left: Callable[[int], float | None],
    ) -> None:
        """Takes whom it asks.

        Args:
            model: is closed by `close`.
            cache: keeps the answers; is closed by `close`.
            max_calls: how many calls run at a time.
            seconds_left: how long the request being served, about so many items, may wait; None for no limit.
        """
        self._model = model
        self._cache = cache
        self._max_calls = max_calls
        self._slots = asyncio.Semaphore(max_calls)
        self._seconds_left = seconds_left
        self._calls: dict[ItemToEnrich, _Call] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def stream(self, items: Sequence[ItemToEnrich]) -> AsyncGenerator[Sequence[tuple[int, Outcome]]]:
        """Position and outcome of each item once, as soon as they are known, in any order."""
        positions: dict[ItemToEnrich, list[int]] = {}
        for position, item in enumerate(items):
            positions.setdefault(question_about(item), []).append(position)

        def group(outcomes: dict[ItemToEnrich, Outcome]) -> list[tuple[int, Outcome]]:
            return [(position, outcome) for question, outcome in outcomes.items() for position in positions[question]]

        kept = dict(await self._cache.get(list(positions)))
        if kept:
            yield group(kept)
        missing = [question for question in positions if question not in kept]
        telemetry.count_lookups("language_model", hits=len(kept), misses=len(missing))
        if not missing:
            return
        reason = self._model.why_not_to_wait(self._seconds_left(len(items)))
        if reason:
            self._ask_for_later(missing)
            yield group({question: Unanswered(reason) for question in missing})
            return
        call_of = self._ask(missing)
        calls = set(call_of.values())
        for call in calls:
            call.waiting_requests += 1
        try:
            pending = {call.outcomes[question]: question for question, call in call_of.items()}
            while pending:
                done, _ = await asyncio.wait(
                    pending, timeout=self._seconds_left(len(items)), return_when=asyncio.FIRST_COMPLETED
                )
                if not done:
                    yield group(dict.fromkeys(pending.values(), _TOO_LATE))
                    return
                yield group({pending.pop(future): future.result() for future in done})
        finally:  # the caller may leave before the end
            for call in calls:
                self._leave(call)

    async def close(self) -> None:
        """Ends the calls under way, and closes the model and the cache."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._model.close()
        await self._cache.close()

    def _ask(self, questions: Sequence[ItemToEnrich]) -> dict[ItemToEnrich, _Call]:
        """The call that answers each question: one that another request caused already, or a new one."""
        for batch in self._model.batches([question for question in questions if question not in self._calls]):
            self._begin(batch)
        return {question: self._calls[question] for question in questions}

    def _ask_for_later(self, questions: Sequence[ItemToEnrich]) -> None:
        """Begins as many calls as can run at once, for the cache; nobody waits for them."""
        free = self._max_calls - len(self._tasks)
        if free > 0:
            new = [question for question in questions if question not in self._calls]
            for batch in self._model.batches(new)[:free]:
                self._begin(batch)

    def _begin(self, questions: Sequence[ItemToEnrich]) -> None:
        loop = asyncio.get_running_loop()
        call = _Call(questions, {question: loop.create_future() for question in questions})
        self._calls.update(dict.fromkeys(questions, call))
        call.task = asyncio.create_task(self._run(call))
        self._tasks.add(call.task)
        call.task.add_done_callback(self._tasks.discard)

    async def _run(self, call: _Call) -> None:
        outcomes: dict[ItemToEnrich, Outcome] = {}

        def answered(position: int, outcome: Outcome) -> None:
            question = call.questions[position]
            outcomes[question] = outcome
            call.outcomes[question].set_result(outcome)

        try:
            async with self._slots:
                call.has_begun = True
                await self._model.ask(call.questions, answered)
            # Until it is kept, others find it through the call.
            await self._cache.put(outcomes)
        finally:
            self._end(call)

    def _leave(self, call: _Call) -> None:
        """A request does not wait for a call any more; without any, a call that has not begun is given up."""
        call.waiting_requests -= 1
        if call.waiting_requests == 0 and not call.has_begun and call.task is not None:
            call.task.cancel()
            self._end(call)  # a task that never ran has no `finally`

    def _end(self, call: _Call) -> None:
        for question, outcome in call.outcomes.items():
            if self._calls.get(question) is call:
                del self._calls[question]
            if not outcome.done():
                outcome.set_result(_GIVEN_UP)
