"""Transactions of webhooks, for both databases.

A script yields statements and gets their rows; `?` is a parameter.
"""

import json
from collections.abc import Awaitable, Callable, Generator, Iterator, Sequence
from dataclasses import asdict
from typing import Any, NamedTuple, Protocol, TypeVar

from pantree_history.core.store import Household
from pantree_history.core.webhooks.model import (
    Backlog,
    Cursor,
    DeadLetter,
    Kind,
    Lease,
    Secret,
    Target,
    Webhook,
    WebhookStatus,
)
from pantree_history.core.webhooks.store import WebhookStore
from pantree_runtime.errors import QuotaExceeded

ResultT = TypeVar("ResultT")
ERASURE_DELAY = 30_000_000
"""Microseconds after which an erasure is delivered: by then, no event of the household is in flight any more."""
# The end of time, in microseconds.
_NEVER = 2**62

_WEBHOOK = "webhook_id, url, description, created_at, secrets"
_OF_TARGET = "tenant_id = ? AND webhook_id = ?"
_OF_CURSOR = f"{_OF_TARGET} AND kind = ? AND subject_id = ?"
_OF_CLAIM = f"{_OF_CURSOR} AND lease_owner = ? AND delivered = ?"
CLOCK_TOLERANCE = 60_000_000
"""Microseconds by which the clocks of replicas may differ.

What lies further in the future than that is from before the clock was set back.
"""
# New events of a subscription are due at once: their time is of a clock that the tenant may have set ahead.
_IS_FREE = "(lease_until <= ? OR lease_until > ?)"
_IS_DUE = (
    "latest > delivered AND dead = 0 "
    "AND (due_at <= ? OR failed_at > ? OR (attempts = 0 AND (kind = 'subscription' OR waiting_since > ?))) "
    f"AND {_IS_FREE}"
)
_BACKLOG = "SELECT count(*), coalesce(min(waiting_since), 0), coalesce(sum(dead), 0) FROM webhook_cursor"

ADD_EVENTS = (
    "INSERT INTO webhook_cursor (tenant_id, webhook_id, kind, subject_id, delivered, latest, waiting_since, due_at) "
    "SELECT tenant_id, webhook_id, 'subscription', ?, ?, ?, ?, ? FROM webhook WHERE tenant_id = ? ORDER BY webhook_id "
    "ON CONFLICT (tenant_id, webhook_id, kind, subject_id) DO UPDATE SET latest = excluded.latest, "
    "waiting_since = CASE WHEN webhook_cursor.delivered = webhook_cursor.latest THEN excluded.waiting_since "
    "ELSE webhook_cursor.waiting_since END, "
    "due_at = CASE WHEN webhook_cursor.delivered = webhook_cursor.latest THEN excluded.due_at "
    "ELSE webhook_cursor.due_at END"
)
"""Values: subscription, version before, version, now, now, tenant. Ordered, so that no two changes lock each other."""
_ADD_ERASURE = (
    "INSERT INTO webhook_cursor (tenant_id, webhook_id, kind, subject_id, delivered, latest, waiting_since, due_at) "
    "SELECT tenant_id, webhook_id, 'customer', ?, 0, ?, ?, ? FROM webhook WHERE tenant_id = ? ORDER BY webhook_id "
    "ON CONFLICT (tenant_id, webhook_id, kind, subject_id) DO UPDATE SET latest = excluded.latest, "
    "due_at = excluded.due_at, attempts = 0, dead = 0, lease_owner = ''"
)


class Statement(NamedTuple):
    """A statement to run."""

    sql: str
    values: tuple[Any, ...] = ()
    has_rows: bool = True


Script = Generator[Statement, list[Any], ResultT]


class Syntax(NamedTuple):
    """In what the databases differ."""

    skip_locked: str
    """End of a query that passes rows that others change."""
    register: str
    """Statement that notes that a tenant has webhooks; empty if that is not needed."""
    lock: str
    """Statement that waits until nobody else notes that; empty likewise."""
    unregister: str
    """Statement that notes that a tenant has no webhooks, if it has none; empty likewise. Values: tenant, tenant."""


class Database(Protocol):
    """Runs scripts."""

    syntax: Syntax

    async def run(self, tenant_id: str, script: Callable[[], Script[ResultT]], *, write: bool = True) -> ResultT:
        """Runs a script in a transaction of a tenant."""

    async def tenants(self) -> Sequence[str]:
        """Tenants with webhooks."""


