"""B10: memory of the gateway per open stream, against a bare `grpc.aio` server's."""

import asyncio
import contextlib
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
from websockets.asyncio.client import connect

from pantree_cli.mesh import GRPC_VARIABLES
from tests.benchmarks.bare_mesh import process
from tests.benchmarks.measurement import Measurement

_STREAMS = 200
# Buffers and caches that come with the first streams are no streams' own.
_WARM_UP = 50
_PATH = "/pantree.pipeline.v1.PipelineService/StreamProcess"


def measure() -> list[Measurement]:
    """Resident MiB per stream, after some to warm up; Linux only."""
    if not Path("/proc/self/statm").exists():
        return []
    with process("hold") as (_, pipeline), _gateway(pipeline) as (gateway_id, gateway):
        work = asyncio.run(_websockets(gateway_id, f"ws://{gateway}/ws/stream/cust_001"))
    with process("hold") as (bare_id, bare):
        floor = asyncio.run(_bare_streams(bare_id, bare))
    name = f"memory per open WebSocket, {_STREAMS} of them"
    return [Measurement("B10", name, "bare grpc.aio stream", work, floor, work / floor, "≤ 2.5 × bare", "MiB")]


@contextlib.contextmanager
def _gateway(pipeline: str) -> Iterator[tuple[int, str]]:
    variables = {
        "PANTREE_GATEWAY_PORT": "0",
        "PANTREE_PIPELINE_ADDRESS": pipeline,
        "PANTREE_LOG_FORMAT": "json",
    }
    child = subprocess.Popen(
        [sys.executable, "-m", "pantree_gateway"],
        env={**GRPC_VARIABLES, **os.environ, **variables},
        stderr=subprocess.PIPE,
    )
    try:
        assert child.stderr is not None
        found = None
        while found is None:
            found = re.search(rb'"address": "([^"]+)"', child.stderr.readline())
        yield child.pid, found.group(1).decode()
    finally:
        child.kill()
        child.communicate()


async def _websockets(process_id: int, url: str) -> float:
    async with contextlib.AsyncExitStack() as stack:
        before = 0.0
        for number in range(_WARM_UP + _STREAMS):
            if number == _WARM_UP:
                before = _resident_mib(process_id)
            websocket = await stack.enter_async_context(connect(url))
            await websocket.send('{"items": [{"name": "Bananas", "price": 1.99}]}')
            await websocket.recv()
        return (_resident_mib(process_id) - before) / _STREAMS


async def _bare_streams(process_id: int, address: str) -> float:
    async with grpc.aio.insecure_channel(address) as channel:
        before = 0.0
        calls = []
        make_call: Any = channel.unary_stream(_PATH)
        for number in range(_WARM_UP + _STREAMS):
            if number == _WARM_UP:
                before = _resident_mib(process_id)
            call = make_call(b"")
            await call.read()
            calls.append(call)
        taken = (_resident_mib(process_id) - before) / _STREAMS
        for call in calls:
            call.cancel()
        return taken


def _resident_mib(process_id: int) -> float:
    pages = int(Path(f"/proc/{process_id}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20
