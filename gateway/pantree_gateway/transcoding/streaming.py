"""Streams over ordinary HTTP: newline-delimited JSON or, if `Accept` prefers them, server-sent events.

`events` describes the content of a line or event. An error before the first message is an ordinary problem document. A
later one is the last line or event, since the status has been sent.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import orjson
from fastapi.responses import StreamingResponse
from starlette.requests import Request
from starlette.responses import Response

from pantree_gateway.transcoding.caller import caller_of
from pantree_gateway.transcoding.events import ERROR, error_event, error_result, event_kinds, event_writer
from pantree_gateway.transcoding.json_codec import JsonCodec
from pantree_gateway.transcoding.upstream import UpstreamMethod

NDJSON = "application/x-ndjson"
EVENT_STREAM = "text/event-stream"
# Longest silence in a stream of server-sent events, whose clients ignore comments. Proxies close connections that are
# silent for a minute.
KEEP_ALIVE_SECONDS = 15.0
_KEEP_ALIVE = b": keep-alive\n\n"

# Encodes an event from its name, its number and its JSON value.
_Encoder = Callable[[str, int, dict[str, Any]], bytes]


class HttpStream:
    """Streams the responses of a method."""

    def __init__(self, method: UpstreamMethod, codec: JsonCodec) -> None:
        self._method = method
        output = method.bound.method.output_type
        self._write = event_writer(output, codec)
        self._error = error_result if event_kinds(output) is None else error_event

    async def respond(self, request: Request, call: Any) -> Response:
        """Response that streams the messages of a call, and cancels the call if the client disconnects.

        Raises:
            grpc.aio.AioRpcError: when the call fails before its first message.
        """
        messages = aiter(call)
        try:
            first = await anext(messages, None)
        except BaseException:
            call.cancel()
            raise
        as_events = prefers_events(request.headers.get("accept", ""))
        chunks = self._chunks(request, call, first, messages, _encode_event if as_events else _encode_line)
        if as_events:
            chunks = with_keep_alive(chunks, KEEP_ALIVE_SECONDS)
        # Keeps proxies from buffering the stream.
        headers = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
        return StreamingResponse(chunks, media_type=EVENT_STREAM if as_events else NDJSON, headers=headers)

    async def _chunks(
        self, request: Request, call: Any, first: Any, messages: AsyncIterator[Any], encode: _Encoder
    ) -> AsyncIterator[bytes]:
        number = 1
        caller = caller_of(request.scope)
        try:
            message = first
            while message is not None:
                self._method.hide_from(caller, message)
                name, value = self._write(message)
                yield encode(name, number, value)
                number += 1
                message = await anext(messages, None)
        except Exception as error:
            problem = self._method.problem_of(error)
            yield encode(ERROR, number, self._error(problem, request.scope["path"]))
        finally:
            call.cancel()


def prefers_events(accept: str) -> bool:
    """Whether an `Accept` header prefers server-sent events to newline-delimited JSON."""
    qualities = {EVENT_STREAM: 0.0, NDJSON: 0.0}
    for part in accept.split(","):
        media_type, _, parameters = part.strip().partition(";")
        if media_type.strip().lower() in qualities:
            _, found, text = parameters.partition("q=")
            try:
                qualities[media_type.strip().lower()] = float(text.partition(";")[0]) if found else 1.0
            except ValueError:
                continue
    return qualities[EVENT_STREAM] > qualities[NDJSON]


def _encode_line(_name: str, _number: int, value: dict[str, Any]) -> bytes:
    return orjson.dumps(value) + b"\n"


def _encode_event(name: str, number: int, value: dict[str, Any]) -> bytes:
    return f"id: {number}\nevent: {name}\ndata: ".encode() + orjson.dumps(value) + b"\n\n"


async def with_keep_alive(chunks: AsyncIterator[bytes], max_silence_seconds: float) -> AsyncIterator[bytes]:
    """Yields the chunks, and a comment after each silence."""
    pending: asyncio.Future[bytes] | None = None
    try:
        while True:
            if pending is None:
                pending = asyncio.ensure_future(anext(chunks))
            done, _ = await asyncio.wait({pending}, timeout=max_silence_seconds)
            if not done:
                yield _KEEP_ALIVE
                continue
            try:
                chunk = pending.result()
            except StopAsyncIteration:
                return
            pending = None
            yield chunk
    finally:
        if pending is not None and not pending.done():
            pending.cancel()
            with contextlib.suppress(asyncio.CancelledError, StopAsyncIteration):
                await pending
