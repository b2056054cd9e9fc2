"""B3: one pipeline over REST and over WebSocket, against as many bare hops with the same bytes."""

import asyncio
import json
import time
from statistics import quantiles

import httpx
from websockets.asyncio.client import connect

from tests.benchmarks.bare_mesh import bare_mesh
from tests.benchmarks.measurement import Measurement
from tests.e2e.mesh import mesh_of_processes, until_healthy

# Behind the pipeline: simulation, vector, frequency, enrichment, recommendation.
HOPS = 5
_ROUNDS = 60
_WARM_UP = 10
_FLOOR = f"FastAPI echo, 1 + {HOPS} gRPC echoes"

# No `as_of`, so that nothing comes from the cache.
BODY = {
    "customer_id": "cust_001",
    "archetype": "health_conscious",
    "items": [{"name": "Bananas", "price": 1.99}, {"name": "Milk", "price": 5.49}],
    "seed": 7,
}


def measure() -> list[Measurement]:
    """Warm, embedded back ends, each part a process of its own; work and yardstick in turn."""
    with bare_mesh(HOPS) as bare:
        return asyncio.run(_measure(bare))


async def _measure(bare: str) -> list[Measurement]:
    times: dict[str, list[float]] = {
        "rest": [],
        "bare rest": [],
        "first": [],
        "bare first": [],
        "all": [],
        "bare all": [],
    }
    async with mesh_of_processes(PANTREE_LOG_LEVEL="WARNING") as mesh, httpx.AsyncClient(timeout=30) as client:
        await until_healthy(mesh, "healthy")
        body = json.dumps(BODY).encode()
        answer = (await client.post(f"{mesh.http}/api/v1/process", content=body)).content
        month = await _month(f"{mesh.websocket}/ws/stream/cust_001", BODY)
        for number in range(_WARM_UP + _ROUNDS):
            taken = {
                "rest": await _rest(client, f"{mesh.http}/api/v1/process", body),
                "bare rest": await _rest(client, f"http://{bare}/echo", answer),
            }
            taken["first"], taken["all"] = await _stream(
                f"{mesh.websocket}/ws/stream/cust_001", body.decode(), "monthly_update"
            )
            taken["bare first"], taken["bare all"] = await _stream(f"ws://{bare}/echo", month, "")
            if number >= _WARM_UP:
                for name, seconds in taken.items():
                    times[name].append(seconds)
    return [
        _compared("REST p50", times["rest"], times["bare rest"], 50, "≤ 2.5 × floor"),
        _compared("REST p99", times["rest"], times["bare rest"], 99, "none"),
        _compared("WebSocket to the first month, p50", times["first"], times["bare first"], 50, "≤ 1.5 × floor"),
        _compared("WebSocket to the end, p50", times["all"], times["bare all"], 50, "≤ 2.5 × floor"),
    ]


def _compared(work: str, seconds: list[float], floor: list[float], percent: int, level: str) -> Measurement:
    one, other = (quantiles(values, n=100)[percent - 1] for values in (seconds, floor))
    return Measurement("B3", f"pipeline over {work}", _FLOOR, one, other, one / other, level)


async def _rest(client: httpx.AsyncClient, url: str, body: bytes) -> float:
    started = time.perf_counter()
    response = await client.post(url, content=body, headers={"Content-Type": "application/json"})
    response.raise_for_status()
    return time.perf_counter() - started


async def _month(url: str, body: object) -> str:
    """A month as it is sent."""
    async with connect(url) as websocket:
        await websocket.send(json.dumps(body))
        while True:
            frame = str(await websocket.recv())
            if '"monthly_update"' in frame:
                return frame


async def _stream(url: str, request: str, wanted: str) -> tuple[float, float]:
    """Seconds from the request to the first frame that is wanted, and to the last frame."""
    async with connect(url, max_size=None) as websocket:
        first = 0.0
        started = last = time.perf_counter()
        await websocket.send(request)
        async for frame in websocket:
            last = time.perf_counter()
            if not first and wanted in str(frame):
                first = last
            if '"completed"' in str(frame)[:40]:
                break
        return first - started, last - started
