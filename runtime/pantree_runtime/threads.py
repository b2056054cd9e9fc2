"""Where the work of a request is done: in a thread of the pool, or at once when it takes less than the way there."""

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

ResultT = TypeVar("ResultT")


async def beside_if(worth_a_thread: bool, function: Callable[..., ResultT], *arguments: Any) -> ResultT:
    """Result of a function: in a thread when it is worth one, otherwise at once.

    On the way to a thread and back a request changes cores twice, and finds neither's caches warm: some tenths of a
    millisecond. And work that is Python's alone keeps the event loop waiting from a thread, too, since only one thread
    runs Python at a time. So work of a few milliseconds is best done where it stands.

    Args:
        worth_a_thread: whether it would hold up the event loop for longer than that.
        function: the work.
        arguments: of the function.
    """
    if worth_a_thread:
        return await asyncio.to_thread(function, *arguments)
    return function(*arguments)
