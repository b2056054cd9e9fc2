"""Purchases in PostgreSQL, version 15 or newer.

Every transaction runs as the role `pantree_history`, which owns nothing, and names its tenant; row-level security shows
it no other rows. The server refuses COPY into such tables, so many lines are copied into a temporary table first.
"""

import contextlib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any

import psycopg
from psycopg import AsyncConnection, AsyncCursor
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from pantree_history.backends import postgresql_subscriptions
from pantree_history.backends.migrations import pending, read_migrations
from pantree_history.backends.sqlite import unavailable, version_of
from pantree_history.core.lines import COLUMNS, Line, LineKey, Revision, day_of
from pantree_history.core.store import (
    Appended,
    Changes,
    Corrected,
    Erasure,
    HistoryStore,
    Household,
    HouseholdState,
    LineOf,
    Outcome,
    Progress,
    StoredLines,
    StoredRevisions,
)
from pantree_runtime.errors import StoreMismatch

ROLE = "pantree_history"
MIN_VERSION = 150_000
# From this number of lines on, COPY is faster than arrays.
_MIN_COPIED_LINES = 500
# Key of the advisory lock that lets one service migrate at a time: an arbitrary number.
_MIGRATION_LOCK = 5_005_707

_TYPES = (
    "text", "text", "int4", "text", "text", "text", "text", "int4", "float8", "float8", "text", "float8", "text",
    "text", "text", "text",
)  # fmt: skip
_CONTENT = ", ".join(COLUMNS)
_TARGET = f"purchase_line ({_CONTENT}, household_key, tenant_id, revision, recorded_at)"
_NEW_LINES = f"SELECT {_CONTENT}, household_key, %s, 1, %s FROM"
_SKIP_STORED = "ON CONFLICT DO NOTHING RETURNING order_id, line_id"
_INSERT = (
    f"INSERT INTO {_TARGET} {_NEW_LINES} unnest("
    f"{', '.join(f'%s::{kind}[]' for kind in (*_TYPES, 'int8'))}) AS line ({_CONTENT}, household_key) {_SKIP_STORED}"
)
_STAGE = (
    "CREATE TEMPORARY TABLE stage ("
    + ", ".join(f"{name} {kind}" for name, kind in zip(COLUMNS, _TYPES, strict=True))
    + ", household_key int8) ON COMMIT DROP"
)
_INSERT_STAGED = f"INSERT INTO {_TARGET} {_NEW_LINES} stage {_SKIP_STORED}"
_INSERT_REVISION = f"INSERT INTO {_TARGET} VALUES ({', '.join(['%s'] * (len(COLUMNS) + 4))})"
# The content that each line was stored with, and the current one.
_FIND = (
    f"SELECT household_key, {_CONTENT} FROM purchase_line WHERE tenant_id = %s AND (order_id, line_id) IN "
    "(SELECT * FROM unnest(%s::text[], %s::text[])) AND (revision = 1 OR superseded_at IS NULL)"
)
_STATE = "household_id, change_number, changed_at, line_count"
_HOUSEHOLD = f"SELECT household_key, {_STATE} FROM household WHERE tenant_id = %s AND household_id = %s"
_CHANGE = (
    "UPDATE household SET change_number = %s, changed_by = pg_current_xact_id(), changed_at = %s, "
    "line_count = line_count + %s WHERE household_key = %s"
)
_ORDER = 'ORDER BY occurred_on, order_id COLLATE "C", line_id COLLATE "C"'

Cursor = AsyncCursor[Any]


