"""Purchases in PostgreSQL, version 15 or newer.

Every transaction runs as the role `pantree_history`, which owns nothing, and names its tenant; row-level security shows
it no other rows.
"""

import asyncio
import contextlib
import select
from collections.abc import AsyncIterator, Sequence
from typing import Any

import psycopg
from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from pantree_history.backends import postgresql_removal, postgresql_subscriptions, postgresql_webhooks
from pantree_history.backends.migrations import Migration, pending, read_migrations
from pantree_history.backends.postgresql_append import CONTENT, TARGET, Append
from pantree_history.backends.postgresql_merge import Merging
from pantree_history.backends.postgresql_transaction import (
    CHANGE,
    DELETE_UNCHANGED,
    MERGE,
    STATE,
    SURVIVOR,
    Transaction,
    begin,
    columns,
    count_usage,
    find_household,
    next_change,
    state_of,
    survivor_of,
    use,
    used,
)
from pantree_history.backends.webhook_scripts import SqlWebhooks, erasure_of
from pantree_history.core.limits import Limits, Usage
from pantree_history.core.lines import COLUMNS, Line, LineKey, Revision, make_line
from pantree_history.core.store import (
    EXPIRED_PER_TRANSACTION,
    Appended,
    Changes,
    Corrected,
    Digest,
    Erased,
    Expired,
    HistoryStore,
    Household,
    HouseholdState,
    LineOf,
    Merge,
    Merged,
    MergeRefusal,
    Outcome,
    Progress,
    StoredLines,
    StoredRevisions,
    unavailable,
)
from pantree_runtime.errors import StoreMismatch

ROLE = "pantree_history"
MIN_VERSION = 150_000
# Tables from which rows are deleted.
_COMPACTED = (
    "purchase_line", "household", "household_merge", "import_progress", "subscription_offer", "subscription",
    "subscription_delivery", "subscription_event", "subscription_request", "subscription_pause", "webhook",
    "webhook_cursor",
)  # fmt: skip
# Calls wait behind a migration that waits for a lock. It gives up soon, lets them pass, and tries again.
_LOCK_TIMEOUT = "1s"
_PAUSE_SECONDS = 1
_MAX_ATTEMPTS = 60
# Key of the advisory lock that lets one service migrate at a time: an arbitrary number.
_MIGRATION_LOCK = 5_005_707

_INSERT_REVISION = f"INSERT INTO {TARGET} VALUES ({', '.join(['%s'] * (len(COLUMNS) + 4))})"
_FIND_STATE = f"SELECT {STATE} FROM household WHERE {SURVIVOR}"
_OF_SURVIVOR = f"household_key = (SELECT household_key FROM household WHERE {SURVIVOR})"
_ORDER = 'ORDER BY occurred_on, order_id COLLATE "C", line_id COLLATE "C"'


