"""WebSocket routes of methods that stream events, from bindings `custom { kind: "WEBSOCKET" path: … }`.

The client sends a request as one JSON text. Each message of the stream is sent as `{"type": <member of its oneof>,
"data": {…}}`, an error as `{"type": "error", "error": <text>, "problem": {…}}`. Each frame also has `seq`, which counts
the frames of an answer from 1, and the time `ts`.

Requests are answered one after the other. If a request has an `id`, every frame of its answer repeats it, and the
socket stays open for more requests, even after an error. After the answer to a request without an id, the socket closes
unless another request arrives soon: with 1000 after a complete answer, otherwise with the close code of the problem.

Every event has a `resume_token`. A client that lost its connection sends the same request with the last token that it
received, and gets the remaining frames.
"""

import asyncio
import contextlib
import functools
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import orjson
from fastapi import APIRouter
from starlette.routing import Match, WebSocketRoute
from starlette.types import Scope
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from pantree.error.v1 import error_pb2
from pantree_gateway.transcoding.caller import caller_of
from pantree_gateway.transcoding.context import RouteContext
from pantree_gateway.transcoding.encoded_paths import match_encoded
from pantree_gateway.transcoding.events import error_event, event_kinds, event_writer
from pantree_gateway.transcoding.headers import CallOptions
from pantree_gateway.transcoding.held_bytes import hold_body
from pantree_gateway.transcoding.json_codec import JsonCodec
from pantree_gateway.transcoding.problem import Problem, ProblemError, problem_for
from pantree_gateway.transcoding.resumption import RESUME_TOKEN, progress_of
from pantree_gateway.transcoding.upstream import Upstream, UpstreamMethod, upstream_methods
from pantree_runtime.errors import FieldViolation, InvalidInput

VERB = "WEBSOCKET"
ID = "id"
MAX_ID_CHARACTERS = 128
# RFC 6455: a control frame holds 125 bytes, two of which are the close code.
MAX_REASON_BYTES = 123
DONE = 1000
SERVICE_RESTART = 1012
# How long to wait for a client that does not read before giving up on the last frame.
_CLOSE_TIMEOUT_SECONDS = 5.0
_SHUTTING_DOWN = (SERVICE_RESTART, "this gateway is shutting down")

# The subprotocol that the gateway accepts; browsers offer their key or token as another one.
SUBPROTOCOL = "pantree"


def add_websocket_routes(router: APIRouter, upstreams: Sequence[Upstream], context: RouteContext) -> None:
    """Adds a route for every WEBSOCKET binding.

    Raises:
        ValueError: when the method does not stream its response, when its messages are not a single oneof, or when its
            body has a field `id` or `resume_token`.
    """
    for method in websocket_methods(upstreams, context.codec):
        path = f"{router.prefix}{method.bound.binding.template.route_path}"
        name = method.bound.method.full_name
        router.routes.append(_Route(path, WebSocketEndpoint(method, context).respond, name=name))


def websocket_methods(upstreams: Sequence[Upstream], codec: JsonCodec) -> list[UpstreamMethod]:
    """Every WEBSOCKET binding of the services' methods."""
    return [method for method in upstream_methods(upstreams, codec) if method.bound.binding.verb == VERB]


class _Route(WebSocketRoute):
    """Starlette's route. FastAPI's would keep dependency stacks for each socket."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Stores the route in the scope, as FastAPI's routes do."""
        match, child_scope = match_encoded(super().matches, scope)
        return match, {**child_scope, "route": self} if match is not Match.NONE else child_scope