def erasure_of(household: Household, erased_at: int) -> Statement:
    """What lets receivers know of an erasure."""
    tenant_id, household_id = household
    values = (household_id, erased_at, erased_at, erased_at + ERASURE_DELAY, tenant_id)
    return Statement(_ADD_ERASURE, values, has_rows=False)


class SqlWebhooks(WebhookStore):
    """Stores webhooks.

    Args:
        database: runs scripts.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(self, tenant_id: str, webhook: Webhook, limit: int) -> bool:
        def script() -> Script[bool]:
            if self._database.syntax.register:
                yield Statement(self._database.syntax.register, (tenant_id,), has_rows=False)
            ((count,),) = yield Statement("SELECT count(*) FROM webhook WHERE tenant_id = ?", (tenant_id,))
            target = (tenant_id, webhook.webhook_id)
            if (yield Statement(f"SELECT 1 FROM webhook WHERE {_OF_TARGET}", target)):
                return False
            if count >= limit:
                raise QuotaExceeded(
                    f"a tenant has at most {limit} webhooks; delete one first",
                    {"quota": "webhooks", "limit": str(limit)},
                )
            # Left by a change that was in flight while a webhook with this id was deleted.
            yield Statement(f"DELETE FROM webhook_cursor WHERE {_OF_TARGET}", target, has_rows=False)
            stored = yield Statement(
                f"INSERT INTO webhook (tenant_id, {_WEBHOOK}) VALUES (?, ?, ?, ?, ?, ?) "
                "ON CONFLICT (tenant_id, webhook_id) DO NOTHING RETURNING 1",
                (tenant_id, *_row_of(webhook)),
            )
            return bool(stored)

        return await self._database.run(tenant_id, script)

    async def webhooks(self, tenant_id: str, after: str, limit: int) -> Sequence[WebhookStatus]:
        def script() -> Script[Sequence[WebhookStatus]]:
            rows = yield Statement(
                f"SELECT {_WEBHOOK} FROM webhook WHERE tenant_id = ? AND webhook_id > ? ORDER BY webhook_id LIMIT ?",
                (tenant_id, after, limit),
            )
            found = []
            for row in rows:
                found.append(WebhookStatus(_webhook_of(row), (yield from _backlog(Target(tenant_id, row[0])))))
            return found

        return await self._database.run(tenant_id, script, write=False)

    async def webhook(self, target: Target) -> Webhook | None:
        return await self._database.run(target.tenant_id, lambda: _find(target), write=False)

    async def status(self, target: Target) -> WebhookStatus | None:
        def script() -> Script[WebhookStatus | None]:
            webhook = yield from _find(target)
            return None if webhook is None else WebhookStatus(webhook, (yield from _backlog(target)))

        return await self._database.run(target.tenant_id, script, write=False)

    async def delete(self, target: Target) -> bool:
        def script() -> Script[bool]:
            syntax = self._database.syntax
            if syntax.lock:
                yield Statement(syntax.lock, (target.tenant_id,))
            found = yield Statement(f"DELETE FROM webhook WHERE {_OF_TARGET} RETURNING 1", target)
            yield Statement(f"DELETE FROM webhook_cursor WHERE {_OF_TARGET}", target, has_rows=False)
            if syntax.unregister:
                yield Statement(syntax.unregister, (target.tenant_id, target.tenant_id), has_rows=False)
            return bool(found)

        return await self._database.run(target.tenant_id, script)

    async def replace_secrets(self, target: Target, before: Sequence[Secret], after: Sequence[Secret]) -> bool:
        def script() -> Script[bool]:
            found = yield Statement(
                f"UPDATE webhook SET secrets = ? WHERE {_OF_TARGET} AND secrets = ? RETURNING 1",
                (_secrets_text(after), *target, _secrets_text(before)),
            )
            return bool(found)

        return await self._database.run(target.tenant_id, script)

    async def replay(self, target: Target, since: int | None, subscription_id: str, now: int) -> int:
        def script() -> Script[int]:
            if since is not None:
                yield Statement(
                    "INSERT INTO webhook_cursor (tenant_id, webhook_id, kind, subject_id, delivered, latest, "
                    "waiting_since, due_at) SELECT one.tenant_id, ?, 'subscription', one.subscription_id, "
                    "min(one.number) - 1, max(kept.version), ?, ? "
                    "FROM subscription_event AS one JOIN subscription AS kept ON kept.tenant_id = one.tenant_id "
                    "AND kept.subscription_id = one.subscription_id "
                    "WHERE one.tenant_id = ? AND one.occurred_at >= ? AND (? = '' OR one.subscription_id = ?) "
                    "GROUP BY one.tenant_id, one.subscription_id ORDER BY one.subscription_id "
                    "ON CONFLICT (tenant_id, webhook_id, kind, subject_id) DO UPDATE SET "
                    "delivered = CASE WHEN excluded.delivered < webhook_cursor.delivered THEN excluded.delivered "
                    "ELSE webhook_cursor.delivered END, waiting_since = excluded.waiting_since, "
                    "due_at = excluded.due_at, attempts = 0, dead = 0, lease_owner = ''",
                    (target.webhook_id, now, now, target.tenant_id, since, subscription_id, subscription_id),
                    has_rows=False,
                )
            # Erasures only wait behind themselves.
            yield Statement(
                "UPDATE webhook_cursor SET dead = 0, attempts = 0, due_at = ?, lease_owner = '' "
                f"WHERE {_OF_TARGET} AND dead = 1 AND (? = '' OR (kind = 'subscription' AND subject_id = ?))",
                (now, *target, subscription_id, subscription_id),
                has_rows=False,
            )
            ((count,),) = yield Statement(
                f"SELECT count(*) FROM webhook_cursor WHERE {_OF_TARGET} AND latest > delivered AND dead = 0 "
                "AND (? = '' OR (kind = 'subscription' AND subject_id = ?))",
                (*target, subscription_id, subscription_id),
            )
            return int(count)

        return await self._database.run(target.tenant_id, script)

    async def dead_letters(self, target: Target, after: tuple[str, str], limit: int) -> Sequence[DeadLetter]:
        def script() -> Script[Sequence[DeadLetter]]:
            rows = yield Statement(
                "SELECT kind, subject_id, delivered, latest, attempts, error, failed_at FROM webhook_cursor "
                f"WHERE {_OF_TARGET} AND dead = 1 AND (kind, subject_id) > (?, ?) ORDER BY kind, subject_id LIMIT ?",
                (*target, *after, limit),
            )
            return [DeadLetter(_cursor_of(row[:5]), *row[5:]) for row in rows]

        return await self._database.run(target.tenant_id, script, write=False)

    async def due(self, lease: Lease) -> Sequence[Target]:
        def script(tenant_id: str) -> Script[Sequence[Target]]:
            rows = yield Statement(
                "SELECT webhook_id FROM webhook WHERE tenant_id = ? AND EXISTS (SELECT 1 FROM webhook_cursor AS one "
                f"WHERE one.tenant_id = webhook.tenant_id AND one.webhook_id = webhook.webhook_id AND {_IS_DUE})",
                (tenant_id, *_due_values(lease)),
            )
            return [Target(tenant_id, webhook_id) for (webhook_id,) in rows]

        found: list[Target] = []
        for one in await self._database.tenants():
            found += await self._database.run(one, lambda one=one: script(one), write=False)  # type: ignore[misc]
        return found

    async def claim(self, target: Target, lease: Lease, limit: int) -> Sequence[Cursor]:
        def script() -> Script[Sequence[Cursor]]:
            rows = yield Statement(
                # Materialized: a subquery could be run for each row, and find another one each time.
                f"WITH chosen AS MATERIALIZED (SELECT kind, subject_id FROM webhook_cursor WHERE {_OF_TARGET} "
                f"AND {_IS_DUE} ORDER BY due_at, kind, subject_id LIMIT ?{self._database.syntax.skip_locked}) "
                f"UPDATE webhook_cursor SET lease_owner = ?, lease_until = ? WHERE {_OF_TARGET} "
                f"AND (kind, subject_id) IN (SELECT kind, subject_id FROM chosen) AND {_IS_FREE} "
                "RETURNING kind, subject_id, delivered, latest, attempts",
                (*target, *_due_values(lease), limit, lease.owner, lease.until, *target, *_free_values(lease)),
            )
            return list(map(_cursor_of, rows))

        return await self._database.run(target.tenant_id, script)

    async def advance(self, target: Target, cursor: Cursor, number: int, lease: Lease, *, keep: bool = True) -> bool:
        claim = (*target, *cursor[:2], lease.owner, cursor.delivered)

        def script() -> Script[bool]:
            if cursor.kind is Kind.CUSTOMER:
                # The id of someone who was erased is not kept.
                yield Statement(
                    f"DELETE FROM webhook_cursor WHERE {_OF_CLAIM} AND latest = ?", (*claim, number), has_rows=False
                )
                return False
            rows = yield Statement(
                "UPDATE webhook_cursor SET delivered = ?, attempts = 0, error = '', failed_at = 0, waiting_since = ?, "
                "due_at = ?, lease_until = CASE WHEN latest = ? THEN 0 ELSE ? END "
                f"WHERE {_OF_CLAIM} RETURNING latest",
                (number, lease.now, lease.now, number, lease.until if keep else 0, *claim),
            )
            return keep and bool(rows) and rows[0][0] > number

        return await self._database.run(target.tenant_id, script)

    async def postpone(self, target: Target, cursor: Cursor, error: str, due_at: int | None, lease: Lease) -> None:
        def script() -> Script[None]:
            yield Statement(
                "UPDATE webhook_cursor SET attempts = attempts + 1, error = ?, failed_at = ?, due_at = ?, dead = ?, "
                f"lease_until = 0 WHERE {_OF_CLAIM}",
                (
                    error, lease.now, _NEVER if due_at is None else due_at, int(due_at is None), *target, *cursor[:2],
                    lease.owner, cursor.delivered,
                ),
                has_rows=False,
            )  # fmt: skip

        await self._database.run(target.tenant_id, script)

    async def forget(self, target: Target, cursor: Cursor, lease: Lease) -> None:
        def script() -> Script[None]:
            values = (*target, *cursor[:2], lease.owner, cursor.delivered)
            yield Statement(f"DELETE FROM webhook_cursor WHERE {_OF_CLAIM}", values, has_rows=False)

        await self._database.run(target.tenant_id, script)

    async def release(self, owner: str) -> None:
        def script(tenant_id: str) -> Script[None]:
            yield Statement(
                "UPDATE webhook_cursor SET lease_until = 0 WHERE tenant_id = ? AND lease_owner = ? AND lease_until > 0 "
                "AND latest > delivered",
                (tenant_id, owner),
                has_rows=False,
            )

        for one in await self._database.tenants():
            await self._database.run(one, lambda one=one: script(one))  # type: ignore[misc]

    async def backlog(self) -> Backlog:
        def script(tenant_id: str) -> Script[Backlog]:
            ((waiting, since, dead),) = yield Statement(
                "SELECT count(*), coalesce(min(CASE WHEN dead = 0 THEN waiting_since END), 0), coalesce(sum(dead), 0) "
                "FROM webhook_cursor WHERE tenant_id = ? AND latest > delivered",
                (tenant_id,),
            )
            return Backlog(waiting, int(since), int(dead))

        found = [
            await self._database.run(one, lambda one=one: script(one), write=False)  # type: ignore[misc]
            for one in await self._database.tenants()
        ]
        since = [one.waiting_since for one in found if one.waiting_since]
        return Backlog(sum(one.waiting for one in found), min(since, default=0), sum(one.dead for one in found))


def run_steps(script: Script[ResultT], execute: Callable[[Statement], list[Any]]) -> ResultT:
    """Runs a script."""
    try:
        statement = next(script)
        while True:
            statement = script.send(execute(statement))
    except StopIteration as end:
        result: ResultT = end.value
        return result


async def run_steps_async(script: Script[ResultT], execute: Callable[[Statement], Awaitable[list[Any]]]) -> ResultT:
    """Runs a script."""
    try:
        statement = next(script)
        while True:
            statement = script.send(await execute(statement))
    except StopIteration as end:
        result: ResultT = end.value
        return result


def _find(target: Target) -> Script[Webhook | None]:
    rows = yield Statement(f"SELECT {_WEBHOOK} FROM webhook WHERE {_OF_TARGET}", target)
    return _webhook_of(rows[0]) if rows else None


def _backlog(target: Target) -> Script[Backlog]:
    ((waiting, since, dead),) = yield Statement(f"{_BACKLOG} WHERE {_OF_TARGET} AND latest > delivered", target)
    return Backlog(waiting, int(since), int(dead))


def _due_values(lease: Lease) -> tuple[int, ...]:
    set_back = lease.now + CLOCK_TOLERANCE
    return lease.now, set_back, set_back, *_free_values(lease)


def _free_values(lease: Lease) -> tuple[int, ...]:
    return lease.now, lease.until + CLOCK_TOLERANCE


def _row_of(webhook: Webhook) -> Iterator[Any]:
    yield from (webhook.webhook_id, webhook.url, webhook.description, webhook.created_at)
    yield _secrets_text(webhook.secrets)


def _secrets_text(secrets: Sequence[Secret]) -> str:
    return json.dumps(list(map(asdict, secrets)))


def _webhook_of(row: Sequence[Any]) -> Webhook:
    webhook_id, url, description, created_at, secrets = row
    return Webhook(webhook_id, url, description, created_at, tuple(Secret(**one) for one in json.loads(secrets)))


def _cursor_of(row: Sequence[Any]) -> Cursor:
    kind, *values = row
    return Cursor(Kind(kind), *values)
