"""Advances the clock of a test tenant, and does on the way what would have happened."""

from typing import NamedTuple

from pantree_history.core.clocks import TenantClocks
from pantree_history.core.history import History
from pantree_history.core.subscriptions.keeper import Subscriptions
from pantree_runtime.errors import FieldViolation, InvalidInput


class Advanced(NamedTuple):
    """What happened on the way."""

    now: int
    """Microseconds since 1970-01-01 in UTC."""
    event_count: int
    """Of subscriptions."""
    removed_line_count: int
    """Revisions of purchases that are no longer kept."""


class ClockAdvance:
    """Advances the clocks of test tenants.

    Args:
        clocks: the time of all tenants.
        history: keeps their purchases.
        subscriptions: keeps their subscriptions.
        applies_retention: whether old purchases are removed by themselves.
    """

    def __init__(
        self, clocks: TenantClocks, history: History, subscriptions: Subscriptions, *, applies_retention: bool = True
    ) -> None:
        self._clocks = clocks
        self._history = history
        self._subscriptions = subscriptions
        self._applies_retention = applies_retention

    async def now(self, tenant_id: str) -> int:
        """The time of a test tenant.

        Raises:
            InvalidState: it is not one.
        """
        return await self._clocks.test_clock(tenant_id)

    async def run(self, tenant_id: str, until: int) -> Advanced:
        """Sets the clock to a later time. When it is interrupted, the next run does the rest.

        Raises:
            InvalidState: it is no test tenant.
            InvalidInput: the time is before that of the clock.
        """
        if until < await self._clocks.test_clock(tenant_id):
            raise InvalidInput([FieldViolation("now", "must not be before the time of the clock")])
        event_count = removed_count = 0
        removal = await self._next_removal(tenant_id)
        for due in [*await self._subscriptions.due(tenant_id, until), None]:
            at = until if due is None else due.at
            while removal is not None and removal <= at:
                await self._clocks.set(tenant_id, removal)
                removed_count += (await self._history.apply_retention(tenant_id)).expired.revision_count
                removal = await self._next_removal(tenant_id)
            await self._clocks.set(tenant_id, at)
            if due is not None:
                event_count += await self._subscriptions.settle(tenant_id, due)
        if self._applies_retention:
            await self._history.tidy(tenant_id)
        return Advanced(await self._clocks.test_clock(tenant_id), event_count, removed_count)

    async def _next_removal(self, tenant_id: str) -> int | None:
        return await self._history.next_removal(tenant_id) if self._applies_retention else None
