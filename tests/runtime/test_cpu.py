"""Tests of which thread runs CPU work."""

import threading

import pytest

from pantree_runtime.admission import ConcurrencyLimiter, work_pool
from pantree_runtime.cpu import MAX_INLINE_BACKLOG_MS, MAX_INLINE_MS, run_cpu


async def test_short_work_runs_on_the_event_loop() -> None:
    assert await run_cpu(MAX_INLINE_MS, threading.current_thread) is threading.current_thread()


async def test_long_work_runs_in_a_worker_thread() -> None:
    assert await run_cpu(MAX_INLINE_MS + 0.1, threading.current_thread) is not threading.current_thread()


async def test_short_work_of_many_calls_runs_in_a_worker_thread() -> None:
    limiter = ConcurrencyLimiter(work_pool(), max_cost=512)
    calls = int(MAX_INLINE_BACKLOG_MS / 2)
    for _ in range(calls):
        limiter.enter(1)
    assert await run_cpu(2, threading.current_thread) is threading.current_thread()
    limiter.enter(1)
    assert await run_cpu(2, threading.current_thread) is not threading.current_thread()


@pytest.mark.parametrize("cost_ms", [0, MAX_INLINE_MS * 2])
async def test_arguments_and_errors_pass_through(cost_ms: float) -> None:
    assert await run_cpu(cost_ms, int, "ff", base=16) == 255
    with pytest.raises(ValueError, match="base 10"):
        await run_cpu(cost_ms, int, "ff")
