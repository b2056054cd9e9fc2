"""Starts and stops the parts of the mesh: each in its own process, or all in this one."""

import asyncio
import contextlib
import importlib
import os
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import grpc
from dotenv import dotenv_values
from grpc_health.v1 import health_pb2, health_pb2_grpc

from pantree_client import ComponentUnavailable, FieldViolation, InvalidInput
from pantree_runtime.channel import open_channel
from pantree_runtime.identity import CLIENT, Identity, load_identity
from pantree_runtime.settings import PartSettings

GRPC_VARIABLES = {"GRPC_EXPERIMENTS": "-event_engine_client,-event_engine_listener"}
"""Environment of gRPC in every part: fewer threads take part in a call so (docs/decisions/0019)."""
HOST = "127.0.0.1"
# On the first start a machine compiles a thousand modules and the simulation's kernel: some 15 seconds of CPU.
LONGEST_START_SECONDS = 180.0
_POLL_SECONDS = 0.05
# A part that ended by itself is started again after half a second, then after twice as long each time; one that had
# served for a minute begins anew.
_FIRST_DELAY_SECONDS = 0.5
_LONGEST_DELAY_SECONDS = 30.0
_SERVED_LONG_SECONDS = 60.0
# Exit codes of a part that cannot start: a port in use, or wrong settings.
_CANNOT_START = (1, 2)
# What a part may take beyond its drain before it is killed.
_ENDING_SECONDS = 10.0


PartName = Literal["gateway", "pipeline", "simulation", "vector", "frequency", "enrichment", "recommendation"]


@dataclass(frozen=True)
class ServiceKind:
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
    ServiceKind("gateway", 8000),
    ServiceKind("pipeline", 50051),
    ServiceKind("simulation", 50052),
    ServiceKind("vector", 50053),
    ServiceKind("frequency", 50054),
    ServiceKind("enrichment", 50055),
    ServiceKind("recommendation", 50056),
)


class Mesh(Protocol):
    """All parts, serving."""

    addresses: Mapping[str, str]
    """Where each part listens, `host:port`, by name."""

    async def keep_running(self, told: "Told") -> None:
        """Starts every part again that ends by itself, until cancelled or until the mesh is stopped.

        Args:
            told: is called when a part's state changes.

        Raises:
            ComponentUnavailable: when a part cannot start at all.
        """

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


def tls_settings(certificates: Path | None) -> dict[str, str]:
    """Environment variables that give each part its certificate.

    Args:
        certificates: folder that `make certs` filled, with a folder for each part; None for a mesh without TLS.
    """
    if certificates is None:
        return {}
    return {f"PANTREE_{part.name.upper()}_TLS_DIR": str((certificates / part.name).resolve()) for part in PARTS}


def client_identity(certificates: Path | None) -> Identity | None:
    """Certificate of this command in a folder that `make certs` filled; None without one.

    Raises:
        OSError: when it cannot be read.
    """
    domain = str(PartSettings.model_fields["tls_domain"].default)
    return load_identity(
        None if certificates is None else certificates / CLIENT, os.environ.get("PANTREE_TLS_DOMAIN", domain)
    )


class ProcessMesh:
    """Every part in a process of its own, which ends when this process does, however it does."""

    def __init__(
        self, environment: Mapping[str, str], addresses: Mapping[str, str], identity: Identity | None = None
    ) -> None:
        """Takes what `start` starts with.

        Args:
            environment: environment variables of the parts.
            addresses: where each part listens, by name.
            identity: certificate to ask the parts with whether they serve; None when they have no TLS.
        """
        self._identity = identity
        self._environment = environment
        self._processes: dict[str, asyncio.subprocess.Process] = {}
        self._stopping = False
        # Parts have the reading end as their standard input. Nobody writes; when the last holder of the other end is
        # gone, be it by SIGKILL, they read its end and stop.
        self._lifeline: tuple[int, int] | None = os.pipe()
        self.addresses = addresses

    @property
    def process_ids(self) -> dict[str, int]:
        """Process id of each part."""
        return {name: process.pid for name, process in self._processes.items()}

    async def wait(self, part: str) -> int:
        """Waits until a part ends, and returns its exit code."""
        return await self._processes[part].wait()

    async def start(self, part: ServiceKind) -> None:
        """Starts a part; `serving` tells when it serves."""
        assert self._lifeline is not None, "the mesh is stopped"
        # A session of its own, so that Ctrl-C reaches this process only, which then stops the parts in order.
        self._processes[part.name] = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            part.package,
            "--until-stdin-closes",
            env=self._environment,
            stdin=self._lifeline[0],
            start_new_session=True,
        )

    async def serving(self, part: ServiceKind) -> None:
        """Returns when a part serves.

        Raises:
            ComponentUnavailable: when it ends instead.
        """
        process, address = self._processes[part.name], self.addresses[part.name]
        while not await self._answers(part, address):
            if process.returncode is not None:
                raise ComponentUnavailable(
                    part.name, f"{part.name} ended {_how(process.returncode)} instead of serving"
                )
            await asyncio.sleep(_POLL_SECONDS)

    async def _answers(self, part: ServiceKind, address: str) -> bool:
        if part.name == "gateway":
            return await _gateway_is_ready(address)
        return await _is_serving(part, address, self._identity)

    async def keep_running(self, told: Told) -> None:
        """Starts every part again that ends by itself, with back-off, until cancelled or until `stop`.

        Raises:
            ComponentUnavailable: when a part cannot start at all.
        """
        await asyncio.gather(*(self._keep_running(part, told) for part in PARTS))

    async def _keep_running(self, part: ServiceKind, told: Told) -> None:
        delay = _FIRST_DELAY_SECONDS
        is_first = True
        while True:
            began = time.monotonic()
            code = await self._processes[part.name].wait()
            if self._stopping:
                return
            if time.monotonic() - began > _SERVED_LONG_SECONDS:
                delay = _FIRST_DELAY_SECONDS
            elif is_first and code in _CANNOT_START:
                # Another process serves on its port, say: what answered was never this part.
                raise ComponentUnavailable(
                    part.name, f"{part.name} ended {_how(code)} instead of serving; its last log lines are above"
                )
            is_first = False
            told(part.name, f"ended {_how(code)}; it is started again in {delay:g} s")
            await asyncio.sleep(delay)
            delay = min(2 * delay, _LONGEST_DELAY_SECONDS)
            await self.start(part)
            with contextlib.suppress(ComponentUnavailable):  # the next round tells, and waits longer
                await self.serving(part)
                told(part.name, "serving")

    async def stop(self) -> None:
        """Sends SIGTERM to one part after another, each when those that ask it have ended; kills what stays."""
        self._stopping = True
        for part in PARTS:
            process = self._processes.get(part.name)
            if process is None or process.returncode is not None:
                continue
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGTERM)
            if part.name in ("gateway", "pipeline"):
                await _end_of(process)
        await asyncio.gather(*(_end_of(process) for process in self._processes.values()))
        if self._lifeline is not None:
            for end in self._lifeline:
                os.close(end)
            self._lifeline = None


