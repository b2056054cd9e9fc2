"""A whole mesh for tests, in separate processes on free ports."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

import httpx

from pantree_cli.mesh import ProcessMesh, port_settings, start_processes

TIMEOUT_SECONDS = 60


@dataclass(frozen=True)
class RunningMesh:
    """A running mesh: its environment variables and processes."""

    variables: dict[str, str]
    processes: ProcessMesh

    @property
    def process_ids(self) -> dict[str, int]:
        """Process id of each part."""
        return self.processes.process_ids

    async def exit_code(self, part: str) -> int:
        """Exit code of a part, after it has ended."""
        async with asyncio.timeout(TIMEOUT_SECONDS):
            return await self.processes.wait(part)

    def address(self, part: str) -> str:
        """`host:port` of a part."""
        return self.variables[f"PANTREE_{part.upper()}_ADDRESS"]

    @property
    def http(self) -> str:
        """Base URL of the gateway."""
        return f"http://{self.address('gateway')}"

    @property
    def websocket(self) -> str:
        """Base URL of the gateway's WebSocket routes."""
        return f"ws://{self.address('gateway')}"

    def kill(self, part: str) -> None:
        """Kills a part, as a crash would."""
        os.kill(self.process_ids[part], signal.SIGKILL)

    @contextlib.contextmanager
    def started_again(self, part: str) -> Iterator[subprocess.Popen[bytes]]:
        """Context with the part in a new process on the same port, started with `pantree serve PART`."""
        environment = {**os.environ, **self.variables}
        with subprocess.Popen([sys.executable, "-m", "pantree_cli", "serve", part], env=environment) as process:
            try:
                yield process
            finally:
                process.terminate()


@contextlib.asynccontextmanager
async def mesh_of_processes(**variables: str) -> AsyncIterator[RunningMesh]:
    """A mesh as `pantree up` starts it, stopped gracefully at the end.

    Args:
        variables: further environment variables for the parts.
    """
    settings = {**port_settings(own_ports=True), **variables}
    mesh = await start_processes(settings, on_state_change=lambda part, state: None)
    try:
        yield RunningMesh(settings, mesh)
    finally:
        await mesh.stop()


async def until_healthy(mesh: RunningMesh, status: str) -> dict[str, object]:
    """The gateway's health document as soon as it has this status."""
    async with httpx.AsyncClient(base_url=mesh.http) as client, asyncio.timeout(TIMEOUT_SECONDS):
        while True:
            document: dict[str, object] = (await client.get("/health")).json()
            if document["status"] == status:
                return document
            await asyncio.sleep(0.05)