class PostgresqlStore(HistoryStore):
    """Stores purchases in a PostgreSQL database.

    Args:
        url: connection string without password.
        password: password of the user; empty for none, or for libpq's own ways.
        max_connections: maximum number of connections.
        timeout_seconds: maximum time to wait for a connection.
    """

    def __init__(self, url: str, password: str = "", *, max_connections: int = 8, timeout_seconds: float = 10) -> None:
        self._place = url
        self._options: dict[str, Any] = {"password": password} if password else {}
        self._options["connect_timeout"] = max(int(timeout_seconds), 1)
        # Prepared statements would be lost behind a pooler that works by transaction, such as PgBouncer's default.
        self._pool = AsyncConnectionPool[AsyncConnection[Any]](
            url,
            kwargs=self._options,
            min_size=1,
            max_size=max_connections,
            timeout=timeout_seconds,
            open=False,
            configure=_assume_role,
            check=AsyncConnectionPool.check_connection,
        )
        self.subscriptions = postgresql_subscriptions.PostgresqlSubscriptions(self._transaction)

    async def open(self) -> None:
        with self._errors():
            async with await AsyncConnection.connect(self._place, **self._options) as connection:
                await _migrate(connection)
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
        digests: Mapping[str, bytes],
        recorded_at: int,
        *,
        whole: bool,
        consent: bool = False,
        dry_run: bool = False,
        progress: Progress | None = None,
    ) -> Appended:
        result: list[Appended] = []
        with contextlib.suppress(psycopg.Rollback):
            async with self._transaction(tenant_id) as cursor:
                append = _Append(cursor, tenant_id, recorded_at)
                result.append(await append.run(lines, digests, consent))
                if progress is not None:
                    await cursor.execute(
                        "INSERT INTO import_progress (tenant_id, import_id, next_row, recorded_at) "
                        "VALUES (%s, %s, %s, %s) ON CONFLICT (tenant_id, import_id) DO UPDATE SET "
                        "recorded_at = EXCLUDED.recorded_at, "
                        "next_row = greatest(import_progress.next_row, EXCLUDED.next_row)",
                        (tenant_id, *progress, recorded_at),
                    )
                outcomes = set(result[0].outcomes)
                if dry_run or (whole and outcomes & {Outcome.CONFLICT, Outcome.ERASED}):
                    raise psycopg.Rollback
        return result[0]

    async def next_row(self, tenant_id: str, import_id: str) -> int:
        async with self._transaction(tenant_id) as cursor:
            await cursor.execute(
                "SELECT next_row FROM import_progress WHERE tenant_id = %s AND import_id = %s", (tenant_id, import_id)
            )
            row = await cursor.fetchone()
            return 0 if row is None else int(row[0])

    async def changed(self, tenant_id: str, position: tuple[int, int], limit: int) -> Changes:
        async with self._transaction(tenant_id) as cursor:
            # Not beyond the oldest transaction in flight, whose changes would otherwise be skipped.
            await cursor.execute(
                f"SELECT {_STATE}, changed_by::text::int8, household_key FROM household "
                "WHERE tenant_id = %s AND (changed_by, household_key) > (%s::text::xid8, %s) "
                "AND changed_by < pg_snapshot_xmin(pg_current_snapshot()) ORDER BY changed_by, household_key LIMIT %s",
                (tenant_id, str(position[0]), position[1], limit),
            )
            rows = await cursor.fetchall()
        return Changes([_state(*row[:-2]) for row in rows], tuple(rows[-1][-2:]) if rows else position)

    async def correct(
        self, household: Household, lines: Sequence[Line], removed: Sequence[LineKey], recorded_at: int
    ) -> Corrected | None:
        async with self._transaction(household.tenant_id) as cursor:
            found = await _household(cursor, household, lock=True)
            if found is None:
                return None
            key, state = found
            keys = [*(line.key for line in lines), *removed]
            await cursor.execute(
                "SELECT DISTINCT ON (order_id, line_id) "
                f"revision, superseded_at, {_CONTENT} FROM purchase_line WHERE household_key = %s "
                "AND (order_id, line_id) IN (SELECT * FROM unnest(%s::text[], %s::text[])) "
                "ORDER BY order_id, line_id, revision DESC",
                (key, *_columns(keys, 2)),
            )
            latest = {LineKey(row[2], row[3]): row for row in await cursor.fetchall()}
            missing = [one for one in keys if one not in latest]
            if missing:
                return Corrected(0, 0, missing, state)
            changed = [line for line in lines if latest[line.key][1] is not None or tuple(latest[line.key][2:]) != line]
            gone = [one for one in removed if latest[one][1] is None]
            if not changed and not gone:
                return Corrected(0, 0, (), state)
            await cursor.execute(
                "UPDATE purchase_line SET superseded_at = %s WHERE household_key = %s AND superseded_at IS NULL "
                "AND (order_id, line_id) IN (SELECT * FROM unnest(%s::text[], %s::text[]))",
                (recorded_at, key, *_columns([*(line.key for line in changed), *gone], 2)),
            )
            await cursor.executemany(
                _INSERT_REVISION,
                [(*line, key, household.tenant_id, latest[line.key][0] + 1, recorded_at) for line in changed],
            )
            restored = sum(latest[line.key][1] is not None for line in changed)
            number = await _next_change(cursor)
            await cursor.execute(_CHANGE, (number, recorded_at, restored - len(gone), key))
            after = await _household(cursor, household)
            assert after is not None
            return Corrected(len(changed), len(gone), (), after[1])

    async def lines(self, household: Household, known_at: int | None) -> StoredLines | None:
        condition, values = (
            ("superseded_at IS NULL", ())
            if known_at is None
            else ("recorded_at <= %s AND (superseded_at IS NULL OR superseded_at > %s)", (known_at, known_at))
        )
        async with self._transaction(household.tenant_id, snapshot=True) as cursor:
            found = await _household(cursor, household)
            if found is None:
                return None
            key, state = found
            await cursor.execute(
                f"SELECT {_CONTENT} FROM purchase_line WHERE household_key = %s AND {condition} {_ORDER}",
                (key, *values),
            )
            return StoredLines(state, list(map(Line._make, await cursor.fetchall())))

    async def revisions(self, household: Household) -> StoredRevisions | None:
        async with self._transaction(household.tenant_id, snapshot=True) as cursor:
            found = await _household(cursor, household)
            if found is None:
                return None
            key, state = found
            await cursor.execute(
                f"SELECT {_CONTENT}, revision, recorded_at, superseded_at FROM purchase_line "
                f"WHERE household_key = %s {_ORDER}, revision",
                (key,),
            )
            rows = await cursor.fetchall()
        return StoredRevisions(state, [Revision(Line._make(row[:-3]), *row[-3:]) for row in rows])

    async def households(self, tenant_id: str, after: str, limit: int) -> Sequence[HouseholdState]:
        async with self._transaction(tenant_id) as cursor:
            await cursor.execute(
                f"SELECT {_STATE} FROM household WHERE tenant_id = %s AND household_id > %s "
                "ORDER BY household_id LIMIT %s",
                (tenant_id, after, limit),
            )
            return [_state(*row) for row in await cursor.fetchall()]

    async def erase(self, household: Household, digest: bytes, erased_at: int) -> tuple[Erasure, int]:
        # Two transactions: the ledger is on disk before anything is destroyed.
        async with self._transaction(household.tenant_id) as cursor:
            await cursor.execute(
                "INSERT INTO erasure (digest, erased_at) VALUES (%s, %s) ON CONFLICT (digest) DO UPDATE SET "
                "erased_at = CASE WHEN erasure.consented_at IS NULL THEN erasure.erased_at "
                "ELSE EXCLUDED.erased_at END, position = DEFAULT, consented_at = NULL "
                "RETURNING position, digest, erased_at, consented_at",
                (digest, erased_at),
            )
            position, *entry = await _one(cursor)
        async with self._transaction(household.tenant_id) as cursor:
            await postgresql_subscriptions.remove(cursor, household)
            removed = await _remove(cursor, household)
            await cursor.execute(
                "UPDATE applied_ledger SET position = %s WHERE position = %s - 1", (position, position)
            )
        return Erasure(*entry), removed

    async def replay(self, digest: Callable[[Household], bytes]) -> int:
        async with self._transaction("") as cursor:
            await cursor.execute(
                "SELECT digest, erased_at FROM erasure WHERE position > (SELECT position FROM applied_ledger)"
            )
            entries = {bytes(one): erased_at for one, erased_at in await cursor.fetchall()}
            if not entries:
                return 0
            await cursor.execute("SELECT tenant_id FROM tenant")
            tenants = [one for (one,) in await cursor.fetchall()]
            erased = 0
            for tenant_id in tenants:
                await _name_tenant(cursor, tenant_id)
                subscribers = set()
                for household in await postgresql_subscriptions.households(cursor):
                    erased_at = entries.get(digest(household))
                    if erased_at is not None and await postgresql_subscriptions.remove(cursor, household, erased_at):
                        subscribers.add(household.household_id)
                await cursor.execute("SELECT household_key, household_id FROM household")
                for key, household_id in await cursor.fetchall():
                    erased_at = entries.get(digest(Household(tenant_id, household_id)))
                    if erased_at is not None and await _remove_until(cursor, key, erased_at):
                        subscribers.add(household_id)
                erased += len(subscribers)
            await cursor.execute("UPDATE applied_ledger SET position = (SELECT max(position) FROM erasure)")
            return erased

    @contextlib.asynccontextmanager
    async def _transaction(self, tenant_id: str, *, snapshot: bool = False) -> AsyncIterator[Cursor]:
        """A transaction for a tenant; with `snapshot`, it only reads, and all its statements see the same state."""
        with self._errors():
            async with self._pool.connection() as connection, connection.transaction(), connection.cursor() as cursor:
                if snapshot:
                    await cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
                await _name_tenant(cursor, tenant_id)
                yield cursor

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


