"""Tests of the work queue, and of calls refused because it is too long."""

import asyncio
import threading
from collections.abc import AsyncIterator

import pytest

from pantree_runtime.admission import ConcurrencyLimiter, WorkPool, calls_in_flight, work_pool
from pantree_runtime.deadline import set_remaining_seconds
from pantree_runtime.errors import DeadlineExceeded, Overloaded


class Busy:
    """A pool with one thread, which `hold` blocks until `release`."""

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


async def test_call_beyond_the_limit_is_refused_with_a_time_to_retry() -> None:
    limiter = ConcurrencyLimiter(WorkPool(1), max_cost=4)
    limiter.enter(3)
    with pytest.raises(Overloaded) as refused:
        limiter.enter(2)
    assert refused.value.retry_after_seconds > 0
    limiter.enter(1)
    limiter.leave(3)
    limiter.enter(2)


async def test_calls_in_flight_are_those_admitted_and_not_finished() -> None:
    limiter = ConcurrencyLimiter(work_pool(), max_cost=4)
    limiter.enter(1)
    limiter.enter(3)
    assert calls_in_flight() == 2
    with pytest.raises(Overloaded):
        limiter.enter(1)
    limiter.leave(3)
    assert calls_in_flight() == 1


async def test_call_that_could_not_be_answered_in_time_is_refused_on_arrival(busy: Busy) -> None:
    set_remaining_seconds(60.0)
    # A task takes 20 ms on average, so 200 of them take longer than 0.1 s.
    for _ in range(20):
        busy.pool.submit(lambda: threading.Event().wait(0.02)).result()
    busy.hold()
    waiting = [busy.pool.submit(lambda: None) for _ in range(200)]
    assert busy.pool.queue_depth == 200
    limiter = ConcurrencyLimiter(busy.pool, max_cost=100)
    set_remaining_seconds(0.1)
    with pytest.raises(Overloaded, match="too long to answer this call in time"):
        limiter.enter(1)
    set_remaining_seconds(600.0)
    limiter.enter(1)
    busy.release()
    for one in waiting:
        one.result()
    assert busy.pool.queue_depth == 0


async def test_work_of_an_expired_request_is_not_started(busy: Busy) -> None:
    busy.hold()
    done: list[int] = []
    set_remaining_seconds(0.01)
    late = busy.pool.submit(done.append, 1)
    await asyncio.sleep(0.05)
    busy.release()
    with pytest.raises(DeadlineExceeded):
        await asyncio.wrap_future(late)
    assert done == []


async def test_canceled_work_leaves_the_queue(busy: Busy) -> None:
    busy.hold()
    future = busy.pool.submit(lambda: None)
    assert busy.pool.queue_depth == 1
    assert future.cancel()
    assert busy.pool.queue_depth == 0


async def test_to_thread_uses_the_pool_of_the_loop() -> None:
    pool = work_pool()
    assert work_pool() is pool
    assert (await asyncio.to_thread(lambda: threading.current_thread().name)).startswith("work")
