"""Serves a part: gRPC with health, reflection and interceptors, and a drain that loses no call."""

import argparse
import asyncio
import contextlib
import gc
import os
import signal
import sys
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

import grpc
import structlog
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from pantree_runtime import telemetry
from pantree_runtime.admission import ConcurrencyLimiter, work_pool
from pantree_runtime.channel import KEEPALIVE_MS, KEEPALIVE_TIMEOUT_MS, MIN_PING_INTERVAL_MS, open_channel
from pantree_runtime.errors import PantreeError
from pantree_runtime.identity import Identity, load_identity
from pantree_runtime.interceptors import AdmissionPolicy, CallInterceptor
from pantree_runtime.logging import configure_logging, log_refused_handshakes
from pantree_runtime.settings import PartSettings, load_settings
from pantree_runtime.status import translate_rpc_errors

_log = structlog.get_logger(__name__)

# Clients connect anew now and then, or a new replica would never get traffic. Calls under way finish on the connection
# where they began, however long that takes: a bulk stream goes on for hours, and each other call has a deadline.
CONNECTION_AGE_MS = 300_000

# How much the calls under way may cost together unless a setting says otherwise.
MAX_CALLS = 512
# Cost of a call that may keep several threads busy for minutes.
BULK_COST = 16
# What an end may take beyond the drain when whoever started this process is gone.
_ENDING_SECONDS = 5.0

SettingsT = TypeVar("SettingsT", bound=PartSettings)


def _options(connection_age_ms: int) -> list[tuple[str, int]]:
    return [
        # Two processes on one port would take turns answering; a port in use must be an error.
        ("grpc.so_reuseport", 0),
        ("grpc.http2.min_recv_ping_interval_without_data_ms", MIN_PING_INTERVAL_MS),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.max_connection_age_ms", connection_age_ms),
        # Nothing else ends the streams of a client that vanished without closing its connection.
        ("grpc.keepalive_time_ms", KEEPALIVE_MS),
        ("grpc.keepalive_timeout_ms", KEEPALIVE_TIMEOUT_MS),
    ]


async def _nothing() -> None:
    pass


@dataclass(frozen=True)
class ServiceSpec:
    """A part of the mesh, built and ready to be served."""

    name: str
    """Name of the part, such as `frequency`."""
    services: Mapping[str, Callable[[grpc.aio.Server], None]]
    """Adds the servicer of each service, by full service name, to a server."""
    warm_up: Callable[[], Awaitable[None]] = field(default=_nothing)
    """Loads and connects what the part needs; it is SERVING only afterwards."""
    close: Callable[[], Awaitable[None]] = field(default=_nothing)
    """Lets go of everything, after the last call."""
    costs: Mapping[str, int] = field(default_factory=dict)
    """What a call costs by name of its RPC, against `max_calls`; 1 for those that are missing."""
    counts: Mapping[str, Callable[[Any], None]] = field(default_factory=dict)
    """Counts the work behind each response, in a stream once it is sent, by name of the RPC."""


class RunningService:
    """A part that is being served. Made by `start`."""

    def __init__(
        self, part: ServiceSpec, server: grpc.aio.Server, health_servicer: health.aio.HealthServicer, address: str
    ) -> None:
        self._part = part
        self._server = server
        self._health = health_servicer
        self.name = part.name
        self.address = address
        """Where it listens, `host:port`."""

    async def stop(self, grace_seconds: float) -> None:
        """Tells health checks to look elsewhere, lets calls under way finish, then closes the part.

        Args:
            grace_seconds: calls that take longer are cancelled.
        """
        await self._health.enter_graceful_shutdown()
        await self._server.stop(grace_seconds)
        await self._part.close()

    async def wait(self) -> None:
        """Returns when the server has ended."""
        await self._server.wait_for_termination()


