"""What clients may send before they are authenticated, leave unfinished, or not read."""

import asyncio
import contextlib
import functools
import json
import os
import struct
from collections.abc import AsyncIterator, Callable

import httpx
import pytest
import pytest_asyncio
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from pantree_gateway import app
from pantree_gateway.connections import ConnectionLimits
from pantree_gateway.server import RunningGateway, start
from pantree_gateway.transcoding.limits import Limits
from pantree_runtime import telemetry
from tests.gateway.mesh import Mesh

QUICK = ConnectionLimits(
    max_connections=16, header_seconds=0.5, message_seconds=0.5, unread_seconds=1.0, unsent_seconds=0.5
)
POST = b"POST /api/v1/process HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
START = b"GET /live HTTP/1.1\r\nHost: a\r\n"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def quick(served_mesh: Mesh) -> AsyncIterator[RunningGateway]:
    async with served_mesh.limited_gateway(QUICK) as gateway:
        yield gateway


async def opened(gateway: RunningGateway) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    host, port = gateway.address.split(":")
    return await asyncio.open_connection(host, int(port))


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 # there is no event for it
            await asyncio.sleep(0.05)


async def answer_to(gateway: RunningGateway, *parts: bytes) -> tuple[int, dict[str, object]]:
    """Status and document of the response to bytes, until the gateway closes the connection."""
    reader, writer = await opened(gateway)
    with contextlib.suppress(ConnectionError):
        for part in parts:
            writer.write(part)
            await writer.drain()
    response = b""
    async with asyncio.timeout(10):
        with contextlib.suppress(ConnectionError):
            response = await reader.read()
    writer.close()
    head, _, body = response.partition(b"\r\n\r\n")
    return int(head.split(b" ", 2)[1]) if head else 0, json.loads(body) if body else {}


@pytest.mark.parametrize(
    ("parts", "status"),
    [
        ([START, b"X: " + b"a" * 100_000], 431),
        ([START, b"X" * 100_000], 431),
        ([START, *[b"X: a\r\n"] * 101], 431),
        ([START, b"X: a\r\n" * 60_000], 431),
        ([START, b"X: " + b"a" * 31_000 + b"\r\n", b"Y: " + b"a" * 2_000 + b"\r\n\r\n"], 431),
        ([b"GET /" + b"a" * 10_000 + b" HTTP/1.1\r\n"], 414),
        ([b"GET /" + b"a" * 1_000_000], 414),
        ([b"hello\r\n\r\n"], 400),
    ],
)
async def test_headers_are_limited(parts: list[bytes], status: int, quick: RunningGateway, mesh: Mesh) -> None:
    found, document = await answer_to(quick, *parts)
    assert (found, document["status"]) == (status, status)
    assert document["detail"]


async def test_endless_trailers_end_the_connection(quick: RunningGateway, mesh: Mesh) -> None:
    await answer_to(
        quick,
        POST + b"Transfer-Encoding: chunked\r\n\r\n",
        b"2\r\n{}\r\n0\r\n",
        *[b"X: " + b"a" * 1_000 + b"\r\n"] * 200,
    )


@pytest.mark.parametrize("parts", [[START], [b"G"], [START, b"\r\n", START]])
async def test_headers_must_arrive_in_time(parts: list[bytes], quick: RunningGateway, mesh: Mesh) -> None:
    reader, writer = await opened(quick)
    writer.write(b"".join(parts))
    async with asyncio.timeout(5):
        response = await reader.read()
    writer.close()
    assert b"HTTP/1.1 408 Request Timeout" in response


async def test_silent_connections_are_closed(quick: RunningGateway, mesh: Mesh) -> None:
    reader, writer = await opened(quick)
    async with asyncio.timeout(5):
        assert await reader.read() == b""
    writer.close()


async def test_newcomer_is_served_while_one_address_holds_all_connections(mesh: Mesh) -> None:
    limits = ConnectionLimits(max_connections=16, header_seconds=60)
    async with mesh.limited_gateway(limits) as gateway, contextlib.AsyncExitStack() as stack:
        for _ in range(40):
            _, writer = await opened(gateway)
            stack.callback(writer.close)
            writer.write(START)
        await asyncio.sleep(0.1)
        async with httpx.AsyncClient() as client:
            assert (await client.get(f"http://{gateway.address}/live", timeout=5)).status_code == 200


