"""Serves the gateway, and drains it without losing a stream."""

import asyncio
import contextlib
import socket
from collections.abc import Iterator

import uvicorn

from pantree_gateway.app import create_app
from pantree_gateway.edge import InFlightRequests
from pantree_gateway.settings import GatewaySettings
from pantree_gateway.transcoding.context import Limits

NAME = "gateway"
# How long connections may take to close after the grace period, when uvicorn cancels their streams.
_CLOSE_TIMEOUT_SECONDS = 1


class _Server(uvicorn.Server):
    """uvicorn's server without its signal handlers."""

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
    """A running gateway, from `start`."""

    def __init__(self, server: _Server, serving: asyncio.Task[None], in_flight: InFlightRequests, address: str) -> None:
        self._server = server
        self._serving = serving
        self._in_flight = in_flight
        self.name = NAME
        self.address = address
        """`host:port` where it listens."""

    async def stop(self, grace_seconds: float) -> None:
        """Answers 503 on `/ready`, rejects new streams, lets requests and streams in flight finish, then stops.

        uvicorn closes all WebSockets when it exits, so it exits only after the drain. Streams that take longer than
        `grace_seconds` are closed with 1012 (service restart).
        """
        await self._in_flight.drain(grace_seconds)
        self._server.should_exit = True
        await self.wait()

    async def wait(self) -> None:
        """Returns when the server has stopped."""
        await asyncio.shield(self._serving)


async def start(settings: GatewaySettings) -> RunningGateway:
    """Starts the gateway and returns it once it listens.

    Raises:
        OSError: when it cannot listen on the port.
        ValueError: when a file that the settings name cannot be read.
    """
    app = create_app(settings)
    listener = _listen(settings.host, settings.port)
    config = uvicorn.Config(
        app,
        http="httptools",
        ws="websockets-sansio",
        ws_max_size=Limits.body_bytes,
        # A compressor would double the memory of each socket, and slow down every frame.
        ws_per_message_deflate=False,
        ws_ping_interval=settings.heartbeat_seconds,
        ws_ping_timeout=settings.heartbeat_seconds,
        lifespan="on",
        # EdgeMiddleware logs requests; uvicorn's lines would have paths, and so customers' IDs.
        log_config=None,
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=_CLOSE_TIMEOUT_SECONDS,
    )
    server = _Server(config)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    listening = asyncio.create_task(server.listening.wait())
    await asyncio.wait({serving, listening}, return_when=asyncio.FIRST_COMPLETED)
    if not server.listening.is_set():
        listening.cancel()
        await serving
        raise OSError(f"{NAME} stopped before it was listening; see the log")
    host, port = listener.getsockname()[:2]
    shown_host = f"[{host}]" if ":" in host else settings.host
    return RunningGateway(server, serving, app.state.in_flight, f"{shown_host}:{port}")


def _listen(host: str, port: int) -> socket.socket:
    bare_host = host.strip("[]")
    family = socket.AF_INET6 if ":" in bare_host else socket.AF_INET
    try:
        return socket.create_server((bare_host, port), family=family, backlog=2048)
    except OSError as error:
        remedy = "is the port in use? Set PANTREE_GATEWAY_PORT"
        raise OSError(f"{NAME} cannot listen on {host}:{port} ({error.strerror or error}); {remedy}") from error
