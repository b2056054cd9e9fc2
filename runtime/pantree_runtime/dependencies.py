"""Watches the systems that a part depends on, such as a vector store, so that its health follows them.

Every dependency has a name in gRPC's health service, a metric and log lines. The part itself keeps serving: it answers
without what the system adds.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import structlog
from grpc_health.v1 import health, health_pb2

from pantree_runtime import telemetry
from pantree_runtime.grpc_types import Context

_log = structlog.get_logger(__name__)

# A change is reported within the sum of both.
CHECK_SECONDS = 5.0
CHECK_TIMEOUT_SECONDS = 3.0
VERSION_METADATA = "pantree-version"
"""Metadata of health checks with the version of the part."""

# The type stubs lack `List`.
_messages: Any = health_pb2
_SERVING, _NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING


@dataclass(frozen=True)
class Dependency:
    """A system outside of the mesh."""

    name: str
    """Such as `vector-store`; has no dots, unlike the names of services."""
    check: Callable[[], Awaitable[str]]
    """Returns what is wrong, for operators; empty if the system works. May raise and may hang."""


class PartHealth(health.aio.HealthServicer):
    """gRPC's health service, which also lists all names."""

    def __init__(self) -> None:
        super().__init__()
        self._statuses: dict[str, Any] = {}
        self._version = version("pantree")

    async def set(self, service: str, status: Any) -> None:
        """Sets the status of a service, of a dependency, or, for an empty name, of the whole server."""
        self._statuses[service] = status
        await super().set(service, status)

    async def enter_graceful_shutdown(self) -> None:
        """Sets the status of all names to NOT_SERVING, forever."""
        self._statuses = dict.fromkeys(self._statuses, _NOT_SERVING)
        await super().enter_graceful_shutdown()

    async def List(self, request: Any, context: Context) -> Any:  # noqa: N802 - its name in the protocol
        """Status of every name. The version of Pantree is initial metadata: the protocol has no field for it."""
        await context.send_initial_metadata(((VERSION_METADATA, self._version),))
        return _messages.HealthListResponse(
            statuses={name: health_pb2.HealthCheckResponse(status=status) for name, status in self._statuses.items()}
        )


class DependencyMonitor:
    """Checks dependencies regularly.

    Args:
        dependencies: the systems.
        on_change: called with name and state of a dependency after the first check and when its state changes.
        seconds: time between checks.
        timeout_seconds: maximum time of a check.
    """

    def __init__(
        self,
        dependencies: Sequence[Dependency],
        on_change: Callable[[str, bool], Awaitable[None]],
        *,
        seconds: float = CHECK_SECONDS,
        timeout_seconds: float = CHECK_TIMEOUT_SECONDS,
    ) -> None:
        self._dependencies = dependencies
        self._on_change = on_change
        self._seconds = seconds
        self._timeout_seconds = timeout_seconds
        self._states: dict[str, bool] = {}
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Starts the checks in the running event loop."""
        self._tasks = [asyncio.create_task(self._watch(dependency)) for dependency in self._dependencies]

    async def stop(self) -> None:
        """Ends the checks."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _watch(self, dependency: Dependency) -> None:
        while True:
            began_at = time.monotonic()
            await self._check(dependency)
            await asyncio.sleep(max(self._seconds - (time.monotonic() - began_at), 0.0))

    async def _check(self, dependency: Dependency) -> None:
        name = dependency.name
        began_at = time.monotonic()
        problem = await self._problem(dependency)
        if problem and time.monotonic() - began_at < self._timeout_seconds / 2:
            # A process that was busy for a moment may have missed a short timeout.
            await asyncio.sleep(self._timeout_seconds / 10)
            problem = await self._problem(dependency)
        is_up, was_up = not problem, self._states.get(name)
        telemetry.DEPENDENCY_UP.labels(name).set(is_up)
        if is_up is was_up:
            return
        self._states[name] = is_up
        if not is_up:
            _log.warning("dependency unavailable", dependency=name, cause=problem)
        elif was_up is not None:
            _log.info("dependency works again", dependency=name)
        await self._on_change(name, is_up)

    async def _problem(self, dependency: Dependency) -> str:
        try:
            async with asyncio.timeout(self._timeout_seconds):
                return await dependency.check()
        except TimeoutError:
            return f"did not answer within {self._timeout_seconds:g} s"
        except Exception as error:
            return f"{type(error).__name__}: {error}"


def set_health(health_servicer: PartHealth) -> Callable[[str, bool], Awaitable[None]]:
    """Function for `on_change` that sets the status of a dependency in gRPC's health service."""

    async def on_change(name: str, is_up: bool) -> None:
        await health_servicer.set(name, _SERVING if is_up else _NOT_SERVING)

    return on_change
