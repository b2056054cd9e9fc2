"""B3: one pipeline over REST and over WebSocket, against as many bare hops with the same messages."""

import asyncio
import json
import time
from contextlib import AbstractContextManager
from statistics import quantiles

import httpx
from websockets.asyncio.client import connect

from tests.benchmarks.bare_mesh import bare_mesh
from tests.benchmarks.measurement import Measurement
from tests.benchmarks.recorded_calls import record
from tests.e2e.mesh import RunningMesh, mesh_of_processes, until_healthy

_ROUNDS = 60
_WARM_UP = 10
# Parts serve once their functions are compiled, as images do. Otherwise a first run would measure interpreted ones.
COMPILED = {"PANTREE_COMPILE": "", "PANTREE_LOG_LEVEL": "WARNING"}
_FLOOR = "FastAPI echo, the same gRPC messages"
# Started, six months, completed.
_FRAMES = 8

# No `as_of`, so that nothing comes from the cache.
BODY = {
    "customer_id": "cust_001",
    "archetype": "health_conscious",
    "items": [{"name": "Bananas", "price": 1.99}, {"name": "Milk", "price": 5.49}],
    "seed": 7,
}


def measure() -> list[Measurement]:
    """Warm, embedded back ends, each part a process of its own; work and baseline in turn."""
    return asyncio.run(_measure())


async def _measure() -> list[Measurement]:
    times: dict[str, list[float]] = {
        "rest": [],
        "bare rest": [],
        "first": [],
        "bare first": [],
        "all": [],
        "bare all": [],
    }
    async with mesh_of_processes(**COMPILED) as mesh, httpx.AsyncClient(timeout=30) as client:
        await until_healthy(mesh, "healthy")
        body = json.dumps(BODY).encode()
        socket = f"{mesh.websocket}/ws/stream/cust_001"
        with await floor_of(mesh, client) as bare:
            for number in range(_WARM_UP + _ROUNDS):
                taken = {
                    "rest": await _rest(client, f"{mesh.http}/api/v1/process", body),
                    "bare rest": await _rest(client, f"http://{bare}/echo", body),
                }
                taken["first"], taken["all"] = await _stream(socket, body.decode())
                taken["bare first"], taken["bare all"] = await _stream(f"ws://{bare}/echo", body.decode())
                if number >= _WARM_UP:
                    for name, seconds in taken.items():
                        times[name].append(seconds)
    return [
        _compared("REST p50", times["rest"], times["bare rest"], 50, "≤ 2.3 × floor"),
        _compared("REST p99", times["rest"], times["bare rest"], 99, "none"),
        _compared("WebSocket to the first month, p50", times["first"], times["bare first"], 50, "≤ 1.4 × floor"),
        _compared("WebSocket to the end, p50", times["all"], times["bare all"], 50, "≤ 2.3 × floor"),
    ]


def _compared(work: str, seconds: list[float], floor: list[float], percent: int, level: str) -> Measurement:
    one, other = (quantiles(values, n=100)[percent - 1] for values in (seconds, floor))
    return Measurement("B3", f"pipeline over {work}", _FLOOR, one, other, one / other, level)


async def _rest(client: httpx.AsyncClient, url: str, body: bytes) -> float:
    started = time.perf_counter()
    response = await client.post(url, content=body, headers={"Content-Type": "application/json"})
    response.raise_for_status()
    return time.perf_counter() - started


async def floor_of(mesh: RunningMesh, client: httpx.AsyncClient) -> AbstractContextManager[str]:
    """The bare mesh that carries the messages of one pipeline; its context gives the address."""
    answer = (await client.post(f"{mesh.http}/api/v1/process", json=BODY)).raise_for_status().content
    frames: list[str] = []
    async with connect(f"{mesh.websocket}/ws/stream/cust_001") as websocket:
        await websocket.send(json.dumps(BODY))
        async for frame in websocket:
            frames.append(str(frame))
            if '"completed"' in frames[-1][:40]:
                break
    # So that the second and the last frame of both are the first month and the result.
    kinds = [json.loads(frame)["type"] for frame in frames]
    assert kinds == ["started", *["monthly_update"] * (_FRAMES - 2), "completed"], kinds
    calls = await record(mesh, BODY)
    return bare_mesh(calls, answer=len(answer), frames=[len(frame) for frame in frames])


async def _stream(url: str, request: str) -> tuple[float, float]:
    """Seconds from the request to the second frame, the first month, and to the last frame."""
    async with connect(url, max_size=None) as websocket:
        came: list[float] = []
        started = time.perf_counter()
        await websocket.send(request)
        # Not until it closes: the gateway waits a while for a further request.
        while len(came) < _FRAMES:
            await websocket.recv()
            came.append(time.perf_counter() - started)
        return came[1], came[-1]
