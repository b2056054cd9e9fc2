"""The next version starts and migrates while the last one serves, then the last one stops: no call fails."""

import asyncio
import itertools

import pytest

pytest.importorskip("psycopg", reason="psycopg is not installed: pip install 'pantree[history]'")

import psycopg
from pydantic import SecretStr

from pantree.history.v1 import history_service_pb2 as messages
from pantree.history.v1 import history_service_pb2_grpc as rpc
from pantree_cli.mesh import free_ports
from pantree_history.__main__ import build
from pantree_history.backends.migrations import Migration, read_migrations
from pantree_history.backends.postgresql import PostgresqlStore
from pantree_history.core.store import Household
from pantree_history.settings import HistorySettings
from pantree_runtime.channel import open_channel
from pantree_runtime.server import running, start
from tests.history.conftest import opened
from tests.history.receipts import Clock, receipt
from tests.history.waiting import until_waiting

NEXT = Migration(
    9_999,
    "of_the_next_version",
    "ALTER TABLE household ADD COLUMN note text NOT NULL DEFAULT ''; CREATE INDEX of_next ON household (note);",
)
WORKERS = 4
CALLS_PER_PHASE = 20


async def test_migration_waits_for_calls_without_locks_that_they_need(database_url: str, clock: Clock) -> None:
    known = read_migrations("postgresql")
    async with (
        opened(PostgresqlStore(database_url, migrations=known[:5]), clock) as history,
        await psycopg.AsyncConnection.connect(database_url) as call,
    ):
        await history.append(Household("north", "4711"), receipt(1, 0, "Milk"))
        # As calls do, first the household, then its lines.
        await call.execute("SELECT FROM household FOR UPDATE")
        store = PostgresqlStore(database_url)
        opening = asyncio.create_task(store.open())
        await until_waiting(database_url)
        await call.execute("SET LOCAL lock_timeout = '500ms'")
        await call.execute("SELECT FROM purchase_line FOR UPDATE")
        # Other calls wait for the migration only until it tries again later.
        async with asyncio.timeout(5):
            await history.append(Household("north", "0815"), receipt(2, 0, "Milk"))
        assert not opening.done()
        await call.commit()
        await opening
        await store.close()
        rows = await call.execute("SELECT max(number) FROM schema_migration")
        assert await rows.fetchone() == (known[-1].number,)


async def test_no_call_fails_while_versions_change_places_over_a_migration(database_url: str) -> None:
    settings = HistorySettings(store_url=database_url, ledger_key=SecretStr("a key of the ledger for tests"))
    known = read_migrations("postgresql")
    last_known = known[:-1]
    first_port, second_port = free_ports(2)
    calls = itertools.count()
    acknowledged: list[int] = []
    finished = asyncio.Event()

    async def work(stub: "rpc.HistoryServiceAsyncStub", customer: str) -> None:
        while not finished.is_set():
            number = next(calls)
            line = messages.PurchaseLine(order_id=str(number), line_id="1", name="Milk", date="2026-05-02")
            stored = await stub.AppendPurchases(messages.AppendPurchasesRequest(customer_id=customer, purchases=[line]))
            assert stored.added_count + stored.duplicate_count == 1
            acknowledged.append(number)
            history = await stub.GetHistory(messages.GetHistoryRequest(customer_id=customer))
            assert history.purchases.days

    async def phase(workers: list[asyncio.Task[None]]) -> None:
        """Waits for calls to be answered."""
        wanted = len(acknowledged) + CALLS_PER_PHASE
        while len(acknowledged) < wanted:
            done, _ = await asyncio.wait(workers, timeout=0.02, return_when=asyncio.FIRST_COMPLETED)
            for one in done:
                one.result()

    last = await start(
        await build(settings, PostgresqlStore(database_url, migrations=last_known)), host="127.0.0.1", port=first_port
    )
    address = f"ipv4:127.0.0.1:{first_port},127.0.0.1:{second_port}"
    async with open_channel(address, timeout_seconds=30) as channel, asyncio.TaskGroup() as group:
        stub = rpc.HistoryServiceStub(channel)
        workers = [group.create_task(work(stub, f"customer {number}")) for number in range(WORKERS)]
        await phase(workers)
        store = PostgresqlStore(database_url, migrations=[*known, NEXT])
        async with running(await build(settings, store), port=second_port, grace_seconds=10):
            await phase(workers)
            await last.stop(10)
            await phase(workers)
            finished.set()
            await asyncio.wait(workers)

    async with await psycopg.AsyncConnection.connect(database_url) as connection:
        rows = await connection.execute("SELECT order_id FROM purchase_line ORDER BY order_id::int")
        assert [int(one) for (one,) in await rows.fetchall()] == sorted(acknowledged)
        rows = await connection.execute("SELECT count(*) FROM schema_migration WHERE number = 9999")
        assert await rows.fetchone() == (1,)
    # Back to the last version, which accepts what the next one added.
    async with running(await build(settings, PostgresqlStore(database_url, migrations=last_known))):
        pass
