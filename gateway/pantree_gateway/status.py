"""The gateway's own answers: what it is, whether it lives, whether it is ready, how the parts behind it are."""

import time
from collections.abc import Callable
from enum import Enum
from typing import Literal

import grpc
from fastapi import APIRouter, Response
from pydantic import BaseModel, Field

from pantree.pipeline.v1 import pipeline_service_pb2 as messages
from pantree.pipeline.v1 import pipeline_service_pb2_grpc as rpc
from pantree_gateway.edge import Traffic
from pantree_gateway.stores import RedisHealth
from pantree_gateway.transcoding.problem import problem_of_rpc_error

# A health check that takes longer would only pile up behind the next one.
HEALTH_TIMEOUT_SECONDS = 5.0

STATUS_TAG = {"name": "Status", "description": "What the gateway says about itself and the parts behind it."}

_STATES: dict[int, Literal["healthy", "degraded", "unavailable", "disabled"]] = {
    messages.COMPONENT_STATE_SERVING: "healthy",
    messages.COMPONENT_STATE_DEGRADED: "degraded",
    messages.COMPONENT_STATE_UNAVAILABLE: "unavailable",
    messages.COMPONENT_STATE_DISABLED: "disabled",
}


class Welcome(BaseModel):
    """What this is and where to go on."""

    name: str = Field(description="Always `Pantree`.")
    version: str = Field(description="Version of the gateway.")
    status: Literal["running", "draining"] = Field(description="`draining` before the end; see /health for the parts.")
    links: dict[str, str] = Field(description="Paths worth knowing, by what they are.")


class Probe(BaseModel):
    """Answer to a probe of Kubernetes."""

    status: Literal["live", "ready", "draining"] = Field(description="`draining` when no new work is wanted.")


class ComponentHealth(BaseModel):
    """How a part is."""

    status: Literal["healthy", "degraded", "unavailable", "disabled"] = Field(description="State of the part.")
    required: bool = Field(description="Whether no answer can be given without it.")
    latency_ms: float = Field(description="How long it took to tell its state.")
    message: str = Field(description="What is wrong; empty when nothing is.")


class Health(BaseModel):
    """How the whole is."""

    status: Literal["healthy", "degraded", "unavailable"] = Field(
        description="`degraded` when only optional parts are missing, `unavailable` when no answers can be given."
    )
    components: dict[str, ComponentHealth] = Field(description="State of each part, by name.")
    version: str = Field(description="Version of the gateway.")


def add_status_routes(
    router: APIRouter,
    pipeline_channel: Callable[[], grpc.aio.Channel],
    traffic: Traffic,
    version: str,
    redis: RedisHealth | None,
) -> None:
    """Adds `/`, `/live`, `/ready` and `/health`.

    Args:
        router: gets the routes.
        pipeline_channel: the channel to the pipeline, inside the event loop.
        traffic: tells whether the gateway is draining.
        version: version of the gateway.
        redis: how the shared Redis is; None without one.
    """
    tags: list[str | Enum] = [STATUS_TAG["name"]]

    @router.get("/", tags=tags, summary="What this is")
    async def welcome() -> Welcome:
        """Name, version and the paths worth knowing."""
        return Welcome(
            name="Pantree",
            version=version,
            status="draining" if traffic.draining else "running",
            links={
                "health": "/health",
                "docs": "/docs",
                "openapi": "/openapi.json",
                "asyncapi": "/asyncapi.json",
                "metrics": "/metrics",
            },
        )

    @router.get("/live", tags=tags, summary="Liveness probe")
    async def live() -> Probe:
        """200 as long as the process answers."""
        return Probe(status="live")

    @router.get("/ready", tags=tags, summary="Readiness probe", responses={503: {"model": Probe}})
    async def ready(response: Response) -> Probe:
        """200 when new work is welcome, 503 while the gateway is draining."""
        if traffic.draining:
            response.status_code = 503
            return Probe(status="draining")
        return Probe(status="ready")

    @router.get("/health", tags=tags, summary="State of every part", responses={503: {"model": Health}})
    async def health(response: Response) -> Health:
        """200 when answers can be given, even when optional parts are missing; otherwise 503."""
        state = await _health(pipeline_channel(), version)
        if redis is not None:
            state.components["redis"] = ComponentHealth(
                status="degraded" if redis.message else "healthy", required=False, latency_ms=0, message=redis.message
            )
            if redis.message and state.status == "healthy":
                state.status = "degraded"
        if state.status == "unavailable":
            response.status_code = 503
        return state


async def _health(channel: grpc.aio.Channel, version: str) -> Health:
    started = time.perf_counter()
    try:
        answer = await rpc.PipelineServiceStub(channel).GetStatus(
            messages.GetStatusRequest(), timeout=HEALTH_TIMEOUT_SECONDS
        )
    except grpc.aio.AioRpcError as error:
        problem = problem_of_rpc_error(error, "pipeline", str)
        pipeline = _component("unavailable", started, problem.detail)
        return Health(status="unavailable", components={"pipeline": pipeline}, version=version)
    whole = _STATES.get(answer.state, "unavailable")
    components = {
        component.name: ComponentHealth(
            status=_STATES.get(component.state, "unavailable"),
            required=component.required,
            latency_ms=component.latency_ms,
            message=component.message,
        )
        for component in answer.components
    }
    return Health(
        status="unavailable" if whole == "disabled" else whole,
        components={"pipeline": _component("healthy", started, ""), **components},
        version=version,
    )


def _component(status: Literal["healthy", "unavailable"], started: float, message: str) -> ComponentHealth:
    latency_ms = round((time.perf_counter() - started) * 1000, 1)
    return ComponentHealth(status=status, required=True, latency_ms=latency_ms, message=message)
