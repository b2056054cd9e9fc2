"""WebSocket routes of methods that stream their response.

A binding `custom { kind: "WEBSOCKET" path: … }` gives one. The client sends its request as one JSON text; every message
of the stream comes back as `{"type": <member of its oneof>, "data": {…}}`, an error as `{"type": "error",
"error": <text>, "problem": {…}}`. The close code is 1000 after the last message, otherwise the one that mirrors the
problem's HTTP status.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any

import structlog
from fastapi import APIRouter
from google.protobuf.descriptor import Descriptor
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from pantree_gateway.transcoding.binding import BoundMethod
from pantree_gateway.transcoding.json_codec import JsonCodec, write_json
from pantree_gateway.transcoding.problem import Problem, problem_of_error
from pantree_gateway.transcoding.upstream import (
    TIMEOUT_HEADER,
    Limits,
    Upstream,
    bound_methods,
    request_of,
    timeout_of,
)
from pantree_runtime.errors import FieldViolation, InternalError, InvalidInput

VERB = "WEBSOCKET"
# RFC 6455: a control frame holds 125 bytes, two of which are the close code.
LONGEST_REASON_BYTES = 123

_log = structlog.get_logger(__name__)


def add_websocket_routes(router: APIRouter, upstreams: Sequence[Upstream], codec: JsonCodec, limits: Limits) -> None:
    """Adds a route for every WEBSOCKET binding.

    Args:
        router: gets the routes.
        upstreams: the services.
        codec: reads and writes the messages.
        limits: of all requests.

    Raises:
        ValueError: when such a method does not stream its response, or when what it streams is no single oneof.
    """
    for upstream, bound in bound_methods(upstreams, codec):
        if bound.binding.verb == VERB:
            router.add_api_websocket_route(
                bound.binding.template.route_path,
                _endpoint(upstream, bound, codec, limits),
                name=bound.method.full_name,
            )


def _endpoint(
    upstream: Upstream, bound: BoundMethod, codec: JsonCodec, limits: Limits
) -> Callable[[WebSocket], Awaitable[None]]:
    if not bound.method.server_streaming or bound.method.client_streaming:
        raise ValueError(f"{bound.method.full_name} has a {VERB} binding; only a method that streams its response may")
    envelope_of = _envelope_writer(bound.method.output_type, codec)

    async def converse(websocket: WebSocket) -> None:
        text = await _first_message(websocket, limits.first_message_seconds)
        timeout_seconds = timeout_of(websocket.headers.get(TIMEOUT_HEADER), limits.stream_timeout_seconds)
        request = await request_of(bound, websocket, text, limits)
        call = upstream.call(bound, request, timeout_seconds)
        try:
            await _unless_gone(websocket, _forward(call, envelope_of, websocket))
        finally:
            # Ends the work at once when the client is gone; a call that has ended does not mind.
            call.cancel()

    async def respond(websocket: WebSocket) -> None:
        await websocket.accept()
        try:
            await converse(websocket)
        except WebSocketDisconnect:
            return
        except Exception as error:
            await _close_with(websocket, _problem_of(error, upstream, bound))
        else:
            await _close(websocket, 1000, "")

    return respond


def _problem_of(error: Exception, upstream: Upstream, bound: BoundMethod) -> Problem:
    try:
        return upstream.problem_of(error, bound)
    except Exception:
        _log.exception("unexpected error", method=bound.method.full_name)
        return problem_of_error(InternalError("internal error"))


async def _first_message(websocket: WebSocket, longest_seconds: float) -> str:
    """First message of a client.

    Raises:
        InvalidInput: when it does not come in time, or is no text.
        WebSocketDisconnect: when the client leaves instead.
    """
    try:
        async with asyncio.timeout(longest_seconds):
            message = await websocket.receive()
    except TimeoutError:
        remedy = "send the request as the first message"
        raise InvalidInput(
            [FieldViolation("", f"no message came within {longest_seconds:g} seconds; {remedy}")]
        ) from None
    if message["type"] == "websocket.disconnect":
        raise WebSocketDisconnect
    text = message.get("text")
    if text is None:
        raise InvalidInput([FieldViolation("", "the message is binary; send JSON as a text message")])
    return str(text)


async def _unless_gone(websocket: WebSocket, sending: Coroutine[Any, Any, None]) -> None:
    """Runs what sends to a client, and cancels it as soon as the client leaves.

    Messages that the client sends meanwhile are read, or its leaving would go unnoticed behind them, and dropped.

    Raises:
        WebSocketDisconnect: when the client left.
    """
    send_task = asyncio.create_task(sending)
    receive_task = asyncio.create_task(_wait_until_gone(websocket))
    try:
        await asyncio.wait({send_task, receive_task}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        send_task.cancel()
        receive_task.cancel()
        await asyncio.wait({send_task, receive_task})
    if send_task.cancelled():
        raise WebSocketDisconnect
    send_task.result()


async def _wait_until_gone(websocket: WebSocket) -> None:
    while (await websocket.receive())["type"] != "websocket.disconnect":
        pass


async def _forward(call: Any, envelope_of: Callable[[Any], Any], websocket: WebSocket) -> None:
    async for message in call:
        # Waits while the client's buffer is full, and with it gRPC's flow control makes the server wait.
        await websocket.send_text(write_json(envelope_of(message)).decode())


def _envelope_writer(descriptor: Descriptor, codec: JsonCodec) -> Callable[[Any], dict[str, Any]]:
    kinds = {field.name: field.message_type for oneof in descriptor.oneofs for field in oneof.fields}
    if len(descriptor.oneofs) != 1 or len(kinds) != len(descriptor.fields) or None in kinds.values():
        raise ValueError(f"{descriptor.full_name} is streamed over WebSocket; it must be a single oneof of messages")
    oneof = descriptor.oneofs[0].name
    writers = {name: codec.writer(kind) for name, kind in kinds.items() if kind is not None}

    def envelope_of(message: Any) -> dict[str, Any]:
        member = message.WhichOneof(oneof)
        if member is None:
            raise ValueError(f"{descriptor.full_name} came without any member that this contract knows")
        return {"type": member, "data": writers[member](getattr(message, member))}

    return envelope_of


async def _close_with(websocket: WebSocket, problem: Problem) -> None:
    frame = {"type": "error", "error": problem.detail, "problem": problem.document(websocket.scope)}
    with contextlib.suppress(WebSocketDisconnect):
        await websocket.send_text(write_json(frame).decode())
    await _close(websocket, problem.close_code, problem.detail)


async def _close(websocket: WebSocket, code: int, reason: str) -> None:
    if websocket.application_state is WebSocketState.CONNECTED:
        short = reason.encode()[:LONGEST_REASON_BYTES].decode(errors="ignore")
        with contextlib.suppress(WebSocketDisconnect, RuntimeError):
            await websocket.close(code, short)