class _Append:
    """One call that stores lines, within a transaction."""

    def __init__(self, cursor: Cursor, tenant_id: str, recorded_at: int) -> None:
        self._cursor = cursor
        self._tenant_id = tenant_id
        self._recorded_at = recorded_at
        self._keys: dict[str, int] = {}

    async def run(self, lines: Sequence[LineOf], digests: Mapping[str, bytes], consent: bool) -> Appended:
        # An erasure waits for these locks, so either it removes these lines, or they see its entry.
        await self._lock(sorted({one.household_id for one in lines}))
        erasures = await self._erasures(digests, consent)
        outcomes = [_refusal(one, erasures) for one in lines]
        wanted = [one for one, outcome in zip(lines, outcomes, strict=True) if outcome is None]
        stored = iter(await self._insert(wanted))
        result = [next(stored) if outcome is None else outcome for outcome in outcomes]
        added: dict[str, int] = {}
        for one, outcome in zip(lines, result, strict=True):
            if outcome is Outcome.ADDED:
                added[one.household_id] = added.get(one.household_id, 0) + 1
        if added:
            number = await _next_change(self._cursor)
            await self._cursor.execute(
                "UPDATE household SET change_number = %s, changed_by = pg_current_xact_id(), changed_at = %s, "
                "line_count = line_count + added.count "
                "FROM unnest(%s::int8[], %s::int4[]) AS added (key, count) WHERE household_key = added.key",
                (number, self._recorded_at, [self._keys[one] for one in added], list(added.values())),
            )
        # A household without lines, because all are refused, is not stored.
        keys = list(self._keys.values())
        if len(added) < len(keys):
            await self._cursor.execute(
                "DELETE FROM household WHERE household_key = ANY(%s) AND change_number = 0", (keys,)
            )
        await self._cursor.execute(f"SELECT {_STATE} FROM household WHERE household_key = ANY(%s)", (keys,))
        return Appended(result, {row[0]: _state(*row) for row in await self._cursor.fetchall()})

    async def _lock(self, household_ids: Sequence[str]) -> None:
        # In order, so that two batches don't wait for each other.
        await self._cursor.execute(
            "SELECT household_id, household_key FROM household WHERE tenant_id = %s AND household_id = ANY(%s) "
            "ORDER BY household_id FOR UPDATE",
            (self._tenant_id, list(household_ids)),
        )
        self._keys = dict(await self._cursor.fetchall())
        new = [one for one in household_ids if one not in self._keys]
        if new:
            await self._cursor.execute(
                "INSERT INTO tenant (tenant_id) VALUES (%s) ON CONFLICT DO NOTHING", (self._tenant_id,)
            )
            await self._cursor.execute(
                "INSERT INTO household (tenant_id, household_id, change_number, changed_at) "
                "SELECT %s, one, 0, 0 FROM unnest(%s::text[]) AS one "
                "ON CONFLICT (tenant_id, household_id) DO UPDATE SET household_id = EXCLUDED.household_id "
                "RETURNING household_id, household_key",
                (self._tenant_id, new),
            )
            self._keys |= dict(await self._cursor.fetchall())

    async def _erasures(self, digests: Mapping[str, bytes], consent: bool) -> dict[str, Erasure]:
        wanted = list(digests.values())
        if consent:
            await self._cursor.execute(
                "UPDATE erasure SET consented_at = %s WHERE digest = ANY(%s) AND consented_at IS NULL",
                (self._recorded_at, wanted),
            )
        await self._cursor.execute(
            "SELECT digest, erased_at, consented_at FROM erasure WHERE digest = ANY(%s)", (wanted,)
        )
        found = {bytes(row[0]): Erasure(*row) for row in await self._cursor.fetchall()}
        return {household_id: found[digest] for household_id, digest in digests.items() if digest in found}

    async def _insert(self, lines: Sequence[LineOf]) -> list[Outcome]:
        if not lines:
            return []
        rows = [(*line, self._keys[household_id]) for household_id, line in lines]
        if len(rows) < _MIN_COPIED_LINES:
            values = (self._tenant_id, self._recorded_at, *_columns(rows, len(COLUMNS) + 1))
            await self._cursor.execute(_INSERT, values)
        else:
            await self._cursor.execute(_STAGE)
            async with self._cursor.copy("COPY stage FROM STDIN (FORMAT BINARY)") as copy:
                copy.set_types([*_TYPES, "int8"])
                for row in rows:
                    await copy.write_row(row)
            await self._cursor.execute(_INSERT_STAGED, (self._tenant_id, self._recorded_at))
        new = set(await self._cursor.fetchall())
        if len(new) == len(rows):
            return [Outcome.ADDED] * len(rows)
        return await self._compare(lines, new)

    async def _compare(self, lines: Sequence[LineOf], new: set[tuple[str, str]]) -> list[Outcome]:
        await self._cursor.execute(_FIND, (self._tenant_id, *_columns([one.line.key for one in lines], 2)))
        stored = set(await self._cursor.fetchall())
        outcomes = []
        for household_id, line in lines:
            if line.key in new:
                new.discard(line.key)
                outcomes.append(Outcome.ADDED)
            else:
                is_same = (self._keys[household_id], *line) in stored
                outcomes.append(Outcome.DUPLICATE if is_same else Outcome.CONFLICT)
        return outcomes


