"""Purchases in PostgreSQL, version 15 or newer.

Every transaction runs as the role `pantree_history`, which owns nothing, and names its tenant; row-level security shows
it no other rows. The server refuses COPY into such tables, so many lines are copied into a temporary table first.
"""

import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence, Set
from typing import Any

import psycopg
from psycopg import AsyncConnection, AsyncCursor
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from pantree_history.backends import postgresql_subscriptions
from pantree_history.backends.migrations import Migration, pending, read_migrations
from pantree_history.backends.sqlite import EXPIRED_PER_TRANSACTION, unavailable, version_of
from pantree_history.core.limits import Limits, Usage
from pantree_history.core.lines import COLUMNS, Line, LineKey, Revision, day_of
from pantree_history.core.store import (
    Appended,
    Changes,
    Corrected,
    Digest,
    Erased,
    Erasure,
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
)
from pantree_runtime.errors import StoreMismatch

ROLE = "pantree_history"
MIN_VERSION = 150_000
# From this number of lines on, COPY is faster than arrays.
_MIN_COPIED_LINES = 500
# Tables from which rows are deleted.
_COMPACTED = ("purchase_line", "household", "household_merge", "subscription_event", "subscription_delivery")
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
_STATE = "household_id, change_number, changed_at, line_count, merged_into"
_MERGE = "household_id, merged_into, merged_at, actor, moved_line_count"
_HOUSEHOLD = f"SELECT household_key, {_STATE} FROM household WHERE tenant_id = %s AND household_id = %s"
_CHANGE = (
    "UPDATE household SET change_number = %s, changed_by = pg_current_xact_id(), changed_at = %s, "
    "line_count = line_count + %s WHERE household_key = %s"
)
# A household without lines.
_DELETE_UNCHANGED = "DELETE FROM household WHERE tenant_id = %s AND household_id = %s AND change_number = 0"
_ORDER = 'ORDER BY occurred_on, order_id COLLATE "C", line_id COLLATE "C"'

