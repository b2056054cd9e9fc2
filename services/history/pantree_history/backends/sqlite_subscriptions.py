"""Subscriptions in the SQLite file of the purchases."""

import sqlite3
from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

from pantree_history.backends import subscription_rows as rows
from pantree_history.core.store import Digest, Household
from pantree_history.core.subscriptions.model import HouseholdPause, Offer, RecordedEvent, Subscription
from pantree_history.core.subscriptions.store import Key, SubscriptionStore, Writing
from pantree_runtime.errors import AlreadyExists

ResultT = TypeVar("ResultT")


class Run(Protocol):
    """Runs a function in a transaction."""

    async def __call__(self, work: Callable[[sqlite3.Connection], ResultT], /) -> ResultT: ...


class SqliteSubscriptions(SubscriptionStore):
    """Stores subscriptions.

    Args:
        read: runs a function that only reads.
        write: runs a function that may write; one at a time.
    """

    def __init__(self, read: Run, write: Run) -> None:
        self._read = read
        self._write = write

    async def change(self, household: Household, digest: Digest, key: Key, change: rows.Change) -> Writing:
        def run(connection: sqlite3.Connection) -> Writing:
            target = resolved(connection, household)
            erased = any(
                connection.execute(
                    "SELECT 1 FROM ledger.erasure WHERE digest = ? AND consented_at IS NULL", (digest(one),)
                ).fetchone()
                for one in {household, target}
            )
            found = [
                [] if one is None else connection.execute(one.sql, one.values).fetchall()
                for one in rows.reads(*target, key)
            ]
            reading = rows.reading_of(target, erased, found)
            writing = change(reading)
            for one in rows.writes(*target, reading, writing):
                if connection.execute(one.sql, one.values).rowcount == 0 and one.is_required:
                    raise AlreadyExists("a subscription with this subscription_id exists; send another one, or none")
            return writing

        return await self._write(run)

    async def resolve(self, household: Household) -> Household:
        return await self._read(lambda connection: resolved(connection, household))

    async def subscription(self, tenant_id: str, subscription_id: str) -> Subscription | None:
        def run(connection: sqlite3.Connection) -> Subscription | None:
            row = connection.execute(rows.SUBSCRIPTION, (tenant_id, subscription_id)).fetchone()
            return None if row is None else _with_deliveries(connection, tenant_id, row, subscription_id)

        return await self._read(run)

    async def subscriptions(self, household: Household, after: str, limit: int) -> Sequence[Subscription]:
        def run(connection: sqlite3.Connection) -> Sequence[Subscription]:
            names = resolved(connection, household)
            found = connection.execute(rows.SUBSCRIPTIONS, (*names, after, limit)).fetchall()
            return [_with_deliveries(connection, household.tenant_id, row) for row in found]

        return await self._read(run)

    async def subscriptions_of_tenant(self, tenant_id: str, after: str, limit: int) -> Sequence[Subscription]:
        def run(connection: sqlite3.Connection) -> Sequence[Subscription]:
            found = connection.execute(rows.SUBSCRIPTIONS_OF_TENANT, (tenant_id, after, limit))
            return [rows.subscription_of(content, ()) for (content,) in found]

        return await self._read(run)

    async def pause(self, household: Household) -> HouseholdPause | None:
        def run(connection: sqlite3.Connection) -> HouseholdPause | None:
            row = connection.execute(rows.PAUSE, resolved(connection, household)).fetchone()
            return None if row is None else HouseholdPause(*row)

        return await self._read(run)

    async def offers(self, household: Household, after: str, limit: int) -> Sequence[Offer]:
        def run(connection: sqlite3.Connection) -> Sequence[Offer]:
            names = resolved(connection, household)
            return list(map(rows.offer_of, connection.execute(rows.OFFERS, (*names, after, limit))))

        return await self._read(run)

    async def events(self, tenant_id: str, subscription_id: str, after: int, limit: int) -> Sequence[RecordedEvent]:
        def run(connection: sqlite3.Connection) -> Sequence[RecordedEvent]:
            found = connection.execute(rows.EVENTS, (tenant_id, subscription_id, after, limit))
            return list(map(rows.event_of, found))

        return await self._read(run)


def remove(connection: sqlite3.Connection, household: Household, created_until: int = rows.EVER) -> int:
    """Erases offers and subscriptions of a household, within a transaction; the number of rows."""
    return sum(connection.execute(one.sql, one.values).rowcount for one in rows.removals(household, created_until))


def move(connection: sqlite3.Connection, source: Household, target: Household) -> tuple[int, int]:
    """Moves offers and subscriptions of a household to another one, within a transaction; the numbers of both."""
    offers = connection.execute(rows.OFFERS, (*source, "", rows.ALL)).fetchall()
    subscriptions = connection.execute(rows.SUBSCRIPTIONS, (*source, "", rows.ALL)).fetchall()
    for one in rows.moves(source, target, offers, subscriptions):
        connection.execute(one.sql, one.values)
    return len(offers), len(subscriptions)


def households(connection: sqlite3.Connection) -> list[Household]:
    """Households with offers or subscriptions, of all tenants."""
    return [Household(*row) for row in connection.execute(rows.HOUSEHOLDS)]


def resolved(connection: sqlite3.Connection, household: Household) -> Household:
    """The household that a household was merged into; itself if it was not."""
    row = connection.execute(rows.MERGED_INTO, household).fetchone()
    return household if row is None or row[0] is None else Household(household.tenant_id, row[0])


def _with_deliveries(
    connection: sqlite3.Connection, tenant_id: str, row: Any, subscription_id: str = ""
) -> Subscription:
    found = subscription_id or rows.subscription_of(row[0], ()).subscription_id
    return rows.subscription_of(row[0], connection.execute(rows.DELIVERIES, (tenant_id, found)).fetchall())
