"""The web application: the contract's routes, the gateway's own, and what surrounds them."""

import contextlib
from collections.abc import AsyncIterator, Mapping
from importlib import metadata, resources
from typing import Any

import grpc
import structlog
from fastapi import FastAPI, Request
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response

from pantree.pipeline.v1.pipeline_service_pb2 import DESCRIPTOR as _PIPELINE
from pantree.simulation.v1.simulation_service_pb2 import DESCRIPTOR as _SIMULATION
from pantree_gateway.access import Authenticator, TokenRules, is_loopback, read_api_keys, security_schemes
from pantree_gateway.docs import add_asyncapi_route, add_docs, packaged_assets
from pantree_gateway.edge import Edge, Traffic
from pantree_gateway.guard import OPEN_PATHS, EdgeGuard
from pantree_gateway.metrics import Metrics
from pantree_gateway.rate_limit import RateLimiter
from pantree_gateway.repeats import CACHE_HEADER, Repeats
from pantree_gateway.settings import GatewaySettings
from pantree_gateway.status import STATUS_TAG, add_status_routes
from pantree_gateway.stores import MemoryStore, SharedRedis
from pantree_gateway.transcoding.asyncapi import asyncapi_document
from pantree_gateway.transcoding.comments import comments_of
from pantree_gateway.transcoding.json_codec import JsonCodec
from pantree_gateway.transcoding.metadata import header_policy_of
from pantree_gateway.transcoding.openapi import SchemaCollection, problem_responses
from pantree_gateway.transcoding.problem import TRACE_HEADER, Problem
from pantree_gateway.transcoding.rest import add_rest_routes
from pantree_gateway.transcoding.surroundings import Surroundings
from pantree_gateway.transcoding.upstream import LONGEST_TIMEOUT_SECONDS, Limits, Upstream
from pantree_gateway.transcoding.websocket import add_websocket_routes, websocket_methods
from pantree_runtime.channel import open_channel
from pantree_runtime.identity import load_identity

DESCRIPTION = (
    "Says which groceries a household should subscribe to, how often, how sure that is, and why.\n\n"
    "`POST /api/v1/process` answers at once; a WebSocket at `/ws/stream/{customer_id}` takes the same body and sends "
    "`started`, one `monthly_update` per month, then `completed`, or `error`.\n\n"
    "Every error is a problem document (RFC 9457)."
)

_log = structlog.get_logger(__name__)

_ACCESS_PROBLEMS = {
    "401": "The request does not say, or not well enough, who it comes from.",
    "403": "The key or token has not the scope for this part.",
}
_RATE_PROBLEMS = {"429": "Too many requests; `Retry-After` says when to try again."}

CONTACT = {"name": "Pantree"}
LICENSE = {"name": "Proprietary"}

STREAM_DESCRIPTION = (
    "Streams over WebSocket. Requests of one socket are answered in turn. A request with an `id` gets it back in every "
    "frame, and keeps the socket open; after the answer to any other request the socket is closed, unless the next "
    "request comes soon.\n\n"
    "Close codes: 1000 done, 4400 wrong request, 4401 not allowed, 4404 not found, 4429 too many requests, 4500 any "
    "other problem, 1012 the gateway had to stop."
)

EXAMPLES: dict[str, dict[str, Any]] = {
    "pantree.pipeline.v1.PipelineService.Process": {
        "A first purchase": {
            "customer_id": "cust_001",
            "customer_name": "John Doe",
            "archetype": "health_conscious",
            "items": [
                {"name": "Bananas", "price": 1.99, "quantity": 1},
                {"name": "Chicken Breast", "price": 12.99, "quantity": 1},
            ],
            "simulation_months": 6,
        }
    }
}
"""Request bodies for the documentation, by title, by full name of the method."""


