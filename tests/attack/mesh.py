"""A mesh with the limits of the manifests, an attacker and a legitimate caller."""

import asyncio
import contextlib
import hashlib
import json
import os
import sys
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import psutil

from pantree_cli.mesh import ALL_PARTS, GRPC_VARIABLES, ProcessMesh, ServiceKind, port_settings
from pantree_cli.part_processes import ProgramStarter
from tests.attack.limits import Group, memory_limits, memory_of
from tests.logs import errors_written_to

ATTACKER_KEY, LEGITIMATE_KEY, OTHER_KEY = "key of the attacker", "key of the shop", "another key of the attacker"
TEST_TENANT = "sandbox"
"""The tenant with a test clock."""
# All of 127.0.0.0/8 is this machine, so that the two have different addresses.
ATTACKER_ADDRESS, LEGITIMATE_ADDRESS = "127.0.0.2", "127.0.0.1"
_START_SECONDS = 180.0
BODY = {
    "customer_id": "legitimate",
    "items": [{"name": "Bananas", "price": 1.99}, {"name": "Milk", "price": 3.49}],
    "simulation_months": 3,
}


class LimitedMesh(ProcessMesh):
    """Processes in control groups with the limits of the manifests."""

    def __init__(self, environment: Mapping[str, str], addresses: Mapping[str, str], log: Path) -> None:
        # As in containers, each part is a program of its own. Forked parts would count in the launcher's group.
        super().__init__(environment, addresses, starter=ProgramStarter)
        self.log = log
        limits = memory_limits()
        self.groups = {part.name: Group(part.name, limits[part.name]) for part in ALL_PARTS}

    async def start(self, part: ServiceKind) -> None:
        """Starts a part in its group."""
        group = self.groups[part.name]
        with group.entered():
            await super().start(part)
        group.limit_process(self.process_ids[part.name])

    @property
    def dead(self) -> list[str]:
        """Parts whose process has ended."""
        return [name for name, process_id in self.process_ids.items() if not memory_of(process_id)]

    def memory(self) -> dict[str, int]:
        """Resident bytes by part."""
        return {name: memory_of(process_id) for name, process_id in self.process_ids.items()}

    def tracebacks(self, since: int = 0) -> list[str]:
        """Lines of the log with a traceback, from a position of the file on."""
        lines = self.log.read_bytes()[since:].decode(errors="replace").splitlines()
        return [line for line in lines if "Traceback" in line]

    @property
    def http(self) -> str:
        """Base URL of the gateway."""
        return f"http://{self.addresses['gateway']}"


def _keys(folder: Path) -> Path:
    entries = [("attacker", "south", ATTACKER_KEY), ("second", "south", OTHER_KEY), ("shop", "north", LEGITIMATE_KEY)]
    file = folder / "api-keys.json"
    file.write_text(
        json.dumps(
            [
                {"name": name, "tenant": tenant, "sha256": hashlib.sha256(key.encode()).hexdigest()}
                for name, tenant, key in entries
            ]
        )
    )
    return file


async def _compile() -> None:
    """Fills the caches of compiled functions, which images have: compiling takes more memory than the limits give."""
    for part in ("simulation", "frequency", "recommendation"):
        program = f"from pantree_{part}.__main__ import PROGRAM; PROGRAM.compile()"
        process = await asyncio.create_subprocess_exec(sys.executable, "-c", program)
        assert await process.wait() == 0


@contextlib.asynccontextmanager
async def limited_mesh(folder: Path) -> AsyncIterator[LimitedMesh]:
    """A mesh that requires keys. Its log is `folder/log`."""
    settings = {
        **port_settings(own_ports=True, parts=ALL_PARTS),
        "PANTREE_LOG_LEVEL": "WARNING",
        "PANTREE_LOG_FORMAT": "json",
        "PANTREE_DRAIN_SECONDS": "1",
        "PANTREE_GATEWAY_CACHE_SECONDS": "0",
        "PANTREE_HISTORY_STORE_URL": f"sqlite://{folder}/history.db",
        "PANTREE_HISTORY_TEST_TENANTS": json.dumps([TEST_TENANT]),
        "PANTREE_GATEWAY_API_KEYS_FILE": str(_keys(folder)),
    }
    addresses: dict[str, str] = {part.name: settings[part.address_variable] for part in ALL_PARTS}
    mesh = LimitedMesh({**os.environ, **GRPC_VARIABLES, **settings}, addresses, folder / "log")
    await _compile()
    try:
        with errors_written_to(mesh.log):
            for part in ALL_PARTS:
                await mesh.start(part)
        async with asyncio.timeout(_START_SECONDS):
            await asyncio.gather(*(mesh.serving(part) for part in ALL_PARTS))
        yield mesh
    finally:
        await mesh.stop()
        for group in mesh.groups.values():
            group.remove()


@dataclass
class Legitimate:
    """Requests of a caller that does nothing wrong, all the time."""

    durations: list[float] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    """Anything but 200."""

    @property
    def p99_ms(self) -> float:
        """99th percentile of the durations."""
        ordered = sorted(self.durations)
        return 1000 * ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))] if ordered else float("nan")


@contextlib.asynccontextmanager
async def legitimate_caller(mesh: LimitedMesh) -> AsyncIterator[Legitimate]:
    """Sends requests as long as the context lasts, each on a new connection."""
    outcome = Legitimate()

    async def call() -> None:
        began_at = time.monotonic()
        try:
            async with httpx.AsyncClient(base_url=mesh.http, timeout=30) as client:
                response = await client.post("/api/v1/process", json=BODY, headers={"X-API-Key": LEGITIMATE_KEY})
            if response.status_code != 200:
                outcome.problems.append(f"{response.status_code} {response.text[:200]}")
        except httpx.HTTPError as error:
            outcome.problems.append(repr(error))
        outcome.durations.append(time.monotonic() - began_at)

    async def repeat() -> None:
        while True:
            await call()
            await asyncio.sleep(0.1)

    task = asyncio.create_task(repeat())
    try:
        yield outcome
        await call()
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


@contextlib.asynccontextmanager
async def measured(mesh: LimitedMesh) -> AsyncIterator[dict[str, int]]:
    """Peak of the resident bytes of each part while the context lasts."""
    peaks = mesh.memory()

    async def sample() -> None:
        while True:
            for name, size in mesh.memory().items():
                peaks[name] = max(peaks[name], size)
            await asyncio.sleep(0.1)

    task = asyncio.create_task(sample())
    try:
        yield peaks
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError, psutil.Error):
            await task
