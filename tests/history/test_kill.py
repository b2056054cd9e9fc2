"""Kills the service or its database during appends and imports: every acknowledged line is stored once, none in part.

The number of lines is small in CI; `PANTREE_TEST_KILLED_LINES` sets another (`make history-kills`).
"""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import grpc
import pytest

from pantree.history.v1 import history_service_pb2 as messages
from pantree.history.v1 import history_service_pb2_grpc as rpc
from pantree_cli.mesh import free_ports
from tests.postgresql_server import PostgresqlServer

LINES = int(os.environ.get("PANTREE_TEST_KILLED_LINES", "4000"))
KILLS = 3 if LINES <= 10_000 else 12
IMPORTED_PER_BATCH = 1_000
LINES_PER_CUSTOMER = 1_000


class Service:
    """The service in a process of its own."""

    def __init__(self, url: str) -> None:
        (self.port,) = free_ports(1)
        self._environment = {
            **os.environ,
            "PANTREE_HISTORY_PORT": str(self.port),
            "PANTREE_HISTORY_STORE_URL": url,
            "PANTREE_HISTORY_LEDGER_KEY": "a key of the ledger for tests",
            "PANTREE_LOG_LEVEL": "ERROR",
        }
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        command = [sys.executable, "-m", "pantree_history"]
        self._process = await asyncio.create_subprocess_exec(*command, env=self._environment)

    async def kill(self) -> None:
        assert self._process is not None
        self.kill_at_once()
        await self._process.wait()

    def kill_at_once(self) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.kill()


def wait_until_serving(port: int) -> None:
    """Waits until a service answers health checks."""
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        grpc.channel_ready_future(channel).result(60)


def receipts(prefix: str, count: int) -> Iterator[list[messages.PurchaseLine]]:
    for order in range(count // 5):
        yield [
            messages.PurchaseLine(
                order_id=f"{prefix}-{order}", line_id=str(number), name=f"item {number}", date="2026-05-02", price=1.5
            )
            for number in range(5)
        ]


async def until_answered(call: object) -> object:
    """The answer of a call, repeated while the service is down."""
    while True:
        try:
            return await call()  # type: ignore[operator]
        except grpc.aio.AioRpcError as error:
            # gRPC reports a message that it could not send as an internal error.
            if error.code() is not grpc.StatusCode.UNAVAILABLE and "execute_batch" not in str(error):
                raise
            await asyncio.sleep(0.05)


@pytest.mark.parametrize(
    ("system", "killed"), [("sqlite", "service"), ("postgresql", "service"), ("postgresql", "database")]
)
async def test_every_acknowledged_line_is_stored_once(
    system: str, killed: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    url = f"sqlite://{tmp_path}/history.db" if system == "sqlite" else request.getfixturevalue("database_url")
    service = Service(url)
    request.addfinalizer(service.kill_at_once)
    await service.start()
    options = [("grpc.initial_reconnect_backoff_ms", 50), ("grpc.max_reconnect_backoff_ms", 200)]
    acknowledged: set[tuple[str, str]] = set()
    progress = asyncio.Event()
    customers: set[str] = set()
    kills: list[int] = []
    count = 2 * (LINES // 4 // 5 * 5) + LINES // 2

    async with grpc.aio.insecure_channel(f"127.0.0.1:{service.port}", options=options) as channel:
        stub = rpc.HistoryServiceStub(channel)

        async def append(worker: int) -> None:
            for order, lines in enumerate(receipts(f"w{worker}", LINES // 4)):
                customer = f"customer {worker} {5 * order // LINES_PER_CUSTOMER}"
                customers.add(customer)
                message = messages.AppendPurchasesRequest(customer_id=customer, purchases=lines)
                await until_answered(lambda message=message: stub.AppendPurchases(message, timeout=20))
                acknowledged.update((line.order_id, line.line_id) for line in lines)
                progress.set()

        async def import_lines() -> None:
            next_row, imported = 0, LINES // 2

            async def go_on() -> None:
                nonlocal next_row

                async def batches() -> AsyncIterator[messages.ImportPurchasesRequest]:
                    yield messages.ImportPurchasesRequest(import_id="night")
                    for first in range(next_row, imported, IMPORTED_PER_BATCH):
                        message = batch(first, min(IMPORTED_PER_BATCH, imported - first))
                        customers.update(message.customer_ids)
                        yield message

                async for response in stub.ImportPurchases(batches(), timeout=3600):
                    if response.next_row > next_row:
                        acknowledged.update((f"i-{row}", "1") for row in range(next_row, response.next_row))
                        progress.set()
                        next_row = response.next_row

            await until_answered(go_on)

        async def kill_repeatedly() -> None:
            await until_answered(lambda: stub.ListCustomers(messages.ListCustomersRequest(), timeout=20))
            for number in range(1, KILLS + 1):
                while len(acknowledged) < count * number // (KILLS + 1):
                    progress.clear()
                    await progress.wait()
                kills.append(len(acknowledged))
                if killed == "service":
                    await service.kill()
                    await service.start()
                else:
                    database: PostgresqlServer = request.getfixturevalue("postgresql")
                    database.kill()
                    await asyncio.sleep(0.3)
                    database.start()

        async with asyncio.TaskGroup() as group:
            for work in (kill_repeatedly(), append(0), append(1), import_lines()):
                group.create_task(work)
        stored = [
            (line.order_id, line.line_id) for customer in sorted(customers) for line in await all_lines(stub, customer)
        ]
    await service.kill()
    assert len(stored) == len(set(stored)) == count
    assert acknowledged == set(stored)
    assert kills[0] < count


def batch(first: int, count: int) -> messages.ImportPurchasesRequest:
    rows = range(first, first + count)
    customers = range(first // LINES_PER_CUSTOMER, rows[-1] // LINES_PER_CUSTOMER + 1)
    return messages.ImportPurchasesRequest(
        import_id="night",
        first_row=first,
        customer_ids=[f"imported {customer}" for customer in customers],
        customer_indices=[customers.index(row // LINES_PER_CUSTOMER) for row in rows],
        item_names=["Milk"],
        item_indices=[0] * count,
        order_ids=[f"i-{row}" for row in rows],
        line_ids=["1"] * count,
        days=[20_600] * count,
        quantities=[1] * count,
    )


async def all_lines(stub: "rpc.HistoryServiceAsyncStub", customer: str) -> list[messages.PurchaseLine]:
    request = messages.ListPurchasesRequest(customer_id=customer, page_size=1000)
    found: list[messages.PurchaseLine] = []
    while True:
        page = await until_answered(lambda: stub.ListPurchases(request, timeout=20))
        assert isinstance(page, messages.ListPurchasesResponse)
        found += page.purchases
        if not page.next_page_token:
            return found
        request.page_token = page.next_page_token
