"""Starts and stops the parts of the mesh: each in its own process, or all in this one."""

import asyncio
import contextlib
import importlib
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import grpc
from dotenv import dotenv_values
from grpc_health.v1 import health_pb2, health_pb2_grpc

from pantree_client import ComponentUnavailable, FieldViolation, InvalidInput

HOST = "127.0.0.1"
# On the first start a machine compiles a thousand modules and the simulation's kernel: some 15 seconds of CPU.
LONGEST_START_SECONDS = 180.0
_POLL_SECONDS = 0.05


PartName = Literal["gateway", "pipeline", "simulation", "vector", "frequency", "enrichment", "recommendation"]


@dataclass(frozen=True)
class PartKind:
    """A part as the command line knows it."""

    name: PartName
    port: int
    """The port that it listens on unless told otherwise."""

    @property
    def package(self) -> str:
        """Import package, which is also what `python -m` runs."""
        return f"pantree_{self.name}"

    @property
    def port_variable(self) -> str:
        """Environment variable that sets its port."""
        return f"PANTREE_{self.name.upper()}_PORT"

    @property
    def address_variable(self) -> str:
        """Environment variable that tells the other parts where it listens."""
        return f"PANTREE_{self.name.upper()}_ADDRESS"


# In the order in which they are stopped: nobody is stopped while a part that asks it is still running.
PARTS = (
    PartKind("gateway", 8000),
    PartKind("pipeline", 50051),
    PartKind("simulation", 50052),
    PartKind("vector", 50053),
    PartKind("frequency", 50054),
    PartKind("enrichment", 50055),
    PartKind("recommendation", 50056),
)


class Mesh(Protocol):
    """All parts, serving."""

    addresses: Mapping[str, str]
    """Where each part listens, `host:port`, by name."""

    async def first_failure(self) -> str:
        """Waits until a part ends by itself, and says which and how."""

    async def stop(self) -> None:
        """Stops all parts, letting calls under way finish."""


# Told(part, state): called when a part's state changes; for progress displays.
Told = Callable[[str, str], None]


