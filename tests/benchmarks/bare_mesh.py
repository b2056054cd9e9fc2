"""What a mesh costs at least: bare gRPC echoes behind a bare FastAPI echo, each in a process of its own.

They carry as many calls and messages of as many bytes as one pipeline: first a stream, whose messages are forwarded as
they come, then the other calls one after another.

`python -m tests.benchmarks.bare_mesh leaf SIZES | middle PLAN | front ADDRESS | hold` serves one and prints its port.
"""

import asyncio
import contextlib
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import grpc
import uvicorn
import uvloop
from fastapi import FastAPI, Request, Response, WebSocket, WebSocketDisconnect

from tests.benchmarks.recorded_calls import RecordedCall

CALL, STREAM = "/bare.Echo/Call", "/bare.Echo/Stream"
# Serialised pantree.pipeline.v1.StreamProcessResponse with an empty `started`.
_STARTED = b"\x0a\x00"
_PIPELINE_STREAM = "/pantree.pipeline.v1.PipelineService/StreamProcess"


async def _serve(port_of: grpc.aio.Server) -> None:
    port = port_of.add_insecure_port("127.0.0.1:0")
    await port_of.start()
    print(port, flush=True)
    await port_of.wait_for_termination()


def _handlers(unary: Any, stream: Any, stream_path: str = STREAM) -> grpc.GenericRpcHandler:
    class Handlers(grpc.GenericRpcHandler):
        def service(self, details: grpc.HandlerCallDetails) -> Any:
            if details.method == CALL:
                return grpc.unary_unary_rpc_method_handler(unary)
            return grpc.unary_stream_rpc_method_handler(stream) if details.method == stream_path else None

    return Handlers()


def _message(size: int) -> bytes:
    return b" " * size


async def _leaf(sizes: str) -> None:
    """A part that answers with messages of these sizes."""
    messages = [_message(size) for size in json.loads(sizes)]

    async def call(_request: bytes, _context: Any) -> bytes:
        return messages[0]

    async def stream(_request: bytes, _context: Any) -> AsyncIterator[bytes]:
        for message in messages:
            yield message

    server = grpc.aio.server()
    server.add_generic_rpc_handlers((_handlers(call, stream),))
    await _serve(server)


class _Hop:
    """A call to a part."""

    def __init__(self, address: str, request: int, streamed: bool) -> None:
        channel = grpc.aio.insecure_channel(address)
        self._call: Any = channel.unary_stream(STREAM) if streamed else channel.unary_unary(CALL)
        self._request = _message(request)
        self._streamed = streamed

    def responses(self) -> Any:
        return self._call(self._request)

    async def ask(self) -> None:
        if self._streamed:
            async for _ in self.responses():
                pass
        else:
            await self.responses()


async def _middle(plan_text: str) -> None:
    """A pipeline."""
    plan = json.loads(plan_text)
    simulation, *others = (
        _Hop(address, call["request"], call["streamed"])
        for call, address in zip(plan["calls"], plan["addresses"], strict=True)
    )
    answer = _message(plan["answer"])
    frames = [_message(size) for size in plan["frames"]]

    async def ask_others() -> None:
        for hop in others:
            await hop.ask()

    async def call(_request: bytes, _context: Any) -> bytes:
        await simulation.ask()
        await ask_others()
        return answer

    async def stream(_request: bytes, _context: Any) -> AsyncIterator[bytes]:
        started, *months, completed = frames
        left = iter(months)
        yield started
        async for _ in simulation.responses():
            yield next(left)
        await ask_others()
        yield completed

    server = grpc.aio.server()
    server.add_generic_rpc_handlers((_handlers(call, stream),))
    await _serve(server)


async def _hold() -> None:
    """A pipeline whose streams begin and never go on."""

    async def call(request: bytes, _context: Any) -> bytes:
        return request

    async def stream(_request: bytes, _context: Any) -> AsyncIterator[bytes]:
        yield _STARTED
        await asyncio.Event().wait()

    server = grpc.aio.server()
    server.add_generic_rpc_handlers((_handlers(call, stream, _PIPELINE_STREAM),))
    await _serve(server)


async def _front(address: str) -> None:
    app = FastAPI()
    channel = grpc.aio.insecure_channel(address)
    call: Any = channel.unary_unary(CALL)
    stream: Any = channel.unary_stream(STREAM)

    @app.post("/echo")
    async def echo(request: Request) -> Response:
        return Response(await call(await request.body()), media_type="application/json")

    @app.websocket("/echo")
    async def echo_stream(websocket: WebSocket) -> None:
        await websocket.accept()
        async for message in stream((await websocket.receive_text()).encode()):
            await websocket.send_text(message.decode())
        with contextlib.suppress(WebSocketDisconnect):
            await websocket.receive()

    config = uvicorn.Config(app, port=0, http="httptools", ws="websockets-sansio", access_log=False, log_level="error")
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    print(server.servers[0].sockets[0].getsockname()[1], flush=True)
    await serving


@contextlib.contextmanager
def process(*arguments: str, module: str = "tests.benchmarks.bare_mesh") -> Iterator[tuple[int, str]]:
    """Process id and address of one of these servers."""
    root = Path(__file__).resolve().parents[2]
    child = subprocess.Popen(
        [sys.executable, "-m", module, *arguments], stdout=subprocess.PIPE, cwd=root, env={**os.environ}
    )
    try:
        assert child.stdout is not None
        yield child.pid, f"127.0.0.1:{int(child.stdout.readline())}"
    finally:
        child.kill()
        child.wait()


@contextlib.contextmanager
def bare_mesh(calls: Sequence[RecordedCall], *, answer: int, frames: Sequence[int]) -> Iterator[str]:
    """Address of a bare mesh.

    Args:
        calls: the calls of one pipeline, that of simulation first.
        answer: bytes of its answer over REST.
        frames: bytes of its frames over WebSocket.
    """
    with contextlib.ExitStack() as stack:
        addresses = [stack.enter_context(process("leaf", json.dumps(call.responses)))[1] for call in calls]
        plan = {
            "calls": [asdict(call) for call in calls], "addresses": addresses, "answer": answer, "frames": list(frames)
        }  # fmt: skip
        _, middle = stack.enter_context(process("middle", json.dumps(plan)))
        _, front = stack.enter_context(process("front", middle))
        yield front


if __name__ == "__main__":
    _, role, *rest = sys.argv
    mains: dict[str, Any] = {"leaf": _leaf, "middle": _middle, "front": _front, "hold": _hold}
    uvloop.run(mains[role](*rest))
