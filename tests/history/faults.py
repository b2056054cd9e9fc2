"""What goes wrong in tests: a network that partitions, a receiver that fails half of the time, a killed service."""

import asyncio
import contextlib
import json
import os
import random
import sys
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pantree_cli.mesh import free_ports
from tests.tcp import close_server


class Proxy:
    """Forwards connections to one of some ports, unless it partitions.

    Args:
        ports: where it forwards to.
        generator: chooses among them.
    """

    def __init__(self, ports: list[int], generator: random.Random) -> None:
        self._ports = ports
        self._random = generator
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._passes = {"requests": asyncio.Event(), "answers": asyncio.Event()}
        self.heal()
        self.port = 0

    async def start(self) -> None:
        """Begins to listen."""
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Ends all connections."""
        await close_server(self._server)
        self.heal()
        while self._tasks:  # connections whose upstream is being opened are cut, too
            self.cut()
            await asyncio.wait(set(self._tasks), timeout=0.1)

    def hold(self, what: str) -> None:
        """Lets no `requests`, or no `answers`, through."""
        self._passes[what].clear()

    def heal(self) -> None:
        """Lets everything through."""
        for one in self._passes.values():
            one.set()

    def cut(self) -> None:
        """Ends all connections, in both directions at once."""
        for writer in list(self._writers):
            writer.transport.abort()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        try:
            upstream = await asyncio.open_connection("127.0.0.1", self._random.choice(self._ports))
        except OSError:
            writer.transport.abort()
            return
        ends = (writer, upstream[1])
        self._writers.update(ends)
        try:
            pumps = [
                asyncio.create_task(self._pump(reader, upstream[1], "requests")),
                asyncio.create_task(self._pump(upstream[0], writer, "answers")),
            ]
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
        finally:
            for one in ends:
                self._writers.discard(one)
                one.transport.abort()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, what: str) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65_536):
                await self._passes[what].wait()
                writer.write(data)
                await writer.drain()


@dataclass
class FailingReceiver:
    """Keeps events; half of the time it refuses them, or keeps them without saying so."""

    generator: random.Random
    failed: int = 0
    port: int = 0
    events: dict[str, list[dict[str, Any]]] = field(default_factory=lambda: defaultdict(list))
    """By subscription, in the order in which they were kept."""
    _connections: dict[asyncio.Task[None], asyncio.StreamWriter] = field(default_factory=dict)

    async def start(self) -> None:
        """Begins to listen."""
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Ends all connections."""
        await close_server(self._server)
        for writer in self._connections.values():
            writer.transport.abort()
        await asyncio.gather(*self._connections)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections[task] = writer
        task.add_done_callback(lambda done: self._connections.pop(done, None))
        with contextlib.suppress(asyncio.IncompleteReadError, OSError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
                length = int(head.partition("content-length: ")[2].partition("\r\n")[0])
                event = json.loads(await reader.readexactly(length))
                fate = self.generator.random()
                if fate >= 0.25:
                    self.events[event["subject"]].append(event)
                if fate < 0.25:
                    self.failed += 1
                    writer.write(b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n")
                elif fate < 0.5:
                    self.failed += 1
                    break
                else:
                    writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
                await writer.drain()
        writer.transport.abort()


class Service:
    """The history part in a process of its own, with a clock that jumps.

    Args:
        url: of its store.
        clock: file with the seconds by which its clock is wrong.
    """

    def __init__(self, url: str, clock: Path) -> None:
        (self.port,) = free_ports(1)
        self._clock = clock
        self._environment = {
            **os.environ,
            "PANTREE_HISTORY_PORT": str(self.port),
            "PANTREE_HISTORY_STORE_URL": url,
            "PANTREE_HISTORY_LEDGER_KEY": "a key of the ledger for tests",
            "PANTREE_HISTORY_WEBHOOK_ALLOW_HTTP": "true",
            "PANTREE_HISTORY_WEBHOOK_ALLOW_PRIVATE_ADDRESSES": "true",
            "PANTREE_HISTORY_WEBHOOK_POLL_SECONDS": "0.1",
            "PANTREE_HISTORY_WEBHOOK_RETRY_SECONDS": "0.02",
            "PANTREE_HISTORY_WEBHOOK_TIMEOUT_SECONDS": "1",
            "PANTREE_HISTORY_WEBHOOK_MAX_ATTEMPTS": "1000",
            "PANTREE_LOG_LEVEL": "ERROR",
        }
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Starts it."""
        command = [sys.executable, "-m", "tests.history.jumping_clock", str(self._clock)]
        self._process = await asyncio.create_subprocess_exec(*command, env=self._environment)

    async def kill(self) -> None:
        """Kills it."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()

    async def start_if_killed(self) -> None:
        """Starts it unless it runs."""
        if self._process is None or self._process.returncode is not None:
            await self.start()
