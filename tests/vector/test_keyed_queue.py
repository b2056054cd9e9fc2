import asyncio
from collections.abc import Callable, Coroutine

import pytest

from pantree_vector.core.keyed_queue import KeyedQueue

FIRST, SECOND, THIRD = ("", "first"), ("", "second"), ("", "third")


def recording(started: list[str], name: str, until: asyncio.Event) -> Callable[[], Coroutine[None, None, str]]:
    async def work() -> str:
        started.append(name)
        await until.wait()
        return name

    return work


async def test_work_waits_for_earlier_work_on_the_same_household_only() -> None:
    queue, until = KeyedQueue(), asyncio.Event()
    started: list[str] = []
    tasks = [
        queue.submit([FIRST, SECOND], recording(started, "first", until)),
        queue.submit([SECOND, THIRD], recording(started, "second", until)),
        queue.submit([THIRD], recording(started, "third", until)),
        queue.submit([("tenant", "first")], recording(started, "elsewhere", until)),
    ]
    await asyncio.sleep(0.01)
    assert started == ["first", "elsewhere"]
    until.set()
    assert await asyncio.gather(*tasks) == ["first", "second", "third", "elsewhere"]
    assert started == ["first", "elsewhere", "second", "third"]


async def test_failed_work_does_not_block_the_next() -> None:
    queue = KeyedQueue()

    async def failing() -> None:
        raise ValueError("broken")

    async def working() -> str:
        return "done"

    first, second = queue.submit([FIRST], failing), queue.submit([FIRST], working)
    assert await second == "done"
    with pytest.raises(ValueError, match="broken"):
        await first


async def test_canceled_caller_does_not_cancel_the_work() -> None:
    queue, until = KeyedQueue(), asyncio.Event()
    started: list[str] = []

    async def caller() -> None:
        await asyncio.shield(queue.submit([FIRST], recording(started, "first", until)))

    canceled = asyncio.create_task(caller())
    await asyncio.sleep(0.01)
    canceled.cancel()
    second = queue.submit([FIRST], recording(started, "second", until))
    await asyncio.sleep(0.01)
    assert started == ["first"]
    joining = asyncio.create_task(queue.join())
    await asyncio.sleep(0.01)
    assert not joining.done()
    until.set()
    await joining
    assert second.done()
    assert started == ["first", "second"]
