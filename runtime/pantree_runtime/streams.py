"""Processes a stream concurrently, with results in order."""

import asyncio
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable
from typing import TypeVar

InputT = TypeVar("InputT")
ResultT = TypeVar("ResultT")


async def map_ordered(
    inputs: AsyncIterable[InputT], work: Callable[[InputT], Awaitable[ResultT]], *, concurrency: int
) -> AsyncIterator[ResultT]:
    """Results of `work` in the order of the inputs, each as soon as possible.

    One more input is prefetched. An error in reading or in the work is raised after the results of earlier inputs. If
    the caller stops early, work in progress is canceled.

    Args:
        inputs: the inputs.
        work: called with each input, in order.
        concurrency: maximum number of inputs processed at a time, at least 1.
    """
    source = aiter(inputs)

    async def read() -> InputT:
        return await anext(source)

    async def run(one: InputT) -> ResultT:
        return await work(one)

    reading: asyncio.Task[InputT] | None = asyncio.create_task(read())
    running: deque[asyncio.Task[ResultT]] = deque()
    error: BaseException | None = None
    try:
        while reading is not None or running:
            if running and (running[0].done() or reading is None or len(running) == concurrency):
                yield await running[0]
                running.popleft()
                continue
            assert reading is not None  # otherwise something would be running
            await asyncio.wait({reading, *list(running)[:1]}, return_when=asyncio.FIRST_COMPLETED)
            if not reading.done():
                continue
            error = reading.exception()
            if error is None:
                running.append(asyncio.create_task(run(reading.result())))
            reading = None if error else asyncio.create_task(read())
        if error is not None and not isinstance(error, StopAsyncIteration):
            raise error
    finally:
        unfinished = [task for task in (reading, *running) if task is not None]
        for task in unfinished:
            task.cancel()
        await asyncio.gather(*unfinished, return_exceptions=True)
