"""The one policy for CPU work of a request: on the event loop when it is short, in a worker thread otherwise.

A thread hop costs some tenths of a millisecond, because the request continues on another core with cold caches. Pure
Python work blocks the event loop from a worker thread as well, since one thread runs Python at a time. So short work
runs faster where it is. Servicers, back ends and the gateway call `run_cpu`. Cores are plain functions without
thresholds; one that mixes I/O with CPU work is given a `CpuRunner`.
"""

import asyncio
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from pantree_runtime.admission import calls_in_flight

P = ParamSpec("P")
ResultT = TypeVar("ResultT")

# Longer work would delay other requests and health checks noticeably.
MAX_INLINE_MS = 5.0
# If each call in flight ran this work on the event loop, the last one would wait this long. Beyond it, work goes to the
# worker pool, whose queue decides which calls to refuse. About 32 calls to frequency with a typical household.
MAX_INLINE_BACKLOG_MS = 64.0


async def run_cpu(cost_ms: float, fn: Callable[P, ResultT], /, *args: P.args, **kwargs: P.kwargs) -> ResultT:
    """Result of a CPU-bound function.

    Args:
        cost_ms: estimated run time in milliseconds, such as items × a measured time per item.
        fn: the function; must be safe to run in another thread.
        args: positional arguments of the function.
        kwargs: keyword arguments of the function.
    """
    if cost_ms <= MAX_INLINE_MS and cost_ms * calls_in_flight() <= MAX_INLINE_BACKLOG_MS:
        return fn(*args, **kwargs)
    return await asyncio.to_thread(fn, *args, **kwargs)
