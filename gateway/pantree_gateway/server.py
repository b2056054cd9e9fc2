"""Serves the gateway, and drains it without losing a stream."""

import asyncio
import contextlib
import socket
import sys
import time
from collections.abc import Iterator
from typing import Any

import uvicorn

from pantree_gateway.app import create_app
from pantree_gateway.connections import ConnectionLimits, Connections, HttpConnection, protocols
from pantree_gateway.edge import InFlightRequests
from pantree_gateway.settings import GatewaySettings, split_list
from pantree_gateway.status import probe_app
from pantree_gateway.transcoding.limits import Limits

NAME = "gateway"
# How long connections may take to close after the grace period, when uvicorn cancels their streams.
_CLOSE_TIMEOUT_SECONDS = 1
# How long clients that are connected when the gateway stops listening may take to send their first request.
_FIRST_REQUEST_SECONDS = 1.0
_POLL_SECONDS = 0.01
# For logs, channels, Redis and the listeners.
_OTHER_FILES = 128
_MAX_PROBES = 64


class _Server(uvicorn.Server):
    """uvicorn's server without its signal handlers."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = asyncio.Event()
        self._listeners: list[socket.socket] = []
        self.task: asyncio.Task[None] | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._listeners = sockets or []
        self.listening.set()

    async def stop_accepting(self) -> None:
        """Stops listening. Connections that the system has already made are served; closing would reset them.

        Does nothing when called again.
        """
        accepted: list[socket.socket] = []
        loop = asyncio.get_running_loop()
        listeners, self._listeners = self._listeners, []
        for listener in listeners:
            loop.remove_reader(listener.fileno())
        # Without uvloop, a connection that was accepted in this turn is served in the next one, if the server is open.
        await asyncio.sleep(0)
        for listener in listeners:
            listener.setblocking(False)
            with contextlib.suppress(OSError):  # raised when none is left
                while True:
                    accepted.append(listener.accept()[0])
        for server in self.servers:
            server.close()

        async def serve(connection: socket.socket) -> None:
            connection.setblocking(False)
            try:
                await loop.connect_accepted_socket(self._protocol, connection, ssl=self.config.ssl)
            except OSError:  # the client left
                connection.close()

        # With TLS it takes as long as the client's part of the handshake.
        await asyncio.gather(*map(serve, accepted))

    def _protocol(self) -> asyncio.Protocol:
        make: Any = self.config.http_protocol_class
        protocol: asyncio.Protocol = make(
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )
        return protocol

    async def wait_for_first_requests(self, timeout_seconds: float) -> None:
        """Waits until a request has arrived on each connection, or for `timeout_seconds`."""
        ends_at = time.monotonic() + timeout_seconds
        while time.monotonic() < ends_at:
            connections = [one for one in self.server_state.connections if isinstance(one, HttpConnection)]
            if not any(connection.awaits_first_request for connection in connections):
                return
            await asyncio.sleep(_POLL_SECONDS)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class RunningGateway:
    """A running gateway, from `start`."""

    def __init__(
        self,
        server: _Server,
        serving: asyncio.Task[None],
        in_flight: InFlightRequests,
        address: str,
        probes: _Server | None = None,
    ) -> None:
        self._server = server
        self._probes = probes
        self._serving = serving
        self._in_flight = in_flight
        self.held_bytes = in_flight.held_bytes
        """Memory that requests hold."""
        self.name = NAME
        self.address = address
        """`host:port` where it listens."""

    async def stop(self, grace_seconds: float) -> None:
        """Answers 503 on `/ready`, rejects new streams, lets requests and streams in flight finish, then stops.

        Until those have finished, new requests are served too. Then the gateway stops listening, and serves the clients
        that have connected before: their requests get a moment to arrive, and the rest of the time to finish.

        uvicorn closes all WebSockets when it exits, so it exits only after the drain. Streams that take longer than
        `grace_seconds` are closed with 1012 (service restart).
        """
        ends_at = time.monotonic() + grace_seconds
        await self._in_flight.drain(grace_seconds)
        await self._server.stop_accepting()
        last_seconds = min(grace_seconds, _FIRST_REQUEST_SECONDS)
        await self._server.wait_for_first_requests(last_seconds)
        await self._in_flight.drain(max(ends_at - time.monotonic(), last_seconds))
        self._server.should_exit = True
        await self.wait()
        if self._probes is not None and self._probes.task is not None:
            self._probes.should_exit = True
            await self._probes.task

    async def wait(self) -> None:
        """Returns when the server has stopped."""
        await asyncio.shield(self._serving)


async def start(settings: GatewaySettings, limits: ConnectionLimits | None = None) -> RunningGateway:
    """Starts the gateway and returns it once it listens.

    Args:
        settings: of the gateway.
        limits: of connections; None for those that the settings imply.

    Raises:
        OSError: when it cannot listen on the port.
        ValueError: when a file that the settings name cannot be read.
    """
    app = create_app(settings)
    in_flight = app.state.in_flight
    listener = _listen(settings.host, settings.port, "PANTREE_GATEWAY_PORT")
    limits = limits or ConnectionLimits(max_connections=_max_connections(settings.max_connections))
    connections = Connections(limits, in_flight.held_bytes)
    http, websocket = protocols(connections)
    config = uvicorn.Config(
        app,
        http=http,
        ws=websocket,
        # Otherwise uvicorn trusts X-Forwarded-For from this machine.
        proxy_headers=bool(settings.trusted_proxies),
        forwarded_allow_ips=split_list(settings.trusted_proxies),
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
    probes = await _start_probes(settings, in_flight) if settings.probe_port else None
    return RunningGateway(server, serving, in_flight, f"{shown_host}:{port}", probes)


async def _start_probes(settings: GatewaySettings, in_flight: InFlightRequests) -> _Server:
    """Serves the probes on their own port, where no client of the API can use up the connections."""
    listener = _listen(settings.host, settings.probe_port, "PANTREE_GATEWAY_PROBE_PORT")
    http, _ = protocols(Connections(ConnectionLimits(max_connections=_MAX_PROBES), in_flight.held_bytes))
    config = uvicorn.Config(
        probe_app(in_flight), http=http, ws="none", lifespan="off", log_config=None, log_level="warning",
        access_log=False, server_header=False, proxy_headers=False,
        timeout_graceful_shutdown=_CLOSE_TIMEOUT_SECONDS,
    )  # fmt: skip
    server = _Server(config)
    server.task = asyncio.create_task(server.serve(sockets=[listener]))
    await server.listening.wait()
    return server


def _max_connections(configured: int) -> int:
    """The configured number, or less where the process may not open as many files."""
    if sys.platform == "win32":
        return configured
    import resource

    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return max(min(configured, soft - _OTHER_FILES), 8)


def _listen(host: str, port: int, variable: str) -> socket.socket:
    bare_host = host.strip("[]")
    family = socket.AF_INET6 if ":" in bare_host else socket.AF_INET
    try:
        return socket.create_server((bare_host, port), family=family, backlog=2048)
    except OSError as error:
        remedy = f"is the port in use? Set {variable}"
        raise OSError(f"{NAME} cannot listen on {host}:{port} ({error.strerror or error}); {remedy}") from error
