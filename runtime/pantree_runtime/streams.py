"""Works on a stream of inputs a few at a time, and gives the results in order."""

import asyncio
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable
from typing import TypeVar

InputT = TypeVar("InputT")
ResultT = TypeVar("ResultT")


async def map_ordered(
    inputs: AsyncIterable[InputT], work: Callable[[InputT], Awaitable[ResultT]], *, concurrency: int
) -> AsyncIterator[ResultT]:
    """Result of the work on each input, in the order of the inputs, each as soon as it is there.

    Work is begun in the order of the inputs. An error in reading or in the work comes in its place, after the results
    before it. When the caller stops early, what is still running is cancelled.

    Args:
        inputs: read while earlier ones are worked on, one further than is worked on.
        work: what to do with each.
        concurrency: how many inputs are worked on at a time, at least 1.
    """
    source = aiter(inputs)

    async def read() -> InputT:
        return await anext(source)

    async def worked(one: InputT) -> ResultT:
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
            assert reading is not None  # or something would run
            await asyncio.wait({reading, *list(running)[:1]}, return_when=asyncio.FIRST_COMPLETED)
            if not reading.done():
                continue
            error = reading.exception()
            if error is None:
                running.append(asyncio.create_task(worked(reading.result())))
            reading = None if error else asyncio.create_task(read())
        if error is not None and not isinstance(error, StopAsyncIteration):
            raise error
    finally:
        left = [task for task in (reading, *running) if task is not None]
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
