"""What only a server can show: rows of other tenants, COPY, lost connections, and servers that cannot write."""

import asyncio
from collections.abc import AsyncIterator

import pytest

pytest.importorskip("psycopg", reason="psycopg is not installed: pip install 'pantree[history]'")

import psycopg

from pantree_history.backends.postgresql import ROLE, PostgresqlStore
from pantree_history.backends.postgresql_transaction import begin
from pantree_history.core.history import History
from pantree_history.core.lines import LineKey
from pantree_history.core.store import Household, LineOf, Outcome
from pantree_runtime.errors import AlreadyExists, ComponentUnavailable, NotFound, StoreMismatch
from tests.history.conftest import opened
from tests.history.receipts import KEY, Clock, line, receipt
from tests.postgresql_server import PostgresqlServer

HOME = Household("north", "4711")


@pytest.fixture
async def history(database_url: str, clock: Clock) -> AsyncIterator[History]:
    async with opened(PostgresqlStore(database_url), clock) as history:
        yield history


async def test_role_of_the_service_sees_and_writes_rows_of_the_named_tenant_only(
    history: History, database_url: str
) -> None:
    await history.append(HOME, receipt(1, 0, "Milk"))
    await history.append(Household("", "4711"), receipt(1, 0, "Rice"))
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as connection:
        await connection.execute(f"SET ROLE {ROLE}")

        async def names() -> list[str]:
            rows = await connection.execute("SELECT name FROM purchase_line JOIN household USING (household_key)")
            return [name for (name,) in await rows.fetchall()]

        async def choose(setting: str) -> None:
            await connection.execute("SELECT set_config('pantree.tenant', %s, false)", (setting,))

        assert await names() == []
        for setting, expected in {"=north": ["Milk"], "=": ["Rice"], "": [], "=south": []}.items():
            await choose(setting)
            assert await names() == expected, setting
        assert (await connection.execute("DELETE FROM purchase_line")).rowcount == 0
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            await connection.execute(
                "INSERT INTO household (tenant_id, household_id, change_number, changed_at) VALUES ('north', 'x', 1, 1)"
            )
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            await connection.execute("ALTER TABLE purchase_line DISABLE ROW LEVEL SECURITY")
        with pytest.raises(psycopg.errors.FeatureNotSupported):
            await connection.execute("COPY household FROM STDIN")


async def test_many_lines_are_copied_with_the_same_result(history: History) -> None:
    lines = [line(number, 1, number % 3, f"item {number}", weight=0.5, weight_unit="kg") for number in range(1_000)]
    assert (await history.append(HOME, lines)).added == 1_000
    again = await history.append(HOME, [*lines, line(2_000, 1)])
    assert (again.added, again.duplicates) == (1, 1_000)
    assert sorted((await history.lines(HOME)).lines) == sorted([*lines, line(2_000, 1)])
    with pytest.raises(AlreadyExists):
        await history.append(HOME, [one._replace(name="other") for one in lines])


async def test_copied_lines_are_compared_with_stored_ones_and_with_each_other(history: History) -> None:
    lines = [line(number, 1) for number in range(600)]
    await history.append(HOME, [*lines[:100], line(100, 1, name="Bread")])
    batch = [LineOf(HOME.household_id, one) for one in [*lines, lines[300], line(301, 1, name="Tea")]]
    outcomes = await history.add_batch("north", [*batch, LineOf("other", lines[302])])
    repeated, new, conflict = Outcome.DUPLICATE, Outcome.ADDED, Outcome.CONFLICT
    assert outcomes == [repeated] * 100 + [conflict] + [new] * 499 + [repeated, conflict, conflict]
    with pytest.raises(NotFound):
        await history.lines(Household("north", "other"))


async def test_equal_lines_of_two_households_copied_at_the_same_time_are_stored_once(
    history: History, database_url: str, clock: Clock
) -> None:
    lines = [line(number, 1) for number in range(600)]
    async with opened(PostgresqlStore(database_url), clock) as other:
        results = await asyncio.gather(
            history.add_batch("north", [LineOf("a", one) for one in lines]),
            other.add_batch("north", [LineOf("b", one) for one in reversed(lines)]),
        )
    assert sorted(map(len, map(set, results))) == [1, 1]
    assert {one[0] for one in results} == {Outcome.ADDED, Outcome.CONFLICT}


async def test_lines_of_a_household_are_found_without_reading_those_of_its_tenant(
    history: History, database_url: str
) -> None:
    await history.append(HOME, receipt(1, 0, "Milk"))
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as connection:
        await connection.execute(f"SET ROLE {ROLE}")
        await connection.execute("SET enable_seqscan = off")
        rows = await connection.execute("EXPLAIN SELECT * FROM purchase_line WHERE household_key = 1")
        plan = "\n".join(text for (text,) in await rows.fetchall())
    assert "purchase_line_of_household" in plan
    assert "purchase_line_pkey" not in plan


