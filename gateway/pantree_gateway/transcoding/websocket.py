"""WebSocket routes of methods that stream events.

A binding `custom { kind: "WEBSOCKET" path: … }` gives one. The client sends a request as one JSON text; every message
of the stream comes back as `{"type": <member of its oneof>, "data": {…}}`, an error as `{"type": "error",
"error": <text>, "problem": {…}}`. Beside these keys stand `seq`, which counts the frames of an answer from 1, and `ts`,
the time of day.

Requests are answered in turn. One with an `id` gets it back in every frame of its answer, and the socket stays open for
further ones, also after an error. After the answer to one without an id the socket is closed, unless another request
comes soon: with 1000 after the last message, otherwise with the code that mirrors the problem's HTTP status.

Every message brings a `resume_token`; a client that lost its socket sends the same request with the last one that came,
and gets what is missing.
"""

import asyncio
import contextlib
import functools
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import structlog
from fastapi import APIRouter
from starlette.routing import Match, WebSocketRoute
from starlette.types import Scope
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from pantree_gateway.transcoding.binding import BoundMethod
from pantree_gateway.transcoding.events import EventWriter, error_event, event_kinds, event_writer
from pantree_gateway.transcoding.json_codec import JsonCodec, parse_json, write_json
from pantree_gateway.transcoding.metadata import Metadata
from pantree_gateway.transcoding.problem import Problem, problem_of_error
from pantree_gateway.transcoding.resumption import RESUME_TOKEN, progress_of
from pantree_gateway.transcoding.surroundings import Surroundings
from pantree_gateway.transcoding.upstream import (
    Upstream,
    bound_methods,
    check_size,
    run_parser,
    timeout_of,
)
from pantree_runtime.errors import FieldViolation, InternalError, InvalidInput

VERB = "WEBSOCKET"
ID = "id"
LONGEST_ID = 128
# RFC 6455: a control frame holds 125 bytes, two of which are the close code.
LONGEST_REASON_BYTES = 123
DONE = 1000
SERVICE_RESTART = 1012
# A client that reads nothing gets no last frame, either.
_CLOSING_SECONDS = 5.0

# The subprotocol that browsers get back when they offer a key or token beside it.
SUBPROTOCOL = "pantree"

_log = structlog.get_logger(__name__)


def add_websocket_routes(router: APIRouter, upstreams: Sequence[Upstream], surroundings: Surroundings) -> None:
    """Adds a route for every WEBSOCKET binding.

    Args:
        router: gets the routes.
        upstreams: the services.
        surroundings: what all sockets have in common.

    Raises:
        ValueError: when such a method does not stream its response, when what it streams is no single oneof, or when
            its body has a field `id` of its own.
    """
    for upstream, bound in websocket_methods(upstreams, surroundings.codec):
        endpoint = _endpoint(upstream, bound, surroundings)
        path = f"{router.prefix}{bound.binding.template.route_path}"
        router.routes.append(_Route(path, endpoint, name=bound.method.full_name))


class _Route(WebSocketRoute):
    """Starlette's own route: FastAPI's would keep stacks of dependencies for each socket, and there are none."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """As FastAPI's routes do, tells the scope which route it took."""
        match, taken = super().matches(scope)
        return match, {**taken, "route": self} if match is not Match.NONE else taken


def websocket_methods(upstreams: Sequence[Upstream], codec: JsonCodec) -> list[tuple[Upstream, BoundMethod]]:
    """Every method of the services with each of its WEBSOCKET bindings."""
    return [pair for pair in bound_methods(upstreams, codec) if pair[1].binding.verb == VERB]


