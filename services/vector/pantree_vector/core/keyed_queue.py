"""Runs work on the same household one after another."""

import asyncio
from collections.abc import Awaitable, Callable, Collection
from typing import TypeVar

ResultT = TypeVar("ResultT")
HouseholdKey = tuple[str, str]
"""Tenant and customer."""


class KeyedQueue:
    """Starts work on a household after all earlier work on it; work on other households runs concurrently."""

    def __init__(self) -> None:
        self._latest: dict[HouseholdKey, asyncio.Task[object]] = {}

    def submit(
        self, households: Collection[HouseholdKey], work: Callable[[], Awaitable[ResultT]]
    ) -> "asyncio.Task[ResultT]":
        """A task that runs the work after all earlier work on these households has succeeded or failed.

        Shield the task from the caller's cancellation: canceled work may continue in a thread, concurrently with the
        next work on the same household.
        """
        before = {self._latest[household] for household in households if household in self._latest}

        async def run() -> ResultT:
            if before:
                await asyncio.wait(before)
            return await work()

        task = asyncio.create_task(run())
        self._latest.update(dict.fromkeys(households, task))

        def forget(_: object) -> None:
            for household in households:
                if self._latest.get(household) is task:
                    del self._latest[household]

        task.add_done_callback(forget)
        return task

    async def join(self) -> None:
        """Waits until all work has succeeded or failed."""
        while self._latest:
            await asyncio.wait(set(self._latest.values()))
