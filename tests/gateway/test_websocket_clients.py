"""WebSocket clients that nobody wishes for, and very many of them."""

import asyncio
import base64
import contextlib
import json
import os
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from pantree_gateway.server import RunningGateway
from tests.gateway.mesh import Mesh
from tests.gateway.schemas import checked

REQUEST = json.dumps({"items": [{"name": "Bananas", "price": 1.99}], "simulation_months": 2})
MANY = 500


@pytest.fixture
def address(mesh: Mesh, gateway: RunningGateway) -> str:
    return f"ws://{gateway.address}/ws/stream/cust_001"


async def converse(address: str) -> list[str]:
    """Kinds of the frames that a well-behaved client gets."""
    async with connect(address) as websocket:
        await websocket.send(REQUEST)
        return [checked(json.loads(frame))["type"] async for frame in websocket]


async def raw_client(gateway: RunningGateway, *frames: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A client without a library, after the handshake."""
    host, port = gateway.address.split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    key = base64.b64encode(os.urandom(16)).decode()
    lines = [
        "GET /ws/stream/cust_001 HTTP/1.1",
        f"Host: {gateway.address}",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Key: {key}",
        "Sec-WebSocket-Version: 13",
    ]
    writer.write("\r\n".join([*lines, "", ""]).encode())
    await reader.readuntil(b"\r\n\r\n")
    for frame in frames:
        writer.write(frame)
    return reader, writer


def text_frame(text: str) -> bytes:
    """A masked text frame; the mask of zeros changes nothing."""
    data = text.encode()
    assert len(data) < 126
    return bytes([0x81, 0x80 | len(data), 0, 0, 0, 0]) + data


async def test_client_that_half_closes_ends_the_upstream_call(mesh: Mesh, gateway: RunningGateway) -> None:
    mesh.pipeline.months_may_go_on.clear()
    reader, writer = await raw_client(gateway, text_frame(REQUEST))
    await reader.readuntil(b"monthly_update")
    writer.write_eof()
    await mesh.pipeline.stream_ended.wait()
    writer.close()


async def test_client_that_does_not_answer_pings_is_let_go(mesh: Mesh) -> None:
    mesh.pipeline.months_may_go_on.clear()
    async with mesh.gateway(heartbeat_seconds=0.1) as gateway:
        reader, writer = await raw_client(gateway, text_frame(REQUEST))
        await mesh.pipeline.stream_ended.wait()
        assert b"\x89" in await reader.read()  # a ping's first byte
        writer.close()


@pytest.mark.parametrize("garbage", [b"\xff\xff\xff\xff", b"\x81\x05hello", b"\x81\x82\0\0\0\0\xff\xff"])
async def test_frames_that_are_none_end_the_socket_alone(garbage: bytes, mesh: Mesh, gateway: RunningGateway) -> None:
    reader, writer = await raw_client(gateway, garbage)
    await reader.read()
    writer.close()
    assert not mesh.pipeline.requests
    assert (await converse(f"ws://{gateway.address}/ws/stream/cust_001"))[-1] == "completed"


async def test_garbage_during_a_stream_ends_the_upstream_call(mesh: Mesh, gateway: RunningGateway) -> None:
    mesh.pipeline.months_may_go_on.clear()
    reader, writer = await raw_client(gateway, text_frame(REQUEST))
    await reader.readuntil(b"monthly_update")
    writer.write(b"\xff\xff\xff\xff")
    await mesh.pipeline.stream_ended.wait()
    writer.close()


async def test_flood_of_requests_is_closed_with_4429_and_ends_the_upstream_call(mesh: Mesh, address: str) -> None:
    mesh.pipeline.months_may_go_on.clear()
    frames: list[Any] = []
    async with connect(address) as websocket:
        with contextlib.suppress(ConnectionClosed):
            for _ in range(100):
                await websocket.send(REQUEST)
        with contextlib.suppress(ConnectionClosed):
            while True:
                frames.append(checked(json.loads(await websocket.recv())))
    assert frames[-1]["type"] == "error"
    assert frames[-1]["problem"]["code"] == "TOO_MANY_REQUESTS"
    assert websocket.close_code == 4429
    if mesh.pipeline.requests:  # the flood may have come before the first of them was begun
        await mesh.pipeline.stream_ended.wait()
    assert len(mesh.pipeline.requests) <= 1
    mesh.pipeline.months_may_go_on.set()
    assert (await converse(address))[-1] == "completed"


async def test_waiting_requests_are_few_bytes(mesh: Mesh, address: str) -> None:
    mesh.pipeline.months_may_go_on.clear()
    large = json.dumps({"items": [], "customer_name": "x" * 9_000_000})
    async with connect(address) as websocket:
        await websocket.send(REQUEST)
        await websocket.recv()
        await websocket.send(large)
        await websocket.send(large)
        with contextlib.suppress(ConnectionClosed):
            while True:
                await websocket.recv()
    assert websocket.close_code == 4429


def resident_bytes() -> int:
    """Memory of this process, in which gateway and services run; 0 where nobody tells."""
    statm = Path("/proc/self/statm")
    return int(statm.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") if statm.exists() else 0


async def until_still(mesh: Mesh) -> int:
    """How many months were made when no more are."""
    made = -1
    while made != mesh.pipeline.months_sent:
        made = mesh.pipeline.months_sent
        await asyncio.sleep(0.3)
    return made


async def test_slow_reader_holds_the_services_back_and_nobody_else(mesh: Mesh, gateway: RunningGateway) -> None:
    months = 100_000
    mesh.pipeline.month_display = "x" * 20_000
    reader, writer = await raw_client(gateway, text_frame(json.dumps({"items": [], "simulation_months": months})))
    writer.transport.pause_reading()  # type: ignore[attr-defined]
    made = await until_still(mesh)
    assert 0 < made < months / 4
    # What is made meanwhile lies in the buffers of sockets, not in this process: it would be some gigabytes.
    before = resident_bytes()
    await until_still(mesh)
    assert resident_bytes() - before < 32 * 1024 * 1024
    assert (await converse(f"ws://{gateway.address}/ws/stream/cust_002"))[-1] == "completed"
    # It may go on when it likes.
    mesh.pipeline.stream_ended.clear()
    writer.transport.resume_reading()  # type: ignore[attr-defined]
    while mesh.pipeline.months_sent < made + 100:
        await reader.read(65_536)
    # And when it vanishes, the stream ends.
    writer.transport.abort()
    await mesh.pipeline.stream_ended.wait()


async def test_reader_of_a_byte_a_second_gets_no_more_made_than_it_reads(mesh: Mesh, gateway: RunningGateway) -> None:
    mesh.pipeline.month_display = "x" * 20_000
    reader, writer = await raw_client(gateway, text_frame(json.dumps({"items": [], "simulation_months": 100_000})))
    made = await until_still(mesh)
    before = resident_bytes()
    for _ in range(3):
        await reader.readexactly(1)
        await asyncio.sleep(1)
    # Three bytes make room for a message at most, somewhere on the way; nobody's slow start makes fifty.
    assert mesh.pipeline.months_sent < made + 50
    assert resident_bytes() - before < 32 * 1024 * 1024
    assert (await converse(f"ws://{gateway.address}/ws/stream/cust_002"))[-1] == "completed"
    mesh.pipeline.stream_ended.clear()
    writer.transport.abort()
    await mesh.pipeline.stream_ended.wait()


async def test_500_sockets_are_open_at_once(mesh: Mesh, address: str) -> None:
    mesh.pipeline.months_may_go_on.clear()

    async def begun(websocket: ClientConnection) -> list[str]:
        await websocket.send(REQUEST)
        return [json.loads(await websocket.recv())["type"] for _ in range(2)]

    async with contextlib.AsyncExitStack() as stack:
        websockets = []
        for _ in range(MANY // 50):
            opened = await asyncio.gather(*(connect(address, compression=None) for _ in range(50)))
            for websocket in opened:
                stack.push_async_callback(websocket.close)
            websockets += opened
        first = await asyncio.gather(*(begun(websocket) for websocket in websockets))
        assert first == [["started", "monthly_update"]] * MANY
        assert len(mesh.pipeline.requests) == MANY
        mesh.pipeline.months_may_go_on.set()
        rest = await asyncio.gather(*(_rest(websocket) for websocket in websockets))
    assert rest == [["monthly_update", "completed"]] * MANY


async def _rest(websocket: ClientConnection) -> list[str]:
    return [json.loads(frame)["type"] async for frame in websocket]
