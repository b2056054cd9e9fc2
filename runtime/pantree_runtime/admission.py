"""Admission control: refuses a call on arrival if it cannot be answered in time.

CPU work runs on a bounded thread pool, which is the event loop's default executor, so `asyncio.to_thread` uses it. Work
is not started if its request ran out of time in the queue.
"""

import asyncio
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from pantree_runtime import telemetry
from pantree_runtime.deadline import MIN_SECONDS, remaining_seconds
from pantree_runtime.errors import DeadlineExceeded, Overloaded

T = TypeVar("T")

# At a millisecond per task, the last task in the queue waits a quarter of a second.
MAX_QUEUE_PER_THREAD = 256
# Weight of the latest task in the moving average of run times; about the last twenty tasks count.
_LATEST_WEIGHT = 0.1
# A caller that retries sooner would only be refused again.
_MIN_RETRY_SECONDS = 0.1
# A guess, since the remaining time of the calls in flight is unknown.
_IN_FLIGHT_RETRY_SECONDS = 1.0


class WorkPool(ThreadPoolExecutor):
    """Thread pool that estimates how long a new task would wait in its queue."""

    def __init__(self, thread_count: int) -> None:
        super().__init__(thread_count, thread_name_prefix="work")
        self._thread_count = thread_count
        self._queue_depth = 0
        self._mean_seconds = 0.0
        self._lock = threading.Lock()
        self.call_count = 0
        """Calls in flight in the servers of this event loop."""

    @property
    def queue_depth(self) -> int:
        """Number of tasks waiting for a thread."""
        return self._queue_depth

    @property
    def is_full(self) -> bool:
        """Whether the queue has reached its maximum length."""
        return self._queue_depth >= self._thread_count * MAX_QUEUE_PER_THREAD

    def seconds_to_wait(self) -> float:
        """Estimated time that a new task would wait for a thread."""
        return self._queue_depth * self._mean_seconds / self._thread_count

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> "Future[T]":
        """Queues a task, which fails with `DeadlineExceeded` if its request runs out of time before it starts."""
        remaining = remaining_seconds()
        ends_at = None if remaining is None else time.monotonic() + remaining

        def work() -> T:
            self._leave_queue()
            if ends_at is None:  # not part of a request, such as warm-up, which would distort the average
                return fn(*args, **kwargs)
            began_at = time.monotonic()
            if began_at >= ends_at:
                raise DeadlineExceeded("the request ran out of time before its work could start")
            try:
                return fn(*args, **kwargs)
            finally:
                self._mean_seconds += _LATEST_WEIGHT * (time.monotonic() - began_at - self._mean_seconds)

        with self._lock:
            self._queue_depth += 1
        try:
            future = super().submit(work)
        except BaseException:
            self._leave_queue()
            raise
        future.add_done_callback(lambda future: self._leave_queue() if future.cancelled() else None)
        return future

    def _leave_queue(self) -> None:
        with self._lock:
            self._queue_depth -= 1


_pools: "WeakKeyDictionary[asyncio.AbstractEventLoop, WorkPool]" = WeakKeyDictionary()


def work_pool() -> WorkPool:
    """The pool of the running event loop, created on first use as its default executor."""
    loop = asyncio.get_running_loop()
    pool = _pools.get(loop)
    if pool is None:
        # Python's default size, since some tasks wait for a store instead of computing.
        pool = _pools[loop] = WorkPool(min(32, (os.cpu_count() or 1) + 4))
        loop.set_default_executor(pool)
        telemetry.QUEUE_DEPTH.set_function(lambda: pool.queue_depth)
    return pool


def calls_in_flight() -> int:
    """Number of calls that servers of the running event loop are handling, including the current one."""
    pool = _pools.get(asyncio.get_running_loop())
    return 0 if pool is None else pool.call_count


class ConcurrencyLimiter:
    """Limits the total cost of the calls in flight; most calls cost 1."""

    def __init__(self, pool: WorkPool, max_cost: int) -> None:
        self._pool = pool
        self.max_cost = max_cost
        self._cost = 0

    def enter(self, cost: int) -> None:
        """Admits a call, which must call `leave` at the end.

        Raises:
            Overloaded: if the call would exceed the limit or could not be answered in time.
        """
        if self._cost + cost > self.max_cost:
            raise _overloaded("too many calls are in flight", _IN_FLIGHT_RETRY_SECONDS)
        if self._pool.queue_depth:
            self._check_queue()
        self._cost += cost
        self._pool.call_count += 1

    def _check_queue(self) -> None:
        seconds = self._pool.seconds_to_wait()
        remaining = remaining_seconds()
        if self._pool.is_full or (remaining is not None and seconds > max(remaining - MIN_SECONDS, 0)):
            raise _overloaded("the queue is too long to answer this call in time", seconds)

    def leave(self, cost: int) -> None:
        """Releases the cost of an admitted call."""
        self._cost -= cost
        self._pool.call_count -= 1


def _overloaded(problem: str, seconds: float) -> Overloaded:
    telemetry.CALLS_REFUSED.labels("overloaded").inc()
    seconds = max(seconds, _MIN_RETRY_SECONDS)
    return Overloaded(f"{problem}; try again in {seconds:.1f} s", seconds)
