"""Takes on no more work than can be done in time, and says so early.

Work that computes runs on a bounded pool of threads, which is the default executor of the event loop, so that
`asyncio.to_thread` means this pool everywhere. A call is refused on arrival when all that waits before it would take
longer than the call has; work whose request ran out of time while it waited is not begun.
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

# A longer line than this is never worth standing in: at a millisecond of work each it takes a quarter of a second.
MAX_QUEUE_PER_THREAD = 256
# How much the newest piece of work counts in the mean; the last twenty or so make nearly all of it.
_WEIGHT_OF_NEWEST = 0.1
# What a refused caller waits at least; retrying sooner would only be refused again.
_LEAST_RETRY_SECONDS = 0.1
# What a refused caller waits when there are too many calls under way, whose ends nobody can foresee.
_RETRY_SECONDS = 1.0


class WorkPool(ThreadPoolExecutor):
    """Threads for the work of requests, and a line before them whose length in seconds is known."""

    def __init__(self, thread_count: int) -> None:
        super().__init__(thread_count, thread_name_prefix="work")
        self._thread_count = thread_count
        self._waiting = 0
        self.call_count = 0
        """Calls under way in the servers of this event loop."""
        self._mean_seconds = 0.0
        self._lock = threading.Lock()

    @property
    def waiting(self) -> int:
        """How many pieces of work wait for a thread."""
        return self._waiting

    @property
    def is_full(self) -> bool:
        """Whether the line is as long as it may be."""
        return self._waiting >= self._thread_count * MAX_QUEUE_PER_THREAD

    def seconds_to_wait(self) -> float:
        """How long another piece of work would probably wait for a thread."""
        return self._waiting * self._mean_seconds / self._thread_count

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> "Future[T]":
        """Puts work into the line; it fails with `DeadlineExceeded` if its turn comes after the request's time."""
        remaining = remaining_seconds()
        ends_at = None if remaining is None else time.monotonic() + remaining

        def work() -> T:
            self._leave_line()
            if ends_at is None:  # warming up, or work of no request: says nothing about how long requests take
                return fn(*args, **kwargs)
            began_at = time.monotonic()
            if began_at >= ends_at:
                raise DeadlineExceeded("the time for the request was over before its work could begin")
            try:
                return fn(*args, **kwargs)
            finally:
                self._mean_seconds += _WEIGHT_OF_NEWEST * (time.monotonic() - began_at - self._mean_seconds)

        with self._lock:
            self._waiting += 1
        try:
            future = super().submit(work)
        except BaseException:
            self._leave_line()
            raise
        future.add_done_callback(self._forget_if_cancelled)
        return future

    def _forget_if_cancelled(self, future: "Future[Any]") -> None:
        if future.cancelled():  # it never began, so it did not leave the line by itself
            self._leave_line()

    def _leave_line(self) -> None:
        with self._lock:
            self._waiting -= 1


_pools: "WeakKeyDictionary[asyncio.AbstractEventLoop, WorkPool]" = WeakKeyDictionary()


def work_pool() -> WorkPool:
    """The pool of the running event loop, made at first use; from then on it is the loop's default executor."""
    loop = asyncio.get_running_loop()
    pool = _pools.get(loop)
    if pool is None:
        # As many as Python's own default: some work waits for a store rather than computes.
        pool = _pools[loop] = WorkPool(min(32, (os.cpu_count() or 1) + 4))
        loop.set_default_executor(pool)
        telemetry.QUEUE_DEPTH.set_function(lambda: pool.waiting)
    return pool


def calls_in_flight() -> int:
    """Number of calls that the servers of the running event loop serve now, the current one included."""
    pool = _pools.get(asyncio.get_running_loop())
    return 0 if pool is None else pool.call_count


class ConcurrencyLimiter:
    """Lets calls into a server up to a limit on what they cost together."""

    def __init__(self, pool: WorkPool, max_cost: int) -> None:
        """Takes what is limited.

        Args:
            pool: where the work of the calls is done.
            max_cost: how much the calls under way may cost together; most calls cost 1.
        """
        self._pool = pool
        self._max_cost = max_cost
        self._cost = 0

    def enter(self, cost: int) -> None:
        """Lets a call in; `leave` must follow.

        Raises:
            Overloaded: when there is no room, or the call could not be answered in time.
        """
        if self._cost + cost > self._max_cost:
            raise _overloaded("as many calls as this server takes are under way", _RETRY_SECONDS)
        if self._pool.waiting:
            self._check_line()
        self._cost += cost
        self._pool.call_count += 1

    def _check_line(self) -> None:
        seconds = self._pool.seconds_to_wait()
        remaining = remaining_seconds()
        if self._pool.is_full or (remaining is not None and seconds > max(remaining - MIN_SECONDS, 0)):
            raise _overloaded("so much work waits that this call could not be answered in time", seconds)

    def leave(self, cost: int) -> None:
        """Notes that a call has ended."""
        self._cost -= cost
        self._pool.call_count -= 1


def _overloaded(why: str, seconds: float) -> Overloaded:
    telemetry.CALLS_REFUSED.labels("overloaded").inc()
    seconds = max(seconds, _LEAST_RETRY_SECONDS)
    return Overloaded(f"{why}; try again in {seconds:.1f} s", seconds)
