"""Serves the gateway, and a drain that loses no stream."""

import asyncio
import contextlib
import socket
from collections.abc import Iterator

import uvicorn

from pantree_gateway.app import create_app
from pantree_gateway.edge import Traffic
from pantree_gateway.settings import GatewaySettings
from pantree_gateway.transcoding.upstream import Limits

NAME = "gateway"
# How long connections may take to close once the grace is over and their streams are cancelled.
_CLOSING_SECONDS = 1


class _Server(uvicorn.Server):
    """uvicorn's server, in an event loop whose signals belong to somebody else."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listening.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class RunningGateway:
    """A gateway that is being served. Made by `start`."""

    def __init__(self, server: _Server, serving: asyncio.Task[None], traffic: Traffic, address: str) -> None:
        self._server = server
        self._serving = serving
        self._traffic = traffic
        self.name = NAME
        self.address = address
        """Where it listens, `host:port`."""

    async def stop(self, grace_seconds: float) -> None:
        """Answers 503 on `/ready`, refuses new streams, lets requests and streams under way finish, then ends.

        uvicorn alone would close every WebSocket at once; so it is told to end only after the drain, and closes with
        1012 (service restart) those that took longer than the grace.

        Args:
            grace_seconds: requests and streams that take longer are cut off.
        """
        await self._traffic.drain(grace_seconds)
        self._server.should_exit = True
        await self.wait()

    async def wait(self) -> None:
        """Returns when the server has ended."""
        await asyncio.shield(self._serving)


async def start(settings: GatewaySettings) -> RunningGateway:
    """Starts to serve the gateway and returns when it listens.

    Raises:
        OSError: when the port cannot be had.
        ValueError: when a file that the settings name cannot be read.
    """
    app = create_app(settings)
    listener = _listen(settings.host, settings.port)
    config = uvicorn.Config(
        app,
        http="httptools",
        ws="websockets-sansio",
        ws_max_size=Limits.body_bytes,
        # A compressor for each socket would take as much memory as all else of it, and time from every frame.
        ws_per_message_deflate=False,
        ws_ping_interval=settings.heartbeat_seconds,
        ws_ping_timeout=settings.heartbeat_seconds,
        lifespan="on",
        # Ours instead: uvicorn's own lines hold paths, and with them ids of customers.
        log_config=None,
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=_CLOSING_SECONDS,
    )
    server = _Server(config)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    listening = asyncio.create_task(server.listening.wait())
    await asyncio.wait({serving, listening}, return_when=asyncio.FIRST_COMPLETED)
    if not server.listening.is_set():
        listening.cancel()
        await serving
        raise OSError(f"{NAME} ended before it listened; the log says why")
    host, port = listener.getsockname()[:2]
    shown_host = f"[{host}]" if ":" in host else settings.host
    return RunningGateway(server, serving, app.state.traffic, f"{shown_host}:{port}")


def _listen(host: str, port: int) -> socket.socket:
    """Listening socket.

    Raises:
        OSError: when the port cannot be had.
    """
    bare_host = host.strip("[]")
    family = socket.AF_INET6 if ":" in bare_host else socket.AF_INET
    try:
        return socket.create_server((bare_host, port), family=family, backlog=2048)
    except OSError as error:
        remedy = "is the port in use? Set PANTREE_GATEWAY_PORT"
        raise OSError(f"{NAME} cannot listen on {host}:{port} ({error.strerror or error}); {remedy}") from error
