"""What is seen when a system outside the mesh fails, as a table: `python -m tests.faults.dependencies [--write]`.

A mesh runs in real processes, with Redis, a stub of a language model, a stub of SageMaker, and Milvus if PyPI's
`milvus` is installed, each behind a proxy. Each is stopped, hangs, is full and is slow in turn. The table lists what
`/health`, gRPC health, metrics, answers, alerts and logs show, and after how long; an answer that names hosts, settings
or permissions ends the run. `--write` replaces the rows in docs/operations.md; others stay.
"""

import argparse
import asyncio
import contextlib
import functools
import json
import logging
import os
import re
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import httpx
from grpc_health.v1 import health_pb2, health_pb2_grpc
from redis.asyncio import Redis

from pantree_cli.mesh import HOST, PARTS, free_ports, port_settings
from tests import milvus_server as milvus
from tests.enrichment.nim_server import NimServer, answers, http, nim_at_loopback, sends
from tests.faults.proxy import Proxy, proxies_of
from tests.recommendation.sagemaker_stub import SageMakerStub, error, rank_by_confidence, serving
from tests.redis_server import redis_server

GUIDE = Path(__file__).resolve().parents[2] / "docs" / "operations.md"
BEGIN, END = "<!-- dependencies: begin -->", "<!-- dependencies: end -->"
FAILURES = ("stopped", "hung", "full", "slow")
# Slower than any of the timeouts that a request can afford for it.
DELAY_SECONDS = 4.0
MAX_DETECTION_SECONDS = 10.0
MAX_RECOVERY_SECONDS = 60.0
HEADERS = (
    "system", "state", "`/health`", "gRPC health", "`pantree_dependency_up`", "answer", "warning", "alert",
    "log: first line, and lines", "healthy again after",
)  # fmt: skip
# What only operators may read, in logs.
_INSIDE = re.compile(
    r"127\.0\.0\.1|localhost|[A-Z]+_[A-Z_]*(ENDPOINT|HOST|URL|KEY|TOKEN)|\w+:[A-Z]\w*Endpoint|Traceback"
)


@dataclass(frozen=True)
class System:
    """A system outside the mesh."""

    name: str
    component: str
    """Its name in `/health`."""
    part: str
    """The part that uses it."""
    dependency: str
    """Its name in gRPC health and metrics."""
    warns_as: str
    """Component of its warnings."""


SYSTEMS = (
    System("Milvus", "vector-store", "vector", "vector-store", "vector"),
    System("Redis", "redis", "gateway", "redis", "redis"),
    System("language model", "language-model", "enrichment", "language-model", "nim"),
    System("SageMaker", "sagemaker", "recommendation", "sagemaker", "sagemaker"),
)


