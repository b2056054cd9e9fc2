"""gRPC server of a part, with health checks, reflection, interceptors and graceful shutdown."""

import argparse
import asyncio
import contextlib
import gc
import os
import signal
import sys
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

import grpc
import structlog
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from pantree_runtime import telemetry
from pantree_runtime.admission import ConcurrencyLimiter, work_pool
from pantree_runtime.channel import KEEPALIVE_MS, KEEPALIVE_TIMEOUT_MS, MIN_PING_INTERVAL_MS, open_channel
from pantree_runtime.dependencies import Dependency, DependencyMonitor, PartHealth, set_health
from pantree_runtime.errors import ComponentUnavailable, PantreeError
from pantree_runtime.free_memory import trim_periodically
from pantree_runtime.identity import Identity, load_identity
from pantree_runtime.interceptors.handlers import CallInterceptor
from pantree_runtime.interceptors.served_call import DEFAULT_HELD_MIB, AdmissionPolicy
from pantree_runtime.local_files import keep_private
from pantree_runtime.logging import configure_logging
from pantree_runtime.settings import MAX_CALLS, PartSettings, load_settings
from pantree_runtime.status import translate_rpc_errors
from pantree_runtime.validation import Rule

_log = structlog.get_logger(__name__)

# Clients reconnect after this time; otherwise a new replica would never get traffic. Calls in flight finish on their
# old connection: a bulk stream may run for hours, and all other calls have a deadline.
CONNECTION_AGE_MS = 300_000

COMPILED = "pantree.compiled"
"""Name in health checks: NOT_SERVING while a part's answers are interpreted; unknown if they never were."""

BULK_COST = 16
"""Cost of a call that may keep several threads busy for minutes."""
# Time for clients to see NOT_SERVING and send new calls elsewhere. When a server stops, gRPC answers CANCELLED to calls
# that have arrived but have not yet been handed to Python (https://github.com/grpc/grpc/issues/41785).
_LEAVING_SECONDS = 0.2
# Time to exit after draining if the parent process is gone.
_EXIT_SECONDS = 5.0

SettingsT = TypeVar("SettingsT", bound=PartSettings)


def _options(connection_age_ms: int) -> list[tuple[str, int]]:
    return [
        # Makes a port in use an error; otherwise two processes would share it.
        ("grpc.so_reuseport", 0),
        ("grpc.http2.min_ping_interval_without_data_ms", MIN_PING_INTERVAL_MS),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.max_connection_age_ms", connection_age_ms),
        # Ends the streams of a client that vanished without closing its connection.
        ("grpc.keepalive_time_ms", KEEPALIVE_MS),
        ("grpc.keepalive_timeout_ms", KEEPALIVE_TIMEOUT_MS),
        # Otherwise receive windows grow to megabytes per stream, and callers that stream faster than a part reads fill
        # its memory before any call is admitted: 64 bulk streams took up to 430 MiB, and 140 without (measured).
        ("grpc.http2.bdp_probe", 0),
    ]


async def _nothing() -> None:
    pass


@dataclass(frozen=True)
class ServiceSpec:
    """A part of the mesh, ready to be served."""

    name: str
    """Name of the part, such as `frequency`."""
    services: Mapping[str, Callable[[grpc.aio.Server], None]]
    """Functions that add a servicer to a server, by full service name."""
    warm_up: Callable[[], Awaitable[None]] = field(default=_nothing)
    """Loads models and opens connections before the part reports SERVING."""
    compile_in_background: Callable[[], Coroutine[Any, Any, None]] | None = None
    """Compiles functions while the part serves; None if all are compiled. See `background_compilation`."""
    close: Callable[[], Awaitable[None]] = field(default=_nothing)
    """Releases resources after the last call."""
    costs: Mapping[str, int] = field(default_factory=dict)
    """Costs of calls, by RPC name, counted against `max_calls`; 1 if missing."""
    counts: Mapping[str, Callable[[Any], None]] = field(default_factory=dict)
    """Functions that record a response in metrics, by RPC name; in a stream, called after it is sent."""
    dependencies: Sequence[Dependency] = ()
    """Systems outside the mesh without which answers are degraded."""
    rules: Mapping[str, Rule] = field(default_factory=dict)
    """Checks of requests in addition to the bounds of the contract, by RPC name."""