async def test_services_of_one_database_agree(database_url: str, clock: Clock) -> None:
    async with (
        opened(PostgresqlStore(database_url), clock) as one,
        opened(PostgresqlStore(database_url), clock) as other,
    ):
        calls = [
            service.append(Household("north", f"h{number % 3}"), receipt(number, 0, "Milk", "Rice"))
            for number in range(12)
            for service in (one, other)
        ]
        counts = await asyncio.gather(*calls)
        assert sum(count.added for count in counts) == sum(count.duplicates for count in counts) == 24
        await other.correct(Household("north", "h0"), [], [LineKey("order-0", "1")])
        assert await one.lines(Household("north", "h0")) == await other.lines(Household("north", "h0"))


async def test_restarted_server_is_used_again_and_nothing_is_lost(
    database_url: str, postgresql: PostgresqlServer, clock: Clock
) -> None:
    async with opened(PostgresqlStore(database_url, timeout_seconds=1), clock) as history:
        await check_restart(history, postgresql)


async def check_restart(history: History, postgresql: PostgresqlServer) -> None:
    await history.append(HOME, receipt(1, 0, "Milk"))
    postgresql.stop()
    try:
        with pytest.raises(ComponentUnavailable, match="history database") as raised:
            async with asyncio.timeout(30):
                await history.append(HOME, receipt(2, 0, "Rice"))
        assert "127.0.0.1" not in raised.value.message
    finally:
        postgresql.start()
    for _ in range(100):  # the pool connects again in the background
        try:
            await history.append(HOME, receipt(2, 0, "Rice"))
            break
        except ComponentUnavailable:
            await asyncio.sleep(0.1)
    assert [one.name for one in (await history.lines(HOME)).lines] == ["Milk", "Rice"]


async def test_read_only_server_is_named_and_can_still_be_read(database_url: str, clock: Clock) -> None:
    async with opened(PostgresqlStore(database_url), clock) as history:
        await history.append(HOME, receipt(1, 0, "Milk"))
    url = f"{database_url}?options=-c%20default_transaction_read_only%3Don"
    store = PostgresqlStore(url)
    history = History(store, KEY, clock)
    try:
        await history.open()
        with pytest.raises(ComponentUnavailable, match="read-only; nothing was stored"):
            await history.append(HOME, receipt(2, 0, "Rice"))
        assert len((await history.lines(HOME)).lines) == 1
    finally:
        await history.close()


async def test_error_of_a_call_is_not_replaced_by_one_of_its_statements(database_url: str) -> None:
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as connection:
        with pytest.raises(LookupError):
            async with begin(connection, "north") as transaction:
                await transaction.execute("SELECT 1 / 0")
                await transaction.execute("SELECT 1")
                raise LookupError


@pytest.mark.parametrize("dry_run", [False, True])
@pytest.mark.parametrize("table", ["purchase_line", "tenant_usage"])
async def test_lacking_right_is_reported_whichever_statement_needs_it(
    table: str, dry_run: bool, history: History, database_url: str
) -> None:
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as connection:
        await connection.execute(f"REVOKE ALL ON {table} FROM {ROLE}".encode())
    with pytest.raises(StoreMismatch, match="lacks a right"):
        await history.add_batch("north", [LineOf("4711", line())], dry_run=dry_run)


async def test_changed_migration_is_refused(history: History, database_url: str) -> None:
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as connection:
        await connection.execute("UPDATE schema_migration SET checksum = 'x'")
    store = PostgresqlStore(database_url)
    with pytest.raises(StoreMismatch, match="migration 1 "):
        await store.open()
    await store.close()


async def test_tables_whose_rows_are_deleted_are_vacuumed(history: History, database_url: str) -> None:
    await history.maintain()
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as connection:
        rows = await connection.execute("SELECT relname FROM pg_stat_user_tables WHERE vacuum_count = 0")
        others = {name for (name,) in await rows.fetchall()}
    assert others == {"tenant", "tenant_clock", "tenant_usage", "erasure", "applied_ledger", "schema_migration"}


async def test_erased_content_is_not_in_the_files_of_tables_after_a_full_vacuum(
    history: History, database_url: str, postgresql: PostgresqlServer
) -> None:
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as connection:

        async def files() -> list[str]:
            """Files of tables and indexes that have the marker; the write-ahead log is not one of them."""
            await connection.execute("CHECKPOINT")
            folder = postgresql.folder / "data" / "base"
            return [path.name for path in folder.rglob("*") if path.is_file() and b"erasemark" in path.read_bytes()]

        await history.append(Household("north", "erasemark"), receipt(1, 0, *(f"erasemark {at}" for at in range(50))))
        await history.append(HOME, receipt(2, 0, "Milk"))
        await connection.execute("ANALYZE")
        assert await files()
        await history.erase(Household("north", "erasemark"))
        await history.maintain()
        rows = await connection.execute("SELECT count(*) FROM pg_stats WHERE most_common_vals::text ~ 'erasemark'")
        assert await rows.fetchone() == (0,)
        await connection.execute("VACUUM FULL")
        assert await files() == []
