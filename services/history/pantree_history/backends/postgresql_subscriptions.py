"""Subscriptions in the PostgreSQL database of the purchases."""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

from pantree_history.backends import subscription_rows as rows
from pantree_history.backends.postgresql_transaction import Transaction
from pantree_history.core.store import Digest, Household
from pantree_history.core.subscriptions.model import HouseholdPause, Offer, RecordedEvent, Subscription
from pantree_history.core.subscriptions.store import Key, SubscriptionStore, Writing
from pantree_runtime.errors import AlreadyExists


class Begin(Protocol):
    """Begins a transaction of a tenant; with `snapshot`, it only reads, and all its statements see the same state."""

    def __call__(self, tenant_id: str, *, snapshot: bool = False) -> AbstractAsyncContextManager[Transaction]: ...


class PostgresqlSubscriptions(SubscriptionStore):
    """Stores subscriptions.

    Args:
        begin: begins transactions.
    """

    def __init__(self, begin: Begin) -> None:
        self._begin = begin

    async def change(self, household: Household, digest: Digest, key: Key, change: rows.Change) -> Writing:
        async with self._begin(household.tenant_id) as transaction:
            await lock(transaction, household)
            target = await resolved(transaction, household)
            if target != household:
                await lock(transaction, target)
                target = await resolved(transaction, household)
            await transaction.execute(
                "SELECT 1 FROM erasure WHERE digest = ANY(%s) AND consented_at IS NULL",
                ([digest(household), digest(target)],),
            )
            erased = await transaction.fetchone()
            found = [[] if one is None else await _rows(transaction, *one[:2]) for one in rows.reads(*target, key)]
            reading = rows.reading_of(target, erased is not None, found)
            writing = change(reading)
            await transaction.execute(
                "INSERT INTO tenant (tenant_id) VALUES (%s) ON CONFLICT DO NOTHING", (household.tenant_id,)
            )
            for one in rows.writes(*target, reading, writing):
                await transaction.execute(_sql(one.sql), one.values)
                if one.is_required and await transaction.count() == 0:
                    raise AlreadyExists("a subscription with this subscription_id exists; send another one, or none")
            return writing

    async def resolve(self, household: Household) -> Household:
        async with self._begin(household.tenant_id, snapshot=True) as transaction:
            return await resolved(transaction, household)

    async def subscription(self, tenant_id: str, subscription_id: str) -> Subscription | None:
        async with self._begin(tenant_id, snapshot=True) as transaction:
            found = await _rows(transaction, rows.SUBSCRIPTION, (tenant_id, subscription_id))
            deliveries = await _rows(transaction, rows.DELIVERIES, (tenant_id, subscription_id))
        return rows.subscription_of(found[0][0], deliveries) if found else None

    async def subscriptions(self, household: Household, after: str, limit: int) -> Sequence[Subscription]:
        async with self._begin(household.tenant_id, snapshot=True) as transaction:
            stored = []
            names = await resolved(transaction, household)
            for (content,) in await _rows(transaction, rows.SUBSCRIPTIONS, (*names, after, limit)):
                subscription_id = rows.subscription_of(content, ()).subscription_id
                deliveries = await _rows(transaction, rows.DELIVERIES, (household.tenant_id, subscription_id))
                stored.append(rows.subscription_of(content, deliveries))
        return stored

    async def subscriptions_of_tenant(self, tenant_id: str, after: str, limit: int) -> Sequence[Subscription]:
        async with self._begin(tenant_id) as transaction:
            found = await _rows(transaction, rows.SUBSCRIPTIONS_OF_TENANT, (tenant_id, after, limit))
        return [rows.subscription_of(content, ()) for (content,) in found]

    async def pause(self, household: Household) -> HouseholdPause | None:
        async with self._begin(household.tenant_id, snapshot=True) as transaction:
            found = await _rows(transaction, rows.PAUSE, await resolved(transaction, household))
        return HouseholdPause(*found[0]) if found else None

    async def offers(self, household: Household, after: str, limit: int) -> Sequence[Offer]:
        async with self._begin(household.tenant_id) as transaction:
            names = await resolved(transaction, household)
            return list(map(rows.offer_of, await _rows(transaction, rows.OFFERS, (*names, after, limit))))

    async def events(self, tenant_id: str, subscription_id: str, after: int, limit: int) -> Sequence[RecordedEvent]:
        async with self._begin(tenant_id) as transaction:
            found = await _rows(transaction, rows.EVENTS, (tenant_id, subscription_id, after, limit))
        return list(map(rows.event_of, found))


async def lock(transaction: Transaction, household: Household) -> None:
    """Waits for other changes of a household's subscriptions, and makes them wait until the transaction ends."""
    # The length keeps ("a", "bc") and ("ab", "c") apart.
    text = f"{len(household.tenant_id)}:{household.tenant_id}{household.household_id}"
    await transaction.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", (text,))


async def resolved(transaction: Transaction, household: Household) -> Household:
    """The household that a household was merged into; itself if it was not."""
    found = await _rows(transaction, rows.MERGED_INTO, household)
    return Household(household.tenant_id, found[0][0]) if found and found[0][0] is not None else household


async def move(transaction: Transaction, source: Household, target: Household) -> tuple[int, int]:
    """Moves offers and subscriptions of a household to another one, within a transaction; the numbers of both."""
    offers = await _rows(transaction, rows.OFFERS, (*source, "", rows.ALL))
    subscriptions = await _rows(transaction, rows.SUBSCRIPTIONS, (*source, "", rows.ALL))
    for one in rows.moves(source, target, offers, subscriptions):
        await transaction.execute(_sql(one.sql), one.values)
    return len(offers), len(subscriptions)


async def remove(transaction: Transaction, household: Household, created_until: int = rows.EVER) -> int:
    """Erases offers and subscriptions of a household, within a transaction; the number of rows."""
    await lock(transaction, household)
    removed = 0
    for one in rows.removals(household, created_until):
        await transaction.execute(_sql(one.sql), one.values)
        removed += await transaction.count()
    return removed


async def households(transaction: Transaction) -> list[Household]:
    """Households of the transaction's tenant with offers or subscriptions."""
    return [Household(*row) for row in await _rows(transaction, rows.HOUSEHOLDS, ())]


async def _rows(transaction: Transaction, sql: str, values: tuple[Any, ...]) -> list[Any]:
    await transaction.execute(_sql(sql), values)
    return await transaction.fetchall()


def _sql(text: str) -> str:
    return text.replace("?", "%s")