async def _end_of(process: asyncio.subprocess.Process) -> None:
    """Waits until a process that was told to end has ended; kills it when it takes too long."""
    try:
        async with asyncio.timeout(_drain_seconds() + _ENDING_SECONDS):
            await process.wait()
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


class InProcessMesh:
    """All parts in this process: for tests and small machines."""

    def __init__(self, parts: Sequence[Any], addresses: Mapping[str, str]) -> None:
        self._parts = parts
        self.addresses = addresses

    async def keep_running(self, told: Told) -> None:
        """Never returns: a part that fails takes this process with it."""
        await asyncio.Event().wait()

    async def stop(self) -> None:
        """Stops one part after another, as in `PARTS`."""
        for part in self._parts:
            await part.stop(grace_seconds=_drain_seconds())


def _drain_seconds() -> float:
    return float(os.environ.get("PANTREE_DRAIN_SECONDS", "30"))


def _how(return_code: int) -> str:
    return f"by signal {signal.Signals(-return_code).name}" if return_code < 0 else f"with exit code {return_code}"


async def start_processes(variables: Mapping[str, str], told: Told, identity: Identity | None = None) -> ProcessMesh:
    """Starts every part in a process of its own and returns when all are serving.

    Args:
        variables: environment variables of the parts, beside those of this process.
        told: is called when a part's state changes.
        identity: certificate to ask the parts with whether they serve; None when they have no TLS.

    Raises:
        ComponentUnavailable: when a part ends or does not serve in time; the others are stopped.
    """
    environment = {"PANTREE_LOG_LEVEL": "WARNING", **GRPC_VARIABLES, **os.environ, **variables}
    mesh = ProcessMesh(environment, {part.name: variables[part.address_variable] for part in PARTS}, identity)

    async def until_serving(part: ServiceKind) -> None:
        await mesh.serving(part)
        told(part.name, "serving")

    try:
        for part in PARTS:
            told(part.name, "starting")
            await mesh.start(part)
        async with asyncio.timeout(LONGEST_START_SECONDS):
            await asyncio.gather(*(until_serving(part) for part in PARTS))
    except TimeoutError:
        await mesh.stop()
        raise ComponentUnavailable("mesh", f"not all parts serve after {LONGEST_START_SECONDS:.0f} s") from None
    except BaseException:
        await mesh.stop()
        raise
    return mesh


async def _is_serving(part: ServiceKind, address: str, identity: Identity | None) -> bool:
    async with open_channel(address, timeout_seconds=1, part=part.name, identity=identity) as channel:
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
    from pantree_runtime.settings import load_settings

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
    *,
    in_process: bool,
    own_ports: bool,
    told: Told,
    variables: Mapping[str, str] | None = None,
    certificates: Path | None = None,
) -> AsyncIterator[Mesh]:
    """The whole mesh, as long as the context lasts.

    Args:
        in_process: whether all parts run in this process.
        own_ports: whether to use free ports instead of the usual ones.
        told: is called when a part's state changes.
        variables: further environment variables for the parts.
        certificates: folder that `make certs` filled; None for a mesh without TLS.

    Raises:
        OSError: when a port cannot be had, or a certificate cannot be read.
        ComponentUnavailable: when a part cannot start.
    """
    settings = {**port_settings(own_ports), **tls_settings(certificates), **(variables or {})}
    mesh: Mesh
    if in_process:
        mesh = await start_in_process(settings, told)
    else:
        mesh = await start_processes(settings, told, client_identity(certificates))
    try:
        yield mesh
    finally:
        await mesh.stop()
