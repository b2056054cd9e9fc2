"""Misbehaving WebSocket clients, and very many clients."""

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
    """Types of the frames that a well-behaved client receives."""
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
    """A text frame, masked with zeros."""
    data = text.encode()
    assert len(data) < 126
    return bytes([0x81, 0x80 | len(data), 0, 0, 0, 0]) + data


async def test_client_that_half_closes_cancels_the_upstream_call(mesh: Mesh, gateway: RunningGateway) -> None:
    mesh.pipeline.months_may_go_on.clear()
    reader, writer = await raw_client(gateway, text_frame(REQUEST))
    await reader.readuntil(b"monthly_update")
    writer.write_eof()
    await mesh.pipeline.stream_ended.wait()
    writer.close()


async def test_client_that_does_not_answer_pings_is_disconnected(mesh: Mesh) -> None:
    mesh.pipeline.months_may_go_on.clear()
    async with mesh.gateway(heartbeat_seconds=0.1) as gateway:
        reader, writer = await raw_client(gateway, text_frame(REQUEST))
        await mesh.pipeline.stream_ended.wait()
        assert b"\x89" in await reader.read()  # a ping's first byte
        writer.close()


@pytest.mark.parametrize("garbage", [b"\xff\xff\xff\xff", b"\x81\x05hello", b"\x81\x82\0\0\0\0\xff\xff"])
async def test_malformed_frames_close_only_their_own_socket(
    garbage: bytes, mesh: Mesh, gateway: RunningGateway
) -> None:
    reader, writer = await raw_client(gateway, garbage)
    await reader.read()
    writer.close()
    assert not mesh.pipeline.requests
    assert (await converse(f"ws://{gateway.address}/ws/stream/cust_001"))[-1] == "completed"


async def test_garbage_during_a_stream_cancels_the_upstream_call(mesh: Mesh, gateway: RunningGateway) -> None:
    mesh.pipeline.months_may_go_on.clear()
    reader, writer = await raw_client(gateway, text_frame(REQUEST))
    await reader.readuntil(b"monthly_update")
    writer.write(b"\xff\xff\xff\xff")
    await mesh.pipeline.stream_ended.wait()
    writer.close()


async def test_flood_of_requests_is_closed_with_4429_and_cancels_the_upstream_call(mesh: Mesh, address: str) -> None:
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
    if mesh.pipeline.requests:  # the flood may arrive before the first call
        await mesh.pipeline.stream_ended.wait()
    assert len(mesh.pipeline.requests) <= 1
    mesh.pipeline.months_may_go_on.set()
    assert (await converse(address))[-1] == "completed"


async def test_size_of_queued_requests_is_limited(mesh: Mesh, address: str) -> None:
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
    """Memory of this process, which runs gateway and services; 0 where it is unknown."""
    statm = Path("/proc/self/statm")
    return int(statm.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") if statm.exists() else 0


async def until_paused(mesh: Mesh) -> int:
    """Number of months sent when the service pauses."""
    made = -1
    while made != mesh.pipeline.months_sent:
        made = mesh.pipeline.months_sent
        await asyncio.sleep(0.3)
    return made


async def test_slow_reader_slows_down_only_its_own_stream(mesh: Mesh, gateway: RunningGateway) -> None:
    mesh.pipeline.month_count = 100_000
    mesh.pipeline.month_display = "x" * 20_000
    reader, writer = await raw_client(gateway, text_frame(REQUEST))
    writer.transport.pause_reading()  # type: ignore[attr-defined]
    made = await until_paused(mesh)
    assert 0 < made < mesh.pipeline.month_count / 4
    mesh.pipeline.month_count = 0
    # The months are in socket buffers; in this process they would take gigabytes.
    before = resident_bytes()
    await until_paused(mesh)
    assert resident_bytes() - before < 32 * 1024 * 1024
    assert (await converse(f"ws://{gateway.address}/ws/stream/cust_002"))[-1] == "completed"
    # It can continue later.
    mesh.pipeline.stream_ended.clear()
    writer.transport.resume_reading()  # type: ignore[attr-defined]
    while mesh.pipeline.months_sent < made + 100:
        await reader.read(65_536)
    # When it vanishes, the stream ends.
    writer.transport.abort()
    await mesh.pipeline.stream_ended.wait()


async def test_reader_of_a_byte_per_second_pauses_the_service(mesh: Mesh, gateway: RunningGateway) -> None:
    mesh.pipeline.month_count = 100_000
    mesh.pipeline.month_display = "x" * 20_000
    reader, writer = await raw_client(gateway, text_frame(REQUEST))
    made = await until_paused(mesh)
    mesh.pipeline.month_count = 0
    before = resident_bytes()
    for _ in range(3):
        await reader.readexactly(1)
        await asyncio.sleep(1)
    # Three bytes make room for one message; the margin covers buffers that still grow.
    assert mesh.pipeline.months_sent < made + 50
    assert resident_bytes() - before < 32 * 1024 * 1024
    assert (await converse(f"ws://{gateway.address}/ws/stream/cust_002"))[-1] == "completed"
    mesh.pipeline.stream_ended.clear()
    writer.transport.abort()
    await mesh.pipeline.stream_ended.wait()


async def test_500_sockets_are_open_concurrently(mesh: Mesh) -> None:
    mesh.pipeline.months_may_go_on.clear()

    async def start_stream(websocket: ClientConnection) -> list[str]:
        await websocket.send(REQUEST)
        return [json.loads(await websocket.recv())["type"] for _ in range(2)]

    # One address gets half of the places.
    async with mesh.gateway(max_calls=2 * MANY) as gateway, contextlib.AsyncExitStack() as stack:
        address = f"ws://{gateway.address}/ws/stream/cust_001"
        websockets = []
        for _ in range(MANY // 50):
            opened = await asyncio.gather(*(connect(address, compression=None) for _ in range(50)))
            for websocket in opened:
                stack.push_async_callback(websocket.close)
            websockets += opened
        first = await asyncio.gather(*(start_stream(websocket) for websocket in websockets))
        assert first == [["started", "monthly_update"]] * MANY
        assert len(mesh.pipeline.requests) == MANY
        mesh.pipeline.months_may_go_on.set()
        rest = await asyncio.gather(*(_rest(websocket) for websocket in websockets))
    assert rest == [["monthly_update", "completed"]] * MANY


async def _rest(websocket: ClientConnection) -> list[str]:
    return [json.loads(frame)["type"] async for frame in websocket]