class WebSocketEndpoint:
    """Serves the WebSockets of a method."""

    def __init__(self, method: UpstreamMethod, context: RouteContext) -> None:
        bound, descriptor = method.bound, method.bound.method
        if not descriptor.server_streaming or descriptor.client_streaming:
            raise ValueError(f"{descriptor.full_name} has a {VERB} binding but does not stream only its response")
        if event_kinds(descriptor.output_type) is None:
            raise ValueError(f"{descriptor.output_type.full_name} is streamed over WebSocket but not a single oneof")
        body_fields = bound.body_type.fields if bound.body_type is not None else ()
        for name in (ID, RESUME_TOKEN):
            if any(name in (field.name, field.json_name) for field in body_fields):
                raise ValueError(f"{descriptor.full_name} has a {VERB} binding; its body cannot have a field {name}")
        in_path = {bound.relative_to_body(path) for path in bound.path_fields}
        self.method = method
        self.context = context
        self.write = event_writer(descriptor.output_type, context.codec)
        self.choosable = {field.name: field.json_name for field in body_fields if field.name not in in_path}
        """Fields that the server may choose when a request omits them: JSON names by name."""

    async def respond(self, websocket: WebSocket) -> None:
        """Answers the requests of a socket until it closes."""
        await websocket.accept(subprotocol_of(websocket))
        with contextlib.suppress(WebSocketDisconnect):
            code, reason = await _Conversation(websocket, self).run()
            await _close(websocket, code, reason)


class _Handshake(NamedTuple):
    """Values from the handshake of a socket, which apply to all its requests."""

    options: CallOptions
    parameters: Mapping[str, str]
    query: Sequence[tuple[str, str]]
    url: str


