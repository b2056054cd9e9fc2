"""TCP servers on free loopback ports that leave nothing open when they end."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

HOST = "127.0.0.1"


async def close_server(server: asyncio.Server) -> None:
    """Stops listening. Connections that were accepted before are left to their handler.

    asyncio loses a connection that it accepts in the turn of the event loop in which its server is closed: nothing
    serves the connection, and its socket stays open until it is garbage (in Python 3.11 to 3.14).
    """
    for listening in server.sockets:
        asyncio.get_running_loop().remove_reader(listening.fileno())
    await let_callbacks_run()
    server.close()


async def let_callbacks_run() -> None:
    """Returns after ten turns of the event loop: accepting, connecting, serving and closing take one each."""
    for _ in range(10):
        await asyncio.sleep(0)


@contextlib.asynccontextmanager
async def serving_tcp(
    serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]], **options: Any
) -> AsyncIterator[int]:
    """Port of a server.

    At the end, handlers that still run are cancelled and their connections are aborted.

    Args:
        serve: handles one connection.
        options: of `asyncio.start_server`.
    """
    tasks: set[asyncio.Task[None]] = set()

    async def tracked(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await serve(reader, writer)
        except asyncio.CancelledError:
            pass  # the context is over
        finally:
            tasks.discard(task)
            writer.transport.abort()

    server = await asyncio.start_server(tracked, HOST, 0, **options)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        await close_server(server)
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await let_callbacks_run()  # sockets of aborted transports are closed
