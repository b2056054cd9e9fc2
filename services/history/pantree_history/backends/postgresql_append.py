"""Appends lines in PostgreSQL.

The server refuses COPY into tables with row-level security, so many lines are copied into a temporary table first.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence, Set
from typing import Any

from psycopg import AsyncConnection, AsyncCursor
from psycopg.errors import UniqueViolation

from pantree_history.backends.postgresql_transaction import (
    STATE,
    Transaction,
    columns,
    count_usage,
    state_of,
    use,
    used,
)
from pantree_history.core.limits import Limits, Usage
from pantree_history.core.lines import COLUMNS, day_of
from pantree_history.core.store import (
    Digest,
    Erasure,
    Household,
    HouseholdState,
    LineOf,
    Outcome,
    Progress,
    version_of,
)

# From this number of lines on, COPY is faster than arrays.
_MIN_COPIED_LINES = 500

TYPES = (
    "text", "text", "int4", "text", "text", "text", "text", "int4", "float8", "float8", "text", "float8", "text",
    "text", "text", "text",
)  # fmt: skip
"""Of the columns of a line."""
CONTENT = ", ".join(COLUMNS)
"""Columns of a line."""
TARGET = f"purchase_line ({CONTENT}, household_key, tenant_id, revision, recorded_at)"
_NEW_LINES = f"SELECT {CONTENT}, household_key, %s, 1, %s FROM"
_INSERT = (
    f"INSERT INTO {TARGET} {_NEW_LINES} unnest("
    f"{', '.join(f'%s::{kind}[]' for kind in (*TYPES, 'int8'))}) AS line ({CONTENT}, household_key) "
    "ON CONFLICT DO NOTHING RETURNING order_id, line_id"
)
# The content that each line was stored with, and the current one.
_FIND = (
    f"SELECT household_key, {CONTENT} FROM purchase_line WHERE tenant_id = %s AND (order_id, line_id) IN "
    "(SELECT * FROM unnest(%s::text[], %s::text[])) AND (revision = 1 OR superseded_at IS NULL)"
)
_KEY = ("order_id", "line_id")
_CONTENT = ("household_key", *(name for name in COLUMNS if name not in _KEY))
_STAGE = (
    "CREATE TEMPORARY TABLE stage (position int4, household_key int8, "
    + ", ".join(f"{name} {kind}" + ' COLLATE "C"' * (name in _KEY) for name, kind in zip(COLUMNS, TYPES, strict=True))
    + ") ON COMMIT DROP"
)
_COPY = f"COPY stage (position, household_key, {CONTENT}) FROM STDIN (FORMAT BINARY)"
_INSERT_STAGED = f"INSERT INTO {TARGET} {_NEW_LINES} stage"
# OFFSET makes the server look up each line in the index, however little it knows about the size of these tables.
_STORED = (
    "EXISTS (SELECT FROM purchase_line AS line WHERE line.tenant_id = %s "
    "AND line.order_id = stage.order_id AND line.line_id = stage.line_id"
)
# Staged lines that are stored with the same content, now or at first.
_FIND_SAME = (
    f"SELECT array_agg(position) FROM stage WHERE {_STORED} AND (line.revision = 1 OR line.superseded_at IS NULL) "
    f"AND ({', '.join(f'line.{name}' for name in _CONTENT)}) "
    f"IS NOT DISTINCT FROM ({', '.join(f'stage.{name}' for name in _CONTENT)}) OFFSET 0)"
)
# The first staged line of each key that is not stored.
_FIND_NEW = (
    "SELECT array_agg(position) FROM (SELECT min(position) AS position FROM stage "
    f"WHERE NOT {_STORED} OFFSET 0) GROUP BY order_id, line_id) AS new"
)


class Append:
    """One call that stores lines.

    Args:
        transaction: of the tenant.
        tenant_id: the tenant.
        digest: keyed hash of a household.
        recorded_at: now.
    """

    def __init__(self, transaction: Transaction, tenant_id: str, digest: Digest, recorded_at: int) -> None:
        self._transaction = transaction
        self._tenant_id = tenant_id
        self._digest = digest
        self._recorded_at = recorded_at
        self._rows: dict[str, Any] = {}
        """By id: key, change number, state columns of the locked households."""
        self._survivors: dict[str, str] = {}
        """By the id in the request: the household that it was merged into, if it was."""
        self._entries: dict[str, Erasure] = {}
        """By id: entries of the ledger."""
        self._household_ids: Iterable[str] = ()
        self._changed: AsyncCursor[Any] | None = None
        """Gets the new change numbers, by key of the household."""
        self._added: Counter[int] = Counter()
        """Number of new lines, by key of the household."""

    async def run(self, lines: Sequence[LineOf], consent: bool) -> Sequence[Outcome]:
        """Stores those lines that can be stored; the outcome of each."""
        household_ids = dict.fromkeys(one.household_id for one in lines)
        # An erasure waits for these locks, so either it removes these lines, or they see its entry. So does a merge.
        erasures = await self._lock(household_ids.keys(), consent)
        keys = {one: self._rows[self._survivors.get(one, one)][0] for one in household_ids}
        outcomes = [_refusal(one, erasures) for one in lines] if erasures else [None] * len(lines)
        wanted = [one for one, outcome in zip(lines, outcomes, strict=True) if outcome is None] if erasures else lines
        stored = await self._insert(wanted, keys)
        rest = iter(stored)
        result = [next(rest) if outcome is None else outcome for outcome in outcomes] if erasures else stored
        added = self._added = Counter(
            keys[one.household_id] for one, outcome in zip(lines, result, strict=True) if outcome is Outcome.ADDED
        )
        # A household without lines, because all are refused, is not stored.
        unused = [row[0] for row in self._rows.values() if not row[2] and row[0] not in added]
        if unused:
            await self._transaction.execute(
                "DELETE FROM household WHERE household_key = ANY(%s) AND change_number = 0", (unused,)
            )
        self._household_ids = household_ids
        if added:
            self._changed = await self._transaction.execute(
                "UPDATE household SET change_number = (SELECT nextval('change_number')), "
                "changed_by = pg_current_xact_id(), changed_at = %s, line_count = line_count + added.count "
                "FROM unnest(%s::int8[], %s::int4[]) AS added (key, count) WHERE household_key = added.key "
                "RETURNING household_key, change_number",
                (self._recorded_at, list(added), list(added.values())),
            )
        return result

    async def states(self) -> dict[str, HouseholdState]:
        """States of the households, by the id in the request, as far as they are stored; after the transaction."""
        numbers = {} if self._changed is None else dict(await self._changed.fetchall())
        states = {one: self._state(one, numbers) for one in self._household_ids}
        return {one: state for one, state in states.items() if state is not None}

    async def use(self, limits: Limits | None) -> None:
        """Records what the tenant stores more, and checks its quotas.

        Raises:
            QuotaExceeded: it exceeds a limit.
        """
        if not self._added:
            return
        transaction, tenant_id, count = self._transaction, self._tenant_id, self._added.total()
        new = sum(not row[2] and row[0] in self._added for row in self._rows.values())
        change, day = Usage(new, count, count), day_of(self._recorded_at)
        await use(transaction, tenant_id, day, change)
        if limits is None:
            return
        after = await used(transaction)
        if after is None:  # the first call with quotas
            await count_usage(transaction, tenant_id)
            await use(transaction, tenant_id, day, Usage(0, 0, count))
            after = await used(transaction)
            assert after is not None
        after.check(limits, Usage(*(now - more for now, more in zip(after, change, strict=True))))

    async def record_progress(self, progress: Progress) -> None:
        """Records how far an import has come."""
        await self._transaction.execute(
            "INSERT INTO import_progress (tenant_id, import_id, next_row, recorded_at) "
            "VALUES (%s, %s, %s, %s) ON CONFLICT (tenant_id, import_id) DO UPDATE SET "
            "recorded_at = EXCLUDED.recorded_at, next_row = greatest(import_progress.next_row, EXCLUDED.next_row)",
            (self._tenant_id, *progress, self._recorded_at),
        )

    async def _lock(self, household_ids: Set[str], consent: bool) -> dict[str, list[Erasure]]:
        """Locks the households; the entries of those that were erased."""
        rows = await self._locked(sorted(household_ids))
        while merged := {household_id: target for household_id, row in rows.items() if (target := row[-1]) is not None}:
            self._survivors |= merged
            rows = await self._locked(sorted(set(merged.values())))
        for one, target in self._survivors.items():
            while target in self._survivors:
                target = self._survivors[target]
            self._survivors[one] = target
        names = {one: {one, self._survivors.get(one, one)} for one in household_ids}
        if consent:
            await self._consent(set().union(*names.values()))
        if not self._entries:
            return {}
        return {one: [self._entries[name] for name in of if name in self._entries] for one, of in names.items()}

    async def _locked(self, household_ids: Sequence[str]) -> dict[str, Any]:
        """Rows of households by id, locked, new ones included."""
        # In order, so that two batches don't wait for each other.
        locking = await self._transaction.execute(
            f"SELECT household_key, {STATE} FROM household "
            "WHERE tenant_id = %s AND household_id = ANY(%s) ORDER BY household_id FOR UPDATE",
            (self._tenant_id, list(household_ids)),
        )
        await self._read_ledger(household_ids)
        found = {row[1]: row for row in await locking.fetchall()}
        new = [one for one in household_ids if one not in found]
        if new:
            await self._transaction.execute(
                "INSERT INTO tenant (tenant_id) VALUES (%s) ON CONFLICT DO NOTHING", (self._tenant_id,)
            )
            inserting = await self._transaction.execute(
                "INSERT INTO household (tenant_id, household_id, change_number, changed_at) "
                "SELECT %s, one, 0, 0 FROM unnest(%s::text[]) AS one "
                "ON CONFLICT (tenant_id, household_id) DO UPDATE SET household_id = EXCLUDED.household_id "
                f"RETURNING household_key, {STATE}",
                (self._tenant_id, new),
            )
            # Again, since they were not locked before.
            await self._read_ledger(new)
            found |= {row[1]: row for row in await inserting.fetchall()}
        self._rows |= found
        return found

    async def _consent(self, household_ids: Set[str]) -> None:
        """Notes a new consent in the ledger, after all households are locked: in this order, erasures lock both."""
        await self._transaction.execute(
            "UPDATE erasure SET consented_at = %s WHERE digest = ANY(%s) AND consented_at IS NULL",
            (self._recorded_at, list(self._digests(household_ids))),
        )
        await self._read_ledger(household_ids)

    async def _read_ledger(self, household_ids: Collection[str]) -> None:
        digests = self._digests(household_ids)
        await self._transaction.execute(
            "SELECT digest, erased_at, consented_at FROM erasure WHERE digest = ANY(%s)", (list(digests),)
        )
        self._entries |= {digests[row[0]]: Erasure(*row) for row in await self._transaction.fetchall()}

    def _digests(self, household_ids: Collection[str]) -> dict[bytes, str]:
        return {self._digest(Household(self._tenant_id, one)): one for one in household_ids}

    def _state(self, household_id: str, numbers: Mapping[int, int]) -> HouseholdState | None:
        key, *row = self._rows[self._survivors.get(household_id, household_id)]
        if key not in numbers:
            return state_of(*row) if row[1] else None
        version = version_of(numbers[key], self._recorded_at)
        return HouseholdState(row[0], version, row[3] + self._added[key], self._recorded_at)

    async def _insert(self, lines: Sequence[LineOf], keys: Mapping[str, int]) -> list[Outcome]:
        if not lines:
            return []
        if len(lines) >= _MIN_COPIED_LINES:
            async with self._transaction.one_by_one() as connection:
                return await self._copy(connection, lines, keys)
        rows = [(*line, keys[household_id]) for household_id, line in lines]
        await self._transaction.execute(_INSERT, (self._tenant_id, self._recorded_at, *columns(rows, len(COLUMNS) + 1)))
        new = set(await self._transaction.fetchall())
        if len(new) == len(lines):
            return [Outcome.ADDED] * len(lines)
        await self._transaction.execute(_FIND, (self._tenant_id, *columns([one.line.key for one in lines], 2)))
        stored = set(await self._transaction.fetchall())
        outcomes = []
        for household_id, line in lines:
            if line.key in new:
                new.discard(line.key)
                outcomes.append(Outcome.ADDED)
            else:
                is_same = (keys[household_id], *line) in stored
                outcomes.append(Outcome.DUPLICATE if is_same else Outcome.CONFLICT)
        return outcomes

    async def _copy(
        self, connection: AsyncConnection[Any], lines: Sequence[LineOf], keys: Mapping[str, int]
    ) -> list[Outcome]:
        async with connection.cursor(binary=True) as cursor:
            await cursor.execute(_STAGE)
            async with cursor.copy(_COPY) as copy:
                copy.set_types(["int4", "int8", *TYPES])
                for position, (household_id, line) in enumerate(lines):
                    await copy.write_row((position, keys[household_id], *line))
            same: set[int] = set()
            # Usually all lines are new, or none is. Another call may store some of them meanwhile.
            new: Sequence[int] | None = None
            while True:
                try:
                    async with connection.transaction():
                        chosen, values = ("", ()) if new is None else (" WHERE position = ANY(%s)", (new,))
                        await cursor.execute(
                            f"{_INSERT_STAGED}{chosen}".encode(), (self._tenant_id, self._recorded_at, *values)
                        )
                    break
                except UniqueViolation:
                    await cursor.execute(_FIND_SAME, (self._tenant_id,))
                    same = set((await _first(cursor)) or ())
                    if len(same) == len(lines):
                        return [Outcome.DUPLICATE] * len(lines)
                    await cursor.execute(_FIND_NEW, (self._tenant_id,))
                    new = (await _first(cursor)) or []
            if new is None:
                return [Outcome.ADDED] * len(lines)
            await cursor.execute(_FIND_SAME, (self._tenant_id,))
            same, added = set((await _first(cursor)) or ()), set(new)
        return [
            Outcome.ADDED if at in added else Outcome.DUPLICATE if at in same else Outcome.CONFLICT
            for at in range(len(lines))
        ]


async def _first(cursor: Any) -> Any:
    (value,) = await cursor.fetchone()
    return value


def _refusal(one: LineOf, erasures: Mapping[str, Sequence[Erasure]]) -> Outcome | None:
    entries = erasures.get(one.household_id, ())
    is_refused = any(entry.refuses(one.line.occurred_on, day_of(entry.erased_at)) for entry in entries)
    return Outcome.ERASED if is_refused else None
