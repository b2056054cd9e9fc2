"""Merges households in PostgreSQL."""

from pantree_history.backends import postgresql_subscriptions
from pantree_history.backends.postgresql_transaction import (
    CHANGE,
    DELETE_UNCHANGED,
    MERGE,
    Transaction,
    find_household,
    lock_household,
    next_change,
    use,
)
from pantree_history.core.limits import Usage
from pantree_history.core.store import Digest, Household, HouseholdState, Merge, Merged, MergeRefusal


class Merging:
    """A merge.

    Args:
        transaction: of the tenant.
        digest: keyed hash of a household.
        merged_at: now.
        actor: who merges them.
    """

    def __init__(self, transaction: Transaction, digest: Digest, merged_at: int, actor: str) -> None:
        self._transaction = transaction
        self._digest = digest
        self._merged_at = merged_at
        self._actor = actor

    async def run(self, household: Household, merged_id: str) -> Merged | MergeRefusal:
        """Moves all that is stored of one household to another one."""
        transaction, tenant_id = self._transaction, household.tenant_id
        merged = Household(tenant_id, merged_id)
        # One merge of a tenant at a time, so that its order of locks does not matter.
        await postgresql_subscriptions.lock(transaction, Household(tenant_id, ""))
        survivor = await postgresql_subscriptions.resolved(transaction, household)
        source = await postgresql_subscriptions.resolved(transaction, merged)
        for one in sorted({survivor, source}):
            await postgresql_subscriptions.lock(transaction, one)
        await transaction.execute("INSERT INTO tenant (tenant_id) VALUES (%s) ON CONFLICT DO NOTHING", (tenant_id,))
        keys = {one: await lock_household(transaction, one) for one in sorted({survivor, source})}
        digests = [self._digest(one) for one in {household, survivor, source, merged}]
        await transaction.execute("SELECT 1 FROM erasure WHERE digest = ANY(%s) AND consented_at IS NULL", (digests,))
        if await transaction.fetchone() is not None:
            return MergeRefusal.ERASED
        if survivor == source:
            return await self._repeated(survivor, merged)
        return await self._move(survivor, source, keys[survivor], keys[source])

    async def _repeated(self, survivor: Household, merged: Household) -> Merged | MergeRefusal:
        await self._transaction.execute(
            f"SELECT {MERGE} FROM household_merge WHERE tenant_id = %s AND household_id = %s", merged
        )
        row = await self._transaction.fetchone()
        if row is None or merged == survivor:
            return MergeRefusal.SAME
        state = await self._cleaned(survivor)
        return Merged(survivor.household_id, Merge(*row), False, 0, 0, state)

    async def _move(self, survivor: Household, source: Household, to_key: int, from_key: int) -> Merged | MergeRefusal:
        transaction = self._transaction
        offers, subscriptions = await postgresql_subscriptions.move(transaction, source, survivor)
        await transaction.execute(
            "SELECT line_count, change_number FROM household WHERE household_key = %s", (from_key,)
        )
        moved, from_number = await transaction.one()
        await transaction.execute("SELECT change_number FROM household WHERE household_key = %s", (to_key,))
        (to_number,) = await transaction.one()
        if not from_number and not offers and not subscriptions:
            return MergeRefusal.UNKNOWN
        number = await next_change(transaction)
        if from_number:
            await transaction.execute(
                "UPDATE purchase_line SET household_key = %s WHERE household_key = %s", (to_key, from_key)
            )
            await transaction.execute(CHANGE, (number, self._merged_at, moved, to_key))
        await transaction.execute(
            "UPDATE household SET change_number = %s, changed_by = pg_current_xact_id(), changed_at = %s, "
            "line_count = 0, merged_into = %s WHERE household_key = %s OR (tenant_id = %s AND merged_into = %s)",
            (number, self._merged_at, survivor.household_id, from_key, *source),
        )
        merge = Merge(source.household_id, survivor.household_id, self._merged_at, self._actor, moved)
        await transaction.execute(
            f"INSERT INTO household_merge (tenant_id, {MERGE}) VALUES (%s, %s, %s, %s, %s, %s)",
            (source.tenant_id, *merge),
        )
        if from_number and to_number:
            await use(transaction, source.tenant_id, 0, Usage(-1, 0, 0))
        state = await self._cleaned(survivor)
        return Merged(survivor.household_id, merge, True, offers, subscriptions, state)

    async def _cleaned(self, survivor: Household) -> HouseholdState | None:
        # The row of a household without lines was only a lock.
        await self._transaction.execute(DELETE_UNCHANGED, survivor)
        found = await find_household(self._transaction, survivor)
        return None if found is None else found[1]
