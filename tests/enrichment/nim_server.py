"""Real servers on loopback ports that answer, misbehave or stay silent, for tests."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from tests.enrichment.nim_stub import entry

# What the server makes of a call: its JSON body, the items asked about, and where the answer goes.
Behavior = Callable[[dict[str, Any], list[dict[str, Any]], asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Silent:
    """A server that accepts connections and never says a word."""

    port: int = 0
    connections: int = 0


@contextlib.asynccontextmanager
async def accepting_and_silent() -> AsyncIterator[Silent]:
    """A silent server, as long as the context lasts."""
    silent = Silent()
    async with _serving(lambda reader, writer: _count(silent, reader)) as port:
        silent.port = port
        yield silent


async def _count(silent: Silent, reader: asyncio.StreamReader) -> None:
    silent.connections += 1
    await reader.read()


@dataclass
class NimServer:
    """A server of the OpenAI chat API on a real socket."""

    behavior: Behavior
    address: str = ""
    calls: list[dict[str, Any]] = field(default_factory=list)


@contextlib.asynccontextmanager
async def nim_at_loopback(behavior: Behavior) -> AsyncIterator[NimServer]:
    """A server that behaves like that, as long as the context lasts."""
    server = NimServer(behavior)

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
                length = next(int(line.split(":")[1]) for line in head.splitlines() if "content-length" in line)
                call = json.loads(await reader.readexactly(length))
                server.calls.append(call)
                await server.behavior(call, json.loads(call["messages"][-1]["content"])["items"], writer)
                await writer.drain()
                if writer.is_closing():
                    return

    async with _serving(handle) as port:
        server.address = f"127.0.0.1:{port}"
        yield server


@contextlib.asynccontextmanager
async def _serving(
    handle: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
) -> AsyncIterator[int]:
    """Port at which connections are handled; at the end they are cut off."""
    tasks: set[asyncio.Task[None]] = set()

    async def tracked(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await handle(reader, writer)
        except asyncio.CancelledError:
            pass  # the context is over
        finally:
            tasks.discard(task)
            writer.transport.abort()

    server = await asyncio.start_server(tracked, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await server.wait_closed()


def http(status: int, body: bytes, **headers: str) -> bytes:
    """A whole HTTP response."""
    lines = [f"HTTP/1.1 {status} X", f"Content-Length: {len(body)}", *(f"{name}: {v}" for name, v in headers.items())]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def completion(content: str) -> bytes:
    """A chat completion with that content, as a whole HTTP response."""
    message = {"index": 0, "message": {"role": "assistant", "content": content}, "finish_reason": "stop"}
    return http(200, json.dumps({"object": "chat.completion", "choices": [message]}).encode())


def knowing(items: list[dict[str, Any]]) -> str:
    """Content that knows all items."""
    return json.dumps({"items": [entry(item) for item in items]})


async def answers(call: dict[str, Any], items: list[dict[str, Any]], writer: asyncio.StreamWriter) -> None:
    """Understands every dialect and knows all items."""
    writer.write(completion(knowing(items)))


def sends(response: bytes) -> Behavior:
    """Always the same."""

    async def send(call: dict[str, Any], items: list[dict[str, Any]], writer: asyncio.StreamWriter) -> None:
        writer.write(response)

    return send


def lists(entries: Callable[[list[dict[str, Any]]], list[Any]]) -> Behavior:
    """Understands every dialect and lists what the function makes of the items."""

    async def send(call: dict[str, Any], items: list[dict[str, Any]], writer: asyncio.StreamWriter) -> None:
        writer.write(completion(json.dumps({"items": entries(items)})))

    return send


def speaks(dialect: str, refusal: bytes) -> Behavior:
    """Knows all items in calls of one dialect, and refuses all others."""

    async def send(call: dict[str, Any], items: list[dict[str, Any]], writer: asyncio.StreamWriter) -> None:
        writer.write(completion(knowing(items)) if dialect in call else refusal)

    return send


async def hangs(call: dict[str, Any], items: list[dict[str, Any]], writer: asyncio.StreamWriter) -> None:
    """Never answers."""
    await asyncio.Event().wait()


async def drops(call: dict[str, Any], items: list[dict[str, Any]], writer: asyncio.StreamWriter) -> None:
    """Closes the connection without a word."""
    writer.close()


async def drops_amid(call: dict[str, Any], items: list[dict[str, Any]], writer: asyncio.StreamWriter) -> None:
    """Closes the connection in the middle of the body."""
    writer.write(completion(knowing(items))[:-20])
    await writer.drain()
    writer.close()


async def drips(call: dict[str, Any], items: list[dict[str, Any]], writer: asyncio.StreamWriter) -> None:
    """Sends a good answer byte by byte, for ever so long."""
    for byte in completion(knowing(items)):
        writer.write(bytes([byte]))
        await writer.drain()
        await asyncio.sleep(0.02)
