"""A transaction of a tenant, and what several operations do in it.

Statements are sent without waiting for the answers of earlier ones (a pipeline, in libpq's words): fetching an
answer waits once for all of them, and the last ones travel with the end of the transaction.
"""

import contextlib
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Any

from psycopg import AsyncConnection, AsyncCursor

from pantree_history.core.limits import Usage
from pantree_history.core.store import Household, HouseholdState, version_of

STATE = "household_id, change_number, changed_at, line_count, merged_into"
MERGE = "household_id, merged_into, merged_at, actor, moved_line_count"
# The household of an id, or the one that it was merged into.
SURVIVOR = (
    "tenant_id = %s AND household_id = coalesce((SELECT merged_into FROM household WHERE tenant_id = %s "
    "AND household_id = %s), %s)"
)
CHANGE = (
    "UPDATE household SET change_number = %s, changed_by = pg_current_xact_id(), changed_at = %s, "
    "line_count = line_count + %s WHERE household_key = %s"
)
# A household without lines.
DELETE_UNCHANGED = "DELETE FROM household WHERE tenant_id = %s AND household_id = %s AND change_number = 0"


class Transaction:
    """Runs statements; `begin` makes one.

    Args:
        connection: in autocommit mode.
    """

    def __init__(self, connection: AsyncConnection[Any]) -> None:
        self._connection = connection
        self._pipeline = contextlib.AsyncExitStack()
        self._latest = connection.cursor()

    @contextlib.asynccontextmanager
    async def pipelined(self) -> AsyncIterator[None]:
        """Within, statements don't wait for answers."""
        # The pipeline learns of an error within, so that it does not replace it by one of its own.
        async with self._pipeline:
            await self._pipeline.enter_async_context(self._connection.pipeline())
            yield

    @contextlib.asynccontextmanager
    async def one_by_one(self) -> AsyncIterator[AsyncConnection[Any]]:
        """Within, each statement waits for its answer, which COPY and savepoints need."""
        await self._pipeline.aclose()
        yield self._connection
        await self._pipeline.enter_async_context(self._connection.pipeline())

    async def name_tenant(self, tenant_id: str) -> None:
        """Makes the rows of a tenant visible, and no others."""
        await self.execute("SELECT set_config('pantree.tenant', %s, true)", (f"={tenant_id}",))

    async def execute(self, sql: str, values: Sequence[Any] = ()) -> AsyncCursor[Any]:
        """Sends a statement; the cursor gets its answer."""
        # A cursor of its own, since answers of several statements may be on their way.
        self._latest = await self._connection.execute(sql.encode(), values, binary=True)
        return self._latest

    async def execute_each(self, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        """Sends a statement with each of some values."""
        await self._connection.cursor().executemany(sql.encode(), rows)

    async def fetchone(self) -> Any:
        """The first row of the latest statement, or None."""
        return await self._latest.fetchone()

    async def fetchall(self) -> list[Any]:
        """The rows of the latest statement."""
        return await self._latest.fetchall()

    async def one(self) -> Any:
        """The first row of the latest statement, which has one."""
        row = await self._latest.fetchone()
        assert row is not None
        return row

    async def count(self) -> int:
        """The number of rows that the latest statement changed."""
        await self.wait()
        return self._latest.rowcount

    async def wait(self) -> None:
        """Waits for all answers, so that no error of a statement is missed."""
        async with self.one_by_one():
            pass


@contextlib.asynccontextmanager
async def begin(
    connection: AsyncConnection[Any], tenant_id: str, *, snapshot: bool = False
) -> AsyncIterator[Transaction]:
    """A transaction for a tenant; with `snapshot`, it only reads, and all its statements see the same state."""
    transaction = Transaction(connection)
    # Not the connection's own `transaction`, which waits for more answers. The pool rolls back after an error.
    async with transaction.pipelined():
        await transaction.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY" if snapshot else "BEGIN")
        await transaction.name_tenant(tenant_id)
        yield transaction
        await transaction.execute("COMMIT")


def columns(rows: Sequence[Sequence[Any]], count: int) -> list[list[Any]]:
    """Columns of rows, as arrays."""
    return [list(column) for column in zip(*rows, strict=True)] if rows else [[] for _ in range(count)]


def survivor_of(household: Household) -> tuple[str, ...]:
    """Values of `SURVIVOR`."""
    tenant_id, household_id = household
    return tenant_id, tenant_id, household_id, household_id


def state_of(
    household_id: str, change_number: int, changed_at: int, line_count: int, merged_into: str | None
) -> HouseholdState:
    """A row of `STATE`."""
    version = version_of(change_number, changed_at)
    return HouseholdState(household_id, version, line_count, changed_at, merged_into or "")


async def find_household(
    transaction: Transaction, household: Household, *, lock: bool = False
) -> tuple[int, HouseholdState] | None:
    """Key and state of a household, or of the one that it was merged into."""
    await transaction.execute(
        f"SELECT household_key, {STATE} FROM household WHERE {SURVIVOR}{' FOR UPDATE' if lock else ''}",
        survivor_of(household),
    )
    row = await transaction.fetchone()
    if lock and row is not None and row[-1] is not None:  # merged while this call waited for it
        return await find_household(transaction, Household(household.tenant_id, row[-1]), lock=True)
    return None if row is None else (row[0], state_of(*row[1:]))


async def lock_household(transaction: Transaction, household: Household) -> int:
    """Waits for other calls in flight that change a household, also if it is new; its key."""
    await transaction.execute(
        "INSERT INTO household (tenant_id, household_id, change_number, changed_at) VALUES (%s, %s, 0, 0) "
        "ON CONFLICT (tenant_id, household_id) DO UPDATE SET household_id = EXCLUDED.household_id "
        "RETURNING household_key",
        household,
    )
    key: int
    (key,) = await transaction.one()
    return key


async def next_change(transaction: Transaction) -> int:
    """The number of a change."""
    await transaction.execute("SELECT nextval('change_number')")
    number: int = (await transaction.one())[0]
    return number


async def count_usage(transaction: Transaction, tenant_id: str) -> None:
    """Counts what a tenant stores."""
    await transaction.execute(
        "INSERT INTO tenant_usage (tenant_id, customer_count, line_count, day, day_line_count) "
        "SELECT %s, count(*), coalesce(sum(line_count), 0), 0, 0 FROM household "
        "WHERE tenant_id = %s AND merged_into IS NULL "
        "ON CONFLICT (tenant_id) DO UPDATE SET customer_count = EXCLUDED.customer_count, "
        "line_count = EXCLUDED.line_count",
        (tenant_id, tenant_id),
    )


async def use(transaction: Transaction, tenant_id: str, day: int, change: Usage) -> None:
    """Records what a tenant with quotas stores more or less; the answer is what it stores now, as `used` reads it.

    Args:
        transaction: of the tenant.
        tenant_id: the tenant.
        day: today; 0 if no lines are new.
        change: the difference.
    """
    await transaction.execute(
        "UPDATE tenant_usage SET customer_count = customer_count + %s, line_count = line_count + %s, "
        "day_line_count = CASE WHEN day = %s OR %s = 0 THEN day_line_count ELSE 0 END + %s, "
        "day = CASE WHEN %s = 0 THEN day ELSE %s END WHERE tenant_id = %s "
        "RETURNING customer_count, line_count, day_line_count",
        (change.customers, change.lines, day, day, change.lines_of_day, day, day, tenant_id),
    )


async def used(transaction: Transaction) -> Usage | None:
    """What the tenant stores, after `use`; None if it never had quotas."""
    row = await transaction.fetchone()
    return None if row is None else Usage(*row)
