"""The web application: routes from the contract, the gateway's own routes, and middleware."""

import contextlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from importlib import metadata, resources
from typing import Any

import grpc
import structlog
from fastapi import FastAPI, Request
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response

from pantree.error.v1 import error_pb2
from pantree.history.v1.history_service_pb2 import DESCRIPTOR as _HISTORY
from pantree.pipeline.v1.pipeline_service_pb2 import DESCRIPTOR as _PIPELINE
from pantree.simulation.v1.simulation_service_pb2 import DESCRIPTOR as _SIMULATION
from pantree.subscription.v1.subscription_service_pb2 import DESCRIPTOR as _SUBSCRIPTION
from pantree.subscription.v1.webhook_service_pb2 import DESCRIPTOR as _WEBHOOK
from pantree_gateway.access import Authenticator, TokenRules, read_api_keys, security_schemes
from pantree_gateway.console import add_console, read_console
from pantree_gateway.docs import add_docs
from pantree_gateway.edge import EdgeMiddleware, InFlightRequests
from pantree_gateway.engine_events import ENGINES_TAG, add_engine_events, read_engines, signed_paths
from pantree_gateway.metrics import Metrics
from pantree_gateway.policy import OPEN_PATHS, RequestPolicy, SitePolicy
from pantree_gateway.purchase_files import FILES_TAG, add_purchase_files
from pantree_gateway.rate_limit import RateLimiter
from pantree_gateway.settings import GatewaySettings, is_loopback, split_list
from pantree_gateway.status import STATUS_TAG, add_status_routes
from pantree_gateway.stores import Store
from pantree_gateway.transcoding.asyncapi import asyncapi_document
from pantree_gateway.transcoding.comments import comments_of
from pantree_gateway.transcoding.context import RouteContext
from pantree_gateway.transcoding.headers import parse_header_policy
from pantree_gateway.transcoding.limits import Limits
from pantree_gateway.transcoding.openapi import SchemaCollection, problem_responses
from pantree_gateway.transcoding.problem import TRACE_HEADER, problem_for
from pantree_gateway.transcoding.rest import add_rest_routes
from pantree_gateway.transcoding.stored_responses import CACHE_HEADER, SCOPE_HEADER, IdempotencyStore, ResponseCache
from pantree_gateway.transcoding.upstream import Upstream
from pantree_gateway.transcoding.websocket import add_websocket_routes, websocket_methods
from pantree_runtime.channel import open_channel
from pantree_runtime.dependencies import Dependency, DependencyMonitor
from pantree_runtime.errors import ComponentUnavailable
from pantree_runtime.identity import load_identity
from pantree_runtime.shared_redis import SharedRedis
from pantree_runtime.telemetry import observe_calls

_DESCRIPTION = (
    "Recommends grocery subscriptions to a household: which items, how often, with what confidence, and why.\n\n"
    "`POST /api/v1/process` returns the recommendations; the WebSocket `/ws/stream/{customer_id}` takes the same body "
    "and sends `started`, one `monthly_update` per month, then `completed`, or `error`.\n\n"
    "Every error is a problem document (RFC 9457)."
)

_log = structlog.get_logger(__name__)

_ACCESS_PROBLEMS = {
    "401": "The request has no valid credentials.",
    "403": "The key or token lacks the scope for this part.",
}
_RATE_LIMIT_PROBLEMS = {"429": "Too many requests; try again after `Retry-After`."}

_CONTACT = {"name": "Pantree"}
_LICENSE = {"name": "Proprietary"}

_STREAM_DESCRIPTION = (
    "Streams over WebSocket. Requests on one socket are answered one after the other. If a request has an `id`, every "
    "frame of its answer repeats it, and the socket stays open. After the answer to a request without an `id`, the "
    "socket closes unless another request arrives soon.\n\n"
    "Close codes: 1000 done, 4400 invalid request, 4401 not allowed, 4404 not found, 4429 too many requests, 4500 any "
    "other problem, 1012 the gateway is shutting down."
)

_WEBHOOKS = _WEBHOOK.services_by_name["WebhookService"]
SHOP_METHODS = frozenset(
    {
        "AdvanceTestClock",
        "AppendPurchases",
        "CorrectPurchases",
        "CreateOffer",
        "GetTestClock",
        "MergeCustomers",
        "RecordDelivery",
    }
    | {method.name for method in _WEBHOOKS.methods}
)
"""Methods that state what only the shop knows, or concern all its customers, and those of its webhooks."""
REDIS_TIMEOUT_SECONDS = 0.5
REDIS_COOL_DOWN_SECONDS = 2.0
_MIB = 1 << 20
_STORE_BYTES = 16 * _MIB

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