Cursor = AsyncCursor[Any]


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
                await _migrate(connection, self._migrations or read_migrations("postgresql"))
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
        result: list[Appended] = []
        with contextlib.suppress(psycopg.Rollback):
            async with self._transaction(tenant_id) as cursor:
                append = _Append(cursor, tenant_id, recorded_at)
                result.append(await append.run(lines, digest, consent))
                # Last, since the row of the tenant is locked from here on.
                if not (whole and set(result[0].outcomes) & {Outcome.CONFLICT, Outcome.ERASED}):
                    await append.use(limits)
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
            await _use(cursor, household.tenant_id, 0, Usage(0, restored - len(gone), 0))
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
                "AND merged_into IS NULL ORDER BY household_id LIMIT %s",
                (tenant_id, after, limit),
            )
            return [_state(*row) for row in await cursor.fetchall()]

    async def merges(self, household: Household) -> Sequence[Merge]:
        async with self._transaction(household.tenant_id, snapshot=True) as cursor:
            await cursor.execute(
                f"SELECT {_MERGE} FROM household_merge WHERE tenant_id = %s AND household_id IN (SELECT household_id "
                "FROM household WHERE tenant_id = %s AND merged_into = %s) ORDER BY merged_at, household_id",
                (household.tenant_id, *await postgresql_subscriptions.resolved(cursor, household)),
            )
            return list(map(Merge._make, await cursor.fetchall()))

    async def merge(
        self, household: Household, merged_id: str, digest: Digest, merged_at: int, actor: str
    ) -> Merged | MergeRefusal:
        result: list[Merged | MergeRefusal] = []
        with contextlib.suppress(psycopg.Rollback):
            async with self._transaction(household.tenant_id) as cursor:
                result.append(await _Merge(cursor, digest, merged_at, actor).run(household, merged_id))
                if isinstance(result[0], MergeRefusal):
                    raise psycopg.Rollback
        return result[0]

    async def tenants(self) -> Sequence[str]:
        async with self._transaction("", snapshot=True) as cursor:
            await cursor.execute("SELECT tenant_id FROM tenant ORDER BY tenant_id")
            return [one for (one,) in await cursor.fetchall()]

    async def expire(self, tenant_id: str, first_day: int, now: int, *, dry_run: bool = False) -> Expired:
        async with self._transaction(tenant_id, snapshot=True) as cursor:
            await cursor.execute(
                "SELECT household_key, count(*) FILTER (WHERE occurred_on < %s), count(*) FROM purchase_line "
                "WHERE tenant_id = %s GROUP BY household_key HAVING min(occurred_on) < %s ORDER BY household_key",
                (first_day, tenant_id, first_day),
            )
            found = await cursor.fetchall()
        if dry_run:
            return Expired(sum(old for _, old, _ in found), len(found), sum(old == count for _, old, count in found))
        expired = Expired(0, 0, 0)
        keys = [key for key, _, _ in found]
        for first in range(0, len(keys), EXPIRED_PER_TRANSACTION):
            async with self._transaction(tenant_id) as cursor:
                removed = await _expire(
                    cursor, tenant_id, keys[first : first + EXPIRED_PER_TRANSACTION], first_day, now
                )
            expired = Expired(*(a + b for a, b in zip(expired, removed, strict=True)))
        return expired

    async def tidy(self, tenant_id: str, progress_until: int) -> None:
        async with self._transaction(tenant_id) as cursor:
            await cursor.execute(
                "DELETE FROM import_progress WHERE tenant_id = %s AND recorded_at < %s", (tenant_id, progress_until)
            )
            if await _use(cursor, tenant_id, 0, Usage(0, 0, 0)) is not None:
                await _count_usage(cursor, tenant_id)

    async def compact(self) -> None:
        # The owner of the tables, who is the user of the URL, may do so.
        with self._errors():
            async with await AsyncConnection.connect(self._place, autocommit=True, **self._options) as connection:
                for table in _COMPACTED:
                    await connection.execute(f"VACUUM {table}".encode())

    async def erase(self, household: Household, digest: Digest, erased_at: int) -> Erased:
        # Two transactions: the ledger is on disk before anything is destroyed. From then on, nothing is merged with it.
        async with self._transaction(household.tenant_id) as cursor:
            ids = await _lock_all_ids(cursor, household)
            entered = [await _enter(cursor, digest(one), erased_at) for one in ids]
            for one in ids:
                await cursor.execute(_DELETE_UNCHANGED, one)
        async with self._transaction(household.tenant_id) as cursor:
            removed = 0
            for one in ids:
                await postgresql_subscriptions.remove(cursor, one)
            for one in sorted(ids):
                removed += await _remove(cursor, one)
            for position in sorted(position for position, _ in entered):
                await cursor.execute(
                    "UPDATE applied_ledger SET position = %s WHERE position = %s - 1", (position, position)
                )
        entry = entered[ids.index(household)][1]
        return Erased(entry, removed, [one.household_id for one in ids if one != household])

    async def replay(self, digest: Digest) -> int:
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
                    if erased_at is not None:
                        if await _remove_until(cursor, key, erased_at):
                            subscribers.add(household_id)
                        await cursor.execute(
                            "DELETE FROM household_merge "
                            "WHERE tenant_id = %s AND household_id = %s AND merged_at <= %s",
                            (tenant_id, household_id, erased_at),
                        )
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
        self._survivors: dict[str, str] = {}
        """By the id in the request: the household that it was merged into, if it was."""
        self._new: set[int] = set()
        """Keys of households that were not stored."""
        self._added: Counter[int] = Counter()
        """Number of new lines, by key of the household."""

    async def use(self, limits: Limits | None) -> None:
        """Records what the tenant stores more, and checks its quotas.

        Raises:
            QuotaExceeded: it exceeds a limit.
        """
        if not self._added:
            return
        cursor, tenant_id, count = self._cursor, self._tenant_id, self._added.total()
        change, day = Usage(len(self._new & self._added.keys()), count, count), day_of(self._recorded_at)
        after = await _use(cursor, tenant_id, day, change)
        if limits is None:
            return
        if after is None:  # the first call with quotas
            await _count_usage(cursor, tenant_id)
            after = await _use(cursor, tenant_id, day, Usage(0, 0, count))
            assert after is not None
        after.check(limits, Usage(*(now - more for now, more in zip(after, change, strict=True))))

    async def run(self, lines: Sequence[LineOf], digest: Digest, consent: bool) -> Appended:
        # An erasure waits for these locks, so either it removes these lines, or they see its entry. So does a merge.
        await self._lock({one.household_id for one in lines})
        erasures = await self._erasures(digest, {one.household_id for one in lines}, consent)
        outcomes = [_refusal(one, erasures) for one in lines]
        wanted = [one for one, outcome in zip(lines, outcomes, strict=True) if outcome is None]
        stored = iter(await self._insert(wanted))
        result = [next(stored) if outcome is None else outcome for outcome in outcomes]
        added = self._added = Counter(
            self._keys[one.household_id] for one, outcome in zip(lines, result, strict=True) if outcome is Outcome.ADDED
        )
        if added:
            number = await _next_change(self._cursor)
            await self._cursor.execute(
                "UPDATE household SET change_number = %s, changed_by = pg_current_xact_id(), changed_at = %s, "
                "line_count = line_count + added.count "
                "FROM unnest(%s::int8[], %s::int4[]) AS added (key, count) WHERE household_key = added.key",
                (number, self._recorded_at, list(added), list(added.values())),
            )
        # A household without lines, because all are refused, is not stored.
        keys = list(set(self._keys.values()))
        if len(added) < len(keys):
            await self._cursor.execute(
                "DELETE FROM household WHERE household_key = ANY(%s) AND change_number = 0", (keys,)
            )
        await self._cursor.execute(
            f"SELECT household_key, {_STATE} FROM household WHERE household_key = ANY(%s)", (keys,)
        )
        states = {row[0]: _state(*row[1:]) for row in await self._cursor.fetchall()}
        return Appended(result, {one: states[key] for one, key in self._keys.items() if key in states})

    async def _lock(self, household_ids: Set[str]) -> None:
        rows = await self._lock_rows(sorted(household_ids))
        while merged := {household_id: target for household_id, _, target in rows if target is not None}:
            self._survivors |= merged
            rows = await self._lock_rows(sorted(set(merged.values())))
        for one, target in self._survivors.items():
            while target in self._survivors:
                target = self._survivors[target]
            self._survivors[one], self._keys[one] = target, self._keys[target]

    async def _lock_rows(self, household_ids: Sequence[str]) -> list[Any]:
        """Id, key and target of a merge of each."""
        # In order, so that two batches don't wait for each other.
        await self._cursor.execute(
            "SELECT household_id, household_key, merged_into FROM household "
            "WHERE tenant_id = %s AND household_id = ANY(%s) ORDER BY household_id FOR UPDATE",
            (self._tenant_id, list(household_ids)),
        )
        rows = await self._cursor.fetchall()
        known = {row[0] for row in rows}
        new = [one for one in household_ids if one not in known]
        if new:
            await self._cursor.execute(
                "INSERT INTO tenant (tenant_id) VALUES (%s) ON CONFLICT DO NOTHING", (self._tenant_id,)
            )
            await self._cursor.execute(
                "INSERT INTO household (tenant_id, household_id, change_number, changed_at) "
                "SELECT %s, one, 0, 0 FROM unnest(%s::text[]) AS one "
                "ON CONFLICT (tenant_id, household_id) DO UPDATE SET household_id = EXCLUDED.household_id "
                "RETURNING household_id, household_key, merged_into, change_number",
                (self._tenant_id, new),
            )
            inserted = await self._cursor.fetchall()
            self._new |= {row[1] for row in inserted if row[3] == 0}
            rows += [row[:3] for row in inserted]
        self._keys |= {row[0]: row[1] for row in rows}
        return rows

    async def _erasures(self, digest: Digest, household_ids: Set[str], consent: bool) -> dict[str, list[Erasure]]:
        digests = {
            one: [digest(Household(self._tenant_id, name)) for name in {one, self._survivors.get(one, one)}]
            for one in household_ids
        }
        wanted = [one for of_household in digests.values() for one in of_household]
        if consent:
            await self._cursor.execute(
                "UPDATE erasure SET consented_at = %s WHERE digest = ANY(%s) AND consented_at IS NULL",
                (self._recorded_at, wanted),
            )
        await self._cursor.execute(
            "SELECT digest, erased_at, consented_at FROM erasure WHERE digest = ANY(%s)", (wanted,)
        )
        found = {bytes(row[0]): Erasure(*row) for row in await self._cursor.fetchall()}
        return (
            {one: [found[name] for name in names if name in found] for one, names in digests.items()} if found else {}
        )

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