def free_ports(count: int) -> list[int]:
    """Ports of this machine that nobody listens on just now."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind((HOST, 0))
        return [one.getsockname()[1] for one in sockets]


def port_settings(own_ports: bool) -> dict[str, str]:
    """Environment variables that tell every part where it and the others listen.

    Args:
        own_ports: whether to use free ports, so as to be in nobody's way; otherwise the usual ones, or what the
            environment or `.env` says.
    """
    told = {**dotenv_values(".env"), **os.environ}
    ports = free_ports(len(PARTS)) if own_ports else [int(told.get(part.port_variable) or part.port) for part in PARTS]
    variables: dict[str, str] = {}
    for part, port in zip(PARTS, ports, strict=True):
        variables[part.port_variable] = str(port)
        variables[part.address_variable] = f"{HOST}:{port}"
    return variables


def _usual_ports() -> list[int]:
    told = {**dotenv_values(".env"), **os.environ}
    wrong = [
        FieldViolation(part.port_variable, f"is {text!r}; give a port from 1 to 65535")
        for part in PARTS
        if (text := told.get(part.port_variable)) and not (text.isdecimal() and 1 <= int(text) <= 65_535)
    ]
    if wrong:
        raise InvalidInput(wrong)
    return [int(told.get(part.port_variable) or part.port) for part in PARTS]


class ProcessMesh:
    """Every part in a process of its own."""

    def __init__(self, processes: Mapping[str, asyncio.subprocess.Process], addresses: Mapping[str, str]) -> None:
        self._processes = processes
        self.addresses = addresses

    @property
    def process_ids(self) -> dict[str, int]:
        """Process id of each part."""
        return {name: process.pid for name, process in self._processes.items()}

    async def wait(self, part: str) -> int:
        """Waits until a part ends, and returns its exit code."""
        return await self._processes[part].wait()

    async def first_failure(self) -> str:
        """Waits until a part ends by itself, and says which and how."""
        waits = {asyncio.create_task(process.wait()): name for name, process in self._processes.items()}
        try:
            done, _ = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
        ended = done.pop()
        return f"{waits[ended]} ended {_how(ended.result())}"

    async def stop(self) -> None:
        """Sends SIGTERM to one part after another, each when those that ask it have ended."""
        for part in PARTS:
            process = self._processes.get(part.name)
            if process is None or process.returncode is not None:
                continue
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGTERM)
            if part.name in ("gateway", "pipeline"):
                await process.wait()
        await asyncio.gather(*(process.wait() for process in self._processes.values()))


class InProcessMesh:
    """All parts in this process: for tests and small machines."""

    def __init__(self, parts: Sequence[Any], addresses: Mapping[str, str]) -> None:
        self._parts = parts
        self.addresses = addresses

    async def first_failure(self) -> str:
        """Never returns: a part that fails takes this process with it."""
        await asyncio.Event().wait()
        raise AssertionError("unreachable")

    async def stop(self) -> None:
        """Stops one part after another, as in `PARTS`."""
        for part in self._parts:
            await part.stop(grace_seconds=_drain_seconds())


def _drain_seconds() -> float:
    return float(os.environ.get("PANTREE_DRAIN_SECONDS", "30"))


def _how(return_code: int) -> str:
    return f"by signal {signal.Signals(-return_code).name}" if return_code < 0 else f"with exit code {return_code}"


async def start_processes(variables: Mapping[str, str], told: Told) -> ProcessMesh:
    """Starts every part in a process of its own and returns when all are serving.

    Args:
        variables: environment variables of the parts, beside those of this process.
        told: is called when a part's state changes.

    Raises:
        ComponentUnavailable: when a part ends or does not serve in time; the others are stopped.
    """
    environment = {"PANTREE_LOG_LEVEL": "WARNING", **os.environ, **variables}
    processes: dict[str, asyncio.subprocess.Process] = {}
    addresses: dict[str, str] = {part.name: variables[part.address_variable] for part in PARTS}
    mesh = ProcessMesh(processes, addresses)
    try:
        for part in PARTS:
            told(part.name, "starting")
            # A session of its own, so that Ctrl-C reaches this process only, which then stops the parts in order.
            processes[part.name] = await asyncio.create_subprocess_exec(
                sys.executable, "-m", part.package, env=environment, start_new_session=True
            )
        async with asyncio.timeout(LONGEST_START_SECONDS):
            await asyncio.gather(*(_serving(part, processes[part.name], addresses[part.name], told) for part in PARTS))
    except TimeoutError:
        await mesh.stop()
        raise ComponentUnavailable("mesh", f"not all parts serve after {LONGEST_START_SECONDS:.0f} s") from None
    except BaseException:
        await mesh.stop()
        raise
    return mesh


async def _serving(part: PartKind, process: asyncio.subprocess.Process, address: str, told: Told) -> None:
    probe = _gateway_is_ready if part.name == "gateway" else _is_serving
    while not await probe(address):
        if process.returncode is not None:
            raise ComponentUnavailable(part.name, f"{part.name} ended {_how(process.returncode)} instead of serving")
        await asyncio.sleep(_POLL_SECONDS)
    told(part.name, "serving")


async def _is_serving(address: str) -> bool:
    async with grpc.aio.insecure_channel(address) as channel:
        try:
            check = health_pb2_grpc.HealthStub(channel).Check  # type: ignore[attr-defined] # made at run time
            response = await check(health_pb2.HealthCheckRequest(), timeout=1)
        except grpc.aio.AioRpcError:
            return False
        return bool(response.status == health_pb2.HealthCheckResponse.SERVING)


async def _gateway_is_ready(address: str) -> bool:
    import httpx

    async with httpx.AsyncClient() as client:
        try:
            return (await client.get(f"http://{address}/live", timeout=1)).is_success
        except httpx.HTTPError:
            return False


async def start_in_process(variables: Mapping[str, str], told: Told, log_part: str = "pantree") -> InProcessMesh:
    """Starts every part in this process and returns when all are serving.

    Args:
        variables: environment variables of the parts; they are set in this process.
        told: is called when a part's state changes.
        log_part: what log lines name as their part.

    Raises:
        OSError: when a port cannot be had; the others are stopped.
    """
    from pantree_runtime.logging import configure_logging
    from pantree_runtime.settings import PartSettings, load_settings

    os.environ.update(variables)
    os.environ.setdefault("PANTREE_LOG_LEVEL", "WARNING")
    configure_logging(log_part, load_settings(PartSettings))
    running: list[Any] = []
    mesh = InProcessMesh(running, {part.name: variables[part.address_variable] for part in PARTS})
    try:
        for part in reversed(PARTS):
            told(part.name, "starting")
            program = importlib.import_module(f"{part.package}.__main__").PROGRAM
            running.insert(0, await program.start())
            told(part.name, "serving")
    except BaseException:
        await mesh.stop()
        raise
    return mesh


@contextlib.asynccontextmanager
async def running_mesh(
    *, in_process: bool, own_ports: bool, told: Told, variables: Mapping[str, str] | None = None
) -> AsyncIterator[Mesh]:
    """The whole mesh, as long as the context lasts.

    Args:
        in_process: whether all parts run in this process.
        own_ports: whether to use free ports instead of the usual ones.
        told: is called when a part's state changes.
        variables: further environment variables for the parts.
    """
    settings = {**port_settings(own_ports), **(variables or {})}
    mesh: Mesh = await (start_in_process if in_process else start_processes)(settings, told)
    try:
        yield mesh
    finally:
        await mesh.stop()