def _refusal(one: LineOf, erasures: Mapping[str, Erasure]) -> Outcome | None:
    entry = erasures.get(one.household_id)
    if entry is None or not entry.refuses(one.line.occurred_on, day_of(entry.erased_at)):
        return None
    return Outcome.ERASED


def _columns(rows: Sequence[Sequence[Any]], count: int) -> list[list[Any]]:
    """Columns of rows, as arrays."""
    return [list(column) for column in zip(*rows, strict=True)] if rows else [[] for _ in range(count)]


async def _name_tenant(cursor: Cursor, tenant_id: str) -> None:
    await cursor.execute("SELECT set_config('pantree.tenant', %s, true)", (f"={tenant_id}",))


async def _household(cursor: Cursor, household: Household, *, lock: bool = False) -> tuple[int, HouseholdState] | None:
    await cursor.execute(f"{_HOUSEHOLD} FOR UPDATE" if lock else _HOUSEHOLD, household)
    row = await cursor.fetchone()
    return None if row is None else (row[0], _state(*row[1:]))


def _state(household_id: str, change_number: int, changed_at: int, line_count: int) -> HouseholdState:
    return HouseholdState(household_id, version_of(change_number, changed_at), line_count, changed_at)


async def _next_change(cursor: Cursor) -> int:
    await cursor.execute("SELECT nextval('change_number')")
    number: int = (await _one(cursor))[0]
    return number


