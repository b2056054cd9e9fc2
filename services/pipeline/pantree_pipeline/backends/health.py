"""Health of the other services and of the systems that they depend on, through gRPC's health protocol."""

import asyncio
import itertools
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from pantree_pipeline.core.health import Component, ComponentHealth, State
from pantree_runtime.dependencies import VERSION_METADATA
from pantree_runtime.server import COMPILED

# Name of the whole server in the health protocol.
_SERVER = ""
# Systems that other parts use as well, such as the gateway.
_SHARED = frozenset({"redis"})
# The type stubs lack `List`.
_messages: Any = health_pb2
_SERVING = health_pb2.HealthCheckResponse.SERVING


class GrpcHealthProbe:
    """Checks all components concurrently.

    Args:
        components: the components; those without a channel are disabled.
        channels: channel of each enabled component, by name.
        timeout_seconds: timeout of a check.
    """

    def __init__(
        self, components: Sequence[Component], channels: Mapping[str, grpc.aio.Channel], timeout_seconds: float
    ) -> None:
        self.components = tuple(components)
        self._lists: Mapping[str, Callable[..., Any]] = {
            name: health_pb2_grpc.HealthStub(channel).List  # type: ignore[attr-defined] # set in __init__
            for name, channel in channels.items()
        }
        self._timeout_seconds = timeout_seconds

    async def check(self) -> list[ComponentHealth]:
        """Health of every component, in the order of `components`, each followed by the systems it depends on."""
        return list(itertools.chain.from_iterable(await asyncio.gather(*map(self._check, self.components))))

    async def _check(self, component: Component) -> list[ComponentHealth]:
        if not component.enabled:
            return [ComponentHealth(component, State.DISABLED, message="disabled by the settings")]
        started = time.perf_counter()
        message = note = version = ""
        statuses: Mapping[str, health_pb2.HealthCheckResponse] = {}
        try:
            list_statuses = self._lists[component.name]
            call = list_statuses(_messages.HealthListRequest(), timeout=self._timeout_seconds)
            response = await call
            statuses = response.statuses
            version = str(dict(await call.initial_metadata() or ()).get(VERSION_METADATA, ""))
            if _SERVER not in statuses or statuses[_SERVER].status != _SERVING:
                message = "is starting or stopping"
            elif COMPILED in statuses and statuses[COMPILED].status != _SERVING:
                note = "answers are interpreted while its functions are compiled"
        except grpc.aio.AioRpcError as error:
            message = f"does not answer ({error.code().name})"
        latency_ms = (time.perf_counter() - started) * 1000
        state = State.UNAVAILABLE if message else State.SERVING
        return [
            ComponentHealth(component, state, latency_ms, message or note, version),
            *(
                self._dependency(component, name, status.status == _SERVING)
                for name, status in sorted(statuses.items())
                if name != _SERVER and "." not in name and not message
            ),
        ]

    def _dependency(self, part: Component, name: str, is_up: bool) -> ComponentHealth:
        """Health of a system that a part depends on. Its name says whose it is if several parts may have one."""
        shown = f"{part.name}-{name}" if name in _SHARED else name
        component = Component(shown, required=False, enabled=True)
        return ComponentHealth(
            component,
            State.SERVING if is_up else State.UNAVAILABLE,
            message="" if is_up else f"{part.name} cannot use it; its log has the reason",
        )
