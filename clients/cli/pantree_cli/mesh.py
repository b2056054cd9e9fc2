"""Starts and stops the parts of the mesh, each in its own process or all in this one."""

import asyncio
import contextlib
import importlib
import os
import signal
import socket
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import grpc
from dotenv import dotenv_values
from grpc_health.v1 import health_pb2, health_pb2_grpc

from pantree_cli.part_processes import COMPILED_PACKAGES, PartProcess, PartStarter, part_starter
from pantree_client import ComponentUnavailable, FieldViolation, InvalidInput
from pantree_runtime.channel import open_channel
from pantree_runtime.identity import CLIENT, Identity
from pantree_runtime.logging import configure_logging
from pantree_runtime.settings import PartSettings, load_settings

GRPC_VARIABLES = {"GRPC_EXPERIMENTS": "-event_engine_client,-event_engine_listener"}
"""gRPC settings of every part: the classic poller uses fewer threads per call (docs/decisions/0019)."""
HOST = "127.0.0.1"
COMPILE_VARIABLES = {"PANTREE_COMPILE": "background"}
"""On a first start, parts serve before their functions are compiled (docs/decisions/0046)."""
# Only a very slow machine needs this long, and progress is shown.
MAX_START_SECONDS = 600.0
_POLL_SECONDS = 0.05
_INITIAL_BACKOFF_SECONDS = 0.5
_MAX_BACKOFF_SECONDS = 30.0
_MAX_KILLED_BACKOFF_SECONDS = 1.0
_RESET_BACKOFF_SECONDS = 3.0
# Exit codes of a part that cannot start: port in use, invalid settings.
_CANNOT_START = (1, 2)
# A part is killed if it takes this much longer than its drain.
_STOP_SECONDS = 10.0


PartName = Literal[
    "gateway", "pipeline", "simulation", "vector", "frequency", "enrichment", "recommendation", "history"
]


@dataclass(frozen=True)
class ServiceKind:
    """A part that the command line can start."""

    name: PartName
    port: int
    """Default port."""

    @property
    def package(self) -> str:
        """Import package, which `python -m` runs."""
        return f"pantree_{self.name}"

    @property
    def port_variable(self) -> str:
        """Environment variable with its port."""
        return f"PANTREE_{self.name.upper()}_PORT"

    @property
    def address_variable(self) -> str:
        """Environment variable with its address, for the other parts."""
        return f"PANTREE_{self.name.upper()}_ADDRESS"


# In the order in which they are stopped, callers before callees.
PARTS = (
    ServiceKind("gateway", 8000),
    ServiceKind("pipeline", 50051),
    ServiceKind("simulation", 50052),
    ServiceKind("vector", 50053),
    ServiceKind("frequency", 50054),
    ServiceKind("enrichment", 50055),
    ServiceKind("recommendation", 50056),
)

OPTIONAL_PARTS = (ServiceKind("history", 50057),)
"""Parts that only `pantree up` starts: they keep data, and everything else works without them."""
ALL_PARTS = (*PARTS, *OPTIONAL_PARTS)

OnStateChange = Callable[[str, str], None]
"""Called with a part and its new state."""


class Mesh(Protocol):
    """A running mesh."""

    addresses: Mapping[str, str]
    """Address `host:port` of each part."""

    async def keep_running(self, on_state_change: OnStateChange) -> None:
        """Restarts every part that exits, until cancelled or until the mesh is stopped.

        Raises:
            ComponentUnavailable: when a part cannot start at all.
        """

    async def stop(self) -> None:
        """Stops all parts after their calls in flight."""


