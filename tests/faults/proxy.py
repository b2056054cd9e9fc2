"""A TCP proxy that can delay or cut its connections."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

from tests.tcp import HOST, close_server, let_callbacks_run

_CHUNK_BYTES = 64 * 1024


class Proxy:
    """Forwards bytes between callers and one server."""

    def __init__(self, target_port: int) -> None:
        self._target_port = target_port
        self._delay_seconds = 0.0
        self._is_cut = False
        self._is_passing = asyncio.Event()
        self._is_passing.set()
        self._connections: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self.port = 0

    async def open(self) -> None:
        """Starts to listen on a free port."""
        self._server = await asyncio.start_server(self._serve, HOST, 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Ends all connections."""
        assert self._server is not None
        await close_server(self._server)
        await self.drop_connections()
        await let_callbacks_run()  # sockets of aborted transports are closed

    def set_delay(self, delay_seconds: float) -> None:
        """Delays every chunk; 0 disables the delay."""
        self._delay_seconds = delay_seconds

    def hang(self) -> None:
        """Keeps all connections, and accepts new ones, but passes nothing on until `restore`."""
        self._is_passing.clear()

    async def drop_connections(self) -> None:
        """Aborts all connections; new ones are accepted."""
        connections = list(self._connections)
        for connection in connections:
            connection.cancel()
        await asyncio.gather(*connections, return_exceptions=True)

    async def cut(self) -> None:
        """Aborts all connections and all new ones until `restore`."""
        self._is_cut = True
        await self.drop_connections()

    def restore(self) -> None:
        """Passes everything on again, at once."""
        self._is_cut = False
        self._delay_seconds = 0.0
        self._is_passing.set()

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
                group.create_task(self._pump(reader, target_writer, self._observer(is_from_caller=True)))
                group.create_task(self._pump(target_reader, writer, self._observer(is_from_caller=False)))
        except* OSError:
            pass
        finally:
            target_writer.transport.abort()

    def _observer(self, *, is_from_caller: bool) -> Callable[[bytes], None]:
        """Function that gets every chunk of one direction of a new connection."""
        return lambda chunk: None

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, observe: Callable[[bytes], None]
    ) -> None:
        while chunk := await reader.read(_CHUNK_BYTES):
            observe(chunk)
            if self._delay_seconds:
                await asyncio.sleep(self._delay_seconds)
            await self._is_passing.wait()
            writer.write(chunk)
            await writer.drain()
        with contextlib.suppress(OSError):
            writer.write_eof()


@contextlib.asynccontextmanager
async def proxies_of(ports: dict[str, int]) -> AsyncIterator[dict[str, Proxy]]:
    """Proxies in front of servers, by name."""
    proxies = {name: Proxy(port) for name, port in ports.items()}
    for proxy in proxies.values():
        await proxy.open()
    try:
        yield proxies
    finally:
        for proxy in proxies.values():
            await proxy.close()