class PostgresqlStore(HistoryStore):
    """Stores purchases in a PostgreSQL database.

    Args:
        url: connection string without password.
        password: password of the user; empty for none, or for libpq's own ways.
        max_connections: maximum number of connections.
        timeout_seconds: maximum time to wait for a connection.
        migrations: of the schema; by default those of this version.
    """

    def __init__(
        self,
        url: str,
        password: str = "",
        *,
        max_connections: int = 8,
        timeout_seconds: float = 10,
        migrations: Sequence[Migration] | None = None,
    ) -> None:
        self._place = url
        self._migrations = migrations
        self._options: dict[str, Any] = {"password": password} if password else {}
        self._options["connect_timeout"] = max(int(timeout_seconds), 1)
        self._pool = AsyncConnectionPool[AsyncConnection[Any]](
            url,
            kwargs=self._options,
            min_size=1,
            max_size=max_connections,
            timeout=timeout_seconds,
            open=False,
            configure=_assume_role,
            check=_check,
        )
        self.subscriptions = postgresql_subscriptions.PostgresqlSubscriptions(self._transaction)
        self.webhooks = SqlWebhooks(postgresql_webhooks.PostgresqlWebhooks(self._transaction))

    async def open(self) -> None:
        with self._errors():
            async with await AsyncConnection.connect(self._place, **self._options) as connection:
                await _migrate_patiently(connection, self._migrations or read_migrations("postgresql"))
            await self._pool.open(wait=True)

    async def close(self) -> None:
        await self._pool.close()

    async def check(self) -> str:
        try:
            async with self._pool.connection() as connection:
                await connection.execute("SELECT 1")
        except (psycopg.Error, PoolTimeout) as error:
            return f"{type(error).__name__}: {error}"
        return ""

    async def append(
        self,
        tenant_id: str,
        lines: Sequence[LineOf],
        digest: Digest,
        recorded_at: int,
        *,
        whole: bool,
        consent: bool = False,
        dry_run: bool = False,
        progress: Progress | None = None,
        limits: Limits | None = None,
    ) -> Appended:
        outcomes: Sequence[Outcome] = ()
        with contextlib.suppress(psycopg.Rollback):
            async with self._transaction(tenant_id) as transaction:
                append = Append(transaction, tenant_id, digest, recorded_at)
                outcomes = await append.run(lines, consent)
                is_refused = whole and not {Outcome.CONFLICT, Outcome.ERASED}.isdisjoint(outcomes)
                # Last, since the row of the tenant is locked from here on.
                if not is_refused:
                    await append.use(limits)
                if progress is not None:
                    await append.record_progress(progress)
                if dry_run or is_refused:
                    await transaction.wait()
                    raise psycopg.Rollback
        return Appended(outcomes, await append.states())

    async def next_row(self, tenant_id: str, import_id: str) -> int:
        async with self._transaction(tenant_id) as transaction:
            await transaction.execute(
                "SELECT next_row FROM import_progress WHERE tenant_id = %s AND import_id = %s", (tenant_id, import_id)
            )
            row = await transaction.fetchone()
            return 0 if row is None else int(row[0])

    async def changed(self, tenant_id: str, position: tuple[int, int], limit: int) -> Changes:
        async with self._transaction(tenant_id) as transaction:
            # Not beyond the oldest transaction in flight, whose changes would otherwise be skipped.
            await transaction.execute(
                f"SELECT {STATE}, changed_by::text::int8, household_key FROM household "
                "WHERE tenant_id = %s AND (changed_by, household_key) > (%s::text::xid8, %s) "
                "AND changed_by < pg_snapshot_xmin(pg_current_snapshot()) ORDER BY changed_by, household_key LIMIT %s",
                (tenant_id, str(position[0]), position[1], limit),
            )
            rows = await transaction.fetchall()
        return Changes([state_of(*row[:-2]) for row in rows], tuple(rows[-1][-2:]) if rows else position)

    async def correct(
        self, household: Household, lines: Sequence[Line], removed: Sequence[LineKey], recorded_at: int
    ) -> Corrected | None:
        async with self._transaction(household.tenant_id) as transaction:
            found = await find_household(transaction, household, lock=True)
            if found is None:
                return None
            key, state = found
            keys = [*(line.key for line in lines), *removed]
            await transaction.execute(
                "SELECT DISTINCT ON (order_id, line_id) "
                f"revision, superseded_at, {CONTENT} FROM purchase_line WHERE household_key = %s "
                "AND (order_id, line_id) IN (SELECT * FROM unnest(%s::text[], %s::text[])) "
                "ORDER BY order_id, line_id, revision DESC",
                (key, *columns(keys, 2)),
            )
            latest = {LineKey(row[2], row[3]): row for row in await transaction.fetchall()}
            missing = [one for one in keys if one not in latest]
            if missing:
                return Corrected(0, 0, missing, state)
            changed = [line for line in lines if latest[line.key][1] is not None or tuple(latest[line.key][2:]) != line]
            gone = [one for one in removed if latest[one][1] is None]
            if not changed and not gone:
                return Corrected(0, 0, (), state)
            await transaction.execute(
                "UPDATE purchase_line SET superseded_at = %s WHERE household_key = %s AND superseded_at IS NULL "
                "AND (order_id, line_id) IN (SELECT * FROM unnest(%s::text[], %s::text[]))",
                (recorded_at, key, *columns([*(line.key for line in changed), *gone], 2)),
            )
            await transaction.execute_each(
                _INSERT_REVISION,
                [(*line, key, household.tenant_id, latest[line.key][0] + 1, recorded_at) for line in changed],
            )
            restored = sum(latest[line.key][1] is not None for line in changed)
            number = await next_change(transaction)
            await transaction.execute(CHANGE, (number, recorded_at, restored - len(gone), key))
            await use(transaction, household.tenant_id, 0, Usage(0, restored - len(gone), 0))
            after = await find_household(transaction, household)
            assert after is not None
            return Corrected(len(changed), len(gone), (), after[1])

    async def lines(self, household: Household, known_at: int | None) -> StoredLines | None:
        condition, values = (
            ("superseded_at IS NULL", ())
            if known_at is None
            else ("recorded_at <= %s AND (superseded_at IS NULL OR superseded_at > %s)", (known_at, known_at))
        )
        async with self._transaction(household.tenant_id, snapshot=True) as transaction:
            found = await transaction.execute(_FIND_STATE, survivor_of(household))
            stored = await transaction.execute(
                f"SELECT {CONTENT} FROM purchase_line WHERE {_OF_SURVIVOR} AND {condition} {_ORDER}",
                (*survivor_of(household), *values),
            )
        state = await found.fetchone()
        return None if state is None else StoredLines(state_of(*state), list(map(make_line, await stored.fetchall())))

    async def revisions(self, household: Household) -> StoredRevisions | None:
        async with self._transaction(household.tenant_id, snapshot=True) as transaction:
            found = await transaction.execute(_FIND_STATE, survivor_of(household))
            stored = await transaction.execute(
                f"SELECT {CONTENT}, revision, recorded_at, superseded_at FROM purchase_line "
                f"WHERE {_OF_SURVIVOR} {_ORDER}, revision",
                survivor_of(household),
            )
        state = await found.fetchone()
        if state is None:
            return None
        revisions = [Revision(make_line(row[:-3]), *row[-3:]) for row in await stored.fetchall()]
        return StoredRevisions(state_of(*state), revisions)

    async def households(self, tenant_id: str, after: str, limit: int) -> Sequence[HouseholdState]:
        async with self._transaction(tenant_id) as transaction:
            await transaction.execute(
                f"SELECT {STATE} FROM household WHERE tenant_id = %s AND household_id > %s "
                "AND merged_into IS NULL ORDER BY household_id LIMIT %s",
                (tenant_id, after, limit),
            )
            return [state_of(*row) for row in await transaction.fetchall()]

    async def merges(self, household: Household) -> Sequence[Merge]:
        async with self._transaction(household.tenant_id, snapshot=True) as transaction:
            await transaction.execute(
                f"SELECT {MERGE} FROM household_merge WHERE tenant_id = %s AND household_id IN (SELECT household_id "
                "FROM household WHERE tenant_id = %s AND merged_into = %s) ORDER BY merged_at, household_id",
                (household.tenant_id, *await postgresql_subscriptions.resolved(transaction, household)),
            )
            return list(map(Merge._make, await transaction.fetchall()))

    async def merge(
        self, household: Household, merged_id: str, digest: Digest, merged_at: int, actor: str
    ) -> Merged | MergeRefusal:
        result: list[Merged | MergeRefusal] = []
        with contextlib.suppress(psycopg.Rollback):
            async with self._transaction(household.tenant_id) as transaction:
                result.append(await Merging(transaction, digest, merged_at, actor).run(household, merged_id))
                if isinstance(result[0], MergeRefusal):
                    raise psycopg.Rollback
        return result[0]

    async def tenants(self) -> Sequence[str]:
        async with self._transaction("", snapshot=True) as transaction:
            await transaction.execute("SELECT tenant_id FROM tenant ORDER BY tenant_id")
            return [one for (one,) in await transaction.fetchall()]

    async def expire(self, tenant_id: str, first_day: int, now: int, *, dry_run: bool = False) -> Expired:
        async with self._transaction(tenant_id, snapshot=True) as transaction:
            await transaction.execute(
                "SELECT household_key, count(*) FILTER (WHERE occurred_on < %s), count(*) FROM purchase_line "
                "WHERE tenant_id = %s GROUP BY household_key HAVING min(occurred_on) < %s ORDER BY household_key",
                (first_day, tenant_id, first_day),
            )
            found = await transaction.fetchall()
        if dry_run:
            return Expired(sum(old for _, old, _ in found), len(found), sum(old == count for _, old, count in found))
        expired = Expired(0, 0, 0)
        keys = [key for key, _, _ in found]
        for first in range(0, len(keys), EXPIRED_PER_TRANSACTION):
            async with self._transaction(tenant_id) as transaction:
                removed = await postgresql_removal.expire(
                    transaction, tenant_id, keys[first : first + EXPIRED_PER_TRANSACTION], first_day, now
                )
            expired = Expired(*(a + b for a, b in zip(expired, removed, strict=True)))
        return expired

    async def oldest_day(self, tenant_id: str) -> int | None:
        async with self._transaction(tenant_id, snapshot=True) as transaction:
            await transaction.execute("SELECT min(occurred_on) FROM purchase_line WHERE tenant_id = %s", (tenant_id,))
            (day,) = await transaction.one()
            return day  # type: ignore[no-any-return] # a number or NULL

    async def clock(self, tenant_id: str, start: int) -> int:
        async with self._transaction(tenant_id) as transaction:
            await transaction.execute(
                "INSERT INTO tenant_clock (tenant_id, now) VALUES (%s, %s) ON CONFLICT DO NOTHING", (tenant_id, start)
            )
            await transaction.execute("SELECT now FROM tenant_clock WHERE tenant_id = %s", (tenant_id,))
            (now,) = await transaction.one()
            return int(now)

    async def set_clock(self, tenant_id: str, now: int) -> None:
        async with self._transaction(tenant_id) as transaction:
            await transaction.execute(
                "UPDATE tenant_clock SET now = %s WHERE tenant_id = %s AND now < %s", (now, tenant_id, now)
            )

    async def tidy(self, tenant_id: str, progress_until: int) -> None:
        async with self._transaction(tenant_id) as transaction:
            await transaction.execute(
                "DELETE FROM import_progress WHERE tenant_id = %s AND recorded_at < %s", (tenant_id, progress_until)
            )
            await use(transaction, tenant_id, 0, Usage(0, 0, 0))
            if await used(transaction) is not None:
                await count_usage(transaction, tenant_id)

    async def compact(self) -> None:
        # The owner of the tables, who is the user of the URL, may do so. Statistics have values of rows, too.
        with self._errors():
            async with await AsyncConnection.connect(self._place, autocommit=True, **self._options) as connection:
                for table in _COMPACTED:
                    await connection.execute(f"VACUUM (ANALYZE) {table}".encode())

    async def erase(self, household: Household, digest: Digest, erased_at: int) -> Erased:
        # Two transactions: the ledger is on disk before anything is destroyed. From then on, nothing is merged with it.
        async with self._transaction(household.tenant_id) as transaction:
            ids = await postgresql_removal.lock_all_ids(transaction, household)
            entered = [await postgresql_removal.enter(transaction, digest(one), erased_at) for one in ids]
            for one in ids:
                await transaction.execute(DELETE_UNCHANGED, one)
        async with self._transaction(household.tenant_id) as transaction:
            removed = 0
            for one in ids:
                await postgresql_subscriptions.remove(transaction, one)
                await postgresql_webhooks.execute(transaction, erasure_of(one, erased_at))
            for one in sorted(ids):
                removed += await postgresql_removal.remove(transaction, one)
            for position in sorted(position for position, _ in entered):
                await transaction.execute(
                    "UPDATE applied_ledger SET position = %s WHERE position = %s - 1", (position, position)
                )
        entry = entered[ids.index(household)][1]
        return Erased(entry, removed, [one.household_id for one in ids if one != household])

    async def replay(self, digest: Digest) -> int:
        async with self._transaction("") as transaction:
            return await postgresql_removal.replay(transaction, digest)

    @contextlib.asynccontextmanager
    async def _transaction(self, tenant_id: str, *, snapshot: bool = False) -> AsyncIterator[Transaction]:
        with self._errors():
            async with (
                self._pool.connection() as connection,
                begin(connection, tenant_id, snapshot=snapshot) as transaction,
            ):
                yield transaction

    @contextlib.contextmanager
    def _errors(self) -> Any:
        try:
            yield
        except psycopg.errors.InsufficientPrivilege as error:
            raise StoreMismatch(f"the user of the history database lacks a right: {error}") from error
        except (psycopg.OperationalError, psycopg.InterfaceError, PoolTimeout) as error:
            raise unavailable(_sign(error), self._place) from error
        except psycopg.errors.ReadOnlySqlTransaction as error:
            raise unavailable(f"readonly: {error}", self._place) from error


