"""Decides where the CPU work of a request runs: on the event loop if it is short, otherwise in a worker thread.

A thread hop costs a few tenths of a millisecond, because the request continues on another core with cold caches. Pure
Python work in a worker thread blocks the event loop anyway, because only one thread runs Python at a time. So short
work is faster on the event loop. Servicers, back ends and the gateway call `run_cpu`. Core functions do not decide
where they run; those that mix I/O and CPU work take a `CpuRunner`.
"""

import asyncio
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from pantree_runtime.admission import calls_in_flight

P = ParamSpec("P")
ResultT = TypeVar("ResultT")

# Longer work would delay other requests and health checks noticeably.
MAX_INLINE_MS = 5.0
# The longest wait if every call in flight ran such work on the event loop. Beyond it, work goes to the worker pool,
# whose queue determines which calls are refused. About 32 calls to frequency with a typical household.
MAX_INLINE_BACKLOG_MS = 64.0


async def run_cpu(cost_ms: float, fn: Callable[P, ResultT], /, *args: P.args, **kwargs: P.kwargs) -> ResultT:
    """Result of a CPU-bound function, which must be safe to run in another thread.

    Args:
        cost_ms: estimated run time in milliseconds, such as the number of items × a measured time per item.
        fn: the function.
        args: its positional arguments.
        kwargs: its keyword arguments.
    """
    if cost_ms <= MAX_INLINE_MS and cost_ms * calls_in_flight() <= MAX_INLINE_BACKLOG_MS:
        return fn(*args, **kwargs)
    return await asyncio.to_thread(fn, *args, **kwargs)
