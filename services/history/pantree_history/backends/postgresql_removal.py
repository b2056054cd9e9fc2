"""Removes lines from PostgreSQL: erasures, and what is no longer kept."""

from collections import Counter
from collections.abc import Sequence

from pantree_history.backends import postgresql_subscriptions, postgresql_webhooks
from pantree_history.backends.postgresql_transaction import Transaction, lock_household, next_change, use
from pantree_history.backends.webhook_scripts import erasure_of
from pantree_history.core.limits import Usage
from pantree_history.core.store import Digest, Erasure, Expired, Household


async def lock_all_ids(transaction: Transaction, household: Household) -> list[Household]:
    """The household that a household is part of, locked, and all that were merged into it."""
    survivor = household
    while True:
        await lock_household(transaction, survivor)
        target = await postgresql_subscriptions.resolved(transaction, survivor)
        if target == survivor:
            break
        survivor = target
    await transaction.execute(
        "SELECT household_id FROM household WHERE tenant_id = %s AND merged_into = %s ORDER BY household_id", survivor
    )
    return [survivor, *(Household(household.tenant_id, one) for (one,) in await transaction.fetchall())]


async def enter(transaction: Transaction, digest: bytes, erased_at: int) -> tuple[int, Erasure]:
    """Enters an erasure, also of someone who consented again; its position and the entry."""
    await transaction.execute(
        "INSERT INTO erasure (digest, erased_at) VALUES (%s, %s) ON CONFLICT (digest) DO UPDATE SET "
        "erased_at = CASE WHEN erasure.consented_at IS NULL THEN erasure.erased_at "
        "ELSE EXCLUDED.erased_at END, position = DEFAULT, consented_at = NULL "
        "RETURNING position, digest, erased_at, consented_at",
        (digest, erased_at),
    )
    position, *entry = await transaction.one()
    return position, Erasure(*entry)


async def remove(transaction: Transaction, household: Household) -> int:
    """Removes all revisions of a household, and its row; the number of revisions."""
    key = await lock_household(transaction, household)
    await transaction.execute("DELETE FROM purchase_line WHERE household_key = %s", (key,))
    removed = await transaction.count()
    await transaction.execute(
        "DELETE FROM household WHERE household_key = %s RETURNING line_count, change_number, merged_into", (key,)
    )
    line_count, change_number, merged_into = await transaction.one()
    if change_number and merged_into is None:
        await use(transaction, household.tenant_id, 0, Usage(-1, -line_count, 0))
    await transaction.execute("DELETE FROM household_merge WHERE tenant_id = %s AND household_id = %s", household)
    return removed


async def expire(transaction: Transaction, tenant_id: str, keys: Sequence[int], first_day: int, now: int) -> Expired:
    """Removes old lines of households; a household that has none left is no longer stored."""
    # In the order in which other calls lock them.
    await transaction.execute(
        "SELECT FROM household WHERE household_key = ANY(%s) ORDER BY household_id FOR UPDATE", (list(keys),)
    )
    await transaction.execute(
        "DELETE FROM purchase_line WHERE household_key = ANY(%s) AND occurred_on < %s "
        "RETURNING household_key, superseded_at IS NULL",
        (list(keys), first_day),
    )
    gone = await transaction.fetchall()
    current = Counter({key: 0 for key, _ in gone})
    current.update(key for key, is_current in gone if is_current)
    number = await next_change(transaction)
    await transaction.execute(
        "UPDATE household SET change_number = %s, changed_by = pg_current_xact_id(), changed_at = %s, "
        "line_count = line_count - gone.count "
        "FROM unnest(%s::int8[], %s::int4[]) AS gone (key, count) WHERE household_key = gone.key",
        (number, now, list(current), list(current.values())),
    )
    await transaction.execute(
        "DELETE FROM household WHERE household_key = ANY(%s) AND NOT EXISTS "
        "(SELECT FROM purchase_line AS line WHERE line.household_key = household.household_key)",
        (list(current),),
    )
    removed = await transaction.count()
    await use(transaction, tenant_id, 0, Usage(-removed, -current.total(), 0))
    return Expired(len(gone), len(current), removed)


async def remove_until(transaction: Transaction, key: int, erased_at: int) -> int:
    """Removes what was stored until an erasure; 1 if there was anything, else 0."""
    await transaction.execute(
        "DELETE FROM purchase_line WHERE household_key = %s AND recorded_at <= %s", (key, erased_at)
    )
    removed = await transaction.count()
    await transaction.execute(
        "UPDATE household SET line_count = (SELECT count(*) FROM purchase_line AS line "
        "WHERE line.household_key = household.household_key AND superseded_at IS NULL) WHERE household_key = %s",
        (key,),
    )
    await transaction.execute(
        "DELETE FROM household WHERE household_key = %s "
        "AND NOT EXISTS (SELECT FROM purchase_line AS line WHERE line.household_key = household.household_key)",
        (key,),
    )
    return int(removed > 0)


async def replay(transaction: Transaction, digest: Digest) -> int:
    """Erases again whom a restored backup brought back; how many households."""
    await transaction.execute(
        "SELECT digest, erased_at FROM erasure WHERE position > (SELECT position FROM applied_ledger)"
    )
    entries = {bytes(one): erased_at for one, erased_at in await transaction.fetchall()}
    if not entries:
        return 0
    await transaction.execute("SELECT tenant_id FROM tenant")
    tenants = [one for (one,) in await transaction.fetchall()]
    erased = 0
    for tenant_id in tenants:
        await transaction.name_tenant(tenant_id)
        subscribers = set()
        for household in await postgresql_subscriptions.households(transaction):
            erased_at = entries.get(digest(household))
            if erased_at is not None and await postgresql_subscriptions.remove(transaction, household, erased_at):
                subscribers.add(household.household_id)
        await transaction.execute(
            "SELECT household_key, household_id FROM household WHERE tenant_id = %s", (tenant_id,)
        )
        for key, household_id in await transaction.fetchall():
            erased_at = entries.get(digest(Household(tenant_id, household_id)))
            if erased_at is not None:
                if await remove_until(transaction, key, erased_at):
                    subscribers.add(household_id)
                await transaction.execute(
                    "DELETE FROM household_merge WHERE tenant_id = %s AND household_id = %s AND merged_at <= %s",
                    (tenant_id, household_id, erased_at),
                )
        for household_id in sorted(subscribers):
            household = Household(tenant_id, household_id)
            await postgresql_webhooks.execute(transaction, erasure_of(household, entries[digest(household)]))
        erased += len(subscribers)
    await transaction.execute("UPDATE applied_ledger SET position = (SELECT max(position) FROM erasure)")
    return erased