def free_ports(count: int) -> list[int]:
    """Ports of this machine that are currently unused."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind((HOST, 0))
        return [one.getsockname()[1] for one in sockets]


def port_settings(own_ports: bool, parts: Sequence[ServiceKind] = PARTS) -> dict[str, str]:
    """Environment variables with the ports and addresses of the parts: free, or else the configured ones.

    The addresses of parts that don't start are empty, which disables them.

    Raises:
        InvalidInput: when the environment or `.env` has an invalid port.
    """
    ports = dict(zip(ALL_PARTS, free_ports(len(ALL_PARTS)) if own_ports else _configured_ports(), strict=True))
    variables: dict[str, str] = {part.address_variable: "" for part in OPTIONAL_PARTS}
    for part in parts:
        port = ports[part]
        variables[part.port_variable] = str(port)
        variables[part.address_variable] = f"{HOST}:{port}"
    return variables


def default_address(part: PartName) -> str:
    """Address of a part on this machine, by its port in the environment or `.env`.

    Raises:
        InvalidInput: when the environment or `.env` has an invalid port.
    """
    ports = dict(zip((one.name for one in ALL_PARTS), _configured_ports(), strict=True))
    return f"{HOST}:{ports[part]}"


async def is_serving_locally(part: PartName) -> bool:
    """Whether a part without TLS serves at its default address."""
    (kind,) = (one for one in ALL_PARTS if one.name == part)
    return await _is_serving(kind, default_address(part), None)


def _configured_ports() -> list[int]:
    settings = {**dotenv_values(".env"), **os.environ}
    texts = {part.port_variable: settings.get(part.port_variable) or str(part.port) for part in ALL_PARTS}
    violations = [
        FieldViolation(variable, f"must be a port from 1 to 65535; is {text!r}")
        for variable, text in texts.items()
        if not (text.isdecimal() and 1 <= int(text) <= 65_535)
    ]
    if violations:
        raise InvalidInput(violations)
    return [int(text) for text in texts.values()]


def tls_settings(certificates: Path | None) -> dict[str, str]:
    """Environment variables with the certificate directory of each part; empty for a mesh without TLS."""
    if certificates is None:
        return {}
    return {f"PANTREE_{part.name.upper()}_TLS_DIR": str((certificates / part.name).resolve()) for part in ALL_PARTS}


def client_identity(certificates: Path | None) -> Identity | None:
    """The client certificate in a directory created by `make certs`; None without a directory.

    Raises:
        OSError: when it cannot be read.
    """
    if certificates is None:
        return None
    return Identity(certificates / CLIENT, load_settings(PartSettings).tls_domain)


class Backoff:
    """How long to wait until a part that has exited is started again.

    The time doubles, and starts over once the part has served for a few seconds. It stays short for a part that served,
    or that something else killed: only a part that fails at its start will likely fail again.
    """

    def __init__(self) -> None:
        self._seconds = _INITIAL_BACKOFF_SECONDS

    def next_seconds(self, code: int, served_seconds: float | None) -> float:
        """Time to wait now.

        Args:
            code: exit code, negative for a signal.
            served_seconds: how long the part served; None if it never did.
        """
        if served_seconds is not None and served_seconds > _RESET_BACKOFF_SECONDS:
            self._seconds = _INITIAL_BACKOFF_SECONDS
        elif served_seconds is not None or code < 0:
            self._seconds = min(self._seconds, _MAX_KILLED_BACKOFF_SECONDS)
        seconds = self._seconds
        self._seconds = min(2 * seconds, _MAX_BACKOFF_SECONDS)
        return seconds


class ProcessMesh:
    """A mesh with one process per part. No part outlives this process, even if it is killed.

    Args:
        environment: environment variables of the parts.
        addresses: address `host:port` of each part.
        identity: client certificate of the health checks; None for no TLS.
        starter: makes what starts the processes, from the environment and the file descriptor of the lifeline.

    Raises:
        SystemExit: when `PANTREE_DRAIN_SECONDS` or another setting of all parts is invalid.
    """

    def __init__(
        self,
        environment: Mapping[str, str],
        addresses: Mapping[str, str],
        identity: Identity | None = None,
        starter: Callable[[Mapping[str, str], int], PartStarter] = part_starter,
    ) -> None:
        self._identity = identity
        self._max_stop_seconds = load_settings(PartSettings).drain_seconds + _STOP_SECONDS
        self._processes: dict[str, PartProcess] = {}
        self._stopping = False
        # The parts read this pipe as standard input. It closes when this process ends, even by SIGKILL, and they stop.
        self._lifeline: tuple[int, int] | None = os.pipe()
        self._starter = starter(environment, self._lifeline[0])
        self.addresses = addresses

    @property
    def process_ids(self) -> dict[str, int]:
        """Process IDs by part."""
        return {name: process.pid for name, process in self._processes.items()}

    async def wait(self, part: str) -> int:
        """Waits until a part exits and returns its exit code."""
        return await self._processes[part].wait()

    async def start(self, part: ServiceKind) -> None:
        """Starts a part, without waiting until it is serving."""
        assert self._lifeline is not None, "the mesh is stopped"
        self._processes[part.name] = await self._starter.start(part.package)

    async def serving(self, part: ServiceKind) -> None:
        """Waits until a part is serving.

        Raises:
            ComponentUnavailable: when it exits instead.
        """
        process, address = self._processes[part.name], self.addresses[part.name]
        while not await _is_serving(part, address, self._identity):
            if process.returncode is not None:
                raise ComponentUnavailable(part.name, f"{part.name} exited {_how(process.returncode)} at its start")
            await asyncio.sleep(_POLL_SECONDS)

    async def keep_running(self, on_state_change: OnStateChange) -> None:
        """See `Mesh.keep_running`."""
        kinds = [part for part in ALL_PARTS if part.name in self._processes]
        await asyncio.gather(*(self._keep_running(part, on_state_change) for part in kinds))

    async def _keep_running(self, part: ServiceKind, on_state_change: OnStateChange) -> None:
        backoff = Backoff()
        is_first = True
        serving_since: float | None = time.monotonic()
        while True:
            started_at = time.monotonic()
            code = await self._processes[part.name].wait()
            if self._stopping:
                return
            now = time.monotonic()
            if is_first and code in _CANNOT_START and now - started_at < _RESET_BACKOFF_SECONDS:
                # For example, another process uses its port, and answered the health checks.
                raise ComponentUnavailable(
                    part.name, f"{part.name} exited {_how(code)} at its start; its last log lines are above"
                )
            is_first = False
            seconds = backoff.next_seconds(code, None if serving_since is None else now - serving_since)
            on_state_change(part.name, f"exited {_how(code)}; restarting in {seconds:g} s")
            await asyncio.sleep(seconds)
            await self.start(part)
            serving_since = None
            with contextlib.suppress(ComponentUnavailable):  # the next iteration reports it
                await self.serving(part)
                serving_since = time.monotonic()
                on_state_change(part.name, "serving")

    async def stop(self) -> None:
        """Sends SIGTERM to the parts, callers first, and kills those that do not exit in time."""
        self._stopping = True
        for part in ALL_PARTS:
            process = self._processes.get(part.name)
            if process is None or process.returncode is not None:
                continue
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGTERM)
            if part.name in ("gateway", "pipeline"):
                await self._wait_or_kill(process)
        await asyncio.gather(*(self._wait_or_kill(process) for process in self._processes.values()))
        await self._starter.close()
        if self._lifeline is not None:
            for end in self._lifeline:
                os.close(end)
            self._lifeline = None

    async def _wait_or_kill(self, process: PartProcess) -> None:
        try:
            async with asyncio.timeout(self._max_stop_seconds):
                await process.wait()
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()


class InProcessMesh:
    """A mesh with all parts in this process, for tests and small machines."""

    def __init__(self, parts: Sequence[Any], addresses: Mapping[str, str], drain_seconds: float) -> None:
        self._parts = parts
        self.addresses = addresses
        self._drain_seconds = drain_seconds

    async def keep_running(self, on_state_change: OnStateChange) -> None:
        """Never returns: a part that fails ends this process."""
        await asyncio.Event().wait()

    async def stop(self) -> None:
        """Stops one part after another, in the order of `PARTS`."""
        for part in self._parts:
            await part.stop(grace_seconds=self._drain_seconds)


def _how(return_code: int) -> str:
    return f"by signal {signal.Signals(-return_code).name}" if return_code < 0 else f"with code {return_code}"


async def start_processes(
    variables: Mapping[str, str],
    on_state_change: OnStateChange,
    identity: Identity | None = None,
    parts: Sequence[ServiceKind] = PARTS,
) -> ProcessMesh:
    """Starts each part in its own process and returns when all are serving.

    The parts get `variables` in addition to the environment variables of this process.

    Raises:
        ComponentUnavailable: when a port is in use, a part exits or is not serving in time; the others are stopped.
    """
    _check_ports({part.name: variables[part.port_variable] for part in parts})
    defaults = {"PANTREE_LOG_LEVEL": "WARNING", **GRPC_VARIABLES, **COMPILE_VARIABLES}
    environment = {**defaults, **os.environ, **variables}
    mesh = ProcessMesh(environment, {part.name: variables[part.address_variable] for part in parts}, identity)

    missing = {part.name for part in parts}

    async def until_serving(part: ServiceKind) -> None:
        await mesh.serving(part)
        missing.discard(part.name)
        on_state_change(part.name, "serving")

    try:
        # The launcher loads the compiler for the parts that need it when the others have begun to start.
        for part in sorted(parts, key=lambda part: part.package in COMPILED_PACKAGES):
            on_state_change(part.name, "starting")
            await mesh.start(part)
        async with asyncio.timeout(MAX_START_SECONDS):
            await asyncio.gather(*(until_serving(part) for part in parts))
    except TimeoutError:
        await mesh.stop()
        names = ", ".join(sorted(missing))
        raise ComponentUnavailable("mesh", f"{names} not serving after {MAX_START_SECONDS:.0f} s") from None
    except BaseException:
        await mesh.stop()
        raise
    return mesh


def _check_ports(ports: Mapping[str, str]) -> None:
    """Raises `ComponentUnavailable` for a port in use, whose owner would answer the health checks of our part."""
    for name, port in ports.items():
        try:
            with socket.create_server((HOST, int(port))):
                pass
        except OSError as error:
            variable = f"PANTREE_{name.upper()}_PORT"
            problem = os.strerror(error.errno) if error.errno else str(error)
            raise ComponentUnavailable(
                name, f"port {port} of {name} is not available: {problem}; stop its owner, or set {variable}"
            ) from error


async def _is_serving(part: ServiceKind, address: str, identity: Identity | None) -> bool:
    if part.name == "gateway":
        return await _gateway_is_live(address)
    async with open_channel(address, timeout_seconds=1, part=part.name, identity=identity) as channel:
        try:
            check = health_pb2_grpc.HealthStub(channel).Check  # type: ignore[attr-defined] # made at run time
            response = await check(health_pb2.HealthCheckRequest(), timeout=1)
        except grpc.aio.AioRpcError:
            return False
        return bool(response.status == health_pb2.HealthCheckResponse.SERVING)


async def _gateway_is_live(address: str) -> bool:
    import httpx

    async with httpx.AsyncClient() as client:
        try:
            return (await client.get(f"http://{address}/live", timeout=1)).is_success
        except httpx.HTTPError:
            return False


async def start_in_process(
    variables: Mapping[str, str], on_state_change: OnStateChange, parts: Sequence[ServiceKind] = PARTS
) -> InProcessMesh:
    """Starts each part in this process and returns when all are serving.

    Sets the environment variables of the parts in this process.

    Raises:
        ComponentUnavailable: when a port is in use; nothing is started.
        OSError: when a part cannot start; the other parts are stopped.
    """
    _check_ports({part.name: variables[part.port_variable] for part in parts})
    os.environ.update(variables)
    for name, value in {"PANTREE_LOG_LEVEL": "WARNING", **COMPILE_VARIABLES}.items():
        os.environ.setdefault(name, value)
    settings = load_settings(PartSettings)
    configure_logging("pantree", settings)
    running: list[Any] = []
    addresses: dict[str, str] = {part.name: variables[part.address_variable] for part in parts}
    mesh = InProcessMesh(running, addresses, settings.drain_seconds)
    try:
        for part in reversed(parts):
            on_state_change(part.name, "starting")
            program = importlib.import_module(f"{part.package}.__main__").PROGRAM
            running.insert(0, await program.start())
            on_state_change(part.name, "serving")
    except BaseException:
        await mesh.stop()
        raise
    return mesh


@contextlib.asynccontextmanager
async def running_mesh(
    *,
    in_process: bool,
    own_ports: bool,
    on_state_change: OnStateChange,
    certificates: Path | None = None,
    parts: Sequence[ServiceKind] = PARTS,
) -> AsyncIterator[Mesh]:
    """Starts a mesh and stops it at the end of the context.

    Args:
        in_process: run all parts in this process.
        own_ports: use free ports instead of the configured ones.
        on_state_change: see `OnStateChange`.
        certificates: directory created by `make certs`; None for a mesh without TLS.
        parts: the parts to start.

    Raises:
        InvalidInput: when a port setting is invalid.
        OSError: when a port is not available or a certificate cannot be read.
        ComponentUnavailable: when a part cannot start.
    """
    settings = {**port_settings(own_ports, parts), **tls_settings(certificates)}
    mesh: Mesh
    if in_process:
        mesh = await start_in_process(settings, on_state_change, parts)
    else:
        mesh = await start_processes(settings, on_state_change, client_identity(certificates), parts)
    try:
        yield mesh
    finally:
        await mesh.stop()