async def _assume_role(connection: AsyncConnection[Any]) -> None:
    await connection.set_autocommit(True)
    await connection.execute(f"SET ROLE {ROLE}")


async def _check(connection: AsyncConnection[Any]) -> None:
    """Asks the server only if something has come from it, such as the end of the connection: an answer takes time."""
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    if poll.poll(0):
        await AsyncConnectionPool.check_connection(connection)


async def _migrate_patiently(connection: AsyncConnection[Any], migrations: Sequence[Migration]) -> None:
    for _ in range(_MAX_ATTEMPTS - 1):
        try:
            return await _migrate(connection, migrations)
        except psycopg.errors.LockNotAvailable:
            await asyncio.sleep(_PAUSE_SECONDS)
    return await _migrate(connection, migrations)


async def _migrate(connection: AsyncConnection[Any], migrations: Sequence[Migration]) -> None:
    """Migrates the schema, as the user of the URL.

    Raises:
        StoreMismatch: the server is too old, or its migrations are not ours.
        LockNotAvailable: other calls hold a lock; nothing was changed.
    """
    if connection.info.server_version < MIN_VERSION:
        raise StoreMismatch(f"the history database needs PostgreSQL {MIN_VERSION // 10_000} or newer")
    async with connection.transaction(), connection.cursor() as cursor:
        await cursor.execute("SELECT pg_advisory_xact_lock(%s)", (_MIGRATION_LOCK,))
        applied = {}
        await cursor.execute("SELECT to_regclass('schema_migration') IS NOT NULL")
        if (await cursor.fetchone() or [False])[0]:
            await cursor.execute("SELECT number, checksum FROM schema_migration")
            applied = dict(await cursor.fetchall())
        missing = pending(migrations, applied)
        if not missing:
            return
        await cursor.execute(
            "CREATE TABLE IF NOT EXISTS schema_migration "
            "(number integer PRIMARY KEY, name text NOT NULL, checksum text NOT NULL)"
        )
        await cursor.execute(f"SET LOCAL lock_timeout = '{_LOCK_TIMEOUT}'".encode())
        for migration in missing:
            await cursor.execute(migration.sql.encode())
            await cursor.execute(
                "INSERT INTO schema_migration VALUES (%s, %s, %s)", (*migration[:2], migration.checksum)
            )


def _sign(error: Exception) -> str:
    return f"full: {error}" if isinstance(error, psycopg.errors.DiskFull) else str(error)
