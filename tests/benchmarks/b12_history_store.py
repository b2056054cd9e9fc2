"""B12: both stores of purchases against bare statements with the same bytes, on the same database.

The bare table has the columns and indexes of the stored one, but there are no households, no ledger of erasures and no
row-level security. PostgreSQL writes to disk as in use (`fsync`), unlike its server for tests.
"""

import asyncio
import itertools
import sqlite3
import tempfile
import zlib
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from pantree_history.backends.migrations import read_migrations
from pantree_history.backends.sqlite import SqliteStore
from pantree_history.core.ledger import digest_of
from pantree_history.core.lines import COLUMNS, Line
from pantree_history.core.store import HistoryStore, Household, LineOf
from tests.benchmarks.measurement import Measurement, alternate
from tests.postgresql_server import find_programs, postgresql_server

_HOUSEHOLDS, _LINES = 100, 300
_BATCH = 20_000
_RECEIPT_LINES = 10
_ROUNDS = 3
_CUSTOMER = "known 7"
_NOW = 1_780_000_000_000_000
_TENANT = "north"
_KEY = b"a key of the ledger for benchmarks"
_NAMES = ("household_key", "tenant_id", "revision", "recorded_at", *COLUMNS)

Rows = Sequence[tuple[Any, ...]]


def _digest(household: Household) -> bytes:
    return digest_of(_KEY, *household)


def _line(order_id: str, number: int) -> Line:
    return Line(
        order_id, str(number % 20), 20_600 - number, f"item {number % 90} of the shop", "dairy", f"sku-{number % 90}",
        "500 g", 1 + number % 3, 1.99, 0.2, "EUR",
    )  # fmt: skip


def _lines(prefix: str) -> list[LineOf]:
    return [
        LineOf(f"{prefix} {household}", _line(f"{prefix}-{household}-{number // 20}", number))
        for household in range(_HOUSEHOLDS)
        for number in range(_LINES)
    ]


def _rows(lines: Sequence[LineOf]) -> Rows:
    return [(_key(one.household_id), _TENANT, 1, _NOW, *one.line) for one in lines]


def _key(household_id: str) -> int:
    return zlib.crc32(household_id.encode())


def _batches(lines: Sequence[Any]) -> Iterator[Sequence[Any]]:
    for first in range(0, len(lines), _BATCH):
        yield lines[first : first + _BATCH]


def _measure(
    system: str,
    store: HistoryStore,
    loop: asyncio.AbstractEventLoop,
    bare_import: Callable[[Rows], Awaitable[None]],
    bare_insert: Callable[[Rows], Awaitable[None]],
    bare_query: Callable[[], Awaitable[Rows]],
) -> list[Measurement]:
    receipts = itertools.count()

    def run(work: Awaitable[Any]) -> Any:
        return loop.run_until_complete(work)

    async def store_all(lines: Sequence[LineOf]) -> None:
        for batch in _batches(lines):
            await store.append(_TENANT, batch, _digest, _NOW, whole=False)

    async def bare_all(rows: Rows) -> None:
        for batch in _batches(rows):
            await bare_import(batch)

    def receipt(prefix: str) -> list[LineOf]:
        order_id = f"{prefix}-{next(receipts)}"
        return [LineOf("known 0", _line(order_id, number)) for number in range(_RECEIPT_LINES)]

    known = _lines("known")
    run(store_all(known))
    run(bare_all(_rows(known)))
    new = iter([_lines(f"new{number}") for number in range(_ROUNDS + 1)])
    new_rows = iter([_rows(_lines(f"bare{number}")) for number in range(_ROUNDS + 1)])
    first, bare = alternate(lambda: run(store_all(next(new))), lambda: run(bare_all(next(new_rows))), _ROUNDS)
    repeated, _ = alternate(lambda: run(store_all(known)), lambda: None, _ROUNDS)
    one_receipt, one_insert = alternate(
        lambda: run(store.append(_TENANT, receipt("r"), _digest, _NOW, whole=True)),
        lambda: run(bare_insert(_rows(receipt("b")))),
        100,
    )
    history, query = alternate(
        lambda: run(store.lines(Household(_TENANT, _CUSTOMER), None)), lambda: run(bare_query()), 200
    )
    count = _HOUSEHOLDS * _LINES
    floor = "COPY" if system == "PostgreSQL" else "insert"
    return [
        Measurement(
            "B12", f"{system}: first import, {count / first:,.0f} lines/s",
            f"bare {floor}, {count / bare:,.0f} lines/s", first, bare, bare / first, "≥ 0.5 × its rate",
        ),
        Measurement(
            "B12", f"{system}: repeated import, {count / repeated:,.0f} lines/s", f"bare {floor}", repeated, bare,
            bare / repeated, "≥ 0.9 × its rate",
        ),
        Measurement(
            "B12", f"{system}: a receipt of {_RECEIPT_LINES} lines", "bare insert", one_receipt, one_insert,
            one_receipt / one_insert, "≤ 2 × its time",
        ),
        Measurement(
            "B12", f"{system}: a history of {_LINES} lines", "bare query", history, query, history / query,
            "≤ 1.5 × its time",
        ),
    ]  # fmt: skip