class _Conversation:
    """The requests of one socket and their answers; small, since there may be thousands."""

    __slots__ = (
        "_answering_size",
        "_arrived",
        "_endpoint",
        "_handshake",
        "_id",
        "_queue",
        "_queue_size",
        "_seq",
        "_websocket",
    )

    def __init__(self, websocket: WebSocket, endpoint: WebSocketEndpoint) -> None:
        self._websocket = websocket
        self._endpoint = endpoint
        self._queue: list[Any] = []
        self._queue_size = 0
        self._answering_size = 0
        self._arrived: asyncio.Future[None] | None = None
        """Completed by the next message; None unless awaited."""
        self._handshake: _Handshake | None = None
        # Of the answer in progress.
        self._id: str | int | None = None
        self._seq = 0

    async def run(self) -> tuple[int, str]:
        """Answers all requests, and returns the close code and reason.

        Receives even while it sends an answer, in order to notice when the client disconnects.

        Raises:
            WebSocketDisconnect: when the client disconnected.
        """
        answering = asyncio.create_task(self._answer_all())
        problem: Problem | None = None
        try:
            # Receives in this task until the answers are complete, which saves a task per socket.
            async with asyncio.timeout(None) as receiving:

                def stop(_: object) -> None:
                    # Fails if the client disconnected in the same iteration of the event loop.
                    with contextlib.suppress(RuntimeError):
                        receiving.reschedule(0)

                answering.add_done_callback(stop)
                try:
                    problem = await self._receive()
                finally:
                    answering.remove_done_callback(stop)
        except TimeoutError:
            if not receiving.expired():
                raise
        finally:
            answering.cancel()
            # Until the upstream call is cancelled and the current frame is complete.
            await asyncio.wait({answering})
        if problem is not None and answering.cancelled():
            await self._send_error(problem)
            return problem.close_code, problem.detail
        return answering.result()

    async def _receive(self) -> Problem:
        """Queues messages; returns when there are too many.

        Raises:
            WebSocketDisconnect: when the client disconnected.
        """
        limits = self._endpoint.context.limits
        while True:
            message = await self._websocket.receive()
            if message["type"] == "websocket.disconnect":
                raise WebSocketDisconnect(message.get("code", 1005))
            self._queue_size += len(message.get("text") or message.get("bytes") or "")
            try:
                hold_body(self._websocket.scope, self._queue_size + self._answering_size)
            except ProblemError as error:
                return error.problem
            if len(self._queue) >= limits.max_queued_requests or self._queue_size > limits.body_bytes:
                limit = f"{limits.max_queued_requests} requests or {limits.body_bytes:,} bytes"
                detail = f"more than {limit} are queued; send the next request after an answer"
                return problem_for(error_pb2.ERROR_REASON_TOO_MANY_REQUESTS, detail)
            self._queue.append(message)
            if self._arrived is not None and not self._arrived.done():
                self._arrived.set_result(None)

    async def _answer_all(self) -> tuple[int, str]:
        endpoint, websocket = self._endpoint, self._websocket
        limits, stopping = endpoint.context.limits, endpoint.context.stopping
        try:
            # Done early, while the first request is in transit. An error is raised again for that request.
            with contextlib.suppress(InvalidInput):
                self._read_handshake()
            text = await self._next_text(limits.first_message_seconds)
            if text is None:
                if stopping.is_set():
                    return _SHUTTING_DOWN
                wrong = f"no message arrived within {limits.first_message_seconds:g} seconds"
                raise InvalidInput([FieldViolation("", f"{wrong}; send the request as the first message")])
            endpoint.method.check_caller(caller_of(websocket.scope))
            while True:
                problem = await self._answer(text)
                keep_open = self._id is not None
                if problem is not None and not keep_open:
                    return problem.close_code, problem.detail
                text = await self._next_text(limits.idle_seconds if keep_open else limits.linger_seconds)
                if text is None:
                    return _SHUTTING_DOWN if keep_open and stopping.is_set() else (DONE, "")
                caller_of(websocket.scope).check_not_expired()
                await endpoint.context.check_rate_limit(websocket.scope)
        except WebSocketDisconnect:
            raise
        except Exception as error:
            self._id = None
            problem = endpoint.method.problem_of(error)
            await self._send_error(problem)
            return problem.close_code, problem.detail

    async def _next_text(self, timeout_seconds: float) -> str | None:
        """Next request; None when none arrives in time, or when the gateway shuts down.

        Raises:
            InvalidInput: when it is binary.
        """
        if not self._queue:
            arrived = self._arrived = asyncio.get_running_loop().create_future()
            stopping = asyncio.create_task(self._endpoint.context.stopping.wait())
            try:
                await asyncio.wait({arrived, stopping}, timeout=timeout_seconds, return_when=asyncio.FIRST_COMPLETED)
            finally:
                self._arrived = None
                stopping.cancel()
            if not self._queue:
                return None
        message = self._queue.pop(0)
        text: str | None = message.get("text")
        if text is None:
            raise InvalidInput([FieldViolation("", "the message is binary; send JSON as a text message")])
        self._queue_size -= len(text)
        self._answering_size = len(text)
        return text

    async def _answer(self, text: str) -> Problem | None:
        """Sends all frames of an answer, and returns the problem that it ends with, if any."""
        self._id, self._seq = None, 0
        method, bound, size = self._endpoint.method, self._endpoint.method.bound, len(text)
        run_parser = self._endpoint.context.limits.run_parser
        try:
            value = await run_parser(size, bound.parse_body, text)
            if isinstance(value, dict) and ID in value:
                self._id = _checked_id(value.pop(ID))
            handshake = self._read_handshake()
            progress = None
            token = value.pop(RESUME_TOKEN, None) if isinstance(value, dict) else None
            if token is not None:
                progress = await run_parser(size, progress_of, value, handshake.url, token)
                value = {**(progress.choices or {}), **value}
            request = await run_parser(size, bound.request_of_value, handshake.parameters, handshake.query, value)
            caller_of(self._websocket.scope).check_customer(request)
            call = method.call(request, handshake.options)
            try:
                if progress is None:
                    await asyncio.sleep(0)  # sends the call; the rest runs while it is in flight
                    progress = await run_parser(size, progress_of, value, handshake.url)
                resume_token = None
                async for message in call:
                    if self._seq < progress.seq:
                        self._seq += 1
                        continue
                    frame = self._endpoint.write(message)[1]
                    if progress.choices is None:
                        progress = progress.with_choices(frame["data"], value, self._endpoint.choosable)
                    frame[RESUME_TOKEN] = resume_token or progress.token(self._seq + 1)
                    # Blocks while the client's buffer is full, and gRPC's flow control then slows down the server.
                    await self._send(frame)
                    resume_token = progress.token(self._seq + 1)  # while the next message is on its way
            finally:
                # Stops the work when the client disconnected; a call that has ended ignores it.
                call.cancel()
        except WebSocketDisconnect:
            raise
        except Exception as error:
            problem = method.problem_of(error)
            await self._send_error(problem)
            return problem
        finally:
            self._answering_size = 0
            hold_body(self._websocket.scope, self._queue_size)
        return None

    def _read_handshake(self) -> _Handshake:
        """Values from the handshake.

        Raises:
            InvalidInput: when its timeout header is invalid.
        """
        if self._handshake is None:
            websocket, context = self._websocket, self._endpoint.context
            self._handshake = _Handshake(
                options=context.headers.call_options(websocket, context.limits.stream_timeout_seconds),
                parameters=websocket.path_params,
                query=websocket.query_params.multi_items(),
                url=f"{websocket.scope['path']}?{websocket.scope['query_string'].decode('latin-1')}",
            )
        return self._handshake

    async def _send(self, frame: dict[str, Any]) -> None:
        self._seq += 1
        if self._id is not None:
            frame[ID] = self._id
        await _send_frame(self._websocket, frame, self._seq)

    async def _send_error(self, problem: Problem) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_CLOSE_TIMEOUT_SECONDS):
                await self._send(error_event(problem, self._websocket.scope["path"]))


