"""A short run of faults. `make faults` injects over two hundred and does a rolling restart."""

import asyncio
import contextlib
import random

import pytest

from pantree_cli.mesh import PARTS
from tests.faults.load import Outcome
from tests.faults.mesh import FAKETIME, Fault
from tests.faults.proxy import Proxy
from tests.faults.run import break_repeatedly
from tests.tcp import HOST, serving_tcp

SEED = 9
# Starts two meshes, one of them with a slow store.
pytestmark = pytest.mark.timeout(600)


async def test_no_answer_is_wrong_or_lost_during_faults() -> None:
    parts = {part.name: part for part in PARTS}
    plan = [
        (parts["frequency"], Fault.KILL),
        (parts["enrichment"], Fault.STOP),
        (parts["simulation"], Fault.DROP),
        (parts["pipeline"], Fault.SLOW),
        (parts["vector"], Fault.DISK),
        (parts["recommendation"], Fault.CUT),
        # Both have deadlines and caches. The clock fault needs Debian's libfaketime.
        *((parts[name], Fault.CLOCK) for name in ("gateway", "pipeline") if FAKETIME),
    ]
    random.Random(SEED).shuffle(plan)
    report = await break_repeatedly(plan, SEED, clients=2)
    assert report.tally.problems == []
    assert report.fault_count == len(plan)
    assert report.tally.total(Outcome.CORRECT) > 0


async def close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(ConnectionResetError):
        await writer.wait_closed()


async def test_proxy_forwards_delays_and_cuts() -> None:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionResetError):
            while line := await reader.readline():
                writer.write(line)
        await close(writer)

    async with contextlib.AsyncExitStack() as stack:
        proxy = Proxy(await stack.enter_async_context(serving_tcp(echo)))
        await proxy.open()
        stack.push_async_callback(proxy.close)
        reader, writer = await asyncio.open_connection(HOST, proxy.port)
        writer.write(b"one\n")
        assert await reader.readline() == b"one\n"
        proxy.set_delay(0.01)
        writer.write(b"two\n")
        assert await reader.readline() == b"two\n"
        await proxy.cut()
        with contextlib.suppress(ConnectionResetError):
            assert await reader.read() == b""
        await close(writer)
        proxy.restore()
        reader, writer = await asyncio.open_connection(HOST, proxy.port)
        writer.write(b"three\n")
        assert await reader.readline() == b"three\n"
        await close(writer)
