"""What happens to every request at the edge: trace id, access log, drain, and an answer to unexpected errors."""

import asyncio
import time
from typing import Any

import structlog
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pantree_gateway.transcoding.problem import TRACE_HEADER, Problem, trace_id_of

_log = structlog.get_logger(__name__)

_SHUTTING_DOWN = Problem(503, "SHUTTING_DOWN", "this gateway is shutting down; connect again to reach another one")
_INTERNAL = Problem(500, "INTERNAL", "internal error")


class Traffic:
    """The requests under way, and whether new streams are still welcome."""

    def __init__(self) -> None:
        self.stopping = asyncio.Event()
        """Set once no new stream is welcome."""
        self._under_way: set[asyncio.Task[Any]] = set()

    @property
    def draining(self) -> bool:
        """Whether new streams are refused."""
        return self.stopping.is_set()

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

    def __init__(self, app: ASGIApp, traffic: Traffic) -> None:
        self._app = app
        self._traffic = traffic

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves a request."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        self._traffic.enter()
        started = time.perf_counter()
        trace_id = trace_id_of(scope)
        status: int | None = None
        begun = False

        async def send_noting(message: Message) -> None:
            nonlocal status, begun
            kind = message["type"]
            if kind in ("http.response.start", "websocket.http.response.start", "websocket.accept"):
                begun = True
                status = message.get("status", status)
                headers = [*message.get("headers", []), (TRACE_HEADER.lower().encode(), trace_id.encode())]
                if self._traffic.draining and kind == "http.response.start":
                    headers.append((b"connection", b"close"))
                message = {**message, "headers": headers}
            elif kind == "websocket.close":
                status = message.get("code", 1000)
            await send(message)

        try:
            if self._traffic.draining and scope["type"] == "websocket":
                await _refuse(scope, receive, send_noting)
            else:
                await self._app(scope, receive, send_noting)
        except ClientDisconnect:
            status = 499
        except Exception:
            _log.exception("unexpected error", route=_route(scope), trace_id=trace_id)
            if begun or scope["type"] != "http":
                raise
            await _INTERNAL.response(scope)(scope, receive, send_noting)
        finally:
            _log.info(
                "request",
                method=scope.get("method", "WEBSOCKET"),
                route=_route(scope),
                status=status,
                duration_ms=round((time.perf_counter() - started) * 1000, 1),
                trace_id=trace_id,
            )


async def _refuse(scope: Scope, receive: Receive, send: Send) -> None:
    if "websocket.http.response" in scope.get("extensions", {}):
        await _SHUTTING_DOWN.response(scope)(scope, receive, send)
    else:
        await send({"type": "websocket.close", "code": 1012, "reason": "shutting down"})


def _route(scope: Scope) -> str:
    return str(getattr(scope.get("route"), "path", "unknown"))
