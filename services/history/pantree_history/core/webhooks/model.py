"""Webhooks, and how far they are."""

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple


class Kind(StrEnum):
    """What a cursor follows."""

    SUBSCRIPTION = "subscription"
    """The events of a subscription."""
    CUSTOMER = "customer"
    """The erasure of a household."""


@dataclass(frozen=True)
class Secret:
    """A secret, which is derived from its salt and the key of the service."""

    salt: str
    created_at: int
    """Microseconds since 1970-01-01 in UTC, as `expires_at`."""
    expires_at: int | None = None
    """When it ends because of a newer one; None if it does not."""


@dataclass(frozen=True)
class Webhook:
    """A URL that gets events."""

    webhook_id: str
    url: str
    description: str
    created_at: int
    """Microseconds since 1970-01-01 in UTC."""
    secrets: tuple[Secret, ...]
    """Newest first."""


class Backlog(NamedTuple):
    """What was not delivered."""

    waiting: int = 0
    """Cursors with events, those behind dead letters included."""
    waiting_since: int = 0
    """Since when the first of them waits, in microseconds since 1970-01-01 in UTC; 0 if none waits."""
    dead: int = 0
    """Dead letters."""


class WebhookStatus(NamedTuple):
    """A webhook with what it did not deliver."""

    webhook: Webhook
    backlog: Backlog


class Target(NamedTuple):
    """A webhook of a tenant."""

    tenant_id: str
    webhook_id: str


class Cursor(NamedTuple):
    """How far a webhook is with a subscription, or with the erasure of a household."""

    kind: Kind
    subject_id: str
    """The subscription or the household."""
    delivered: int
    """Number of the last event that was delivered; 0 for none."""
    latest: int
    """Number of the last event; of an erasure, its time in microseconds since 1970-01-01 in UTC."""
    attempts: int
    """How often the next event was sent."""


class DeadLetter(NamedTuple):
    """An event that was sent too often."""

    cursor: Cursor
    error: str
    failed_at: int
    """Microseconds since 1970-01-01 in UTC."""


class Lease(NamedTuple):
    """Who delivers for a cursor, so that no other replica does at the same time."""

    owner: str
    now: int
    """Microseconds since 1970-01-01 in UTC."""
    length: int
    """Microseconds. A lease of more is from before the clock was set back."""

    @property
    def until(self) -> int:
        """When it ends."""
        return self.now + self.length
