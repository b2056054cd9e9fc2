"""Real servers on loopback ports that answer, misbehave or stay silent."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from tests.enrichment.nim_stub import entry, items_of
from tests.tcp import serving_tcp

# Handles a call: its JSON body, its items, and where to write the response.
Behavior = Callable[[dict[str, Any], list[dict[str, Any]], asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Silent:
    """A server that accepts connections and never sends anything."""

    port: int = 0
    connections: int = 0


@contextlib.asynccontextmanager
async def silent_server() -> AsyncIterator[Silent]:
    """Runs a silent server."""
    silent = Silent()
    async with serving_tcp(lambda reader, writer: _count(silent, reader)) as port:
        silent.port = port
        yield silent


async def _count(silent: Silent, reader: asyncio.StreamReader) -> None:
    silent.connections += 1
    await reader.read()


@dataclass
class NimServer:
    """A server of the OpenAI chat API."""

    behavior: Behavior
    address: str = ""
    calls: list[dict[str, Any]] = field(default_factory=list)


@contextlib.asynccontextmanager
async def nim_at_loopback(behavior: Behavior) -> AsyncIterator[NimServer]:
    """Runs a server with a behavior."""
    server = NimServer(behavior)

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
                if head.startswith("get "):  # a health check
                    writer.write(http(200, b"{}"))
                    continue
                length = next(int(line.split(":")[1]) for line in head.splitlines() if "content-length" in line)
                call = json.loads(await reader.readexactly(length))
                is_check = '{"items": [' not in call["messages"][-1]["content"]
                if not is_check:
                    server.calls.append(call)
                await server.behavior(call, [] if is_check else items_of(call), writer)
                await writer.drain()
                if writer.is_closing():
                    return

    async with serving_tcp(handle) as port:
        server.address = f"127.0.0.1:{port}"
        yield server


def http(status: int, body: bytes, **headers: str) -> bytes:
    """A complete HTTP response."""
    lines = [f"HTTP/1.1 {status} X", f"Content-Length: {len(body)}", *(f"{name}: {v}" for name, v in headers.items())]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def completion(content: str) -> bytes:
    """A complete HTTP response with a chat completion."""
    message = {"index": 0, "message": {"role": "assistant", "content": content}, "finish_reason": "stop"}
    return http(200, json.dumps({"object": "chat.completion", "choices": [message]}).encode())


def content_about(items: list[dict[str, Any]]) -> str:
    """Content with usable answers about all items."""
    return json.dumps({"items": [entry(item) for item in items]})


async def answers(call: dict[str, Any], items: list[dict[str, Any]], writer: asyncio.StreamWriter) -> None:
    """Supports every structured-output mode and answers about all items."""
    writer.write(completion(content_about(items)))


def sends(response: bytes) -> Behavior:
    """Always sends the same response."""

    async def send(call: dict[str, Any], items: list[dict[str, Any]], writer: asyncio.StreamWriter) -> None:
        writer.write(response)

    return send


def lists(entries: Callable[[list[dict[str, Any]]], list[Any]]) -> Behavior:
    """Supports every structured-output mode and lists the entries that the function returns."""

    async def send(call: dict[str, Any], items: list[dict[str, Any]], writer: asyncio.StreamWriter) -> None:
        writer.write(completion(json.dumps({"items": entries(items)})))

    return send


def supports(mode: str, rejection: bytes) -> Behavior:
    """Answers calls in one structured-output mode and rejects all others."""

    async def send(call: dict[str, Any], items: list[dict[str, Any]], writer: asyncio.StreamWriter) -> None:
        writer.write(completion(content_about(items)) if mode in call else rejection)

    return send


async def hangs(call: dict[str, Any], items: list[dict[str, Any]], writer: asyncio.StreamWriter) -> None:
    """Never answers."""
    await asyncio.Event().wait()


async def drops(call: dict[str, Any], items: list[dict[str, Any]], writer: asyncio.StreamWriter) -> None:
    """Closes the connection without a response."""
    writer.close()


async def drops_in_mid_body(call: dict[str, Any], items: list[dict[str, Any]], writer: asyncio.StreamWriter) -> None:
    """Closes the connection in the middle of the body."""
    writer.write(completion(content_about(items))[:-20])
    await writer.drain()
    writer.close()


async def drips(call: dict[str, Any], items: list[dict[str, Any]], writer: asyncio.StreamWriter) -> None:
    """Sends a usable answer byte by byte, very slowly."""
    for byte in completion(content_about(items)):
        writer.write(bytes([byte]))
        await writer.drain()
        await asyncio.sleep(0.02)