async def start(
    part: ServiceSpec,
    *,
    host: str,
    port: int,
    max_calls: int = MAX_CALLS,
    identity: Identity | None = None,
    connection_age_ms: int = CONNECTION_AGE_MS,
) -> RunningService:
    """Starts to serve a part and returns when it is SERVING.

    Args:
        part: what to serve.
        host: address to listen on.
        port: port to listen on; 0 picks a free one.
        max_calls: how much the calls under way may cost together.
        identity: certificate of the part; None to serve without TLS, whoever calls.
        connection_age_ms: after about as many milliseconds a connection takes no new calls; those under way finish.

    Raises:
        OSError: when the port cannot be had.
    """
    gate = AdmissionPolicy(ConcurrencyLimiter(work_pool(), max_calls), identity, part.name, dict(part.costs))
    server = grpc.aio.server(interceptors=[CallInterceptor(gate, part.counts)], options=_options(connection_age_ms))
    health_servicer = health.aio.HealthServicer()
    names = ["", *part.services]  # "" is the health of the whole server
    for name in names:
        await health_servicer.set(name, health_pb2.HealthCheckResponse.NOT_SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(health_servicer, server)
    for add_to in part.services.values():
        add_to(server)
    reflection.enable_server_reflection([*part.services, health.SERVICE_NAME, reflection.SERVICE_NAME], server)
    try:
        if identity is None:
            bound_port = server.add_insecure_port(f"{host}:{port}")
        else:
            bound_port = server.add_secure_port(f"{host}:{port}", identity.server_credentials())
    except RuntimeError as error:
        await part.close()
        raise OSError(
            f"{part.name} cannot listen on {host}:{port}; is the port in use? Set PANTREE_{part.name.upper()}_PORT"
        ) from error
    await server.start()
    running = RunningService(part, server, health_servicer, f"{host}:{bound_port}")
    try:
        await part.warm_up()
    except BaseException:
        await running.stop(0)
        raise
    gate.is_open = True
    for name in names:
        await health_servicer.set(name, health_pb2.HealthCheckResponse.SERVING)
    return running


@contextlib.asynccontextmanager
async def running(
    part: ServiceSpec, *, host: str = "127.0.0.1", port: int = 0, grace_seconds: float = 0
) -> AsyncIterator[RunningService]:
    """Serves a part as long as the context lasts."""
    running_part = await start(part, host=host, port=port)
    try:
        yield running_part
    finally:
        await running_part.stop(grace_seconds)


class Running(Protocol):
    """Something that is being served: a `RunningService`, or the gateway."""

    address: str
    """Where it listens, `host:port`."""

    async def stop(self, grace_seconds: float) -> None:
        """Lets calls under way finish, then ends."""


async def serve_until_signal(start: Callable[[], Awaitable[Running]], drain_seconds: float) -> None:
    """Serves until SIGTERM or SIGINT, then lets calls under way finish.

    Args:
        start: starts to serve.
        drain_seconds: calls that then take longer are cancelled.
    """
    told = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told.set)
    starting, telling = asyncio.ensure_future(start()), asyncio.ensure_future(told.wait())
    await asyncio.wait({starting, telling}, return_when=asyncio.FIRST_COMPLETED)
    if not starting.done():
        starting.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await starting
        _log.info("stopped before it served")
        return
    try:
        running = starting.result()
    except BaseException:
        telling.cancel()
        raise
    freeze_gc()
    _log.info("serving", address=running.address)
    await telling
    _log.info("draining", longest_seconds=drain_seconds)
    await running.stop(drain_seconds)
    _log.info("stopped")


def freeze_gc() -> None:
    """Tells the garbage collector that what this process holds now stays as long as it does.

    A full collection looks at every object, some 100,000 of them in modules and models, which stops all requests for
    20 to 100 ms; after this it looks at those of requests only.
    """
    gc.collect()
    gc.freeze()


def stop_when_stdin_closes(drain_seconds: float) -> None:
    """Ends this process as SIGTERM does when its standard input is closed, so that it never outlives who started it.

    Args:
        drain_seconds: how long calls under way may take; some seconds after that the process ends whatever it does.
    """

    def watch() -> None:
        with contextlib.suppress(OSError):
            while os.read(0, 4096):
                pass
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(drain_seconds + _ENDING_SECONDS)
        os._exit(1)

    threading.Thread(target=watch, name="standard-input", daemon=True).start()


