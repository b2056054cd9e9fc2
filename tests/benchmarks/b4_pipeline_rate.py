"""B4: pipelines per second with 16 clients, against as many bare hops with the same messages under the same load."""

import asyncio
import json
import time
from statistics import quantiles

import httpx

from tests.benchmarks.b3_pipeline_latency import BODY, COMPILED, floor_of
from tests.benchmarks.measurement import Measurement
from tests.e2e.mesh import mesh_of_processes, until_healthy

_CLIENTS = 16
_REQUESTS = 10
_ROUNDS = 3


def measure() -> list[Measurement]:
    """Rates of the best round, taken in turn; errors end the measurement."""
    return asyncio.run(_measure())


async def _measure() -> list[Measurement]:
    work: list[list[float]] = []
    rates: list[float] = []
    floors: list[float] = []
    async with mesh_of_processes(**COMPILED) as mesh:
        await until_healthy(mesh, "healthy")
        url, body = f"{mesh.http}/api/v1/process", json.dumps(BODY).encode()
        async with httpx.AsyncClient(timeout=60) as client:
            floor_mesh = await floor_of(mesh, client)
        with floor_mesh as bare:
            for number in range(_ROUNDS + 1):
                rate, taken = await _load(url, body)
                floor, _ = await _load(f"http://{bare}/echo", body)
                if number:
                    rates.append(rate)
                    floors.append(floor)
                    work.append(taken)
    best = rates.index(max(rates))
    percents = quantiles(work[best], n=100)
    each, floor_each = 1 / max(rates), 1 / max(floors)
    return [
        Measurement("B4", f"{_CLIENTS} clients, pipelines per second", "the bare mesh of B3", each, floor_each,
                    floor_each / each, "≥ 0.5 × its rate"),
        Measurement("B4", f"{_CLIENTS} clients, p99", "p50 of the same", percents[98], percents[49],
                    percents[98] / percents[49], "≤ 4 × p50"),
    ]  # fmt: skip


async def _load(url: str, body: bytes) -> tuple[float, list[float]]:
    """Requests per second, and how long each took."""
    taken: list[float] = []

    async def client() -> None:
        async with httpx.AsyncClient(timeout=60) as client:
            for _ in range(_REQUESTS):
                started = time.perf_counter()
                response = await client.post(url, content=body, headers={"Content-Type": "application/json"})
                response.raise_for_status()
                taken.append(time.perf_counter() - started)

    started = time.perf_counter()
    await asyncio.gather(*(client() for _ in range(_CLIENTS)))
    return len(taken) / (time.perf_counter() - started), taken