class Mesh:
    """A running mesh and the systems around it."""

    def __init__(
        self, variables: dict[str, str], metrics_ports: dict[str, int], log: Path, proxies: dict[str, Proxy],
        fill: dict[str, Callable[[bool], Any]],
    ) -> None:  # fmt: skip
        self.proxies = proxies
        self._fill = fill
        self._gateway = f"http://{variables['PANTREE_GATEWAY_ADDRESS']}"
        self._addresses: dict[str, str] = {part.name: variables[part.address_variable] for part in PARTS}
        self._metrics_ports = metrics_ports
        self._log = log
        self._requests = 0
        self._client = httpx.AsyncClient(timeout=60)

    async def inject(self, system: System, failure: str) -> None:
        """Lets a system fail."""
        proxy = self.proxies[system.name]
        if failure == "stopped":
            await proxy.cut()
        elif failure == "hung":
            proxy.hang()
        elif failure == "slow":
            proxy.set_delay(DELAY_SECONDS)
        else:
            await _result(self._fill[system.name](True))

    async def restore(self, system: System) -> None:
        """Repairs a system."""
        self.proxies[system.name].restore()
        if system.name in self._fill:
            await _result(self._fill[system.name](False))

    async def state(self, system: System) -> str:
        """State of a system in `/health`."""
        components = (await self._client.get(f"{self._gateway}/health")).json()["components"]
        return str(components[system.component]["status"]) if system.component in components else "not listed"

    async def inside_in_health(self) -> list[str]:
        """Hosts, settings and permissions in `/health`."""
        return inside_in((await self._client.get(f"{self._gateway}/health")).text)

    async def grpc_state(self, system: System) -> str:
        """State of a system in gRPC health; the gateway has none."""
        if system.part == "gateway":
            return "-"
        async with grpc.aio.insecure_channel(self._addresses[system.part]) as channel:
            stub: Any = health_pb2_grpc.HealthStub(channel)
            response = await stub.Check(health_pb2.HealthCheckRequest(service=system.dependency))
        return str(health_pb2.HealthCheckResponse.ServingStatus.Name(response.status))

    async def metric(self, part: str, name: str, **labels: str) -> float:
        """Value of a metric of a part."""
        text = (await self._client.get(f"http://{HOST}:{self._metrics_ports[part]}/metrics")).text
        wanted = ",".join(f'{key}="{value}"' for key, value in labels.items())
        found = re.search(rf"^{re.escape(name)}\{{{re.escape(wanted)}\}} (\S+)$", text, re.MULTILINE)
        return float(found[1]) if found else 0.0

    async def process(self) -> tuple[httpx.Response, float]:
        """An answer about items that no cache knows, and its duration."""
        self._requests += 1
        names = [f"Zorblax{self._requests}", "Milk"]
        purchases = [
            {"name": name, "date": f"2026-0{month}-0{day}", "quantity": 1, "price": 2.5}
            for name in names for month in range(1, 7) for day in (1, 8)
        ]  # fmt: skip
        body = {"customer_id": "c", "history": purchases, "as_of": "2026-06-20"}
        began_at = time.monotonic()
        response = await self._client.post(
            f"{self._gateway}/api/v1/process", json=body, headers={"Idempotency-Key": f"key-{self._requests}"}
        )
        assert response.status_code == 200, response.text
        return response, time.monotonic() - began_at

    def log_lines(self, offset: int = 0) -> list[dict[str, Any]]:
        """The lines of warnings and errors after a position of the log."""
        text = self._log.read_text()[offset:]
        lines = [json.loads(line) if line.startswith("{") else {"event": line} for line in text.splitlines() if line]
        return [line for line in lines if line.get("level") not in ("info", "debug")]

    @property
    def log_size(self) -> int:
        """Number of characters of the log."""
        return len(self._log.read_text())

    async def close(self) -> None:
        """Closes connections."""
        await self._client.aclose()


def inside_in(text: str) -> list[str]:
    """Hosts, settings and permissions in a text."""
    return [found[0] for found in _INSIDE.finditer(text)]


def with_rows(table: str, rows: list[str]) -> str:
    """A table with its rows about the same systems and failures replaced."""
    new = {_failure_of(row): row for row in rows}
    return "\n".join(new.get(_failure_of(row), row) for row in table.splitlines())


def _failure_of(row: str) -> tuple[str, ...]:
    return tuple(cell.strip() for cell in row.strip("|").split("|")[:2])


async def _result(value: Any) -> None:
    if asyncio.iscoroutine(value):
        await value


async def _until(mesh: Mesh, system: System, is_wanted: Callable[[str], bool], max_seconds: float) -> float | None:
    """Seconds until the state in `/health` is as wanted; None if it never is."""
    began_at = time.monotonic()
    while time.monotonic() - began_at < max_seconds:
        if is_wanted(await mesh.state(system)):
            return time.monotonic() - began_at
        await asyncio.sleep(0.25)
    return None