class _Merge:
    """A merge, within a transaction."""

    def __init__(self, cursor: Cursor, digest: Digest, merged_at: int, actor: str) -> None:
        self._cursor = cursor
        self._digest = digest
        self._merged_at = merged_at
        self._actor = actor

    async def run(self, household: Household, merged_id: str) -> Merged | MergeRefusal:
        cursor, tenant_id = self._cursor, household.tenant_id
        merged = Household(tenant_id, merged_id)
        # One merge of a tenant at a time, so that its order of locks does not matter.
        await postgresql_subscriptions.lock(cursor, Household(tenant_id, ""))
        survivor = await postgresql_subscriptions.resolved(cursor, household)
        source = await postgresql_subscriptions.resolved(cursor, merged)
        for one in sorted({survivor, source}):
            await postgresql_subscriptions.lock(cursor, one)
        await cursor.execute("INSERT INTO tenant (tenant_id) VALUES (%s) ON CONFLICT DO NOTHING", (tenant_id,))
        keys = {one: await _lock_household(cursor, one) for one in sorted({survivor, source})}
        digests = [self._digest(one) for one in {household, survivor, source, merged}]
        await cursor.execute("SELECT 1 FROM erasure WHERE digest = ANY(%s) AND consented_at IS NULL", (digests,))
        if await cursor.fetchone() is not None:
            return MergeRefusal.ERASED
        if survivor == source:
            return await self._repeated(survivor, merged)
        return await self._move(survivor, source, keys[survivor], keys[source])

    async def _repeated(self, survivor: Household, merged: Household) -> Merged | MergeRefusal:
        await self._cursor.execute(
            f"SELECT {_MERGE} FROM household_merge WHERE tenant_id = %s AND household_id = %s", merged
        )
        row = await self._cursor.fetchone()
        if row is None or merged == survivor:
            return MergeRefusal.SAME
        state = await self._cleaned(survivor)
        return Merged(survivor.household_id, Merge(*row), False, 0, 0, state)

    async def _move(self, survivor: Household, source: Household, to_key: int, from_key: int) -> Merged | MergeRefusal:
        cursor = self._cursor
        offers, subscriptions = await postgresql_subscriptions.move(cursor, source, survivor)
        await cursor.execute("SELECT line_count, change_number FROM household WHERE household_key = %s", (from_key,))
        moved, from_number = await _one(cursor)
        await cursor.execute("SELECT change_number FROM household WHERE household_key = %s", (to_key,))
        (to_number,) = await _one(cursor)
        if not from_number and not offers and not subscriptions:
            return MergeRefusal.UNKNOWN
        number = await _next_change(cursor)
        if from_number:
            await cursor.execute(
                "UPDATE purchase_line SET household_key = %s WHERE household_key = %s", (to_key, from_key)
            )
            await cursor.execute(_CHANGE, (number, self._merged_at, moved, to_key))
        await cursor.execute(
            "UPDATE household SET change_number = %s, changed_by = pg_current_xact_id(), changed_at = %s, "
            "line_count = 0, merged_into = %s WHERE household_key = %s OR (tenant_id = %s AND merged_into = %s)",
            (number, self._merged_at, survivor.household_id, from_key, *source),
        )
        merge = Merge(source.household_id, survivor.household_id, self._merged_at, self._actor, moved)
        await cursor.execute(
            f"INSERT INTO household_merge (tenant_id, {_MERGE}) VALUES (%s, %s, %s, %s, %s, %s)",
            (source.tenant_id, *merge),
        )
        if from_number and to_number:
            await _use(cursor, source.tenant_id, 0, Usage(-1, 0, 0))
        state = await self._cleaned(survivor)
        return Merged(survivor.household_id, merge, True, offers, subscriptions, state)

    async def _cleaned(self, survivor: Household) -> HouseholdState | None:
        # The row of a household without lines was only a lock.
        await self._cursor.execute(_DELETE_UNCHANGED, survivor)
        found = await _household(self._cursor, survivor)
        return None if found is None else found[1]


