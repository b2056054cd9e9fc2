import asyncio
from collections.abc import AsyncIterator

import pytest

from pantree_runtime.streams import map_ordered


async def numbers(count: int) -> AsyncIterator[int]:
    for number in range(count):
        yield number


async def test_results_are_in_order_even_if_later_work_ends_first() -> None:
    max_running = running = 0

    async def work(number: int) -> int:
        nonlocal max_running, running
        running += 1
        max_running = max(max_running, running)
        await asyncio.sleep((5 - number) / 1_000)
        running -= 1
        return number * number

    assert [result async for result in map_ordered(numbers(5), work, concurrency=3)] == [0, 1, 4, 9, 16]
    assert max_running == 3


async def test_result_does_not_wait_for_the_next_input() -> None:
    queue: asyncio.Queue[int | None] = asyncio.Queue()

    async def inputs() -> AsyncIterator[int]:
        while (number := await queue.get()) is not None:
            yield number

    async def work(number: int) -> int:
        return -number

    results = map_ordered(inputs(), work, concurrency=3)
    for number in range(3):  # each is sent when the one before has been answered
        queue.put_nowait(number)
        assert await anext(results) == -number
    queue.put_nowait(None)
    assert [result async for result in results] == []


@pytest.mark.parametrize("concurrency", [1, 2, 9])
async def test_error_is_raised_after_earlier_results(concurrency: int) -> None:
    async def inputs() -> AsyncIterator[int]:
        yield 0
        yield 1
        raise ValueError("unreadable")

    async def work(number: int) -> int:
        await asyncio.sleep(0.001)
        return number

    found = []
    with pytest.raises(ValueError, match="unreadable"):
        async for result in map_ordered(inputs(), work, concurrency=concurrency):
            found.append(result)
    assert found == [0, 1]

    async def failing(number: int) -> int:
        if number == 1:
            raise ValueError("cannot be done")
        return number

    found = []
    with pytest.raises(ValueError, match="cannot be done"):
        async for result in map_ordered(numbers(9), failing, concurrency=concurrency):
            found.append(result)
    assert found == [0]


async def test_work_in_progress_is_canceled_when_the_caller_stops() -> None:
    canceled = []

    async def work(number: int) -> int:
        if number:
            try:
                await asyncio.Event().wait()
            finally:
                canceled.append(number)
        return number

    results = map_ordered(numbers(9), work, concurrency=3)
    assert await anext(results) == 0
    await asyncio.sleep(0.01)
    await results.aclose()  # type: ignore[attr-defined]
    assert canceled == [1, 2, 3][: len(canceled)]
    assert canceled
