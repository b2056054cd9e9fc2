"""What happens to every request at the edge: trace id, guard, counts, log, drain, an answer to unexpected errors."""

import asyncio
import time
from typing import Any

import structlog
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocket

from pantree_gateway.guard import OPEN_PATHS, EdgeGuard
from pantree_gateway.metrics import Metrics
from pantree_gateway.transcoding.problem import TRACE_HEADER, Problem, ProblemRaised, keep_trace_parent, trace_id_of
from pantree_gateway.transcoding.websocket import refuse
from pantree_runtime import telemetry

_log = structlog.get_logger(__name__)

_SHUTTING_DOWN = Problem(503, "SHUTTING_DOWN", "this gateway is shutting down; connect again to reach another one")
_TOO_FULL = Problem(
    429,
    "OVERLOADED",
    "as many requests as this gateway takes are under way; try again in a second",
    headers=(("Retry-After", "1"),),
)
_INTERNAL = Problem(500, "INTERNAL", "internal error")

_SECURITY_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
)
_TRANSPORT_HEADERS = ((b"strict-transport-security", b"max-age=31536000"),)
_API_POLICY = b"default-src 'none'; frame-ancestors 'none'"
# Swagger UI's page starts itself with a script in the page, and draws with styles and images in the page.
_PAGE_POLICY = (
    b"default-src 'none'; connect-src 'self'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; "
    b"img-src 'self' data:; frame-ancestors 'none'"
)


class Traffic:
    """The requests under way, and whether new streams are still welcome."""

    def __init__(self, most: int) -> None:
        """Takes how many requests may be under way."""
        self._most = most
        self.stopping = asyncio.Event()
        """Set once no new stream is welcome."""
        self._under_way: set[asyncio.Task[Any]] = set()

    @property
    def draining(self) -> bool:
        """Whether new streams are refused."""
        return self.stopping.is_set()

    @property
    def is_full(self) -> bool:
        """Whether there are more requests under way than there may be."""
        return len(self._under_way) > self._most

    def enter(self) -> None:
        """Notes that the current task has begun to serve a request."""
        task = asyncio.current_task()
        assert task is not None  # ASGI servers run each request in a task
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    async def drain(self, longest_seconds: float) -> None:
        """Refuses new streams from now on, and waits until the requests under way are served.

        Args:
            longest_seconds: how long to wait at most.
        """
        self.stopping.set()
        if self._under_way:
            await asyncio.wait(set(self._under_way), timeout=longest_seconds)


class Edge:
    """ASGI middleware around the whole application.

    The access log tells the route's template, never the path: that may hold the id of a customer.
    """

    def __init__(self, app: ASGIApp, traffic: Traffic, guard: EdgeGuard, metrics: Metrics) -> None:
        self._app = app
        self._traffic = traffic
        self._guard = guard
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves a request."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        self._traffic.enter()
        self._metrics.under_way.labels(scope["type"]).inc()
        started = time.perf_counter()
        observed = telemetry.http_span(scope.get("method", "WEBSOCKET"), _given_trace_parent(scope))
        keep_trace_parent(scope, observed.trace_parent)
        trace_id = trace_id_of(scope)
        status: int | None = None
        begun = False
        told: dict[str, str] = {}
        kind = scope["type"]
        method = scope.get("method", "WEBSOCKET")

        async def send_noting(message: Message) -> None:
            nonlocal status, begun
            step = message["type"]
            if step in ("http.response.start", "websocket.http.response.start", "websocket.accept"):
                begun = True
                status = message.get("status", status)
                headers = [*message.get("headers", []), (TRACE_HEADER.lower().encode(), trace_id.encode())]
                headers += [(name.lower().encode(), value.encode()) for name, value in told.items()]
                if step == "http.response.start":
                    headers += _security_headers(scope)
                if self._traffic.draining and step == "http.response.start":
                    headers.append((b"connection", b"close"))
                message = {**message, "headers": headers}
            elif step == "websocket.close":
                status = message.get("code", 1000)
            await send(message)

        try:
            if self._traffic.draining and kind == "websocket":
                await _refuse(scope, receive, send_noting)
                return
            if self._traffic.is_full and scope["path"] not in OPEN_PATHS:
                telemetry.CALLS_REFUSED.labels("overloaded").inc()
                await _answer(_TOO_FULL, scope, receive, send_noting)
                return
            try:
                told = await self._guard.enter(scope)
            except ProblemRaised as refused:
                await _answer(refused.problem, scope, receive, send_noting)
                return
            await self._app(scope, receive, send_noting)
        except ClientDisconnect:
            status = 499
        except Exception:
            _log.exception("unexpected error", route=_route(scope), trace_id=trace_id)
            if begun or scope["type"] != "http":
                raise
            await _INTERNAL.response(scope)(scope, receive, send_noting)
        finally:
            seconds = time.perf_counter() - started
            route = _route(scope)
            self._metrics.under_way.labels(kind).dec()
            self._metrics.requests.labels(method if route != "unknown" else "any", route, status or "none").inc()
            self._metrics.durations.labels(method if route != "unknown" else "any", route).observe(seconds)
            observed.end_request(route, status)
            _log.info(
                "request",
                method=method,
                route=route,
                status=status,
                duration_ms=round(seconds * 1000, 1),
                trace_id=trace_id,
            )


async def _answer(problem: Problem, scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "websocket":
        await refuse(WebSocket(scope, receive, send), problem)
    else:
        await problem.response(scope)(scope, receive, send)


def _given_trace_parent(scope: Scope) -> str:
    given = next((value for name, value in scope["headers"] if name == b"traceparent"), b"").decode("latin-1")
    return given if telemetry.is_trace_parent(given) else ""


def _security_headers(scope: Scope) -> list[tuple[bytes, bytes]]:
    policy = _PAGE_POLICY if scope["path"] == "/docs" else _API_POLICY
    transport = _TRANSPORT_HEADERS if scope.get("scheme") == "https" else ()
    return [*_SECURITY_HEADERS, *transport, (b"content-security-policy", policy)]


async def _refuse(scope: Scope, receive: Receive, send: Send) -> None:
    if "websocket.http.response" in scope.get("extensions", {}):
        await _SHUTTING_DOWN.response(scope)(scope, receive, send)
    else:
        await send({"type": "websocket.close", "code": 1012, "reason": "shutting down"})


def _route(scope: Scope) -> str:
    return str(getattr(scope.get("route"), "path", "unknown"))