def _refusal(one: LineOf, erasures: Mapping[str, Sequence[Erasure]]) -> Outcome | None:
    entries = erasures.get(one.household_id, ())
    is_refused = any(entry.refuses(one.line.occurred_on, day_of(entry.erased_at)) for entry in entries)
    return Outcome.ERASED if is_refused else None


def _columns(rows: Sequence[Sequence[Any]], count: int) -> list[list[Any]]:
    """Columns of rows, as arrays."""
    return [list(column) for column in zip(*rows, strict=True)] if rows else [[] for _ in range(count)]


async def _name_tenant(cursor: Cursor, tenant_id: str) -> None:
    await cursor.execute("SELECT set_config('pantree.tenant', %s, true)", (f"={tenant_id}",))


async def _household(cursor: Cursor, household: Household, *, lock: bool = False) -> tuple[int, HouseholdState] | None:
    """Key and state of a household, or of the one that it was merged into."""
    await cursor.execute(f"{_HOUSEHOLD} FOR UPDATE" if lock else _HOUSEHOLD, household)
    row = await cursor.fetchone()
    if row is not None and row[-1] is not None:
        return await _household(cursor, Household(household.tenant_id, row[-1]), lock=lock)
    return None if row is None else (row[0], _state(*row[1:]))


def _state(
    household_id: str, change_number: int, changed_at: int, line_count: int, merged_into: str | None
) -> HouseholdState:
    version = version_of(change_number, changed_at)
    return HouseholdState(household_id, version, line_count, changed_at, merged_into or "")


