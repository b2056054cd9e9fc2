"""Purchases in a SQLite file, and the ledger of erasures in another.

One connection writes, in a thread of its own; others read at the same time, which write-ahead logging allows. A commit
is on disk when it returns (`synchronous=FULL`). Deleted content is overwritten (`secure_delete`).
"""

import asyncio
import functools
import sqlite3
import threading
from collections import Counter
from collections.abc import Callable, Sequence, Set
from concurrent.futures import ThreadPoolExecutor
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar

from pantree_history.backends import sqlite_subscriptions, sqlite_webhooks
from pantree_history.backends.migrations import pending, read_migrations
from pantree_history.backends.webhook_scripts import SqlWebhooks, erasure_of
from pantree_history.core.limits import Limits, Usage
from pantree_history.core.lines import COLUMNS, Line, LineKey, Revision, day_of, make_line
from pantree_history.core.store import (
    EXPIRED_PER_TRANSACTION,
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
    unavailable,
    version_of,
)
from pantree_runtime.errors import ComponentUnavailable

MEMORY = ":memory:"
_READERS = 4
# Another process may hold the lock: a backup, or a second service during a restart.
_BUSY_SECONDS = 10.0
# For a few hundred lines each.
_CACHED_STATEMENTS = 64

_CONTENT = ", ".join(COLUMNS)
_INSERT = (
    f"INSERT INTO purchase_line ({_CONTENT}, household_key, tenant_id, revision, recorded_at) "
    f"VALUES ({', '.join('?' * len(COLUMNS))}, ?, ?, ?, ?)"
)
# The content that the line was stored with, and the current one.
_FIND = (
    f"SELECT household_key, {_CONTENT} FROM purchase_line WHERE tenant_id = ? AND order_id = ? AND line_id = ? "
    "AND (revision = 1 OR superseded_at IS NULL) ORDER BY revision"
)
_COUNT_LINES = "SELECT line_count FROM household WHERE household_key = ?"
_FIND_ALL = f"SELECT {_CONTENT} FROM purchase_line WHERE household_key = ? AND (revision = 1 OR superseded_at IS NULL)"
_CHANGE = "UPDATE household SET change_number = ?, changed_at = ?, line_count = line_count + ? WHERE household_key = ?"
_STATE = "household_id, change_number, changed_at, line_count, merged_into"
_MERGE = "household_id, merged_into, merged_at, actor, moved_line_count"
_ORDER = "ORDER BY occurred_on, order_id, line_id"

ResultT = TypeVar("ResultT")