def _endpoint(
    upstream: Upstream, bound: BoundMethod, surroundings: Surroundings
) -> Callable[[WebSocket], Awaitable[None]]:
    method = bound.method
    if not method.server_streaming or method.client_streaming:
        raise ValueError(f"{method.full_name} has a {VERB} binding; only a method that streams its response may")
    if event_kinds(method.output_type) is None:
        raise ValueError(f"{method.output_type.full_name} is streamed over WebSocket; it must be a single oneof")
    for name in (ID, RESUME_TOKEN):
        if name in bound.body_names():
            raise ValueError(f"{method.full_name} has a {VERB} binding; its body cannot have a field {name} of its own")
    write = event_writer(method.output_type, surroundings.codec)
    choosable = _choosable(bound)

    async def respond(websocket: WebSocket) -> None:
        await websocket.accept(subprotocol_of(websocket))
        conversation = _Conversation(websocket, upstream, bound, write, choosable, surroundings)
        with contextlib.suppress(WebSocketDisconnect):
            code, reason = await conversation.run()
            await _close(websocket, code, reason)

    return respond


def _choosable(bound: BoundMethod) -> dict[str, str]:
    """Names of the fields of the body that the server may choose when a request leaves them out; JSON names by name."""
    in_path = {bound.relative_to_body(path) for path in bound.path_fields}
    body = bound.method.input_type if bound.body_field is None else bound.body_field.message_type
    return {field.name: field.json_name for field in (body.fields if body else ()) if field.name not in in_path}


class _Opening(NamedTuple):
    """What the handshake of a socket says for all its requests."""

    seconds: float
    """How long an answer may take."""
    parameters: Mapping[str, str]
    query: Sequence[tuple[str, str]]
    place: str
    metadata: Metadata