class RunningService:
    """A part that is being served, started by `start`."""

    def __init__(
        self,
        part: ServiceSpec,
        server: grpc.aio.Server,
        health_servicer: PartHealth,
        monitor: DependencyMonitor,
        address: str,
    ) -> None:
        self._part = part
        self._monitor = monitor
        self._server = server
        self._health = health_servicer
        self.name = part.name
        self.address = address
        """`host:port` on which it listens."""
        self._compilation: asyncio.Task[None] | None = None

    async def compile_in_background(self) -> None:
        """Starts the compilation of functions that are not compiled; `COMPILED` is SERVING when it is done."""
        if self._part.compile_in_background is None:
            return
        await self._health.set(COMPILED, health_pb2.HealthCheckResponse.NOT_SERVING)
        compilation = self._part.compile_in_background()

        async def compile_and_report() -> None:
            await compilation
            await self._health.set(COMPILED, health_pb2.HealthCheckResponse.SERVING)

        self._compilation = asyncio.create_task(compile_and_report())

    async def stop(self, grace_seconds: float) -> None:
        """Reports NOT_SERVING, waits up to `grace_seconds` for calls in flight, then closes the part."""
        await self._monitor.stop()
        if self._compilation is not None:
            self._compilation.cancel()
            await asyncio.wait([self._compilation])
        await self._health.enter_graceful_shutdown()
        leaving_seconds = min(_LEAVING_SECONDS, grace_seconds / 2)
        await asyncio.sleep(leaving_seconds)
        await self._server.stop(grace_seconds - leaving_seconds)
        await self._part.close()

    async def wait(self) -> None:
        """Waits until the server has stopped."""
        await self._server.wait_for_termination()


async def start(
    part: ServiceSpec,
    *,
    host: str,
    port: int,
    max_calls: int = MAX_CALLS,
    max_held_mib: int = DEFAULT_HELD_MIB,
    identity: Identity | None = None,
    connection_age_ms: int = CONNECTION_AGE_MS,
) -> RunningService:
    """Starts a part and returns when it is SERVING.

    Args:
        part: the part.
        host: address to listen on.
        port: port to listen on; 0 picks a free one.
        max_calls: maximum total cost of the calls in flight.
        max_held_mib: maximum memory that the requests in flight hold.
        identity: certificate of the part; None to serve any caller without TLS.
        connection_age_ms: age at which, roughly, a connection stops accepting new calls.

    Raises:
        OSError: if the port is not available.
    """
    limiter = ConcurrencyLimiter(work_pool(), max_calls)
    policy = AdmissionPolicy(limiter, identity, part.name, dict(part.costs), max_held_mib << 20)
    interceptor = CallInterceptor(policy, part.counts, part.rules)
    server = grpc.aio.server(interceptors=[interceptor], options=_options(connection_age_ms))
    health_servicer = PartHealth()
    names = ["", *part.services]  # "" stands for the whole server
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
    monitor = DependencyMonitor(part.dependencies, set_health(health_servicer))
    running = RunningService(part, server, health_servicer, monitor, f"{host}:{bound_port}")
    try:
        await part.warm_up()
    except BaseException:
        await running.stop(0)
        raise
    policy.is_open = True
    for name in names:
        await health_servicer.set(name, health_pb2.HealthCheckResponse.SERVING)
    monitor.start()
    await running.compile_in_background()
    return running


# For calls whose caller in the same process has closed its channel: gRPC prints a traceback for those that the server
# cancels.
CLOSING_SECONDS = 2.0


@contextlib.asynccontextmanager
async def running(
    part: ServiceSpec, *, host: str = "127.0.0.1", port: int = 0, grace_seconds: float = 0
) -> AsyncIterator[RunningService]:
    """Context in which a part is served. Calls that have not ended after `grace_seconds` are cancelled."""
    running_part = await start(part, host=host, port=port)
    try:
        yield running_part
    finally:
        await running_part.stop(grace_seconds)


class RunningServer(Protocol):
    """A running server: a `RunningService`, or the gateway."""

    address: str
    """`host:port` on which it listens."""

    async def stop(self, grace_seconds: float) -> None:
        """Waits for calls in flight, then stops."""


async def serve_until_signal(start: Callable[[], Awaitable[RunningServer]], drain_seconds: float) -> None:
    """Serves until SIGTERM or SIGINT, then waits up to `drain_seconds` for calls in flight."""
    stop_event = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop_event.set)
    starting, stopping = asyncio.ensure_future(start()), asyncio.ensure_future(stop_event.wait())
    await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
    if not starting.done():
        starting.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await starting
        _log.info("stopped before serving")
        return
    try:
        running = starting.result()
    except BaseException:
        stopping.cancel()
        raise
    freeze_gc()
    trimming = asyncio.create_task(trim_periodically())
    _log.info("serving", address=running.address)
    await stopping
    trimming.cancel()
    _log.info("draining", max_seconds=drain_seconds)
    await running.stop(drain_seconds)
    _log.info("stopped")


# Objects that a typical request creates.
_YOUNG_OBJECTS = 10_000


