"""What a mesh costs at least: bare gRPC echoes behind a bare FastAPI echo, each in a process of its own.

`python -m tests.benchmarks.bare_mesh leaf | middle ADDRESS… | front ADDRESS | hold` serves one and prints its port.
"""

import asyncio
import contextlib
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import grpc
import uvicorn
import uvloop
from fastapi import FastAPI, Request, Response, WebSocket

CALL, STREAM = "/bare.Echo/Call", "/bare.Echo/Stream"
MONTHS = 6
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


async def _leaf() -> None:
    async def call(request: bytes, _context: Any) -> bytes:
        return request

    async def stream(request: bytes, _context: Any) -> AsyncIterator[bytes]:
        for _ in range(MONTHS):
            yield request

    server = grpc.aio.server()
    server.add_generic_rpc_handlers((_handlers(call, stream),))
    await _serve(server)


async def _middle(addresses: list[str]) -> None:
    channels = [grpc.aio.insecure_channel(address) for address in addresses]
    calls: list[Any] = [channel.unary_unary(CALL) for channel in channels]
    first_stream: Any = channels[0].unary_stream(STREAM)

    async def call(request: bytes, _context: Any) -> bytes:
        for one in calls:
            request = await one(request)
        return request

    async def stream(request: bytes, _context: Any) -> AsyncIterator[bytes]:
        async for month in first_stream(request):
            yield month
        for one in calls[1:]:
            request = await one(request)
        yield request

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
        await websocket.close()

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
def bare_mesh(leaves: int) -> Iterator[str]:
    """Address of a bare mesh with as many hops behind its middle."""
    with contextlib.ExitStack() as stack:
        addresses = [stack.enter_context(process("leaf"))[1] for _ in range(leaves)]
        _, middle = stack.enter_context(process("middle", *addresses))
        _, front = stack.enter_context(process("front", middle))
        yield front


if __name__ == "__main__":
    _, role, *rest = sys.argv
    mains = {"leaf": _leaf, "middle": lambda: _middle(rest), "front": lambda: _front(rest[0]), "hold": _hold}
    uvloop.run(mains[role]())