def create_app(settings: GatewaySettings) -> FastAPI:
    """The application, whose lifespan opens and closes the channels.

    `app.state` has its `InFlightRequests` as `in_flight` and its AsyncAPI document as `asyncapi`.

    Raises:
        OSError: when the certificate of the gateway cannot be read.
        ValueError: when a file that the settings name cannot be read.
    """
    addresses = {"pipeline": settings.pipeline_address, "simulation": settings.simulation_address}
    if settings.history_address:
        addresses["history"] = settings.history_address
    channels: dict[str, grpc.aio.Channel] = {}
    identity = load_identity(settings.tls_dir, settings.tls_domain)
    redis = (
        SharedRedis(
            settings.redis_url,
            password=settings.redis_password.get_secret_value(),
            timeout_seconds=REDIS_TIMEOUT_SECONDS,
            cool_down_seconds=REDIS_COOL_DOWN_SECONDS,
            shared="limits and stored responses",
        )
        if settings.redis_url
        else None
    )
    metrics = Metrics()

    @contextlib.asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        async with contextlib.AsyncExitStack() as stack:
            for component, address in addresses.items():
                channel = open_channel(
                    address,
                    timeout_seconds=settings.request_timeout_seconds,
                    part=component,
                    identity=identity,
                    observe=observe_calls,
                )
                channels[component] = await stack.enter_async_context(channel)
            if redis is not None:
                stack.push_async_callback(redis.close)
                monitor = DependencyMonitor([Dependency("redis", redis.check)], _nothing)
                monitor.start()
                stack.push_async_callback(monitor.stop)
            stack.enter_context(metrics.published())
            yield

    upstreams = [
        Upstream(_PIPELINE.services_by_name["PipelineService"], "pipeline", lambda: channels["pipeline"]),
        Upstream(_SIMULATION.services_by_name["SimulationService"], "simulation", lambda: channels["simulation"]),
        Upstream(
            _HISTORY.services_by_name["HistoryService"],
            "history",
            lambda: _history_channel(channels),
            SHOP_METHODS,
            hide_documents,
        ),
        Upstream(
            _SUBSCRIPTION.services_by_name["SubscriptionService"],
            "history",
            lambda: _history_channel(channels),
            SHOP_METHODS,
            hide_documents,
        ),
        Upstream(_WEBHOOKS, "history", lambda: _history_channel(channels), SHOP_METHODS),
    ]
    comments = comments_of(resources.files("pantree").joinpath("contract.binpb").read_bytes())
    schemas = SchemaCollection(comments)
    version = metadata.version("pantree")
    security = security_schemes(api_keys=bool(settings.api_keys_file), tokens=bool(settings.jwt_issuer))
    app = FastAPI(
        title="Pantree",
        version=version,
        description=_DESCRIPTION,
        contact=_CONTACT,
        license_info=_LICENSE,
        # Relative, so that it also holds below a path that a proxy removes.
        servers=[{"url": ".", "description": "This gateway."}],
        openapi_tags=[*schemas.tags([upstream.service for upstream in upstreams]), FILES_TAG, ENGINES_TAG, STATUS_TAG],
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
    )
    engines = read_engines(settings.engines_file) if settings.engines_file else ()
    in_flight = InFlightRequests(settings.max_calls, settings.max_held_mib * _MIB)
    origins = split_list(settings.cors_origins)
    policy = RequestPolicy(
        _authenticator(settings),
        RateLimiter(settings.rate_limit, redis),
        RateLimiter(settings.tenant_rate_limit, redis) if settings.tenant_rate_limit else None,
        SitePolicy(split_list(settings.allowed_hosts), origins),
        signed_paths(engines),
    )
    # Two, so that cached responses never evict those that idempotency keys must find.
    cached, once = Store("cache", redis, _STORE_BYTES), Store("once", redis, _STORE_BYTES)
    context = RouteContext(
        limits=Limits(
            request_timeout_seconds=settings.request_timeout_seconds,
            stream_timeout_seconds=settings.stream_timeout_seconds,
            linger_seconds=settings.stream_linger_seconds,
        ),
        headers=parse_header_policy(settings.forwarded_headers),
        check_rate_limit=policy.check_rate_limit,
        cache=ResponseCache(cached, settings.cache_seconds),
        idempotency=IdempotencyStore(once, settings.idempotency_seconds),
        stopping=in_flight.stopping,
    )
    add_rest_routes(app.router, upstreams, context, schemas, EXAMPLES)
    add_websocket_routes(app.router, upstreams, context)
    app.state.in_flight = in_flight
    app.state.asyncapi = asyncapi_document(
        {
            "title": "Pantree",
            "version": version,
            "description": _STREAM_DESCRIPTION,
            "contact": _CONTACT,
            "license": _LICENSE,
            "tags": [{"name": "Pipeline", "description": "From purchases to recommendations."}],
        },
        websocket_methods(upstreams, context.codec),
        SchemaCollection(comments),
        list(security.values()),
    )
    add_purchase_files(app.router, context)
    add_engine_events(app.router, context, engines, lambda: _history_channel(channels))
    console = read_console(resources.files("pantree_gateway") / "console")
    add_status_routes(
        app.router,
        lambda: channels["pipeline"],
        in_flight,
        version,
        redis,
        authentication=not policy.is_open,
        console=bool(console),
    )
    add_console(app.router, console)
    app.add_api_route("/metrics", metrics.response, include_in_schema=False)
    add_docs(app, app.state.asyncapi)
    app.add_exception_handler(HTTPException, _http_problem)
    policy_problems = {
        **(_ACCESS_PROBLEMS if security else {}),
        **(_RATE_LIMIT_PROBLEMS if settings.rate_limit else {}),
    }
    _extend_openapi(app, schemas, security, policy_problems)

    # The last one is the outermost: CORS also covers responses to unexpected errors, so that pages can read them.
    app.add_middleware(EdgeMiddleware, in_flight=in_flight, policy=policy, metrics=metrics)
    app.add_middleware(
        CORSMiddleware,
        allow_origins=origins,
        allow_methods=["*"],
        allow_headers=["*"],
        expose_headers=[TRACE_HEADER, CACHE_HEADER, SCOPE_HEADER, "RateLimit", "RateLimit-Policy", "Retry-After"],
    )
    return app


