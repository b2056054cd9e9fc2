"""Health of the other services, through gRPC's health protocol."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from pantree_pipeline.core.health import Component, ComponentHealth, State

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
        self._checks: Mapping[str, Callable[..., Awaitable[health_pb2.HealthCheckResponse]]] = {
            name: health_pb2_grpc.HealthStub(channel).Check  # type: ignore[attr-defined] # set in __init__
            for name, channel in channels.items()
        }
        self._timeout_seconds = timeout_seconds

    async def check(self) -> list[ComponentHealth]:
        """Health of every component, in the order of `components`."""
        return await asyncio.gather(*map(self._check, self.components))

    async def _check(self, component: Component) -> ComponentHealth:
        if not component.enabled:
            return ComponentHealth(component, State.DISABLED, message="disabled by the settings")
        started = time.perf_counter()
        message = ""
        try:
            check = self._checks[component.name]
            response = await check(health_pb2.HealthCheckRequest(), timeout=self._timeout_seconds)
            if response.status != _SERVING:
                message = "is starting or stopping"
        except grpc.aio.AioRpcError as error:
            message = f"does not answer ({error.code().name})"
        state = State.UNAVAILABLE if message else State.SERVING
        return ComponentHealth(component, state, (time.perf_counter() - started) * 1000, message)
