"""A TCP proxy whose network can be made slow, cut, or silent."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

HOST = "127.0.0.1"
_CHUNK_BYTES = 64 * 1024


class Proxy:
    """Hands bytes on between callers and one server."""

    def __init__(self, target_port: int) -> None:
        self._target_port = target_port
        self._delay_seconds = 0.0
        self._is_cut = False
        self._connections: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self.port = 0

    async def open(self) -> None:
        """Begins to listen on a free port."""
        self._server = await asyncio.start_server(self._serve, HOST, 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Ends all connections."""
        assert self._server is not None
        # asyncio loses the socket of a connection that it accepted in the very turn in which its server is closed.
        for listening in self._server.sockets:
            asyncio.get_running_loop().remove_reader(listening.fileno())
        await _let_callbacks_run()
        self._server.close()
        await self.drop_connections()
        await _let_callbacks_run()  # sockets of aborted transports are closed

    def be_slow(self, delay_seconds: float) -> None:
        """Lets every chunk wait before it is handed on; 0 ends it."""
        self._delay_seconds = delay_seconds

    async def drop_connections(self) -> None:
        """Cuts all connections in the middle of whatever they carry; new ones are taken."""
        connections = list(self._connections)
        for connection in connections:
            connection.cancel()
        await asyncio.gather(*connections, return_exceptions=True)

    async def cut(self) -> None:
        """Cuts all connections, and every new one at once, until `mend`."""
        self._is_cut = True
        await self.drop_connections()

    def mend(self) -> None:
        """Takes connections again."""
        self._is_cut = False

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            if not self._is_cut:
                await self._connect(reader, writer)
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            self._connections.discard(task)
            writer.transport.abort()

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        target_reader, target_writer = await asyncio.open_connection(HOST, self._target_port)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pump(reader, target_writer))
                group.create_task(self._pump(target_reader, writer))
        except* OSError:
            pass
        finally:
            target_writer.transport.abort()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while chunk := await reader.read(_CHUNK_BYTES):
            if self._delay_seconds:
                await asyncio.sleep(self._delay_seconds)
            writer.write(chunk)
            await writer.drain()
        with contextlib.suppress(OSError):
            writer.write_eof()


async def _let_callbacks_run() -> None:
    for _ in range(10):  # to accept, connect, begin to serve and end takes a turn of the event loop each
        await asyncio.sleep(0)


@contextlib.asynccontextmanager
async def proxies_of(ports: dict[str, int]) -> AsyncIterator[dict[str, Proxy]]:
    """A proxy in front of each server, as long as the context lasts."""
    proxies = {name: Proxy(port) for name, port in ports.items()}
    for proxy in proxies.values():
        await proxy.open()
    try:
        yield proxies
    finally:
        for proxy in proxies.values():
            await proxy.close()
