"""The state of the other services, asked through gRPC's health protocol."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

_SERVING = health_pb2.HealthCheckResponse.SERVING


@dataclass(frozen=True)
class Component:
    """A service behind the pipeline."""

    name: str
    required: bool
    """Whether no answer can be given without it."""
    channel: grpc.aio.Channel | None
    """None when the settings leave it out."""


@dataclass(frozen=True)
class ComponentHealth:
    """How a component is doing."""

    component: Component
    is_serving: bool
    latency_ms: float
    message: str
    """What is wrong; empty when nothing is."""


class HealthProbe:
    """Asks all components for their health, side by side."""

    def __init__(self, components: Sequence[Component], longest_seconds: float) -> None:
        self.components = tuple(components)
        self._checks: Mapping[str, Callable[..., Awaitable[health_pb2.HealthCheckResponse]]] = {
            component.name: health_pb2_grpc.HealthStub(component.channel).Check  # type: ignore[attr-defined] # made at run time
            for component in components
            if component.channel is not None
        }
        self._longest_seconds = longest_seconds

    async def check(self) -> list[ComponentHealth]:
        """Health of every component, in a stable order; takes at most `longest_seconds`."""
        return await asyncio.gather(*(self._check(component) for component in self.components))

    async def _check(self, component: Component) -> ComponentHealth:
        check = self._checks.get(component.name)
        if check is None:
            return ComponentHealth(component, False, 0.0, "left out by the settings")
        started = time.perf_counter()
        message = ""
        try:
            response = await check(health_pb2.HealthCheckRequest(), timeout=self._longest_seconds)
            if response.status != _SERVING:
                message = "is starting or stopping"
        except grpc.aio.AioRpcError as error:
            message = f"does not answer ({error.code().name})"
        return ComponentHealth(component, not message, (time.perf_counter() - started) * 1000, message)
