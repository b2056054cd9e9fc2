"""Work that waits, calls that are refused before they wait in vain."""

import asyncio
import threading
from collections.abc import AsyncIterator

import pytest

from pantree_runtime.admission import ConcurrencyLimiter, WorkPool, calls_in_flight, work_pool
from pantree_runtime.deadline import set_remaining_seconds
from pantree_runtime.errors import DeadlineExceeded, Overloaded


class Busy:
    """A pool of one thread, which is held until told."""

    def __init__(self) -> None:
        self.pool = WorkPool(1)
        self._released = threading.Event()
        self._began = threading.Event()

    def hold(self) -> None:
        self.pool.submit(self._wait)
        self._began.wait()

    def _wait(self) -> None:
        self._began.set()
        self._released.wait()

    def release(self) -> None:
        self._released.set()


@pytest.fixture
async def busy() -> AsyncIterator[Busy]:
    one = Busy()
    yield one
    one.release()
    one.pool.shutdown()


async def test_call_beyond_the_limit_is_told_when_to_come_again() -> None:
    admission = ConcurrencyLimiter(WorkPool(1), max_cost=4)
    admission.enter(3)
    with pytest.raises(Overloaded) as refused:
        admission.enter(2)
    assert refused.value.retry_after_seconds > 0
    admission.enter(1)
    admission.leave(3)
    admission.enter(2)


async def test_calls_under_way_are_those_let_in_and_not_yet_ended() -> None:
    admission = ConcurrencyLimiter(work_pool(), max_cost=4)
    admission.enter(1)
    admission.enter(3)
    assert calls_in_flight() == 2
    with pytest.raises(Overloaded):
        admission.enter(1)
    admission.leave(3)
    assert calls_in_flight() == 1


async def test_call_that_could_not_be_answered_in_time_is_refused_on_arrival(busy: Busy) -> None:
    set_remaining_seconds(60.0)
    # Each piece of work takes a tenth of a second, so forty of them before a call are too much for one second.
    for _ in range(20):
        busy.pool.submit(lambda: threading.Event().wait(0.02)).result()
    busy.hold()
    waiting = [busy.pool.submit(lambda: None) for _ in range(200)]
    assert busy.pool.waiting == 200
    admission = ConcurrencyLimiter(busy.pool, max_cost=100)
    set_remaining_seconds(0.1)
    with pytest.raises(Overloaded, match="could not be answered in time"):
        admission.enter(1)
    set_remaining_seconds(600.0)
    admission.enter(1)
    busy.release()
    for one in waiting:
        one.result()
    assert busy.pool.waiting == 0


async def test_work_whose_time_is_over_is_not_begun(busy: Busy) -> None:
    busy.hold()
    done: list[int] = []
    set_remaining_seconds(0.01)
    late = busy.pool.submit(done.append, 1)
    await asyncio.sleep(0.05)
    busy.release()
    with pytest.raises(DeadlineExceeded):
        await asyncio.wrap_future(late)
    assert done == []


async def test_work_that_is_cancelled_leaves_the_line(busy: Busy) -> None:
    busy.hold()
    future = busy.pool.submit(lambda: None)
    assert busy.pool.waiting == 1
    assert future.cancel()
    assert busy.pool.waiting == 0


async def test_to_thread_uses_the_pool_of_the_loop() -> None:
    pool = work_pool()
    assert work_pool() is pool
    assert (await asyncio.to_thread(lambda: threading.current_thread().name)).startswith("work")
