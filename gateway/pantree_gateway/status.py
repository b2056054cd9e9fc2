"""The gateway's own routes: version and links, probes, and the health of all parts."""

import time
from collections.abc import Callable
from enum import Enum
from typing import Literal

import grpc
from fastapi import APIRouter, Response
from pydantic import BaseModel, Field
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.types import ASGIApp

from pantree.pipeline.v1 import pipeline_service_pb2 as messages
from pantree.pipeline.v1 import pipeline_service_pb2_grpc as rpc
from pantree_gateway.console import CONSOLE_PATH, accepts_html
from pantree_gateway.edge import InFlightRequests
from pantree_gateway.transcoding.problem import problem_of_rpc_error
from pantree_runtime.shared_redis import SharedRedis

# Shorter than the usual interval of health checks.
_HEALTH_TIMEOUT_SECONDS = 5.0

STATUS_TAG = {"name": "Status", "description": "Status of the gateway and of the parts behind it."}

_STATES: dict[int, Literal["healthy", "degraded", "unavailable", "disabled"]] = {
    messages.COMPONENT_STATE_SERVING: "healthy",
    messages.COMPONENT_STATE_DEGRADED: "degraded",
    messages.COMPONENT_STATE_UNAVAILABLE: "unavailable",
    messages.COMPONENT_STATE_DISABLED: "disabled",
}


class Welcome(BaseModel):
    """Name, version and links."""

    name: str = Field(description="Always `Pantree`.")
    version: str = Field(description="Version of the gateway.")
    status: Literal["running", "draining"] = Field(
        description="`draining` while shutting down; see /health for the parts."
    )
    links: dict[str, str] = Field(description="Other routes, by name.")


class Probe(BaseModel):
    """Response to a Kubernetes probe."""

    status: Literal["live", "ready", "draining"] = Field(description="`draining` while shutting down.")


class ComponentHealth(BaseModel):
    """Health of a part."""

    status: Literal["healthy", "degraded", "unavailable", "disabled"] = Field(description="State of the part.")
    required: bool = Field(description="Whether every recommendation needs it.")
    latency_ms: float = Field(description="Duration of its health check.")
    message: str = Field(description="What is wrong; empty when healthy.")


class Health(BaseModel):
    """Health of the mesh."""

    status: Literal["healthy", "degraded", "unavailable"] = Field(
        description="`degraded` without some optional parts, `unavailable` without a required one."
    )
    components: dict[str, ComponentHealth] = Field(description="Health of each part, by name.")
    authentication: bool = Field(default=False, description="Whether requests need a key or token.")
    version: str = Field(description="Version of the gateway.")


def add_status_routes(
    router: APIRouter,
    pipeline_channel: Callable[[], grpc.aio.Channel],
    in_flight: InFlightRequests,
    version: str,
    redis: SharedRedis | None,
    *,
    authentication: bool,
    console: bool,
) -> None:
    """Adds `/`, `/live`, `/ready` and `/health`; with `console`, `/` leads browsers there."""
    tags: list[str | Enum] = [STATUS_TAG["name"]]

    @router.get("/", tags=tags, summary="Name, version and links")
    async def welcome(request: Request, response: Response) -> Welcome:
        """Name and version of the gateway, and links to its other routes. A browser is sent to the console instead."""
        response.headers["Vary"] = "Accept"
        if console and accepts_html(request.headers.get("accept", "")):
            response.status_code = 302
            response.headers["Location"] = f"{CONSOLE_PATH[1:]}/"
        return Welcome(
            name="Pantree",
            version=version,
            status="draining" if in_flight.draining else "running",
            links={
                "health": "/health",
                **({"console": f"{CONSOLE_PATH}/"} if console else {}),
                "docs": "/docs",
                "openapi": "/openapi.json",
                "asyncapi": "/asyncapi.json",
                "metrics": "/metrics",
            },
        )

    @router.get("/live", tags=tags, summary="Liveness probe")
    async def live() -> Probe:
        """200 while the process runs."""
        return Probe(status="live")

    @router.get("/ready", tags=tags, summary="Readiness probe", responses={503: {"model": Probe}})
    async def ready(response: Response) -> Probe:
        """200 when the gateway accepts requests, 503 while it shuts down."""
        if in_flight.draining:
            response.status_code = 503
            return Probe(status="draining")
        return Probe(status="ready")

    @router.get("/health", tags=tags, summary="Health of all parts", responses={503: {"model": Health}})
    async def health(response: Response) -> Health:
        """200 when all required parts are available, otherwise 503."""
        health = await _health(pipeline_channel(), version)
        health.authentication = authentication
        if redis is not None:
            health.components["redis"] = ComponentHealth(
                status="degraded" if redis.message else "healthy", required=False, latency_ms=0, message=redis.message
            )
            if redis.message and health.status == "healthy":
                health.status = "degraded"
        if health.status == "unavailable":
            response.status_code = 503
        return health


def probe_app(in_flight: InFlightRequests) -> ASGIApp:
    """Application with the probes only."""

    async def live(_request: Request) -> JSONResponse:
        return JSONResponse({"status": "live"})

    async def ready(_request: Request) -> JSONResponse:
        status = "draining" if in_flight.draining else "ready"
        return JSONResponse({"status": status}, 503 if in_flight.draining else 200)

    return Starlette(routes=[Route("/live", live), Route("/ready", ready)])


async def _health(channel: grpc.aio.Channel, version: str) -> Health:
    started = time.perf_counter()
    try:
        response = await rpc.PipelineServiceStub(channel).GetStatus(
            messages.GetStatusRequest(), timeout=_HEALTH_TIMEOUT_SECONDS
        )
    except grpc.aio.AioRpcError as error:
        problem = problem_of_rpc_error(error, "pipeline", str)
        pipeline = _component("unavailable", started, problem.detail)
        return Health(status="unavailable", components={"pipeline": pipeline}, version=version)
    whole = _STATES.get(response.state, "unavailable")
    components = {
        component.name: ComponentHealth(
            status=_STATES.get(component.state, "unavailable"),
            required=component.required,
            latency_ms=component.latency_ms,
            message=component.message,
        )
        for component in response.components
    }
    return Health(
        status="unavailable" if whole == "disabled" else whole,
        components={"pipeline": _component("healthy", started, ""), **components},
        version=version,
    )


def _component(status: Literal["healthy", "unavailable"], started: float, message: str) -> ComponentHealth:
    latency_ms = round((time.perf_counter() - started) * 1000, 1)
    return ComponentHealth(status=status, required=True, latency_ms=latency_ms, message=message)
