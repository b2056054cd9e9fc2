"""Compiles the functions of a part while it serves; its answers are interpreted until then, with the same results."""

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Callable

import structlog

from pantree_domain.compiled import is_interpreted, mark_compiled, switch_to_compiled

_log = structlog.get_logger(__name__)
# A part that serves goes first.
_NICENESS = 19


def is_needed() -> bool:
    """Whether a part serves interpreted answers for now."""
    return is_interpreted()


def finish(warm_up: Callable[[], None]) -> None:
    """Calls every function once, so that it is compiled or loaded, and records that all are in the cache."""
    warm_up()
    mark_compiled()


async def compile_in_background(part: str, warm_up: Callable[[], None]) -> None:
    """Fills the cache in another process, then switches to compiled functions.

    If that fails, answers stay interpreted.

    Args:
        part: name of the part.
        warm_up: calls every function once.
    """
    _log.info("compiling in the background; answers are interpreted until then")
    began_at = time.monotonic()
    program = f"import os; os.nice({_NICENESS})\nfrom pantree_{part}.__main__ import PROGRAM\nPROGRAM.compile()"
    # Not by the event loop, whose way to start a process runs the fork handlers of gRPC.
    process = subprocess.Popen(  # noqa: ASYNC220, S603 # starts within a millisecond; our own program
        [sys.executable, "-c", program],
        env={**os.environ, "PANTREE_COMPILE": "first", "PANTREE_LOG_LEVEL": "WARNING"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    try:
        code = await asyncio.to_thread(process.wait)
    finally:
        process.kill()  # has no effect once it has ended
    if code:
        _log.warning("functions cannot be compiled; answers stay interpreted", exit_code=code)
        return
    switch_to_compiled()
    await asyncio.to_thread(warm_up)
    _log.info("answers are compiled", seconds=round(time.monotonic() - began_at, 1))