async def _count_usage(cursor: Cursor, tenant_id: str) -> None:
    await cursor.execute(
        "INSERT INTO tenant_usage (tenant_id, customer_count, line_count, day, day_line_count) "
        "SELECT %s, count(*), coalesce(sum(line_count), 0), 0, 0 FROM household "
        "WHERE tenant_id = %s AND merged_into IS NULL "
        "ON CONFLICT (tenant_id) DO UPDATE SET customer_count = EXCLUDED.customer_count, "
        "line_count = EXCLUDED.line_count",
        (tenant_id, tenant_id),
    )


async def _use(cursor: Cursor, tenant_id: str, day: int, change: Usage) -> Usage | None:
    """Records what a tenant with quotas stores more or less; what it stores now, or None if it never had quotas.

    Args:
        cursor: within a transaction.
        tenant_id: the tenant.
        day: today; 0 if no lines are new.
        change: the difference.
    """
    await cursor.execute(
        "UPDATE tenant_usage SET customer_count = customer_count + %s, line_count = line_count + %s, "
        "day_line_count = CASE WHEN day = %s OR %s = 0 THEN day_line_count ELSE 0 END + %s, "
        "day = CASE WHEN %s = 0 THEN day ELSE %s END WHERE tenant_id = %s "
        "RETURNING customer_count, line_count, day_line_count",
        (change.customers, change.lines, day, day, change.lines_of_day, day, day, tenant_id),
    )
    row = await cursor.fetchone()
    return None if row is None else Usage(*row)


async def _next_change(cursor: Cursor) -> int:
    await cursor.execute("SELECT nextval('change_number')")
    number: int = (await _one(cursor))[0]
    return number


async def _one(cursor: Cursor) -> Any:
    row = await cursor.fetchone()
    assert row is not None
    return row


