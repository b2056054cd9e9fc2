"""Coalesces concurrent requests to a language model, and caches its answers.

No request waits longer than its deadline. A call continues after the request that started it has ended, so that the
next request finds the answers of a model that is too slow for one request.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass, field

from pantree_enrichment.backends.nim import LATE, UNAVAILABLE
from pantree_enrichment.core.item import Failure, ItemToEnrich, ModelItem, Outcome
from pantree_enrichment.core.model_item import model_item
from pantree_enrichment.core.ports import AnswerCache, LanguageModel
from pantree_runtime import telemetry

_TOO_LATE = Failure(LATE)
_STOPPED = Failure(UNAVAILABLE)


@dataclass(eq=False)
class _Call:
    """A batch in flight or in the queue."""

    items: Sequence[ModelItem]
    outcomes: dict[ModelItem, asyncio.Future[Outcome]]
    waiting_requests: int = 0
    has_started: bool = False
    task: asyncio.Task[None] | None = field(default=None, repr=False)


class RequestCoalescer:
    """An `ItemEnricher` that asks a model about items that are neither cached nor in flight.

    Args:
        model: closed by `close`.
        cache: closed by `close`.
        max_calls: maximum number of concurrent calls.
        seconds_left: how long the current request may wait if it has this number of items; None for no limit.
    """

    def __init__(
        self,
        model: LanguageModel,
        cache: AnswerCache,
        *,
        max_calls: int,
        seconds_left: Callable[[int], float | None],
    ) -> None:
        self._model = model
        self._cache = cache
        self._max_calls = max_calls
        self._slots = asyncio.Semaphore(max_calls)
        self._seconds_left = seconds_left
        self._calls: dict[ModelItem, _Call] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def stream(self, items: Sequence[ItemToEnrich]) -> AsyncGenerator[Sequence[tuple[int, Outcome]]]:
        indices: dict[ModelItem, list[int]] = {}
        for index, item in enumerate(items):
            indices.setdefault(model_item(item), []).append(index)

        def group(outcomes: dict[ModelItem, Outcome]) -> list[tuple[int, Outcome]]:
            return [(index, outcome) for item, outcome in outcomes.items() for index in indices[item]]

        cached = dict(await self._cache.get(list(indices)))
        if cached:
            yield group(cached)
        missing = [item for item in indices if item not in cached]
        telemetry.count_lookups("language_model", hits=len(cached), misses=len(missing))
        if not missing:
            return
        reason = self._model.no_wait_reason(self._seconds_left(len(items)))
        if reason:
            self._prefetch(missing)
            yield group(dict.fromkeys(missing, Failure(reason)))
            return
        call_of = self._join_calls(missing)
        calls = set(call_of.values())
        for call in calls:
            call.waiting_requests += 1
        try:
            pending = {call.outcomes[item]: item for item, call in call_of.items()}
            while pending:
                done, _ = await asyncio.wait(
                    pending, timeout=self._seconds_left(len(items)), return_when=asyncio.FIRST_COMPLETED
                )
                if not done:
                    yield group(dict.fromkeys(pending.values(), _TOO_LATE))
                    return
                yield group({pending.pop(future): future.result() for future in done})
        finally:  # the caller may stop early
            for call in calls:
                self._leave(call)

    async def close(self) -> None:
        """Cancels the calls in flight, and closes the model and the cache."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._model.close()
        await self._cache.close()

    def _join_calls(self, items: Sequence[ModelItem]) -> dict[ModelItem, _Call]:
        """The call for each item, which another request may have started."""
        for batch in self._new_batches(items):
            self._start(batch)
        return {item: self._calls[item] for item in items}

    def _prefetch(self, items: Sequence[ModelItem]) -> None:
        """Starts as many calls as can run now, to cache their answers. No request waits for them."""
        free = max(self._max_calls - len(self._tasks), 0)
        for batch in self._new_batches(items)[:free]:
            self._start(batch)

    def _new_batches(self, items: Sequence[ModelItem]) -> list[Sequence[ModelItem]]:
        return self._model.batches([item for item in items if item not in self._calls])

    def _start(self, items: Sequence[ModelItem]) -> None:
        loop = asyncio.get_running_loop()
        call = _Call(items, {item: loop.create_future() for item in items})
        self._calls.update(dict.fromkeys(items, call))
        call.task = asyncio.create_task(self._run(call))
        self._tasks.add(call.task)
        call.task.add_done_callback(self._tasks.discard)

    async def _run(self, call: _Call) -> None:
        outcomes: dict[ModelItem, Outcome] = {}

        def on_outcome(index: int, outcome: Outcome) -> None:
            item = call.items[index]
            outcomes[item] = outcome
            call.outcomes[item].set_result(outcome)

        try:
            async with self._slots:
                call.has_started = True
                await self._model.ask(call.items, on_outcome)
            # Registered until its outcomes are cached, so that other requests always find them.
            await self._cache.put(outcomes)
        finally:
            self._end(call)

    def _leave(self, call: _Call) -> None:
        """Cancels a queued call when the last request stops waiting for it."""
        call.waiting_requests -= 1
        if call.waiting_requests == 0 and not call.has_started and call.task is not None:
            call.task.cancel()
            self._end(call)  # a task that never ran has no `finally`

    def _end(self, call: _Call) -> None:
        for item, outcome in call.outcomes.items():
            if self._calls.get(item) is call:
                del self._calls[item]
            if not outcome.done():
                outcome.set_result(_STOPPED)
