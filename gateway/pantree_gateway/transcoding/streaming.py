"""Methods that stream their response over ordinary HTTP: newline-delimited JSON, or server-sent events by `Accept`.

`events` says what each line or event holds. An error before the first message is an ordinary problem document; an error
after it is the last line or event, since the status has been sent by then.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import structlog
from fastapi.responses import StreamingResponse
from starlette.requests import Request
from starlette.responses import Response

from pantree_gateway.transcoding.binding import BoundMethod
from pantree_gateway.transcoding.events import ERROR, EventWriter, error_event, error_result, event_kinds, event_writer
from pantree_gateway.transcoding.json_codec import JsonCodec, write_json
from pantree_gateway.transcoding.problem import Problem, problem_of_error
from pantree_gateway.transcoding.upstream import Upstream
from pantree_runtime.errors import InternalError

NDJSON = "application/x-ndjson"
EVENT_STREAM = "text/event-stream"
# Proxies close what is silent for a minute; a comment keeps a stream of events open and means nothing.
KEEP_ALIVE_SECONDS = 15.0
_KEEP_ALIVE = b": keep-alive\n\n"

# Makes the bytes of an event of its name, its number and its JSON value.
_Frame = Callable[[str, int, dict[str, Any]], bytes]

_log = structlog.get_logger(__name__)


class HttpStream:
    """Answers requests of one method that streams its response.

    Args:
        upstream: the service.
        bound: the method and its binding.
        codec: writes the messages.
        keep_alive_seconds: longest silence in a stream of events.
    """

    def __init__(
        self, upstream: Upstream, bound: BoundMethod, codec: JsonCodec, keep_alive_seconds: float = KEEP_ALIVE_SECONDS
    ) -> None:
        self._upstream = upstream
        self._bound = bound
        self._write: EventWriter = event_writer(bound.method.output_type, codec)
        self._error = error_result if event_kinds(bound.method.output_type) is None else error_event
        self._keep_alive_seconds = keep_alive_seconds

    async def respond(self, request: Request, call: Any) -> Response:
        """Response that sends what a call streams; the call ends with it, however it ends.

        Raises:
            grpc.aio.AioRpcError: when the call fails before its first message.
        """
        messages = aiter(call)
        try:
            first = await anext(messages, None)
        except BaseException:
            call.cancel()
            raise
        as_events = wants_events(request.headers.get("accept", ""))
        frame = _event_frame if as_events else _line_frame
        chunks = self._frames(request, call, first, messages, frame)
        if as_events:
            chunks = kept_alive(chunks, self._keep_alive_seconds)
        # Buffering proxies would turn the stream into one late answer.
        headers = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
        return StreamingResponse(chunks, media_type=EVENT_STREAM if as_events else NDJSON, headers=headers)

    async def _frames(
        self, request: Request, call: Any, first: Any, messages: AsyncIterator[Any], frame: _Frame
    ) -> AsyncIterator[bytes]:
        number = 1
        try:
            message = first
            while message is not None:
                name, value = self._write(message)
                yield frame(name, number, value)
                number += 1
                message = await anext(messages, None)
        except Exception as error:
            yield frame(ERROR, number, self._error(self._problem_of(error), request.scope))
        finally:
            call.cancel()

    def _problem_of(self, error: Exception) -> Problem:
        try:
            return self._upstream.problem_of(error, self._bound)
        except Exception:
            _log.exception("unexpected error", method=self._bound.method.full_name)
            return problem_of_error(InternalError("internal error"))


def wants_events(accept: str) -> bool:
    """Whether an `Accept` header prefers server-sent events to lines of JSON."""
    qualities = {EVENT_STREAM: 0.0, NDJSON: 0.0}
    for part in accept.split(","):
        kind, _, parameters = part.strip().partition(";")
        if kind.strip().lower() in qualities:
            _, found, text = parameters.partition("q=")
            try:
                qualities[kind.strip().lower()] = float(text.partition(";")[0]) if found else 1.0
            except ValueError:
                continue
    return qualities[EVENT_STREAM] > qualities[NDJSON]


def _line_frame(_name: str, _number: int, value: dict[str, Any]) -> bytes:
    return write_json(value) + b"\n"


def _event_frame(name: str, number: int, value: dict[str, Any]) -> bytes:
    return f"id: {number}\nevent: {name}\ndata: ".encode() + write_json(value) + b"\n\n"


async def kept_alive(chunks: AsyncIterator[bytes], silent_seconds: float) -> AsyncIterator[bytes]:
    """The chunks, with a comment between them after each silence."""
    waiting: asyncio.Future[bytes] | None = None
    try:
        while True:
            if waiting is None:
                waiting = asyncio.ensure_future(anext(chunks))
            done, _ = await asyncio.wait({waiting}, timeout=silent_seconds)
            if not done:
                yield _KEEP_ALIVE
                continue
            try:
                chunk = waiting.result()
            except StopAsyncIteration:
                return
            waiting = None
            yield chunk
    finally:
        if waiting is not None and not waiting.done():
            waiting.cancel()
            with contextlib.suppress(asyncio.CancelledError, StopAsyncIteration):
                await waiting
