"""B9: how long a whole mesh takes to serve, and to give its first answer, against as many empty servers."""

import asyncio
import subprocess
import sys
import time
from contextlib import ExitStack
from statistics import median

import httpx

from pantree_cli.mesh import PARTS
from tests.benchmarks.b3_pipeline_latency import BODY
from tests.benchmarks.measurement import Measurement
from tests.e2e.mesh import mesh_of_processes, until_healthy

_ROUNDS = 5
# After which everything is compiled, by Python and by numba.
_WARM_UP = 1
_EMPTY_SERVER = """
import asyncio
import grpc

async def main():
    server = grpc.aio.server()
    server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print("serving", flush=True)
    await server.wait_for_termination()

asyncio.run(main())
"""


def measure() -> list[Measurement]:
    """Medians of a few starts, in turn with those of the baseline."""
    return asyncio.run(_measure())


async def _measure() -> list[Measurement]:
    serving: list[float] = []
    answered: list[float] = []
    empty: list[float] = []
    for number in range(_WARM_UP + _ROUNDS):
        until_serving, until_answer = await start_mesh()
        until_empty_servers = _start_empty_servers()
        if number >= _WARM_UP:
            serving.append(until_serving)
            answered.append(until_answer)
            empty.append(until_empty_servers)
    floor = median(empty)
    baseline = f"{len(PARTS)} empty grpc.aio servers, started at once"
    return [
        Measurement(
            "B9", f"start of {len(PARTS)} parts until {state}", baseline, seconds, floor, seconds / floor, level
        )
        for state, seconds, level in (
            ("all are SERVING", median(serving), "≤ 3 × its time"),
            ("the first answer", median(answered), "≤ 3 × its time"),
        )
    ]


async def start_mesh(**variables: str) -> tuple[float, float]:
    """Seconds until all parts serve as `pantree up` starts them, and until the first answer.

    Args:
        variables: further environment variables of the parts.
    """
    async with httpx.AsyncClient(timeout=60) as client:
        began_at = time.perf_counter()
        async with mesh_of_processes(**variables) as mesh:
            await until_healthy(mesh, "healthy")
            until_serving = time.perf_counter() - began_at
            (await client.post(f"{mesh.http}/api/v1/process", json=BODY)).raise_for_status()
            return until_serving, time.perf_counter() - began_at


def _start_empty_servers() -> float:
    """Seconds until as many servers without any service listen."""
    with ExitStack() as stack:
        began_at = time.perf_counter()
        servers: list[subprocess.Popen[bytes]] = []
        for _ in PARTS:
            server = subprocess.Popen([sys.executable, "-c", _EMPTY_SERVER], stdout=subprocess.PIPE)
            servers.append(stack.enter_context(server))
            stack.callback(server.kill)
        for server in servers:
            assert server.stdout is not None
            assert server.stdout.readline() == b"serving\n"
        return time.perf_counter() - began_at