UNTIL_STDIN_CLOSES = "--until-stdin-closes"


def add_stdin_option(parser: argparse.ArgumentParser) -> None:
    """Adds the option that lets a program end with whoever started it."""
    parser.add_argument(
        UNTIL_STDIN_CLOSES, action="store_true", help="end when standard input is closed, as well as on SIGTERM"
    )


@contextlib.contextmanager
def export_telemetry(name: str, settings: PartSettings) -> Iterator[None]:
    """Serves the metrics and sends the traces of this process, as the settings say, as long as the context lasts.

    Args:
        name: name of the part.
        settings: metrics port and OTLP endpoint.

    Raises:
        OSError: when the metrics port cannot be had.
    """
    with contextlib.ExitStack() as stack:
        if settings.metrics_port:
            try:
                stack.callback(telemetry.serve_metrics(settings.host, settings.metrics_port))
            except OSError as error:
                variable = f"PANTREE_{name.upper()}_METRICS_PORT"
                raise OSError(
                    f"{name} cannot serve metrics on {settings.host}:{settings.metrics_port}; set {variable}"
                ) from error
        if settings.otlp_endpoint:
            telemetry.start_tracing(name, settings.otlp_endpoint, settings.trace_ratio)
            stack.callback(telemetry.stop_tracing)
        yield


@dataclass(frozen=True)
class Program(Generic[SettingsT]):
    """A service as a program: every service's `__main__` makes one and runs it."""

    name: str
    """Name of the part, such as `frequency`."""
    settings_class: type[SettingsT]
    """The settings to read from the environment."""
    build: Callable[[SettingsT], Awaitable[ServiceSpec]]
    """Composition root of the part, called inside the event loop."""
    demo: Callable[[grpc.aio.Channel], Awaitable[None]]
    """Calls the part once and prints the answer."""

    async def start(self) -> RunningService:
        """Reads the settings, builds the part and serves it, inside the running event loop.

        Raises:
            OSError: when the port cannot be had.
        """
        return await self._start(load_settings(self.settings_class))

    def main(self) -> None:
        """Serves until SIGTERM or Ctrl-C, or shows with `--demo` what the part answers.

        Exit codes: 0 after a clean stop, 1 when it cannot start, 2 for wrong settings or arguments.
        """
        parser = argparse.ArgumentParser(
            prog=f"python -m pantree_{self.name}", description=f"Serves the {self.name} part of Pantree over gRPC."
        )
        parser.add_argument(
            "--demo", action="store_true", help="start on a free port, make one call, print the answer, and stop"
        )
        add_stdin_option(parser)
        arguments = parser.parse_args()
        show_demo = arguments.demo
        settings = load_settings(self.settings_class)
        if show_demo and not settings.debug:
            settings = settings.model_copy(update={"log_level": "WARNING"})
        configure_logging(self.name, settings)
        if arguments.until_stdin_closes:
            stop_when_stdin_closes(settings.drain_seconds)
        try:
            if show_demo:
                run(lambda: self._demonstrate(settings))
                return
            if settings.tls_dir is not None:
                log_refused_handshakes()
            with export_telemetry(self.name, settings):
                run(lambda: serve_until_signal(lambda: self._start(settings), settings.drain_seconds))
        except (OSError, PantreeError) as error:
            print(f"error: {error}", file=sys.stderr)
            raise SystemExit(1) from None

    async def _start(self, settings: SettingsT) -> RunningService:
        identity = load_identity(settings.tls_dir, settings.tls_domain)
        return await start(
            await self.build(settings),
            host=settings.host,
            port=settings.port,
            max_calls=settings.max_calls,
            identity=identity,
        )

    async def _demonstrate(self, settings: SettingsT) -> None:
        async with (
            running(await self.build(settings)) as part,
            open_channel(part.address, timeout_seconds=30) as channel,
        ):
            with translate_rpc_errors(self.name):
                await self.demo(channel)


def run(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Runs an asynchronous main function on the fastest event loop there is."""
    if sys.platform == "win32":
        asyncio.run(main())
    else:
        import uvloop

        uvloop.run(main())