class SqliteStore(HistoryStore):
    """Stores purchases in a file.

    Args:
        path: the file; `:memory:` to lose everything at the end.
        ledger_path: file of the ledger; by default next to it.
    """

    def __init__(self, path: Path | str, ledger_path: Path | str | None = None) -> None:
        self._path = str(path)
        self._is_memory = self._path == MEMORY
        usual_path = MEMORY if self._is_memory else str(Path(path).with_suffix(".erasures.db"))
        self._ledger_path = usual_path if ledger_path is None else str(ledger_path)
        self._writer: sqlite3.Connection | None = None
        self._write_thread = ThreadPoolExecutor(1, thread_name_prefix="history-writer")
        # A database in memory belongs to one connection.
        readers = 1 if self._is_memory else _READERS
        self._read_threads = (
            self._write_thread if self._is_memory else ThreadPoolExecutor(readers, thread_name_prefix="history-reader")
        )
        self._local = threading.local()
        self._readers: list[sqlite3.Connection] = []
        self.subscriptions = sqlite_subscriptions.SqliteSubscriptions(self._read, self._write)
        self.webhooks = SqlWebhooks(sqlite_webhooks.SqliteWebhooks(self._read, self._write))

    @property
    def ledger_path(self) -> str:
        """File of the ledger of erasures."""
        return self._ledger_path

    async def open(self) -> None:
        await self._write(_prepare)

    async def close(self) -> None:
        def close_all() -> None:
            for connection in (*self._readers, *([self._writer] if self._writer else [])):
                connection.close()

        await asyncio.get_running_loop().run_in_executor(self._write_thread, close_all)
        self._write_thread.shutdown()
        self._read_threads.shutdown()

    async def check(self) -> str:
        try:
            await self._read(lambda connection: connection.execute("SELECT value FROM counter").fetchone())
        except ComponentUnavailable as error:
            return error.remedy or error.message
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
        def append(connection: sqlite3.Connection) -> Appended:
            appending = _Append(connection, tenant_id, recorded_at, limits)
            appended = appending.run(lines, digest, whole, consent, dry_run)
            if progress is not None:
                connection.execute(
                    "INSERT INTO import_progress (tenant_id, import_id, next_row, recorded_at) VALUES (?, ?, ?, ?) "
                    "ON CONFLICT (tenant_id, import_id) DO UPDATE SET next_row = max(next_row, excluded.next_row), "
                    "recorded_at = excluded.recorded_at",
                    (tenant_id, *progress, recorded_at),
                )
            return appended

        return await self._write(append)

    async def next_row(self, tenant_id: str, import_id: str) -> int:
        def read(connection: sqlite3.Connection) -> int:
            row = connection.execute(
                "SELECT next_row FROM import_progress WHERE tenant_id = ? AND import_id = ?", (tenant_id, import_id)
            ).fetchone()
            return 0 if row is None else int(row[0])

        return await self._read(read)

    async def changed(self, tenant_id: str, position: tuple[int, int], limit: int) -> Changes:
        def read(connection: sqlite3.Connection) -> Changes:
            rows = connection.execute(
                f"SELECT {_STATE}, household_key FROM household "
                "WHERE tenant_id = ? AND (change_number, household_key) > (?, ?) "
                "ORDER BY change_number, household_key LIMIT ?",
                (tenant_id, *position, limit),
            ).fetchall()
            return Changes([_state(*row[:-1]) for row in rows], (rows[-1][1], rows[-1][-1]) if rows else position)

        return await self._read(read)

    async def correct(
        self, household: Household, lines: Sequence[Line], removed: Sequence[LineKey], recorded_at: int
    ) -> Corrected | None:
        return await self._write(lambda connection: _correct(connection, household, lines, removed, recorded_at))

    async def lines(self, household: Household, known_at: int | None) -> StoredLines | None:
        def read(connection: sqlite3.Connection) -> StoredLines | None:
            found = _household(connection, household)
            if found is None:
                return None
            key, state = found
            condition, values = (
                ("superseded_at IS NULL", ())
                if known_at is None
                else ("recorded_at <= ? AND (superseded_at IS NULL OR superseded_at > ?)", (known_at, known_at))
            )
            rows = connection.execute(
                f"SELECT {_CONTENT} FROM purchase_line WHERE household_key = ? AND {condition} {_ORDER}",
                (key, *values),
            )
            return StoredLines(state, list(map(make_line, rows)))

        return await self._read(read)

    async def revisions(self, household: Household) -> StoredRevisions | None:
        def read(connection: sqlite3.Connection) -> StoredRevisions | None:
            found = _household(connection, household)
            if found is None:
                return None
            key, state = found
            rows = connection.execute(
                f"SELECT {_CONTENT}, revision, recorded_at, superseded_at FROM purchase_line "
                f"WHERE household_key = ? {_ORDER}, revision",
                (key,),
            )
            return StoredRevisions(state, [Revision(make_line(row[:-3]), *row[-3:]) for row in rows])

        return await self._read(read)

    async def households(self, tenant_id: str, after: str, limit: int) -> Sequence[HouseholdState]:
        def read(connection: sqlite3.Connection) -> Sequence[HouseholdState]:
            rows = connection.execute(
                f"SELECT {_STATE} FROM household "
                "WHERE tenant_id = ? AND household_id > ? AND merged_into IS NULL ORDER BY household_id LIMIT ?",
                (tenant_id, after, limit),
            )
            return [_state(*row) for row in rows]

        return await self._read(read)

    async def merges(self, household: Household) -> Sequence[Merge]:
        def read(connection: sqlite3.Connection) -> Sequence[Merge]:
            rows = connection.execute(
                f"SELECT {_MERGE} FROM household_merge WHERE tenant_id = ? AND household_id IN (SELECT household_id "
                "FROM household WHERE tenant_id = ? AND merged_into = ?) ORDER BY merged_at, household_id",
                (household.tenant_id, *sqlite_subscriptions.resolved(connection, household)),
            )
            return list(map(Merge._make, rows))

        return await self._read(read)

    async def merge(
        self, household: Household, merged_id: str, digest: Digest, merged_at: int, actor: str
    ) -> Merged | MergeRefusal:
        return await self._write(lambda connection: _merge(connection, household, merged_id, digest, merged_at, actor))

    async def tenants(self) -> Sequence[str]:
        def read(connection: sqlite3.Connection) -> Sequence[str]:
            rows = connection.execute(
                "SELECT tenant_id FROM household UNION SELECT tenant_id FROM import_progress ORDER BY tenant_id"
            )
            return [one for (one,) in rows]

        return await self._read(read)

    async def expire(self, tenant_id: str, first_day: int, now: int, *, dry_run: bool = False) -> Expired:
        def find(connection: sqlite3.Connection) -> list[Any]:
            return connection.execute(
                "SELECT household_key, count(*) FILTER (WHERE occurred_on < ?), count(*) FROM purchase_line "
                "WHERE tenant_id = ? GROUP BY household_key HAVING min(occurred_on) < ?",
                (first_day, tenant_id, first_day),
            ).fetchall()

        found = await self._read(find)
        if dry_run:
            return Expired(sum(old for _, old, _ in found), len(found), sum(old == count for _, old, count in found))
        expired = Expired(0, 0, 0)
        keys = [key for key, _, _ in found]
        for first in range(0, len(keys), EXPIRED_PER_TRANSACTION):
            batch = keys[first : first + EXPIRED_PER_TRANSACTION]
            removed = await self._write(functools.partial(_expire, keys=batch, first_day=first_day, now=now))
            expired = Expired(*(a + b for a, b in zip(expired, removed, strict=True)))
        return expired

    async def oldest_day(self, tenant_id: str) -> int | None:
        def read(connection: sqlite3.Connection) -> int | None:
            sql = "SELECT min(occurred_on) FROM purchase_line WHERE tenant_id = ?"
            (day,) = connection.execute(sql, (tenant_id,)).fetchone()
            return day  # type: ignore[no-any-return] # a number or NULL

        return await self._read(read)

    async def clock(self, tenant_id: str, start: int) -> int:
        def find(connection: sqlite3.Connection) -> Any:
            return connection.execute("SELECT now FROM tenant_clock WHERE tenant_id = ?", (tenant_id,)).fetchone()

        def begin(connection: sqlite3.Connection) -> Any:
            connection.execute("INSERT OR IGNORE INTO tenant_clock (tenant_id, now) VALUES (?, ?)", (tenant_id, start))
            return find(connection)

        return int((await self._read(find) or await self._write(begin))[0])

    async def set_clock(self, tenant_id: str, now: int) -> None:
        sql = "UPDATE tenant_clock SET now = ? WHERE tenant_id = ? AND now < ?"
        await self._write(lambda connection: connection.execute(sql, (now, tenant_id, now)))

    async def tidy(self, tenant_id: str, progress_until: int) -> None:
        def tidy(connection: sqlite3.Connection) -> None:
            connection.execute(
                "DELETE FROM import_progress WHERE tenant_id = ? AND recorded_at < ?", (tenant_id, progress_until)
            )
            if _usage(connection, tenant_id, 0, False) is not None:
                _count_usage(connection, tenant_id)

        await self._write(tidy)

    async def compact(self) -> None:
        def checkpoint() -> None:
            if self._writer is not None:
                for database in ("main", "ledger"):
                    self._writer.execute(f"PRAGMA {database}.wal_checkpoint(TRUNCATE)").fetchall()

        await self._run(self._write_thread, checkpoint)

    async def erase(self, household: Household, digest: Digest, erased_at: int) -> Erased:
        def enter(connection: sqlite3.Connection) -> tuple[list[Household], list[tuple[int, Erasure]]]:
            ids = _all_ids(connection, household)
            return ids, [_enter(connection, digest(one), erased_at) for one in ids]

        # Two transactions: the ledger is on disk before anything is destroyed. From then on, nothing is merged with it.
        ids, entered = await self._write(enter)
        positions = sorted(position for position, _ in entered)
        removed = await self._write(lambda connection: _remove(connection, ids, positions, erased_at))
        entry = entered[ids.index(household)][1]
        return Erased(entry, removed, [one.household_id for one in ids if one != household])

    async def replay(self, digest: Digest) -> int:
        return await self._write(lambda connection: _replay(connection, digest))

    async def _read(self, query: Callable[[sqlite3.Connection], ResultT]) -> ResultT:
        def read() -> ResultT:
            if self._is_memory:
                assert self._writer is not None
                return query(self._writer)
            connection = getattr(self._local, "connection", None)
            if connection is None:
                connection = self._local.connection = self._connect()
                connection.execute("PRAGMA query_only = TRUE")
                self._readers.append(connection)
            # One snapshot for all statements.
            connection.execute("BEGIN")
            try:
                return query(connection)
            finally:
                connection.execute("ROLLBACK")

        return await self._run(self._read_threads, read)

    async def _write(self, change: Callable[[sqlite3.Connection], ResultT]) -> ResultT:
        def write() -> ResultT:
            if self._writer is None:
                self._writer = self._connect()
            connection = self._writer
            connection.execute("BEGIN IMMEDIATE")
            try:
                result = change(connection)
                connection.execute("COMMIT")
            except BaseException as error:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                if isinstance(error, _Undone):
                    return error.result  # type: ignore[no-any-return] # of this change
                raise
            return result

        return await self._run(self._write_thread, write)

    async def _run(self, threads: ThreadPoolExecutor, call: Callable[[], ResultT]) -> ResultT:
        try:
            return await asyncio.get_running_loop().run_in_executor(threads, call)
        except (sqlite3.OperationalError, sqlite3.DatabaseError) as error:
            if isinstance(error, sqlite3.IntegrityError | sqlite3.ProgrammingError):
                raise
            raise unavailable(str(error), self._path) from error

    def _connect(self) -> sqlite3.Connection:
        if not self._is_memory:
            Path(self._path).parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(
            self._path,
            timeout=_BUSY_SECONDS,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=_CACHED_STATEMENTS,
        )
        connection.execute("ATTACH DATABASE ? AS ledger", (self._ledger_path,))
        for database in ("main", "ledger"):
            connection.execute(f"PRAGMA {database}.journal_mode = WAL")
            connection.execute(f"PRAGMA {database}.synchronous = FULL")
            connection.execute(f"PRAGMA {database}.secure_delete = TRUE")
        return connection


