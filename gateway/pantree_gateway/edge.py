"""The outermost middleware: traces, drain, limits, metrics, the access log, and responses to unexpected errors."""

import asyncio
import time
from typing import Any

import structlog
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocket

from pantree.error.v1 import error_pb2
from pantree_gateway.console import CONSOLE_PATH, CONSOLE_POLICY
from pantree_gateway.metrics import Metrics
from pantree_gateway.policy import PROBE_PATHS, RequestPolicy, is_open_path
from pantree_gateway.transcoding.caller import caller_key, caller_of
from pantree_gateway.transcoding.held_bytes import set_hold
from pantree_gateway.transcoding.problem import TRACE_HEADER, Problem, ProblemError, problem_for
from pantree_gateway.transcoding.websocket import SERVICE_RESTART, reject
from pantree_runtime import telemetry
from pantree_runtime.fair_shares import FairShares, Hold, Holder

_log = structlog.get_logger(__name__)

_SHUTTING_DOWN = problem_for(
    error_pb2.ERROR_REASON_SHUTTING_DOWN, "this gateway is shutting down; connect again to reach another one"
)
_OVERLOADED = problem_for(
    error_pb2.ERROR_REASON_OVERLOADED,
    "this gateway has too many requests in flight; try again in a second",
    headers={"Retry-After": "1"},
)
_OVER_SHARE = problem_for(
    error_pb2.ERROR_REASON_OVERLOADED,
    "you have too many requests in flight; try again in a second",
    headers={"Retry-After": "1"},
)
_INTERNAL = problem_for(error_pb2.ERROR_REASON_INTERNAL, "internal error")

_SECURITY_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
)
_TRANSPORT_HEADERS = ((b"strict-transport-security", b"max-age=31536000"),)
_API_POLICY = b"default-src 'none'; frame-ancestors 'none'"
# Swagger UI's page has an inline script, styles and images.
_PAGE_POLICY = (
    b"default-src 'none'; connect-src 'self'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; "
    b"img-src 'self' data:; frame-ancestors 'none'"
)


class InFlightRequests:
    """The requests in flight, which are counted and drained."""

    def __init__(self, max_requests: int, max_held_bytes: int = 1 << 40) -> None:
        self._max_requests = max_requests
        self.places = FairShares(max_requests)
        self.held_bytes = FairShares(max_held_bytes)
        """Memory that requests hold."""
        self.stopping = asyncio.Event()
        """Set once new streams are rejected."""
        self._tasks: set[asyncio.Task[Any]] = set()

    @property
    def draining(self) -> bool:
        """Whether new streams are rejected."""
        return self.stopping.is_set()

    @property
    def over_limit(self) -> bool:
        """Whether more requests are in flight than allowed."""
        return len(self._tasks) > self._max_requests

    def add_current_task(self) -> None:
        """Counts the current task as a request until it ends."""
        task = asyncio.current_task()
        assert task is not None  # ASGI servers run each request in a task
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def drain(self, timeout_seconds: float) -> None:
        """Rejects new streams from now on, and waits until all requests end, or for `timeout_seconds`."""
        self.stopping.set()
        if self._tasks:
            await asyncio.wait(set(self._tasks), timeout=timeout_seconds)