async def _one(cursor: Cursor) -> Any:
    row = await cursor.fetchone()
    assert row is not None
    return row


async def _remove(cursor: Cursor, household: Household) -> int:
    # Waits for calls in flight that store lines of this household, also if it is new.
    await cursor.execute(
        "INSERT INTO household (tenant_id, household_id, change_number, changed_at) VALUES (%s, %s, 0, 0) "
        "ON CONFLICT (tenant_id, household_id) DO UPDATE SET household_id = EXCLUDED.household_id "
        "RETURNING household_key",
        household,
    )
    (key,) = await _one(cursor)
    await cursor.execute("DELETE FROM purchase_line WHERE household_key = %s", (key,))
    removed = cursor.rowcount
    await cursor.execute("DELETE FROM household WHERE household_key = %s", (key,))
    return removed


async def _remove_until(cursor: Cursor, key: int, erased_at: int) -> int:
    """Removes what was stored until an erasure; 1 if there was anything, else 0."""
    await cursor.execute("DELETE FROM purchase_line WHERE household_key = %s AND recorded_at <= %s", (key, erased_at))
    removed = cursor.rowcount
    await cursor.execute(
        "UPDATE household SET line_count = (SELECT count(*) FROM purchase_line AS line "
        "WHERE line.household_key = household.household_key AND superseded_at IS NULL) WHERE household_key = %s",
        (key,),
    )
    await cursor.execute(
        "DELETE FROM household WHERE household_key = %s "
        "AND NOT EXISTS (SELECT FROM purchase_line AS line WHERE line.household_key = household.household_key)",
        (key,),
    )
    return int(removed > 0)


