"""The time of tenants. Test tenants have a clock of their own, which stands still until it is advanced."""

import time
from collections.abc import Awaitable, Callable, Container
from typing import Protocol

from pantree_history.core.lines import MICROSECONDS
from pantree_runtime.errors import InvalidState

Clock = Callable[[], int]
"""The time, in microseconds since 1970-01-01 in UTC."""
TenantClock = Callable[[str], Awaitable[int]]
"""The time of a tenant, in microseconds since 1970-01-01 in UTC."""


def system_clock() -> int:
    """Microseconds since 1970-01-01 in UTC, from the system."""
    return time.time_ns() * MICROSECONDS // 1_000_000_000


async def same_for_all(_tenant_id: str) -> int:
    """The time of the system, for every tenant."""
    return system_clock()


class ClockStore(Protocol):
    """Stores the clocks of test tenants. Both calls may raise `ComponentUnavailable`."""

    async def clock(self, tenant_id: str, start: int) -> int:
        """The clock of a tenant; it begins at `start` if there is none yet."""

    async def set_clock(self, tenant_id: str, now: int) -> None:
        """Sets the clock of a tenant, unless it is later already."""


class TenantClocks:
    """The time of all tenants.

    Args:
        store: where the clocks of test tenants are stored.
        test_tenants: those with a clock of their own.
        clock: the time of all others, at which a new clock begins.
    """

    def __init__(
        self, store: ClockStore, test_tenants: Container[str] = frozenset(), clock: TenantClock = same_for_all
    ) -> None:
        self._store = store
        self._test_tenants = test_tenants
        self._clock = clock

    async def __call__(self, tenant_id: str) -> int:
        """The time of a tenant."""
        now = await self._clock(tenant_id)
        return await self._store.clock(tenant_id, now) if tenant_id in self._test_tenants else now

    async def test_clock(self, tenant_id: str) -> int:
        """The time of a test tenant.

        Raises:
            InvalidState: it is not one.
        """
        self._check(tenant_id)
        return await self(tenant_id)

    async def set(self, tenant_id: str, now: int) -> None:
        """Sets the clock of a test tenant, unless it is later already.

        Raises:
            InvalidState: it is not one.
        """
        self._check(tenant_id)
        await self._store.set_clock(tenant_id, now)

    def _check(self, tenant_id: str) -> None:
        if tenant_id not in self._test_tenants:
            raise InvalidState("this tenant has no test clock; the operator lists the tenants that have one")