async def observe(mesh: Mesh, system: System, failure: str) -> list[str]:
    """One row of the table."""
    offset = mesh.log_size
    fallbacks = await mesh.metric("pipeline", "pantree_fallbacks_total", component=system.warns_as)
    await mesh.inject(system, failure)
    # A request shows what only calls show, such as a full store.
    (response, seconds), detected = await asyncio.gather(
        mesh.process(), _until(mesh, system, lambda state: state != "healthy", MAX_DETECTION_SECONDS)
    )
    assert not (named := inside_in(response.text) + await mesh.inside_in_health()), named
    state, grpc_state = await mesh.state(system), await mesh.grpc_state(system)
    is_up = 1.0
    began_at = time.monotonic()
    while is_up and time.monotonic() - began_at < (MAX_DETECTION_SECONDS if detected is not None else 0.1):
        await asyncio.sleep(0.25)  # a check may follow later than the first failed call
        is_up = await mesh.metric(system.part, "pantree_dependency_up", dependency=system.dependency)
    lacks = await mesh.metric("pipeline", "pantree_fallbacks_total", component=system.warns_as) > fallbacks
    body = response.json()
    warnings = [one["code"] for one in body.get("warnings", ()) if one["component"] == system.warns_as]
    lines = mesh.log_lines(offset)
    await mesh.restore(system)
    recovered = await _until(mesh, system, lambda state: state == "healthy", MAX_RECOVERY_SECONDS)
    restored_at = time.monotonic()
    while not await _answers_completely(mesh, system):
        if time.monotonic() - restored_at > MAX_RECOVERY_SECONDS:
            break
        await asyncio.sleep(1)
    complete = time.monotonic() - restored_at + (recovered or 0)
    alerts = [name for name, fires in (("PantreeDependencyDown", not is_up), ("PantreeDegraded", lacks)) if fires]
    return [
        system.name,
        failure,
        f"{state} after {detected:.0f} s" if detected is not None else "healthy",
        grpc_state,
        f"{is_up:.0f}",
        f"{response.status_code} in {seconds:.1f} s",
        ", ".join(warnings) or "none",
        ", ".join(alerts) or "none",
        f"`{lines[0]['event'].partition(';')[0]}`, {len(lines)}" if lines else "none",
        f"{recovered:.0f} s; answers after {complete:.0f} s"
        if recovered is not None
        else f"over {MAX_RECOVERY_SECONDS:.0f} s",
    ]


async def _answers_completely(mesh: Mesh, system: System) -> bool:
    """Whether an answer has no warning about a system."""
    response, _ = await mesh.process()
    return system.warns_as not in {warning["component"] for warning in response.json().get("warnings", ())}


@contextlib.asynccontextmanager
async def running(folder: Path) -> AsyncIterator[Mesh]:
    """A mesh with all systems."""
    metrics_ports: dict[str, int] = dict(zip((part.name for part in PARTS), free_ports(len(PARTS)), strict=True))
    log = folder / "log"
    with contextlib.ExitStack() as stack:
        redis = stack.enter_context(redis_server(folder / "redis"))
        sagemaker = stack.enter_context(serving())
        store = stack.enter_context(_milvus(folder))
        async with nim_at_loopback(answers) as nim:
            ports = {
                "Redis": int(re.findall(r":(\d+)", redis.url)[0]),
                "language model": int(nim.address.partition(":")[2]),
                "SageMaker": int(sagemaker.url.rpartition(":")[2]),
                **({"Milvus": int(store.uri.rpartition(":")[2])} if store else {}),
            }
            async with proxies_of(ports) as proxies:
                variables = {
                    **os.environ,
                    **port_settings(own_ports=True),
                    **{f"PANTREE_{part.upper()}_METRICS_PORT": str(port) for part, port in metrics_ports.items()},
                    "PANTREE_LOG_FORMAT": "json",
                    "LLAMA_NIM_ENDPOINT": f"{HOST}:{proxies['language model'].port}",
                    "PANTREE_ENRICHMENT_NIM_TIMEOUT_SECONDS": "5",
                    "SAGEMAKER_ENDPOINT": "ranker",
                    "PANTREE_RECOMMENDATION_SAGEMAKER_URL": f"http://{HOST}:{proxies['SageMaker'].port}",
                    "AWS_ACCESS_KEY_ID": "id",
                    "AWS_SECRET_ACCESS_KEY": "not-a-real-key",
                    "AWS_REGION": "us-east-1",
                    "PANTREE_VECTOR_STORE_URL": (f"milvus://{HOST}:{proxies['Milvus'].port}" if store else "memory://"),
                    "PANTREE_REDIS_URL": f"redis://{HOST}:{proxies['Redis'].port}/0",
                }
                fill: dict[str, Callable[[bool], Any]] = {
                    **({"Milvus": functools.partial(_fill_milvus, store)} if store else {}),
                    "Redis": lambda is_full: _fill_redis(redis.url, is_full),
                    "language model": lambda is_full: _fill_nim(nim, is_full),
                    "SageMaker": lambda is_full: _fill_sagemaker(sagemaker, is_full),
                }
                with log.open("w") as errors:
                    command = [sys.executable, "-m", "pantree_cli", "up", "--without-history"]
                    process = await asyncio.create_subprocess_exec(
                        *command, stdout=asyncio.subprocess.PIPE, stderr=errors, env=variables
                    )
                mesh = Mesh(variables, metrics_ports, log, proxies, fill)
                try:
                    assert process.stdout is not None
                    async for line in process.stdout:
                        if b"All parts are serving" in line:
                            break
                    yield mesh
                finally:
                    await mesh.close()
                    for proxy in proxies.values():
                        proxy.restore()
                    process.send_signal(signal.SIGTERM)
                    await process.wait()