def _checked_id(value: Any) -> str | int:
    if isinstance(value, str) and 1 <= len(value) <= MAX_ID_CHARACTERS and value.isprintable():
        return value
    if type(value) is int and abs(value) < 2**53:
        return value
    expected = f"must be a string of 1 to {MAX_ID_CHARACTERS} printable characters or a whole number below 2^53"
    raise InvalidInput([FieldViolation(ID, expected)])


def subprotocol_of(websocket: WebSocket) -> str | None:
    """Subprotocol to accept."""
    return SUBPROTOCOL if SUBPROTOCOL in websocket.scope.get("subprotocols", []) else None


async def reject(websocket: WebSocket, problem: Problem) -> None:
    """Accepts and closes a socket with an error frame, since browsers hide the reason of a failed handshake."""
    with contextlib.suppress(WebSocketDisconnect, TimeoutError):
        async with asyncio.timeout(_CLOSE_TIMEOUT_SECONDS):
            await websocket.accept(subprotocol_of(websocket))
            await _send_frame(websocket, error_event(problem, websocket.scope["path"]), 1)
        await _close(websocket, problem.close_code, problem.detail)


async def _send_frame(websocket: WebSocket, frame: dict[str, Any], seq: int) -> None:
    frame["seq"] = seq
    seconds, milliseconds = divmod(time.time_ns() // 1_000_000, 1000)
    frame["ts"] = f"{_format_second(seconds)}.{milliseconds:03}Z"
    await websocket.send_text(orjson.dumps(frame).decode())


# Many frames are sent within a second.
@functools.lru_cache(maxsize=1)
def _format_second(seconds: int) -> str:
    """ISO 8601 form of a time in UTC, to the second and without a zone."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")


async def _close(websocket: WebSocket, code: int, reason: str) -> None:
    if websocket.application_state is WebSocketState.CONNECTED:
        short = reason.encode()[:MAX_REASON_BYTES].decode(errors="ignore")
        with contextlib.suppress(WebSocketDisconnect, RuntimeError, TimeoutError):
            async with asyncio.timeout(_CLOSE_TIMEOUT_SECONDS):
                await websocket.close(code, short)
