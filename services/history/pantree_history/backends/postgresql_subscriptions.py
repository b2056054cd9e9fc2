"""Subscriptions in the PostgreSQL database of the purchases."""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

from psycopg import AsyncCursor

from pantree_history.backends import subscription_rows as rows
from pantree_history.core.store import Digest, Household
from pantree_history.core.subscriptions.model import Offer, RecordedEvent, Subscription
from pantree_history.core.subscriptions.store import Key, SubscriptionStore, Writing
from pantree_runtime.errors import AlreadyExists

Cursor = AsyncCursor[Any]


class Begin(Protocol):
    """Begins a transaction of a tenant; with `snapshot`, it only reads, and all its statements see the same state."""

    def __call__(self, tenant_id: str, *, snapshot: bool = False) -> AbstractAsyncContextManager[Cursor]: ...


class PostgresqlSubscriptions(SubscriptionStore):
    """Stores subscriptions.

    Args:
        begin: begins transactions.
    """

    def __init__(self, begin: Begin) -> None:
        self._begin = begin

    async def change(self, household: Household, digest: Digest, key: Key, change: rows.Change) -> Writing:
        async with self._begin(household.tenant_id) as cursor:
            await lock(cursor, household)
            target = await resolved(cursor, household)
            if target != household:
                await lock(cursor, target)
                target = await resolved(cursor, household)
            await cursor.execute(
                "SELECT 1 FROM erasure WHERE digest = ANY(%s) AND consented_at IS NULL",
                ([digest(household), digest(target)],),
            )
            erased = await cursor.fetchone()
            found = [[] if one is None else await _rows(cursor, *one[:2]) for one in rows.reads(*target, key)]
            reading = rows.reading_of(target, erased is not None, found)
            writing = change(reading)
            await cursor.execute(
                "INSERT INTO tenant (tenant_id) VALUES (%s) ON CONFLICT DO NOTHING", (household.tenant_id,)
            )
            for one in rows.writes(*target, reading, writing):
                await cursor.execute(_sql(one.sql), one.values)
                if cursor.rowcount == 0 and one.is_required:
                    raise AlreadyExists("a subscription with this subscription_id exists; send another one, or none")
            return writing

    async def resolve(self, household: Household) -> Household:
        async with self._begin(household.tenant_id, snapshot=True) as cursor:
            return await resolved(cursor, household)

    async def subscription(self, tenant_id: str, subscription_id: str) -> Subscription | None:
        async with self._begin(tenant_id, snapshot=True) as cursor:
            found = await _rows(cursor, rows.SUBSCRIPTION, (tenant_id, subscription_id))
            deliveries = await _rows(cursor, rows.DELIVERIES, (tenant_id, subscription_id))
        return rows.subscription_of(found[0][0], deliveries) if found else None

    async def subscriptions(self, household: Household, after: str, limit: int) -> Sequence[Subscription]:
        async with self._begin(household.tenant_id, snapshot=True) as cursor:
            stored = []
            names = await resolved(cursor, household)
            for (content,) in await _rows(cursor, rows.SUBSCRIPTIONS, (*names, after, limit)):
                subscription_id = rows.subscription_of(content, ()).subscription_id
                deliveries = await _rows(cursor, rows.DELIVERIES, (household.tenant_id, subscription_id))
                stored.append(rows.subscription_of(content, deliveries))
        return stored

    async def offers(self, household: Household, after: str, limit: int) -> Sequence[Offer]:
        async with self._begin(household.tenant_id) as cursor:
            names = await resolved(cursor, household)
            return list(map(rows.offer_of, await _rows(cursor, rows.OFFERS, (*names, after, limit))))

    async def events(self, tenant_id: str, subscription_id: str, after: int, limit: int) -> Sequence[RecordedEvent]:
        async with self._begin(tenant_id) as cursor:
            found = await _rows(cursor, rows.EVENTS, (tenant_id, subscription_id, after, limit))
        return list(map(rows.event_of, found))


async def lock(cursor: Cursor, household: Household) -> None:
    """Waits for other changes of a household's subscriptions, and makes them wait until the transaction ends."""
    # The length keeps ("a", "bc") and ("ab", "c") apart.
    text = f"{len(household.tenant_id)}:{household.tenant_id}{household.household_id}"
    await cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", (text,))


async def resolved(cursor: Cursor, household: Household) -> Household:
    """The household that a household was merged into; itself if it was not."""
    found = await _rows(cursor, rows.MERGED_INTO, household)
    return Household(household.tenant_id, found[0][0]) if found and found[0][0] is not None else household


async def move(cursor: Cursor, source: Household, target: Household) -> tuple[int, int]:
    """Moves offers and subscriptions of a household to another one, within a transaction; the numbers of both."""
    offers = await _rows(cursor, rows.OFFERS, (*source, "", rows.ALL))
    subscriptions = await _rows(cursor, rows.SUBSCRIPTIONS, (*source, "", rows.ALL))
    for one in rows.moves(source, target, offers, subscriptions):
        await cursor.execute(_sql(one.sql), one.values)
    return len(offers), len(subscriptions)


async def remove(cursor: Cursor, household: Household, created_until: int = rows.EVER) -> int:
    """Erases offers and subscriptions of a household, within a transaction; the number of rows."""
    await lock(cursor, household)
    removed = 0
    for one in rows.removals(household, created_until):
        await cursor.execute(_sql(one.sql), one.values)
        removed += cursor.rowcount
    return removed


async def households(cursor: Cursor) -> list[Household]:
    """Households of the transaction's tenant with offers or subscriptions."""
    return [Household(*row) for row in await _rows(cursor, rows.HOUSEHOLDS, ())]


async def _rows(cursor: Cursor, sql: str, values: tuple[Any, ...]) -> list[Any]:
    await cursor.execute(_sql(sql), values)
    return await cursor.fetchall()


def _sql(text: str) -> Any:
    return text.replace("?", "%s")