async def test_probes_have_their_own_port(mesh: Mesh) -> None:
    with contextlib.closing(__import__("socket").create_server(("127.0.0.1", 0))) as listener:
        port = listener.getsockname()[1]
    gateway = await start(mesh.settings(probe_port=port))
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
        assert (await client.get("/live")).json() == {"status": "live"}
        assert (await client.get("/ready")).status_code == 200
        assert (await client.get("/api/v1/config")).status_code == 404
    await gateway.stop(0)


async def test_pipelined_requests_are_limited(quick: RunningGateway, mesh: Mesh) -> None:
    reader, writer = await opened(quick)
    writer.write(b"GET /api/v1/config HTTP/1.1\r\nHost: a\r\n\r\n" * 1_000)
    with contextlib.suppress(ConnectionError):
        async with asyncio.timeout(5):
            response = await reader.read()
        assert response.count(b"HTTP/1.1 200") < 20
    writer.close()


async def test_response_that_nobody_reads_ends_the_connection(quick: RunningGateway, mesh: Mesh) -> None:
    reader, writer = await opened(quick)
    reader._transport.pause_reading()  # type: ignore[attr-defined]
    with contextlib.suppress(ConnectionError):
        async with asyncio.timeout(20):
            while True:
                writer.write(b"GET /openapi.json HTTP/1.1\r\nHost: a\r\n\r\n")
                await writer.drain()
                await asyncio.sleep(0.005)
    writer.close()


async def test_body_that_goes_on_after_its_response_ends_the_connection(quick: RunningGateway, mesh: Mesh) -> None:
    _, writer = await opened(quick)
    writer.write(b"POST /nothing HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n")
    with pytest.raises(ConnectionError):
        async with asyncio.timeout(10):
            while True:
                writer.write(b"a")
                await writer.drain()
                await asyncio.sleep(0.05)
    writer.close()


# Bodies


async def test_body_must_arrive_in_time(mesh: Mesh, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app, "Limits", functools.partial(Limits, body_seconds=0.3))
    async with mesh.gateway() as gateway:
        status, document = await answer_to(gateway, POST + b"Content-Length: 100\r\n\r\n{")
    assert (status, document["code"]) == (408, "REQUEST_TIMEOUT")


async def test_unfinished_bodies_leave_room_for_others(mesh: Mesh) -> None:
    """One address holds all the bytes that it can get; another one is served."""
    async with (
        mesh.gateway(max_held_mib=32, trusted_proxies="127.0.0.1") as gateway,
        httpx.AsyncClient(base_url=f"http://{gateway.address}", timeout=60) as client,
    ):
        start = POST + b"X-Forwarded-For: 203.0.113.1\r\nContent-Length: 4194304\r\n\r\n"
        attacks = [await opened(gateway) for _ in range(12)]
        for _, writer in attacks:
            writer.write(start + b" " * 4_000_000)
        heads = [asyncio.create_task(reader.readuntil(b"\r\n\r\n")) for reader, _ in attacks]
        await until(lambda: sum(head.done() for head in heads) >= 8)
        answers = [head.result() for head in heads if head.done()]
        assert all(answer.startswith(b"HTTP/1.1 429 ") and b"retry-after: 1" in answer for answer in answers)
        assert len(answers) < len(attacks)
        body = {"customer_id": "a", "history": [{"name": "Milk", "date": "2026-01-01", "price": 1.0}] * 4_000}
        other = await client.post("/api/v1/process", json=body, headers={"X-Forwarded-For": "198.51.100.7"})
        assert other.status_code == 200
        for _, writer in attacks:
            writer.close()
        await asyncio.gather(*heads, return_exceptions=True)
        await until(lambda: gateway.held_bytes.total == 0)


async def test_places_are_shared_fairly(mesh: Mesh) -> None:
    waiting = asyncio.Event()

    async def hold(_context: object) -> None:
        await waiting.wait()

    mesh.pipeline.before_answer = hold
    async with (
        mesh.gateway(max_calls=8, trusted_proxies="127.0.0.1") as gateway,
        httpx.AsyncClient(base_url=f"http://{gateway.address}") as client,
    ):
        busy = {"X-Forwarded-For": "203.0.113.1"}
        attacks = [
            asyncio.create_task(client.post("/api/v1/process", json={"customer_id": "a"}, headers=busy))
            for _ in range(20)
        ]
        await until(lambda: sum(attack.done() for attack in attacks) >= 16)
        other = {"X-Forwarded-For": "198.51.100.7"}
        assert (await client.get("/api/v1/config", headers=other)).status_code == 200
        waiting.set()
        codes = sorted([(await attack).status_code for attack in attacks])
    assert codes == [200] * 4 + [429] * 16