class _Conversation:
    """The requests of one socket and their answers. There may be thousands, so it holds little of its own."""

    __slots__ = (
        "_bound", "_came", "_choosable", "_id", "_opening", "_seq", "_surroundings", "_upstream", "_waiting",
        "_waiting_size", "_websocket", "_write",
    )  # fmt: skip

    def __init__(
        self,
        websocket: WebSocket,
        upstream: Upstream,
        bound: BoundMethod,
        write: EventWriter,
        choosable: Mapping[str, str],
        surroundings: Surroundings,
    ) -> None:
        self._websocket = websocket
        self._upstream = upstream
        self._bound = bound
        self._write = write
        self._choosable = choosable
        self._surroundings = surroundings
        self._waiting: list[Any] = []
        self._waiting_size = 0
        self._came: asyncio.Future[None] | None = None
        """Set while somebody waits for a request."""
        self._opening: _Opening | None = None
        # Of the answer under way.
        self._id: str | int | None = None
        self._seq = 0

    async def run(self) -> tuple[int, str]:
        """Answers requests until there are no more, and returns the code and the reason to close with.

        A client's leaving is noticed at once, because its messages are read also while an answer is being sent.

        Raises:
            WebSocketDisconnect: when the client left.
        """
        answering = asyncio.create_task(self._answer_all())
        problem: Problem | None = None
        try:
            # Listens in this task rather than in one more, until the answers are done.
            async with asyncio.timeout(None) as listening:

                def stop(_: object) -> None:
                    # Refuses when the client left in the same turn of the event loop: then nobody listens any more.
                    with contextlib.suppress(RuntimeError):
                        listening.reschedule(0)

                answering.add_done_callback(stop)
                try:
                    problem = await self._listen()
                finally:
                    answering.remove_done_callback(stop)
        except TimeoutError:
            if not listening.expired():
                raise
        finally:
            answering.cancel()
            # Not before the call upstream is cancelled, and the frame under way is whole.
            await asyncio.wait({answering})
        if problem is not None and answering.cancelled():
            await self._send_error(problem)
            return problem.close_code, problem.detail
        return answering.result()

    async def _listen(self) -> Problem:
        """Lets messages wait for their turn; returns when there are too many.

        Raises:
            WebSocketDisconnect: when the client left.
        """
        while True:
            message = await self._websocket.receive()
            if message["type"] == "websocket.disconnect":
                raise WebSocketDisconnect(message.get("code", 1005))
            self._waiting_size += len(message.get("text") or "")
            limits = self._surroundings.limits
            if len(self._waiting) >= limits.waiting_requests or self._waiting_size > limits.body_bytes:
                most = f"{limits.waiting_requests} requests or {limits.body_bytes:,} bytes"
                detail = f"more than {most} wait for their turn; send the next request after an answer"
                return Problem(429, "TOO_MANY_REQUESTS", detail)
            self._waiting.append(message)
            if self._came is not None and not self._came.done():
                self._came.set_result(None)

    async def _answer_all(self) -> tuple[int, str]:
        try:
            # While the first request is on its way; what is wrong is told in answer to it.
            with contextlib.suppress(InvalidInput):
                self._opened()
            text = await self._next_text(self._surroundings.limits.first_message_seconds)
            if text is None:
                if self._surroundings.stopping.is_set():
                    return SERVICE_RESTART, "this gateway is shutting down"
                remedy = "send the request as the first message"
                wrong = f"no message came within {self._surroundings.limits.first_message_seconds:g} seconds; {remedy}"
                raise InvalidInput([FieldViolation("", wrong)])
            first = True
            while True:
                await self._surroundings.guard.admit(self._websocket, self._upstream, first=first)
                first = False
                problem = await self._answer(text)
                keep_open = self._id is not None
                if problem is not None and not keep_open:
                    return problem.close_code, problem.detail
                text = await self._next_text(
                    self._surroundings.limits.idle_seconds if keep_open else self._surroundings.limits.linger_seconds
                )
                if text is None:
                    stopped = keep_open and self._surroundings.stopping.is_set()
                    return (SERVICE_RESTART, "this gateway is shutting down") if stopped else (DONE, "")
        except WebSocketDisconnect:
            raise
        except Exception as error:
            self._id = None
            problem = self._problem_of(error)
            await self._send_error(problem)
            return problem.close_code, problem.detail

    async def _next_text(self, longest_seconds: float) -> str | None:
        """Next request; None when none comes in time, or when none is wanted any more.

        Raises:
            InvalidInput: when it is no text.
        """
        if not self._waiting:
            came = self._came = asyncio.get_running_loop().create_future()
            stopping = asyncio.create_task(self._surroundings.stopping.wait())
            try:
                await asyncio.wait({came, stopping}, timeout=longest_seconds, return_when=asyncio.FIRST_COMPLETED)
            finally:
                self._came = None
                stopping.cancel()
            if not self._waiting:
                return None
        message = self._waiting.pop(0)
        text: str | None = message.get("text")
        if text is None:
            raise InvalidInput([FieldViolation("", "the message is binary; send JSON as a text message")])
        self._waiting_size -= len(text)
        return text

    async def _answer(self, text: str) -> Problem | None:
        """Sends all frames of an answer, and returns the problem that it ends with, if any."""
        self._id, self._seq = None, 0
        try:
            value = await run_parser(len(text), parse_json, text)
            if isinstance(value, dict) and ID in value:
                self._id = _checked_id(value.pop(ID))
            opening = self._opened()
            progress = None
            token = value.pop(RESUME_TOKEN, None) if isinstance(value, dict) else None
            if token is not None:
                progress = await run_parser(len(text), progress_of, value, opening.place, token)
                value = {**(progress.choices or {}), **value}
            request = await run_parser(
                len(text), self._bound.request_of_value, opening.parameters, opening.query, value
            )
            check_size(request, self._surroundings.limits)
            call = self._upstream.call(self._bound, request, opening.seconds, opening.metadata)
            try:
                if progress is None:
                    await asyncio.sleep(0)  # lets the call leave; what follows takes place while it is under way
                    progress = await run_parser(len(text), progress_of, value, opening.place)
                resume_token = None
                async for message in call:
                    if self._seq < progress.seq:
                        self._seq += 1
                        continue
                    frame = self._write(message)[1]
                    if progress.choices is None:
                        progress = progress.with_choices(frame["data"], value, self._choosable)
                    frame[RESUME_TOKEN] = resume_token or progress.token(self._seq + 1)
                    # Waits while the client's buffer is full, and with it gRPC's flow control makes the server wait.
                    await self._send(frame)
                    resume_token = progress.token(self._seq + 1)  # while the next message is on its way
            finally:
                # Ends the work at once when the client is gone; a call that has ended does not mind.
                call.cancel()
        except WebSocketDisconnect:
            raise
        except Exception as error:
            problem = self._problem_of(error)
            await self._send_error(problem)
            return problem
        return None

    def _opened(self) -> "_Opening":
        """What the handshake said.

        Raises:
            InvalidInput: when it names a timeout that is none.
        """
        if self._opening is None:
            socket = self._websocket
            self._opening = _Opening(
                seconds=timeout_of(socket.headers, self._surroundings.limits.stream_timeout_seconds),
                parameters=socket.path_params,
                query=socket.query_params.multi_items(),
                place=f"{socket.scope['path']}?{socket.scope['query_string'].decode('latin-1')}",
                metadata=self._surroundings.policy.metadata_of(socket),
            )
        return self._opening

    async def _send(self, frame: dict[str, Any]) -> None:
        self._seq += 1
        if self._id is not None:
            frame[ID] = self._id
        await _send_frame(self._websocket, frame, self._seq)

    async def _send_error(self, problem: Problem) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_CLOSING_SECONDS):
                await self._send(error_event(problem, self._websocket.scope))

    def _problem_of(self, error: Exception) -> Problem:
        try:
            return self._upstream.problem_of(error, self._bound)
        except Exception:
            _log.exception("unexpected error", method=self._bound.method.full_name)
            return problem_of_error(InternalError("internal error"))