@contextlib.contextmanager
def _milvus(folder: Path) -> Iterator[milvus.MilvusServerProcess | None]:
    """A Milvus server, if PyPI's package is installed."""
    if not milvus.is_installed():
        yield None
        return
    with milvus.milvus_server(lambda: folder / "milvus") as server:
        yield server


async def _fill_milvus(server: milvus.MilvusServerProcess, is_full: bool) -> None:
    await asyncio.to_thread(server.set_full, is_full)


async def _fill_redis(url: str, is_full: bool) -> None:
    client = Redis.from_url(url)
    await client.config_set("maxmemory", "1mb" if is_full else "0")
    await client.aclose()


def _fill_nim(nim: NimServer, is_full: bool) -> None:
    nim.behavior = sends(http(429, b"too many requests", **{"Retry-After": "3"})) if is_full else answers


def _fill_sagemaker(sagemaker: SageMakerStub, is_full: bool) -> None:
    sagemaker.behavior = error("ModelNotReadyException", 429) if is_full else rank_by_confidence


async def measured_rows(only: str = "") -> list[str]:
    """Rows of the table in Markdown."""
    rows = []
    folder = Path(tempfile.mkdtemp())
    (folder / "redis").mkdir()
    try:
        async with running(folder) as mesh:
            await mesh.process()
            for system in SYSTEMS:
                if (only and system.name != only) or system.name not in mesh.proxies:
                    continue
                for failure in FAILURES:
                    rows.append(f"| {' | '.join(await observe(mesh, system, failure))} |")
                    print(rows[-1], flush=True)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return rows


def main() -> int:
    """Exit code: 0."""
    parser = argparse.ArgumentParser(description="Shows what is seen when a system outside the mesh fails.")
    parser.add_argument("--only", default="", metavar="SYSTEM", help="only this system, such as Redis")
    parser.add_argument("--write", action="store_true", help="replace the table in docs/operations.md")
    options = parser.parse_args()
    logging.getLogger("pymilvus").setLevel(logging.CRITICAL)  # refusals of a full server are expected
    print(f"| {' | '.join(HEADERS)} |", "|" + "---|" * len(HEADERS), sep="\n")
    rows = asyncio.run(measured_rows(options.only))
    if options.write:
        head, begin, rest = GUIDE.read_text().partition(f"{BEGIN}\n")
        table, end, tail = rest.partition(END)
        GUIDE.write_text(f"{head}{begin}{with_rows(table, rows)}\n{end}{tail}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