async def test_forwarded_address_is_ignored_without_trusted_proxies(mesh: Mesh) -> None:
    async with (
        mesh.gateway(rate_limit="2/hour") as gateway,
        httpx.AsyncClient(base_url=f"http://{gateway.address}") as client,
    ):
        codes = [
            (await client.get("/api/v1/config", headers={"X-Forwarded-For": f"203.0.113.{number}"})).status_code
            for number in range(3)
        ]
    assert codes == [200, 200, 429]


# WebSockets


def frame(opcode: int, payload: bytes, *, fin: bool) -> bytes:
    """A masked frame, with a mask of zeros."""
    size = len(payload)
    length = struct.pack("!B", 128 | size) if size < 126 else struct.pack("!BQ", 255, size)
    return bytes([opcode | 128 * fin]) + length + bytes(4) + payload


async def upgraded(gateway: RunningGateway) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await opened(gateway)
    writer.write(
        b"GET /ws/stream/a HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    )
    await reader.readuntil(b"\r\n\r\n")
    return reader, writer


async def test_websocket_message_must_arrive_in_time(quick: RunningGateway, mesh: Mesh) -> None:
    reader, writer = await upgraded(quick)
    writer.write(frame(1, b"{", fin=False))
    async with asyncio.timeout(5):
        assert b"did not arrive in time" in await reader.read()
    writer.close()


async def test_fragments_of_a_websocket_message_are_limited(quick: RunningGateway, mesh: Mesh) -> None:
    reader, writer = await upgraded(quick)
    with contextlib.suppress(ConnectionError):
        writer.write(frame(1, b"{", fin=False) + frame(0, b"", fin=False) * 5_000)
        await writer.drain()
        async with asyncio.timeout(5):
            assert b"fragments" in await reader.read()
    writer.close()


async def test_pings_whose_answers_nobody_reads_end_the_connection(quick: RunningGateway, mesh: Mesh) -> None:
    reader, writer = await upgraded(quick)
    reader._transport.pause_reading()  # type: ignore[attr-defined]
    with pytest.raises(ConnectionError):
        async with asyncio.timeout(20):
            while True:
                writer.write(frame(9, os.urandom(125), fin=True) * 500)
                await writer.drain()
    writer.close()


async def test_incomplete_websocket_messages_count_as_held(mesh: Mesh) -> None:
    async with mesh.gateway(max_held_mib=4) as gateway, contextlib.AsyncExitStack() as stack:
        refused = telemetry.CALLS_REFUSED.labels("overloaded")._value.get()
        readers = []
        for _ in range(8):
            reader, writer = await upgraded(gateway)
            stack.callback(writer.close)
            with contextlib.suppress(ConnectionError):
                writer.write(frame(1, b" " * (1 << 20), fin=False))
                await writer.drain()
            readers.append(reader)
        async with asyncio.timeout(5):
            with contextlib.suppress(ConnectionError):
                await readers[-1].read()
        assert gateway.held_bytes.total <= 3 << 20
        assert telemetry.CALLS_REFUSED.labels("overloaded")._value.get() > refused


async def test_websocket_of_another_origin_is_refused_where_origins_are_listed(mesh: Mesh) -> None:
    async with mesh.gateway(cors_origins="https://shop.example") as gateway:
        url = f"ws://{gateway.address}/ws/stream/a"
        async with connect(url, origin="https://evil.example") as websocket:  # type: ignore[arg-type]
            assert json.loads(await websocket.recv())["problem"]["code"] == "PERMISSION_DENIED"
            with pytest.raises(ConnectionClosed):
                await websocket.recv()
            assert websocket.close_code == 4401
        for origin in ("https://shop.example", f"http://{gateway.address}", None):
            async with connect(url, origin=origin) as websocket:  # type: ignore[arg-type]
                await websocket.send("{}")
                assert json.loads(await websocket.recv())["type"] == "started"