async def _lock_household(cursor: Cursor, household: Household) -> int:
    """Waits for other calls in flight that change a household, also if it is new; its key."""
    await cursor.execute(
        "INSERT INTO household (tenant_id, household_id, change_number, changed_at) VALUES (%s, %s, 0, 0) "
        "ON CONFLICT (tenant_id, household_id) DO UPDATE SET household_id = EXCLUDED.household_id "
        "RETURNING household_key",
        household,
    )
    key: int
    (key,) = await _one(cursor)
    return key


async def _lock_all_ids(cursor: Cursor, household: Household) -> list[Household]:
    """The household that a household is part of, locked, and all that were merged into it."""
    survivor = household
    while True:
        await _lock_household(cursor, survivor)
        target = await postgresql_subscriptions.resolved(cursor, survivor)
        if target == survivor:
            break
        survivor = target
    await cursor.execute(
        "SELECT household_id FROM household WHERE tenant_id = %s AND merged_into = %s ORDER BY household_id", survivor
    )
    return [survivor, *(Household(household.tenant_id, one) for (one,) in await cursor.fetchall())]


async def _enter(cursor: Cursor, digest: bytes, erased_at: int) -> tuple[int, Erasure]:
    """Enters an erasure, also of someone who consented again; its position and the entry."""
    await cursor.execute(
        "INSERT INTO erasure (digest, erased_at) VALUES (%s, %s) ON CONFLICT (digest) DO UPDATE SET "
        "erased_at = CASE WHEN erasure.consented_at IS NULL THEN erasure.erased_at "
        "ELSE EXCLUDED.erased_at END, position = DEFAULT, consented_at = NULL "
        "RETURNING position, digest, erased_at, consented_at",
        (digest, erased_at),
    )
    position, *entry = await _one(cursor)
    return position, Erasure(*entry)


async def _remove(cursor: Cursor, household: Household) -> int:
    key = await _lock_household(cursor, household)
    await cursor.execute("DELETE FROM purchase_line WHERE household_key = %s", (key,))
    removed = cursor.rowcount
    await cursor.execute(
        "DELETE FROM household WHERE household_key = %s RETURNING line_count, change_number, merged_into", (key,)
    )
    line_count, change_number, merged_into = await _one(cursor)
    if change_number and merged_into is None:
        await _use(cursor, household.tenant_id, 0, Usage(-1, -line_count, 0))
    await cursor.execute("DELETE FROM household_merge WHERE tenant_id = %s AND household_id = %s", household)
    return removed


async def _expire(cursor: Cursor, tenant_id: str, keys: Sequence[int], first_day: int, now: int) -> Expired:
    """Removes old lines of households; a household that has none left is no longer stored."""
    # In the order in which other calls lock them.
    await cursor.execute(
        "SELECT FROM household WHERE household_key = ANY(%s) ORDER BY household_id FOR UPDATE", (list(keys),)
    )
    await cursor.execute(
        "DELETE FROM purchase_line WHERE household_key = ANY(%s) AND occurred_on < %s "
        "RETURNING household_key, superseded_at IS NULL",
        (list(keys), first_day),
    )
    gone = await cursor.fetchall()
    current = Counter({key: 0 for key, _ in gone})
    current.update(key for key, is_current in gone if is_current)
    number = await _next_change(cursor)
    await cursor.execute(
        "UPDATE household SET change_number = %s, changed_by = pg_current_xact_id(), changed_at = %s, "
        "line_count = line_count - gone.count "
        "FROM unnest(%s::int8[], %s::int4[]) AS gone (key, count) WHERE household_key = gone.key",
        (number, now, list(current), list(current.values())),
    )
    await cursor.execute(
        "DELETE FROM household WHERE household_key = ANY(%s) AND NOT EXISTS "
        "(SELECT FROM purchase_line AS line WHERE line.household_key = household.household_key)",
        (list(current),),
    )
    removed = cursor.rowcount
    await _use(cursor, tenant_id, 0, Usage(-removed, -current.total(), 0))
    return Expired(len(gone), len(current), removed)


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


async def _migrate(connection: AsyncConnection[Any], migrations: Sequence[Migration]) -> None:
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
        missing = pending(migrations, applied)
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
