import asyncio
import contextlib
import json
import os
import re
import signal
import socket
import sys
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from pantree_gateway.server import start
from tests.gateway.mesh import Mesh

REQUEST = json.dumps({"items": [{"name": "Bananas", "price": 1.99}], "simulation_months": 2})


async def started(mesh: Mesh, websocket: ClientConnection) -> None:
    """Advances a stream until it waits for its second month."""
    mesh.pipeline.months_may_go_on.clear()
    await websocket.send(REQUEST)
    for _ in range(2):
        await websocket.recv()


async def rest_of(websocket: ClientConnection) -> list[str]:
    """Types of the remaining frames."""
    types = []
    with contextlib.suppress(ConnectionClosed):
        while True:
            types.append(json.loads(await websocket.recv())["type"])
    return types


async def until_draining(address: str) -> httpx.Response:
    async with httpx.AsyncClient() as client:
        while True:
            response = await client.get(f"http://{address}/ready")
            if response.status_code != 200:
                return response


async def test_gateway_has_its_name_and_its_real_port(mesh: Mesh) -> None:
    async with mesh.gateway() as gateway, httpx.AsyncClient() as client:
        assert gateway.name == "gateway"
        assert not gateway.address.endswith(":0")
        assert (await client.get(f"http://{gateway.address}/health")).status_code == 200


async def test_stop_completes_wait_and_frees_the_port(mesh: Mesh) -> None:
    gateway = await start(mesh.settings())
    waiting = asyncio.create_task(gateway.wait())
    await gateway.stop(0)
    await waiting
    host, port = gateway.address.split(":")
    with socket.create_server((host, int(port))):
        pass


async def test_port_in_use_is_an_error_that_names_the_setting(mesh: Mesh) -> None:
    async with mesh.gateway() as gateway:
        port = int(gateway.address.split(":")[1])
        with pytest.raises(OSError, match=f"{port}.*PANTREE_GATEWAY_PORT"):
            await start(mesh.settings(port=port))


async def test_stream_in_flight_finishes_before_the_gateway_stops(mesh: Mesh) -> None:
    gateway = await start(mesh.settings())
    async with connect(f"ws://{gateway.address}/ws/stream/a") as websocket:
        await started(mesh, websocket)
        stopping = asyncio.create_task(gateway.stop(60))
        ready = await until_draining(gateway.address)
        assert (ready.status_code, ready.json()) == (503, {"status": "draining"})
        with pytest.raises(InvalidStatus) as refused:
            await connect(f"ws://{gateway.address}/ws/stream/b")
        assert refused.value.response.status_code == 503
        assert json.loads(refused.value.response.body or b"")["code"] == "SHUTTING_DOWN"
        mesh.pipeline.months_may_go_on.set()
        assert await rest_of(websocket) == ["monthly_update", "completed"]
        assert websocket.close_code == 1000
    await stopping


async def test_request_in_flight_finishes_before_the_gateway_stops(mesh: Mesh) -> None:
    gateway = await start(mesh.settings())
    answering = asyncio.Event()
    may_answer = asyncio.Event()

    async def hold(*_: Any) -> None:
        answering.set()
        await may_answer.wait()

    mesh.pipeline.before_answer = hold
    async with httpx.AsyncClient() as client:
        url = f"http://{gateway.address}/api/v1/process"
        request = asyncio.create_task(client.post(url, json={"customer_id": "a"}))
        await answering.wait()
        stopping = asyncio.create_task(gateway.stop(60))
        await until_draining(gateway.address)
        may_answer.set()
        response = await request
    await stopping
    assert response.status_code == 200
    assert response.headers["connection"] == "close"