class EdgeMiddleware:
    """ASGI middleware around the whole application.

    The access log has the template of a route instead of the path, which may contain a customer's ID.
    """

    def __init__(self, app: ASGIApp, in_flight: InFlightRequests, policy: RequestPolicy, metrics: Metrics) -> None:
        self._app = app
        self._in_flight = in_flight
        self._policy = policy
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handles a request."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        kind, method = scope["type"], scope.get("method", "WEBSOCKET")
        self._in_flight.add_current_task()
        self._metrics.in_flight.labels(kind).inc()
        started = time.perf_counter()
        span = telemetry.http_span(method, _incoming_traceparent(scope), is_probe=scope["path"] in PROBE_PATHS)
        trace_id = telemetry.trace_id()
        status: int | None = None
        response_started = False
        policy_headers: dict[str, str] = {}
        place = held = None

        async def send_with_headers(message: Message) -> None:
            nonlocal status, response_started
            step = message["type"]
            if step in ("http.response.start", "websocket.http.response.start", "websocket.accept"):
                response_started = True
                status = message.get("status", status)
                headers = [*message.get("headers", []), (TRACE_HEADER.lower().encode(), trace_id.encode())]
                headers += [(name.lower().encode(), value.encode()) for name, value in policy_headers.items()]
                if step == "http.response.start":
                    headers += _security_headers(scope)
                    if self._in_flight.draining:
                        headers.append((b"connection", b"close"))
                message = {**message, "headers": headers}
            elif step == "websocket.close":
                status = message.get("code", 1000)
            await send(message)

        try:
            if self._in_flight.draining and kind == "websocket":
                await _reject_handshake(scope, receive, send_with_headers)
                return
            if self._in_flight.over_limit and not is_open_path(scope["path"]):
                telemetry.CALLS_REFUSED.labels("overloaded").inc()
                raise ProblemError(_OVERLOADED)
            policy_headers = await self._policy.admit(scope)
            if not is_open_path(scope["path"]):
                holder = Holder(caller_key(scope), caller_of(scope).tenant)
                place, held = Hold(self._in_flight.places, holder), Hold(self._in_flight.held_bytes, holder)
                set_hold(scope, held)
                if not place.resize(1):
                    telemetry.CALLS_REFUSED.labels("overloaded").inc()
                    raise ProblemError(_OVER_SHARE)
            await self._app(scope, receive, send_with_headers)
        except ProblemError as error:
            await _send_problem(error.problem, scope, receive, send_with_headers)
        except ClientDisconnect:
            status = 499
        except Exception:
            _log.exception("unexpected error", route=_route(scope), trace_id=trace_id)
            if response_started or kind != "http":
                raise
            await _send_problem(_INTERNAL, scope, receive, send_with_headers)
        finally:
            for hold in (place, held):
                if hold is not None:
                    hold.release()
            seconds = time.perf_counter() - started
            route = _route(scope)
            self._metrics.in_flight.labels(kind).dec()
            label = method if route != "unknown" else "any"
            self._metrics.requests.labels(label, route, status or "none").inc()
            self._metrics.durations.labels(label, route).observe(seconds)
            span.end_request(route, status)
            _log.info(
                "request",
                method=method,
                route=route,
                status=status,
                duration_ms=round(seconds * 1000, 1),
                trace_id=trace_id,
            )


async def _send_problem(problem: Problem, scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "websocket":
        await reject(WebSocket(scope, receive, send), problem)
    else:
        await problem.response(scope["path"])(scope, receive, send)


def _incoming_traceparent(scope: Scope) -> str:
    return next((bytes(value) for name, value in scope["headers"] if name == b"traceparent"), b"").decode("latin-1")


def _security_headers(scope: Scope) -> list[tuple[bytes, bytes]]:
    path = scope["path"]
    policy = _PAGE_POLICY if path == "/docs" else CONSOLE_POLICY if path.startswith(CONSOLE_PATH) else _API_POLICY
    isolation = ((b"cross-origin-opener-policy", b"same-origin"),) if policy is CONSOLE_POLICY else ()
    transport = _TRANSPORT_HEADERS if scope.get("scheme") == "https" else ()
    return [*_SECURITY_HEADERS, *isolation, *transport, (b"content-security-policy", policy)]


async def _reject_handshake(scope: Scope, receive: Receive, send: Send) -> None:
    if "websocket.http.response" in scope.get("extensions", {}):
        await _SHUTTING_DOWN.response(scope["path"])(scope, receive, send)
    else:
        await send({"type": "websocket.close", "code": SERVICE_RESTART, "reason": "shutting down"})


def _route(scope: Scope) -> str:
    return str(getattr(scope.get("route"), "path", "unknown"))