def _measure_sqlite(folder: Path) -> list[Measurement]:
    loop = asyncio.new_event_loop()
    store = SqliteStore(folder / "history.db")
    loop.run_until_complete(store.open())
    bare = sqlite3.connect(folder / "bare.db", isolation_level=None)
    for setting in ("journal_mode = WAL", "synchronous = FULL", "secure_delete = TRUE"):
        bare.execute(f"PRAGMA {setting}")
    for statement in read_migrations("sqlite")[0].sql.split(";"):
        if "purchase_line" in statement:
            bare.execute(statement.replace("REFERENCES household (household_key)", ""))
    marks = ", ".join("?" * len(_NAMES))

    async def insert(rows: Rows) -> None:
        bare.execute("BEGIN IMMEDIATE")
        bare.executemany(f"INSERT INTO purchase_line ({', '.join(_NAMES)}) VALUES ({marks})", rows)
        bare.execute("COMMIT")

    async def query() -> Rows:
        return bare.execute(
            f"SELECT {', '.join(COLUMNS)} FROM purchase_line WHERE household_key = ? "
            "AND superseded_at IS NULL ORDER BY occurred_on, order_id, line_id",
            (_key(_CUSTOMER),),
        ).fetchall()

    try:
        return _measure("SQLite", store, loop, insert, insert, query)
    finally:
        loop.run_until_complete(store.close())
        bare.close()
        loop.close()


def _measure_postgresql(programs: Path) -> list[Measurement]:
    import psycopg

    from pantree_history.backends.postgresql import PostgresqlStore
    from pantree_history.backends.postgresql_append import TYPES

    loop = asyncio.new_event_loop()
    with postgresql_server(programs) as server:
        store = PostgresqlStore(server.url)
        loop.run_until_complete(store.open())
        bare = loop.run_until_complete(psycopg.AsyncConnection.connect(server.url, autocommit=True))

        async def prepare() -> None:
            await bare.execute("ALTER SYSTEM SET fsync = on")
            await bare.execute("SELECT pg_reload_conf()")
            await bare.execute("CREATE TABLE bare (LIKE purchase_line INCLUDING INDEXES)")

        async def copy(rows: Rows) -> None:
            statement = f"COPY bare ({', '.join(_NAMES)}) FROM STDIN (FORMAT BINARY)"
            async with bare.transaction(), bare.cursor() as cursor, cursor.copy(statement) as copying:
                copying.set_types(["int8", "text", "int4", "int8", *TYPES])
                for row in rows:
                    await copying.write_row(row)

        async def insert(rows: Rows) -> None:
            kinds = ("int8", "text", "int4", "int8", *TYPES)
            arrays = ", ".join(f"%s::{kind}[]" for kind in kinds)
            statement = f"INSERT INTO bare ({', '.join(_NAMES)}) SELECT * FROM unnest({arrays})"
            await bare.execute(statement.encode(), [list(column) for column in zip(*rows, strict=True)])

        async def query() -> Rows:
            cursor = await bare.execute(
                f"SELECT {', '.join(COLUMNS)} FROM bare WHERE household_key = %s AND superseded_at IS NULL "
                "ORDER BY occurred_on, order_id, line_id",
                (_key(_CUSTOMER),),
            )
            return await cursor.fetchall()

        loop.run_until_complete(prepare())
        try:
            return _measure("PostgreSQL", store, loop, copy, insert, query)
        finally:
            loop.run_until_complete(bare.close())
            loop.run_until_complete(store.close())
            loop.close()


def measure() -> list[Measurement]:
    """Both stores; only SQLite where PostgreSQL is not installed."""
    with tempfile.TemporaryDirectory() as folder:
        measurements = _measure_sqlite(Path(folder))
    programs = find_programs()
    return measurements + (_measure_postgresql(programs) if programs is not None else [])
