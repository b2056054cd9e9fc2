"""Calls that change the same household take turns."""

import asyncio
from collections.abc import Awaitable, Callable, Collection
from typing import TypeVar

ResultT = TypeVar("ResultT")
HouseholdKey = tuple[str, str]
"""Tenant and customer."""


class Turns:
    """Starts work on households in the order in which it came; work on other households need not wait."""

    def __init__(self) -> None:
        self._latest: dict[HouseholdKey, asyncio.Task[object]] = {}

    def take(
        self, households: Collection[HouseholdKey], work: Callable[[], Awaitable[ResultT]]
    ) -> "asyncio.Task[ResultT]":
        """A task that does the work when all earlier work on these households is done, well or not.

        The caller should shield it: work that is broken off in the middle may go on in a thread, where the next one
        would meet it.
        """
        before = {self._latest[household] for household in households if household in self._latest}

        async def in_turn() -> ResultT:
            if before:
                await asyncio.wait(before)
            return await work()

        task = asyncio.create_task(in_turn())
        self._latest.update(dict.fromkeys(households, task))

        def forget(_: object) -> None:
            for household in households:
                if self._latest.get(household) is task:
                    del self._latest[household]

        task.add_done_callback(forget)
        return task

    async def finish(self) -> None:
        """Waits until all work is done, well or not."""
        while self._latest:
            await asyncio.wait(set(self._latest.values()))