def _history_channel(channels: Mapping[str, grpc.aio.Channel]) -> grpc.aio.Channel:
    if "history" not in channels:
        raise ComponentUnavailable("history", "nothing is stored here, because the history part is disabled")
    return channels["history"]


def hide_documents(answer: Any) -> None:
    """Removes the records of engines from subscriptions: the shop's staff may have noted something in them."""
    fields = answer.DESCRIPTOR.fields_by_name
    if "stored_subscription" in fields:  # a piece of an export
        answer = answer.stored_subscription
        fields = answer.DESCRIPTOR.fields_by_name
    found = [answer.subscription] if "subscription" in fields and answer.HasField("subscription") else []
    for one in [*found, *(answer.subscriptions if "subscriptions" in fields else [])]:
        if one.HasField("mirror"):
            one.mirror.ClearField("document")


async def _nothing(_name: str, _is_up: bool) -> None:
    """Does nothing: `/health` reads the state of Redis itself."""


def _extend_openapi(
    app: FastAPI,
    schemas: SchemaCollection,
    security: Mapping[str, Mapping[str, str]],
    policy_problems: Mapping[str, str],
) -> None:
    """Adds the schemas of the contract's messages, and the security and problems of the policy, to the document."""
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        document = generate()
        document["components"]["schemas"].update(schemas.components())
        for path, operations in document["paths"].items():
            for operation in operations.values() if path not in OPEN_PATHS else ():
                operation["responses"].update(problem_responses(policy_problems))
                if security:
                    operation["security"] = [{name: []} for name in security]
        if security:
            document["components"]["securitySchemes"] = security
        return document

    app.openapi = openapi  # type: ignore[method-assign] # as FastAPI documents


def _authenticator(settings: GatewaySettings) -> Authenticator:
    """Authenticator from the settings. Logs a warning if anyone on the network may call."""
    keys = read_api_keys(settings.api_keys_file) if settings.api_keys_file else {}
    rules = TokenRules(
        settings.jwt_issuer,
        settings.jwt_audience,
        settings.jwt_jwks,
        settings.jwt_tenant_claim,
        settings.jwt_customer_claim,
    )
    authenticator = Authenticator(keys, rules if settings.jwt_issuer else None)
    if not authenticator.required and not is_loopback(settings.host):
        _log.warning(
            "the gateway is open: anyone who reaches it may call",
            host=settings.host,
            remedy="set PANTREE_GATEWAY_API_KEYS_FILE, or PANTREE_GATEWAY_JWT_ISSUER, _JWT_AUDIENCE and _JWT_JWKS",
        )
    return authenticator


async def _http_problem(request: Request, error: Exception) -> Response:
    """Problem document for an error from the router."""
    assert isinstance(error, HTTPException)
    if error.status_code == 404:
        detail = f"there is nothing at {request.url.path[:200]}; /docs lists all routes"
        problem = problem_for(error_pb2.ERROR_REASON_NOT_FOUND, detail)
    elif error.status_code == 405:
        allowed = (error.headers or {}).get("Allow", "another method")
        detail = f"{request.method} is not allowed here; use {allowed}"
        problem = problem_for(error_pb2.ERROR_REASON_METHOD_NOT_ALLOWED, detail)
    else:
        reason = error_pb2.ERROR_REASON_INVALID_INPUT if error.status_code < 500 else error_pb2.ERROR_REASON_INTERNAL
        problem = replace(problem_for(reason, error.detail), status=error.status_code)
    return problem.response(request.scope["path"], error.headers)
