"""The port to the database that holds webhooks."""

from collections.abc import Sequence
from typing import Protocol

from pantree_history.core.webhooks.model import (
    Backlog,
    Cursor,
    DeadLetter,
    Lease,
    Secret,
    Target,
    Webhook,
    WebhookStatus,
)


class WebhookStore(Protocol):
    """Stores webhooks and their cursors. Each call is one transaction.

    What `SubscriptionStore` and `HistoryStore` store moves the cursors in the same transaction. All calls may raise
    `ComponentUnavailable`.
    """

    async def create(self, tenant_id: str, webhook: Webhook, limit: int) -> bool:
        """Stores a webhook; whether there was none with its id.

        Raises:
            QuotaExceeded: the tenant has as many as `limit`.
        """

    async def webhooks(self, tenant_id: str, after: str, limit: int) -> Sequence[WebhookStatus]:
        """Webhooks of a tenant whose id is greater than `after`, ordered by id in code points."""

    async def webhook(self, target: Target) -> Webhook | None:
        """A webhook; None if there is none."""

    async def status(self, target: Target) -> WebhookStatus | None:
        """A webhook with its backlog; None if there is none."""

    async def delete(self, target: Target) -> bool:
        """Removes a webhook with its cursors; whether there was one."""

    async def replace_secrets(self, target: Target, before: Sequence[Secret], after: Sequence[Secret]) -> bool:
        """Stores other secrets, unless they changed meanwhile; whether they are stored."""

    async def replay(self, target: Target, since: int | None, subscription_id: str, now: int) -> int:
        """Moves cursors back; how many then wait.

        Args:
            target: the webhook.
            since: to the first event that was stored at this instant or later; None to try dead letters again.
            subscription_id: only this one; empty for all.
            now: microseconds since 1970-01-01 in UTC.
        """

    async def dead_letters(self, target: Target, after: tuple[str, str], limit: int) -> Sequence[DeadLetter]:
        """Dead letters whose kind and subject are greater than `after`, ordered by both."""

    async def due(self, lease: Lease) -> Sequence[Target]:
        """Webhooks with something to deliver now, of all tenants."""

    async def claim(self, target: Target, lease: Lease, limit: int) -> Sequence[Cursor]:
        """Cursors with something to deliver now, which nobody else gets until the lease ends."""

    async def advance(self, target: Target, cursor: Cursor, number: int, lease: Lease, *, keep: bool = True) -> bool:
        """Moves a claimed cursor forward; whether it was still ours and there is more to deliver.

        It is given back if there is no more, or if it is not to be kept.
        """

    async def postpone(self, target: Target, cursor: Cursor, error: str, due_at: int | None, lease: Lease) -> None:
        """Gives a claimed cursor back after a failed attempt; with `due_at` None, its next event is a dead letter."""

    async def forget(self, target: Target, cursor: Cursor, lease: Lease) -> None:
        """Removes a claimed cursor whose subject no longer exists."""

    async def release(self, owner: str) -> None:
        """Ends all leases of an owner."""

    async def backlog(self) -> Backlog:
        """What all webhooks of all tenants did not deliver; since when counts without dead letters."""