def _checked_id(value: Any) -> str | int:
    if isinstance(value, str) and 1 <= len(value) <= LONGEST_ID and value.isprintable():
        return value
    if type(value) is int and abs(value) < 2**53:
        return value
    wrong = f"is no text of 1 to {LONGEST_ID} characters and no whole number below 2^53; give one of them"
    raise InvalidInput([FieldViolation(ID, wrong)])


def subprotocol_of(websocket: WebSocket) -> str | None:
    """Subprotocol to accept."""
    return SUBPROTOCOL if SUBPROTOCOL in websocket.scope.get("subprotocols", []) else None


async def refuse(websocket: WebSocket, problem: Problem) -> None:
    """Tells a client why it is not let in: after the handshake, since browsers show nothing of a failed one."""
    with contextlib.suppress(WebSocketDisconnect, TimeoutError):
        async with asyncio.timeout(_CLOSING_SECONDS):
            await websocket.accept(subprotocol_of(websocket))
            await _send_frame(websocket, error_event(problem, websocket.scope), 1)
        await _close(websocket, problem.close_code, problem.detail)


async def _send_frame(websocket: WebSocket, frame: dict[str, Any], seq: int) -> None:
    frame["seq"] = seq
    seconds, milliseconds = divmod(time.time_ns() // 1_000_000, 1000)
    frame["ts"] = f"{_until_second(seconds)}.{milliseconds:03}Z"
    await websocket.send_text(write_json(frame).decode())


# Many frames are sent within a second.
@functools.lru_cache(maxsize=1)
def _until_second(seconds: int) -> str:
    """A time as ISO 8601 in UTC, without what is less than a second."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")


async def _close(websocket: WebSocket, code: int, reason: str) -> None:
    if websocket.application_state is WebSocketState.CONNECTED:
        short = reason.encode()[:LONGEST_REASON_BYTES].decode(errors="ignore")
        with contextlib.suppress(WebSocketDisconnect, RuntimeError, TimeoutError):
            async with asyncio.timeout(_CLOSING_SECONDS):
                await websocket.close(code, short)