async def test_clients_that_connected_before_the_stop_are_served(mesh: Mesh) -> None:
    gateway = await start(mesh.settings())
    host, port = gateway.address.split(":")
    request = b"GET /api/v1/config HTTP/1.1\r\nHost: gateway\r\n\r\n"
    reader, writer = await asyncio.open_connection(host, int(port))
    await asyncio.sleep(0.05)  # the gateway has accepted it
    with socket.create_connection((host, int(port))) as waiting:
        # The system has made this connection; the gateway has had no chance to accept it.
        waiting.sendall(request)
        waiting.setblocking(False)
        stopping = asyncio.create_task(gateway.stop(60))
        first = await asyncio.get_running_loop().sock_recv(waiting, 12)
        writer.write(request)
        second = await reader.read(12)
    writer.close()
    await stopping
    assert (first, second) == (b"HTTP/1.1 200", b"HTTP/1.1 200")
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection(host, int(port))


async def test_client_that_is_accepted_in_the_turn_in_which_the_gateway_stops_listening_is_served(mesh: Mesh) -> None:
    gateway = await start(mesh.settings())
    host, port = gateway.address.split(":")
    with socket.create_connection((host, int(port))) as waiting:
        waiting.setblocking(False)
        await asyncio.sleep(0)  # in this turn of the event loop asyncio accepts; what serves the connection comes after
        await asyncio.create_task(gateway._server.stop_accepting())
        waiting.sendall(b"GET /api/v1/config HTTP/1.1\r\nHost: gateway\r\n\r\n")
        assert await asyncio.get_running_loop().sock_recv(waiting, 12) == b"HTTP/1.1 200"
    await gateway.stop(60)


async def test_stream_over_the_grace_period_is_closed_with_1012_and_cancelled_upstream(mesh: Mesh) -> None:
    gateway = await start(mesh.settings())
    async with connect(f"ws://{gateway.address}/ws/stream/a") as websocket:
        await started(mesh, websocket)
        await gateway.stop(0)
        assert await rest_of(websocket) == []
        assert websocket.close_code == 1012
        await mesh.pipeline.stream_ended.wait()


@contextlib.asynccontextmanager
async def process(mesh: Mesh, **variables: str) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    """A gateway in its own process, and its address once it serves."""
    environment = {
        **os.environ,
        "PANTREE_GATEWAY_PORT": "0",
        "PANTREE_PIPELINE_ADDRESS": mesh.pipeline_address,
        "PANTREE_SIMULATION_ADDRESS": mesh.simulation_address,
        "PANTREE_LOG_FORMAT": "json",
        **variables,
    }
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "pantree_gateway", env=environment, stderr=asyncio.subprocess.PIPE
    )
    try:
        assert child.stderr is not None
        address = ""
        async for line in child.stderr:
            found = re.search(rb'"address": "([^"]+)"', line)
            if found:
                address = found.group(1).decode()
                break
        yield child, address
    finally:
        if child.returncode is None:
            child.kill()
        await child.communicate()


async def test_sigterm_during_a_stream_lets_it_finish_and_exits_with_0(mesh: Mesh) -> None:
    async with process(mesh) as (child, address), connect(f"ws://{address}/ws/stream/a") as websocket:
        await started(mesh, websocket)
        child.send_signal(signal.SIGTERM)
        await until_draining(address)
        mesh.pipeline.months_may_go_on.set()
        assert await rest_of(websocket) == ["monthly_update", "completed"]
        assert await child.wait() == 0


async def test_port_in_use_exits_with_1_and_one_line(mesh: Mesh) -> None:
    async with mesh.gateway() as gateway:
        port = gateway.address.split(":")[1]
        child = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "pantree_gateway",
            env={**os.environ, "PANTREE_GATEWAY_PORT": port},
            stderr=asyncio.subprocess.PIPE,
        )
        _, errors = await child.communicate()
    assert child.returncode == 1
    assert errors.decode().startswith(f"error: gateway cannot listen on 127.0.0.1:{port}")
    assert "Traceback" not in errors.decode()


async def test_invalid_setting_exits_with_2(mesh: Mesh) -> None:
    async with process(mesh, PANTREE_GATEWAY_REQUEST_TIMEOUT_SECONDS="-1") as (child, address):
        assert address == ""
        assert await child.wait() == 2