class _Undone(Exception):
    """Rolls a transaction back and has its result all the same."""

    def __init__(self, result: Any) -> None:
        super().__init__("rolled back")
        self.result = result


class _Append:
    """One call that stores lines, within a transaction."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        tenant_id: str,
        recorded_at: int,
        limits: Limits | None,
    ) -> None:
        self._connection = connection
        self._tenant_id = tenant_id
        self._recorded_at = recorded_at
        self._limits = limits
        self._survivors: dict[str, str] = {}
        """By the id in the request: the household that it means."""
        self._erasures: dict[str, list[Erasure]] = {}
        self._keys: dict[str, int] = {}
        self._new: set[int] = set()
        """Keys of households that were not stored."""

    def run(self, lines: Sequence[LineOf], digest: Digest, whole: bool, consent: bool, dry_run: bool) -> Appended:
        self._resolve({one.household_id for one in lines})
        for household_id, survivor in self._survivors.items():
            names = dict.fromkeys((household_id, survivor))
            entries = [self._erasure(digest(Household(self._tenant_id, one)), consent) for one in names]
            if any(entries):
                self._erasures[household_id] = [one for one in entries if one is not None]
        outcomes = [self._refused(*one) for one in lines] if self._erasures else [None] * len(lines)
        before = _usage(self._connection, self._tenant_id, day_of(self._recorded_at), self._limits is not None)
        if whole and Outcome.ERASED in outcomes:
            raise _Undone(Appended([one or Outcome.DUPLICATE for one in outcomes], {}))
        wanted = [one for one, outcome in zip(lines, outcomes, strict=True) if outcome is None]
        for household_id in dict.fromkeys(one.household_id for one in wanted):
            self._keys[household_id] = self._household_key(household_id)
        stored = iter(self._insert(wanted))
        result = [next(stored) if outcome is None else outcome for outcome in outcomes]
        added = Counter(
            self._keys[one.household_id] for one, outcome in zip(lines, result, strict=True) if outcome is Outcome.ADDED
        )
        if added:
            number = _next_change(self._connection)
            self._connection.executemany(
                _CHANGE, [(number, self._recorded_at, count, key) for key, count in added.items()]
            )
            if before is not None:
                after = _use(
                    self._connection,
                    self._tenant_id,
                    day_of(self._recorded_at),
                    Usage(len(self._new & added.keys()), added.total(), added.total()),
                )
                if self._limits is not None and not (whole and Outcome.CONFLICT in result):
                    after.check(self._limits, before)
        # A household without lines, because all are refused, is not stored.
        self._connection.executemany(
            "DELETE FROM household WHERE household_key = ? AND change_number = 0",
            [(key,) for key in set(self._keys.values()) if key not in added],
        )
        states = {
            household_id: found[1]
            for household_id in self._keys
            if (found := _household(self._connection, Household(self._tenant_id, household_id))) is not None
        }
        appended = Appended(result, states)
        if dry_run or (whole and Outcome.CONFLICT in result):
            raise _Undone(appended)
        return appended

    def _resolve(self, household_ids: Set[str]) -> None:
        has_merges = self._connection.execute(
            "SELECT 1 FROM household_merge WHERE tenant_id = ? LIMIT 1", (self._tenant_id,)
        ).fetchone()
        for one in household_ids:
            household = Household(self._tenant_id, one)
            self._survivors[one] = (
                sqlite_subscriptions.resolved(self._connection, household).household_id if has_merges else one
            )

    def _erasure(self, digest: bytes, consent: bool) -> Erasure | None:
        entry = _erasure(self._connection, digest)
        if entry is None or entry.consented_at is not None or not consent:
            return entry
        self._connection.execute(
            "UPDATE ledger.erasure SET consented_at = ? WHERE digest = ?", (self._recorded_at, digest)
        )
        return entry._replace(consented_at=self._recorded_at)

    def _refused(self, household_id: str, line: Line) -> Outcome | None:
        entries = self._erasures.get(household_id, ())
        is_refused = any(entry.refuses(line.occurred_on, day_of(entry.erased_at)) for entry in entries)
        return Outcome.ERASED if is_refused else None

    def _household_key(self, household_id: str) -> int:
        key: int
        names = (self._tenant_id, self._survivors[household_id])
        row = self._connection.execute(
            "SELECT household_key FROM household WHERE tenant_id = ? AND household_id = ?", names
        ).fetchone()
        if row is None:
            row = self._connection.execute(
                "INSERT INTO household (tenant_id, household_id, change_number, changed_at) VALUES (?, ?, 0, 0) "
                "RETURNING household_key",
                names,
            ).fetchone()
            self._new.add(row[0])
        (key,) = row
        return key

    def _insert(self, lines: Sequence[LineOf]) -> list[Outcome]:
        rows = [
            (*line, self._keys[household_id], self._tenant_id, 1, self._recorded_at) for household_id, line in lines
        ]
        # Usually all lines are new.
        self._connection.execute("SAVEPOINT lines")
        try:
            self._connection.executemany(_INSERT, rows)
            outcomes = [Outcome.ADDED] * len(lines)
        except sqlite3.IntegrityError:
            self._connection.execute("ROLLBACK TO lines")
            same = self._stored_lines(lines)
            outcomes = [
                Outcome.DUPLICATE if one.line in same[one.household_id] else self._insert_one(one, row)
                for one, row in zip(lines, rows, strict=True)
            ]
        self._connection.execute("RELEASE lines")
        return outcomes

    def _stored_lines(self, lines: Sequence[LineOf]) -> dict[str, set[Any]]:
        """Stored lines, as first and as now, of households most of whose lines may be repeated; looked up at once."""
        stored: dict[str, set[Any]] = {}
        for household_id, count in Counter(one.household_id for one in lines).items():
            key = (self._keys[household_id],)
            (known,) = self._connection.execute(_COUNT_LINES, key).fetchone()
            stored[household_id] = set(self._connection.execute(_FIND_ALL, key)) if known < 2 * count else set()
        return stored

    def _insert_one(self, one: LineOf, row: tuple[Any, ...]) -> Outcome:
        stored = self._connection.execute(_FIND, (self._tenant_id, *one.line.key)).fetchall()
        if not stored:
            self._connection.execute(_INSERT, row)
            return Outcome.ADDED
        is_same = (self._keys[one.household_id], *one.line) in stored
        return Outcome.DUPLICATE if is_same else Outcome.CONFLICT


def _correct(
    connection: sqlite3.Connection,
    household: Household,
    lines: Sequence[Line],
    removed: Sequence[LineKey],
    recorded_at: int,
) -> Corrected | None:
    found = _household(connection, household)
    if found is None:
        return None
    key, state = found
    latest = {}
    for one in (*(line.key for line in lines), *removed):
        latest[one] = connection.execute(
            f"SELECT revision, superseded_at, {_CONTENT} FROM purchase_line "
            "WHERE household_key = ? AND order_id = ? AND line_id = ? ORDER BY revision DESC LIMIT 1",
            (key, *one),
        ).fetchone()
    missing = [one for one, row in latest.items() if row is None]
    if missing:
        raise _Undone(Corrected(0, 0, missing, state))
    corrected = removed_count = line_change = 0
    for line in lines:
        revision, superseded_at, *content = latest[line.key]
        if superseded_at is None and tuple(content) == tuple(line):
            continue
        line_change += superseded_at is not None
        _supersede(connection, key, line.key, recorded_at)
        connection.execute(_INSERT, (*line, key, household.tenant_id, revision + 1, recorded_at))
        corrected += 1
    for one in removed:
        if latest[one][1] is None:
            _supersede(connection, key, one, recorded_at)
            removed_count += 1
    if corrected or removed_count:
        connection.execute(
            _CHANGE,
            (_next_change(connection), recorded_at, line_change - removed_count, key),
        )
        _use(connection, household.tenant_id, 0, Usage(0, line_change - removed_count, 0))
        after = _household(connection, household)
        assert after is not None
        state = after[1]
    return Corrected(corrected, removed_count, (), state)


def _supersede(connection: sqlite3.Connection, household_key: int, line: LineKey, recorded_at: int) -> None:
    connection.execute(
        "UPDATE purchase_line SET superseded_at = ? "
        "WHERE household_key = ? AND order_id = ? AND line_id = ? AND superseded_at IS NULL",
        (recorded_at, household_key, *line),
    )


def _usage(connection: sqlite3.Connection, tenant_id: str, day: int, is_needed: bool) -> Usage | None:
    """What a tenant with quotas stores; None if it has none and never had."""
    row = connection.execute(
        "SELECT customer_count, line_count, iif(day = ?, day_line_count, 0) FROM tenant_usage WHERE tenant_id = ?",
        (day, tenant_id),
    ).fetchone()
    if row is None and is_needed:
        _count_usage(connection, tenant_id)
        return _usage(connection, tenant_id, day, False)
    return None if row is None else Usage(*row)


def _count_usage(connection: sqlite3.Connection, tenant_id: str) -> None:
    connection.execute(
        "INSERT INTO tenant_usage (tenant_id, customer_count, line_count, day, day_line_count) "
        "SELECT ?, count(*), coalesce(sum(line_count), 0), 0, 0 FROM household "
        "WHERE tenant_id = ? AND merged_into IS NULL "
        "ON CONFLICT (tenant_id) DO UPDATE SET customer_count = excluded.customer_count, "
        "line_count = excluded.line_count",
        (tenant_id, tenant_id),
    )


def _use(connection: sqlite3.Connection, tenant_id: str, day: int, change: Usage) -> Usage:
    """Records what a tenant with quotas stores more or less, and returns what it stores now.

    Args:
        connection: within a transaction.
        tenant_id: the tenant.
        day: today; 0 if no lines are new.
        change: the difference.
    """
    row = connection.execute(
        "UPDATE tenant_usage SET customer_count = customer_count + ?, line_count = line_count + ?, "
        "day_line_count = iif(day = ? OR ? = 0, day_line_count, 0) + ?, day = iif(? = 0, day, ?) WHERE tenant_id = ? "
        "RETURNING customer_count, line_count, day_line_count",
        (change.customers, change.lines, day, day, change.lines_of_day, day, day, tenant_id),
    ).fetchone()
    return Usage(0, 0, 0) if row is None else Usage(*row)


def _next_change(connection: sqlite3.Connection) -> int:
    number: int
    (number,) = connection.execute(
        "UPDATE counter SET value = value + 1 WHERE name = 'change_number' RETURNING value"
    ).fetchone()
    return number


def _household(connection: sqlite3.Connection, household: Household) -> tuple[int, HouseholdState] | None:
    """Key and state of a household, or of the one that it was merged into."""
    row = connection.execute(
        f"SELECT household_key, {_STATE} FROM household WHERE tenant_id = ? AND household_id = ?",
        household,
    ).fetchone()
    if row is not None and row[-1] is not None:
        return _household(connection, Household(household.tenant_id, row[-1]))
    return None if row is None else (row[0], _state(*row[1:]))


def _all_ids(connection: sqlite3.Connection, household: Household) -> list[Household]:
    """The household that a household is part of, and all that were merged into it."""
    survivor = sqlite_subscriptions.resolved(connection, household)
    rows = connection.execute(
        "SELECT household_id FROM household WHERE tenant_id = ? AND merged_into = ? ORDER BY household_id", survivor
    )
    return [survivor, *(Household(household.tenant_id, one) for (one,) in rows)]


def _state(
    household_id: str, change_number: int, changed_at: int, line_count: int, merged_into: str | None
) -> HouseholdState:
    version = version_of(change_number, changed_at)
    return HouseholdState(household_id, version, line_count, changed_at, merged_into or "")


def _merge(
    connection: sqlite3.Connection,
    household: Household,
    merged_id: str,
    digest: Digest,
    merged_at: int,
    actor: str,
) -> Merged | MergeRefusal:
    tenant_id = household.tenant_id
    survivor, source = (
        sqlite_subscriptions.resolved(connection, household),
        sqlite_subscriptions.resolved(connection, Household(tenant_id, merged_id)),
    )
    for one in {household, survivor, source, Household(tenant_id, merged_id)}:
        entry = _erasure(connection, digest(one))
        if entry is not None and entry.consented_at is None:
            return MergeRefusal.ERASED
    if survivor == source:
        row = connection.execute(
            f"SELECT {_MERGE} FROM household_merge WHERE tenant_id = ? AND household_id = ?", (tenant_id, merged_id)
        ).fetchone()
        if merged_id == source.household_id or row is None:
            return MergeRefusal.SAME
        found = _household(connection, survivor)
        return Merged(survivor.household_id, Merge(*row), False, 0, 0, None if found is None else found[1])
    from_found, to_found = _household(connection, source), _household(connection, survivor)
    was_stored = to_found is not None
    offers, subscriptions = sqlite_subscriptions.move(connection, source, survivor)
    if from_found is None and not offers and not subscriptions:
        return MergeRefusal.UNKNOWN
    number = _next_change(connection)
    moved = 0
    if from_found is not None:
        key, state = from_found
        moved = state.line_count
        if to_found is None:
            connection.execute(
                "INSERT INTO household (tenant_id, household_id, change_number, changed_at) VALUES (?, ?, 0, 0)",
                survivor,
            )
            to_found = _household(connection, survivor)
        assert to_found is not None
        connection.execute("UPDATE purchase_line SET household_key = ? WHERE household_key = ?", (to_found[0], key))
        connection.execute(_CHANGE, (number, merged_at, moved, to_found[0]))
    connection.execute(
        "INSERT INTO household (tenant_id, household_id, change_number, changed_at, merged_into) "
        "VALUES (?, ?, ?, ?, ?) ON CONFLICT (tenant_id, household_id) DO UPDATE SET "
        "change_number = excluded.change_number, changed_at = excluded.changed_at, line_count = 0, "
        "merged_into = excluded.merged_into",
        (*source, number, merged_at, survivor.household_id),
    )
    connection.execute(
        "UPDATE household SET change_number = ?, changed_at = ?, merged_into = ? "
        "WHERE tenant_id = ? AND merged_into = ?",
        (number, merged_at, survivor.household_id, *source),
    )
    merge = Merge(source.household_id, survivor.household_id, merged_at, actor, moved)
    connection.execute(
        f"INSERT INTO household_merge (tenant_id, {_MERGE}) VALUES (?, ?, ?, ?, ?, ?)", (tenant_id, *merge)
    )
    if from_found is not None:
        _use(connection, tenant_id, 0, Usage(-1 if was_stored else 0, 0, 0))
    found = _household(connection, survivor)
    return Merged(survivor.household_id, merge, True, offers, subscriptions, None if found is None else found[1])


def _erasure(connection: sqlite3.Connection, digest: bytes) -> Erasure | None:
    row = connection.execute(
        "SELECT digest, erased_at, consented_at FROM ledger.erasure WHERE digest = ?", (digest,)
    ).fetchone()
    return None if row is None else Erasure(*row)


def _enter(connection: sqlite3.Connection, digest: bytes, erased_at: int) -> tuple[int, Erasure]:
    """Enters an erasure, also of someone who consented again; its position and the entry."""
    known = _erasure(connection, digest)
    if known is not None and known.consented_at is None:
        (position,) = connection.execute("SELECT position FROM ledger.erasure WHERE digest = ?", (digest,)).fetchone()
        return position, known
    # A new position, so that a restored database applies it again.
    connection.execute("DELETE FROM ledger.erasure WHERE digest = ?", (digest,))
    (position,) = connection.execute(
        "INSERT INTO ledger.erasure (digest, erased_at) VALUES (?, ?) RETURNING position", (digest, erased_at)
    ).fetchone()
    return position, Erasure(digest, erased_at)


def _remove(
    connection: sqlite3.Connection, households: Sequence[Household], positions: Sequence[int], erased_at: int
) -> int:
    for position in positions:
        connection.execute(
            "UPDATE counter SET value = ? WHERE name = 'ledger_position' AND value = ? - 1", (position, position)
        )
    removed = 0
    for household in households:
        sqlite_subscriptions.remove(connection, household)
        sqlite_webhooks.execute(connection, erasure_of(household, erased_at))
        row = connection.execute(
            "SELECT line_count FROM household WHERE tenant_id = ? AND household_id = ? AND merged_into IS NULL",
            household,
        ).fetchone()
        if row is not None:
            _use(connection, household.tenant_id, 0, Usage(-1, -row[0], 0))
        removed += connection.execute(
            "DELETE FROM purchase_line WHERE household_key = "
            "(SELECT household_key FROM household WHERE tenant_id = ? AND household_id = ?)",
            household,
        ).rowcount
        connection.execute("DELETE FROM household WHERE tenant_id = ? AND household_id = ?", household)
        connection.execute("DELETE FROM household_merge WHERE tenant_id = ? AND household_id = ?", household)
    return removed


def _expire(connection: sqlite3.Connection, keys: Sequence[int], first_day: int, now: int) -> Expired:
    """Removes old lines of households; a household that has none left is no longer stored."""
    revisions = households = removed = 0
    number = _next_change(connection)
    for key in keys:
        row = connection.execute(
            "SELECT tenant_id, line_count FROM household WHERE household_key = ?", (key,)
        ).fetchone()
        # Counted first: `RETURNING superseded_at IS NULL` is wrong in SQLite 3.40.
        gone, current = connection.execute(
            "SELECT count(*), count(*) FILTER (WHERE superseded_at IS NULL) FROM purchase_line "
            "WHERE household_key = ? AND occurred_on < ?",
            (key, first_day),
        ).fetchone()
        if not gone:
            continue
        connection.execute("DELETE FROM purchase_line WHERE household_key = ? AND occurred_on < ?", (key, first_day))
        connection.execute(_CHANGE, (number, now, -current, key))
        is_removed = connection.execute(
            "DELETE FROM household WHERE household_key = ? AND NOT EXISTS "
            "(SELECT 1 FROM purchase_line AS line WHERE line.household_key = household.household_key)",
            (key,),
        ).rowcount
        _use(connection, row[0], 0, Usage(-is_removed, -current, 0))
        revisions, households, removed = revisions + gone, households + 1, removed + is_removed
    return Expired(revisions, households, removed)


def _replay(connection: sqlite3.Connection, digest: Digest) -> int:
    (applied,) = connection.execute("SELECT value FROM counter WHERE name = 'ledger_position'").fetchone()
    entries = {
        entry: (position, erased_at)
        for entry, position, erased_at in connection.execute(
            "SELECT digest, position, erased_at FROM ledger.erasure WHERE position > ?", (applied,)
        )
    }
    if not entries:
        return 0
    erased = set()
    for household in sqlite_subscriptions.households(connection):
        entry = entries.get(digest(household))
        if entry is not None and sqlite_subscriptions.remove(connection, household, entry[1]):
            erased.add(household)
    for key, *names in connection.execute("SELECT household_key, tenant_id, household_id FROM household").fetchall():
        found = entries.get(digest(Household(*names)))
        if found is None:
            continue
        count = connection.execute(
            "DELETE FROM purchase_line WHERE household_key = ? AND recorded_at <= ?", (key, found[1])
        ).rowcount
        if count:
            erased.add(Household(*names))
        connection.execute(
            "DELETE FROM household_merge WHERE tenant_id = ? AND household_id = ? AND merged_at <= ?",
            (*names, found[1]),
        )
        connection.execute(
            "UPDATE household SET line_count = (SELECT count(*) FROM purchase_line AS line "
            "WHERE line.household_key = household.household_key AND superseded_at IS NULL) WHERE household_key = ?",
            (key,),
        )
        connection.execute(
            "DELETE FROM household WHERE household_key = ? "
            "AND NOT EXISTS (SELECT 1 FROM purchase_line AS line WHERE line.household_key = household.household_key)",
            (key,),
        )
    for household in sorted(erased):
        sqlite_webhooks.execute(connection, erasure_of(household, entries[digest(household)][1]))
    (last,) = connection.execute("SELECT max(position) FROM ledger.erasure").fetchone()
    connection.execute("UPDATE counter SET value = ? WHERE name = 'ledger_position'", (last,))
    return len(erased)


def _prepare(connection: sqlite3.Connection) -> None:
    """Migrates the schema."""
    connection.execute(
        "CREATE TABLE IF NOT EXISTS schema_migration (number INTEGER PRIMARY KEY, name TEXT NOT NULL, "
        "checksum TEXT NOT NULL) STRICT"
    )
    applied = dict(connection.execute("SELECT number, checksum FROM schema_migration"))
    for migration in pending(read_migrations("sqlite"), applied):
        for statement in _statements(migration.sql):
            connection.execute(statement)
        connection.execute(
            "INSERT INTO schema_migration (number, name, checksum) VALUES (?, ?, ?)",
            (migration.number, migration.name, migration.checksum),
        )
    ledger = resources.files(__package__).joinpath("migrations", "sqlite", "ledger.sql").read_text(encoding="utf-8")
    for statement in _statements(ledger):
        connection.execute(statement)


def _statements(sql: str) -> list[str]:
    """The statements of a script; `executescript` would commit the transaction."""
    lines = [line for line in sql.splitlines() if not line.lstrip().startswith("--")]
    return [statement for statement in "\n".join(lines).split(";") if statement.strip()]