def freeze_gc() -> None:
    """Excludes all current objects from garbage collection, and collects new ones less often.

    Otherwise each full collection visits some 100,000 objects of modules and models, which stops all requests for 20 to
    100 ms. And with Python's default of 700 new objects, a request that makes thousands would be visited a dozen times
    while nearly all of them are in use; at its end they go without a collection.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG_OBJECTS, *gc.get_threshold()[1:])


def stop_when_stdin_closes(drain_seconds: float) -> None:
    """Sends this process SIGTERM when its standard input closes, so that it never outlives its parent.

    Args:
        drain_seconds: time for calls in flight; a few seconds later the process exits in any case.
    """

    def watch() -> None:
        with contextlib.suppress(OSError):
            while os.read(0, 4096):
                pass
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(drain_seconds + _EXIT_SECONDS)
        os._exit(1)

    threading.Thread(target=watch, name="standard-input", daemon=True).start()


def add_stdin_option(parser: argparse.ArgumentParser) -> None:
    """Adds the option that makes a program stop with its parent process."""
    parser.add_argument(
        "--until-stdin-closes", action="store_true", help="stop when standard input closes, as well as on SIGTERM"
    )


@contextlib.contextmanager
def export_telemetry(name: str, settings: PartSettings) -> Iterator[None]:
    """Context in which a part serves its metrics and exports its traces, if configured.

    Raises:
        OSError: if the metrics port is not available.
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
            telemetry.start_tracing(name, settings.otlp_endpoint, settings.trace_ratio, settings.otlp_protocol)
            stack.callback(telemetry.stop_tracing)
        yield


@dataclass(frozen=True)
class Program(Generic[SettingsT]):
    """The program of a part, defined and run by the `__main__` of each service."""

    name: str
    """Name of the part, such as `frequency`."""
    settings_class: type[SettingsT]
    """Class of the settings, which are read from the environment."""
    build: Callable[[SettingsT], Awaitable[ServiceSpec]]
    """Composition root, called inside the event loop."""
    demo: Callable[[grpc.aio.Channel], Awaitable[None]]
    """Calls the part once and prints the response."""
    demo_settings: Mapping[str, object] = field(default_factory=dict)
    """Settings of the demo, by name, such as a store in memory."""

    async def start(self) -> RunningService:
        """Reads the settings, builds the part, and serves it in the running event loop.

        Raises:
            OSError: if the port is not available.
        """
        return await self._start(load_settings(self.settings_class))

    def compile(self) -> None:
        """Calls every function of the part once, so that it is compiled and cached."""

        async def warm_up() -> None:
            part = await self.build(load_settings(self.settings_class))
            await part.warm_up()
            await part.close()

        run(warm_up)

    def main(self) -> None:
        """Serves until SIGTERM or Ctrl-C; with `--demo`, makes one call and prints the response.

        Exit codes: 0 after a clean stop, 1 if it cannot start, 2 if settings or arguments are invalid.
        """
        parser = argparse.ArgumentParser(
            prog=f"python -m pantree_{self.name}", description=f"Serves the {self.name} part of Pantree over gRPC."
        )
        parser.add_argument(
            "--demo", action="store_true", help="start on a free port, make one call, print the response, and stop"
        )
        add_stdin_option(parser)
        arguments = parser.parse_args()
        keep_private()
        settings = load_settings(self.settings_class)
        if arguments.demo and not settings.debug:
            settings = settings.model_copy(update={"log_level": "WARNING"})
        if arguments.demo:
            settings = settings.model_copy(update=dict(self.demo_settings))
        configure_logging(self.name, settings)
        if arguments.until_stdin_closes:
            stop_when_stdin_closes(settings.drain_seconds)
        try:
            if arguments.demo:
                run(lambda: self._demonstrate(settings))
                return
            with export_telemetry(self.name, settings):
                run(lambda: serve_until_signal(lambda: self._start(settings), settings.drain_seconds))
        except (OSError, PantreeError) as error:
            remedy = error.remedy if isinstance(error, ComponentUnavailable) else ""
            print(f"error: {remedy or error}", file=sys.stderr)
            raise SystemExit(1) from None

    async def _start(self, settings: SettingsT) -> RunningService:
        tenants = frozenset(tenant.strip() for tenant in settings.client_tenants.split(","))
        identity = load_identity(settings.tls_dir, settings.tls_domain, tenants)
        part = await self.build(settings)
        return await start(
            part,
            host=settings.host,
            port=settings.port,
            max_calls=settings.max_calls,
            max_held_mib=settings.max_held_mib,
            identity=identity,
        )

    async def _demonstrate(self, settings: SettingsT) -> None:
        async with (
            running(await self.build(settings), grace_seconds=CLOSING_SECONDS) as part,
            open_channel(part.address, timeout_seconds=30) as channel,
        ):
            with translate_rpc_errors(self.name):
                await self.demo(channel)


def run(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Runs an asynchronous main function, on uvloop except on Windows."""
    if sys.platform == "win32":
        asyncio.run(main())
    else:
        import uvloop

        uvloop.run(main())
