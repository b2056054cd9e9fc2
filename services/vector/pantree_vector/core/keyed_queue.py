"""A queue for each household."""

import asyncio
from collections.abc import Awaitable, Callable, Collection
from typing import TypeVar

ResultT = TypeVar("ResultT")
HouseholdKey = tuple[str, str]
"""Tenant and customer."""


class KeyedQueue:
    """Runs work on the same household in order, and work on different households concurrently."""

    def __init__(self) -> None:
        self._latest: dict[HouseholdKey, asyncio.Task[object]] = {}

    def submit(
        self, households: Collection[HouseholdKey], work: Callable[[], Awaitable[ResultT]]
    ) -> "asyncio.Task[ResultT]":
        """A task that runs the work when all earlier work on these households has succeeded or failed.

        Shield the task from the caller's cancellation, because canceled work may continue in a thread while the next
        work on the same household begins.
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