class _Gateway(FastAPI):
    """FastAPI, with what it cannot know in its document: the schemas of the contract's messages."""

    def __init__(
        self,
        schemas: SchemaCollection,
        security: Mapping[str, Mapping[str, str]],
        edge_problems: Mapping[str, str],
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self._schemas = schemas
        self._security = security
        self._edge_problems = edge_problems

    def openapi(self) -> dict[str, Any]:
        """The OpenAPI document."""
        document = super().openapi()
        document["components"]["schemas"].update(self._schemas.components())
        for path, operations in document["paths"].items():
            for operation in operations.values() if path not in OPEN_PATHS else ():
                operation["responses"].update(problem_responses(self._edge_problems))
                if self._security:
                    operation["security"] = [{name: []} for name in self._security]
        if self._security:
            document["components"]["securitySchemes"] = self._security
        return document


def create_app(settings: GatewaySettings) -> FastAPI:
    """The application; `app.state.traffic` is its `Traffic`, `app.state.asyncapi` its AsyncAPI document.

    Its channels open and close with its lifespan.

    Raises:
        OSError: when the certificate of the gateway cannot be read.
    """
    addresses = {"pipeline": settings.pipeline_address, "simulation": settings.simulation_address}
    channels: dict[str, grpc.aio.Channel] = {}
    identity = load_identity(settings.tls_dir, settings.tls_domain)
    redis = SharedRedis(settings.redis_url) if settings.redis_url else None
    metrics = Metrics()

    @contextlib.asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        async with contextlib.AsyncExitStack() as stack:
            for component, address in addresses.items():
                channel = open_channel(
                    address, timeout_seconds=settings.request_timeout_seconds, part=component, identity=identity
                )
                channels[component] = await stack.enter_async_context(channel)
            if redis is not None:
                stack.push_async_callback(redis.close)
            stack.enter_context(metrics.published())
            yield

    upstreams = [
        Upstream(_PIPELINE.services_by_name["PipelineService"], "pipeline", lambda: channels["pipeline"]),
        Upstream(_SIMULATION.services_by_name["SimulationService"], "simulation", lambda: channels["simulation"]),
    ]
    comments = comments_of(resources.files("pantree").joinpath("contract.binpb").read_bytes())
    schemas = SchemaCollection(comments)
    version = metadata.version("pantree")
    traffic = Traffic(settings.max_calls)
    security = security_schemes(api_keys=bool(settings.api_keys_file), tokens=bool(settings.jwt_issuer))
    app = _Gateway(
        schemas,
        security,
        {**(_ACCESS_PROBLEMS if security else {}), **(_RATE_PROBLEMS if settings.rate_limit else {})},
        title="Pantree",
        version=version,
        description=DESCRIPTION,
        contact=CONTACT,
        license_info=LICENSE,
        servers=[{"url": "/", "description": "This gateway."}],
        openapi_tags=[*schemas.tags([upstream.service for upstream in upstreams]), STATUS_TAG],
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
    )
    app.state.traffic = traffic
    codec = JsonCodec()
    limits = Limits(
        request_timeout_seconds=settings.request_timeout_seconds,
        stream_timeout_seconds=settings.stream_timeout_seconds,
        linger_seconds=settings.stream_linger_seconds,
    )
    policy = header_policy_of(settings.forwarded_headers)
    guard = _guard_of(settings, redis)
    surroundings = Surroundings(codec, limits, policy, guard, traffic.stopping)
    add_rest_routes(app.router, upstreams, surroundings, schemas, EXAMPLES)
    add_websocket_routes(app.router, upstreams, surroundings)
    asyncapi = asyncapi_document(
        {
            "title": "Pantree",
            "version": version,
            "description": STREAM_DESCRIPTION,
            "contact": CONTACT,
            "license": LICENSE,
            "tags": [{"name": "Pipeline", "description": "From purchases to recommendations."}],
        },
        websocket_methods(upstreams, codec),
        SchemaCollection(comments),
        list(security.values()),
    )
    app.state.asyncapi = asyncapi
    add_asyncapi_route(app.router, asyncapi)
    add_status_routes(app.router, lambda: channels["pipeline"], traffic, version, redis.health if redis else None)
    app.add_api_route("/metrics", metrics.response, include_in_schema=False)
    add_docs(app, packaged_assets())
    app.add_exception_handler(HTTPException, _answer_http_exception)

    # The one added last is outermost: an unexpected error, too, is answered inside of CORS, so that pages may read it.
    app.add_middleware(Edge, traffic=traffic, guard=guard, metrics=metrics)
    app.add_middleware(
        CORSMiddleware,
        allow_origins=[origin.strip() for origin in settings.cors_origins.split(",") if origin.strip()],
        allow_methods=["*"],
        allow_headers=["*"],
        expose_headers=[TRACE_HEADER, CACHE_HEADER, "RateLimit", "RateLimit-Policy", "Retry-After"],
    )
    return app


def _guard_of(settings: GatewaySettings, redis: SharedRedis | None) -> EdgeGuard:
    """The guard that the settings ask for.

    Raises:
        ValueError: when a file that they name cannot be read.
    """
    keys = read_api_keys(settings.api_keys_file) if settings.api_keys_file else {}
    rules = TokenRules(settings.jwt_issuer, settings.jwt_audience, settings.jwt_jwks, settings.jwt_tenant_claim)
    authenticator = Authenticator(keys, rules if settings.jwt_issuer else None)
    if not authenticator.required and not is_loopback(settings.host):
        _log.warning(
            "anybody who reaches this address may call: no API keys or tokens are asked for",
            host=settings.host,
            remedy="set PANTREE_GATEWAY_API_KEYS_FILE, or PANTREE_GATEWAY_JWT_ISSUER, _JWT_AUDIENCE and _JWT_JWKS; "
            "or listen on 127.0.0.1",
        )
    repeats = Repeats(
        redis.store if redis else MemoryStore(),
        cache_seconds=settings.cache_seconds,
        idempotency_seconds=settings.idempotency_seconds,
        longest_seconds=LONGEST_TIMEOUT_SECONDS,
    )
    return EdgeGuard(authenticator, RateLimiter(settings.rate_limit, redis), repeats)


async def _answer_http_exception(request: Request, error: Exception) -> Response:
    """Problem document of what the router itself refuses."""
    assert isinstance(error, HTTPException)
    if error.status_code == 404:
        detail = f"there is nothing at {request.url.path[:200]}; /docs lists what there is"
        problem = Problem(404, "NOT_FOUND", detail)
    elif error.status_code == 405:
        allowed = (error.headers or {}).get("Allow", "another method")
        problem = Problem(405, "METHOD_NOT_ALLOWED", f"{request.method} is not possible here; use {allowed}")
    else:
        problem = Problem(error.status_code, "HTTP_ERROR", error.detail)
    return problem.response(request.scope, error.headers)