async def _assume_role(connection: AsyncConnection[Any]) -> None:
    await connection.set_autocommit(True)
    await connection.execute(f"SET ROLE {ROLE}")
    await connection.set_autocommit(False)


async def _migrate(connection: AsyncConnection[Any]) -> None:
    """Migrates the schema, as the user of the URL.

    Raises:
        StoreMismatch: the server is too old, or its migrations are not ours.
    """
    if connection.info.server_version < MIN_VERSION:
        raise StoreMismatch(f"the history database needs PostgreSQL {MIN_VERSION // 10_000} or newer")
    async with connection.transaction(), connection.cursor() as cursor:
        await cursor.execute("SELECT pg_advisory_xact_lock(%s)", (_MIGRATION_LOCK,))
        applied = {}
        await cursor.execute("SELECT to_regclass('schema_migration') IS NOT NULL")
        if (await _one(cursor))[0]:
            await cursor.execute("SELECT number, checksum FROM schema_migration")
            applied = dict(await cursor.fetchall())
        missing = pending(read_migrations("postgresql"), applied)
        if not missing:
            return
        await cursor.execute(
            "CREATE TABLE IF NOT EXISTS schema_migration "
            "(number integer PRIMARY KEY, name text NOT NULL, checksum text NOT NULL)"
        )
        for migration in missing:
            await cursor.execute(migration.sql.encode())
            await cursor.execute(
                "INSERT INTO schema_migration VALUES (%s, %s, %s)", (*migration[:2], migration.checksum)
            )


def _sign(error: Exception) -> str:
    return f"full: {error}" if isinstance(error, psycopg.errors.DiskFull) else str(error)
