"""Channels to parts of the mesh, with load balancing, retries, keepalive, deadlines, observers and TLS."""

import asyncio
import json
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import grpc

from pantree_runtime.deadline import call_timeout
from pantree_runtime.identity import Identity

KEEPALIVE_MS = 60_000
# Servers reject more frequent pings (see server.py). Half of the above leaves a margin for clock and network.
MIN_PING_INTERVAL_MS = 30_000
KEEPALIVE_TIMEOUT_MS = 10_000
# gRPC's default, which suffices: larger data is paged or streamed.
MAX_MESSAGE_BYTES = 4 * 1024 * 1024
# How long calls in flight may stay on a connection with an old certificate.
_OLD_CONNECTION_SECONDS = 600.0
# Minimum time between two checks of the certificate files.
_CHECK_SECONDS = 1.0

_SERVICE_CONFIG = {
    "loadBalancingConfig": [{"round_robin": {}}],
    "methodConfig": [
        {
            "name": [{}],
            # UNAVAILABLE: the call did not start, or the server is shutting down. CANCELLED, unless by the caller: the
            # server stopped before it started the call, see `_LEAVING_SECONDS` of the server. gRPC never retries a
            # stream after its first message, and a server that reports its own failure disallows retries.
            "retryPolicy": {
                "maxAttempts": 4,
                "initialBackoff": "0.1s",
                "maxBackoff": "1s",
                "backoffMultiplier": 2,
                "retryableStatusCodes": ["UNAVAILABLE", "CANCELLED"],
            },
        }
    ],
    # Only replicas that report SERVING get calls, not those that are warming up or draining.
    "healthCheckConfig": {"serviceName": ""},
    # Retry budget: a failure takes a token, a success returns a tenth of one, and nothing is retried while half or more
    # of the tokens are gone. So retries add at most a tenth to the load on a part that keeps failing.
    "retryThrottling": {"maxTokens": 100, "tokenRatio": 0.1},
}

_OPTIONS = [
    ("grpc.service_config", json.dumps(_SERVICE_CONFIG)),
    ("grpc.enable_retries", 1),
    ("grpc.keepalive_time_ms", KEEPALIVE_MS),
    ("grpc.keepalive_timeout_ms", KEEPALIVE_TIMEOUT_MS),
    ("grpc.keepalive_permit_without_calls", 1),
    # Reconnects to a restarted part within a second; gRPC's default backoff goes up to two minutes.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 500),
    ("grpc.max_reconnect_backoff_ms", 1_000),
    # Finds a part that restarted at a new address within a second instead of 30.
    ("grpc.dns_min_time_between_resolutions_ms", 1_000),
]


class CallObserver(Protocol):
    """Observes one call, such as for metrics and traces."""

    def headers(self) -> Mapping[str, str]:
        """Metadata to send, such as the trace context."""

    def end(self, code: str) -> None:
        """Takes the name of the status with which the call ended."""


Observe = Callable[[str], Callable[[], CallObserver]]
"""Takes a method, `package.Service/Method`, and returns a function that makes the observer of each call."""


class _Method:
    """Calls one method with a deadline and an observer. Client interceptors would run calls in additional tasks."""

    __slots__ = ("_connect", "_kind", "_make", "_multi_callable", "_observe", "_timeout_seconds", "_version")

    def __init__(
        self, connect: "Callable[[], tuple[int, grpc.aio.Channel]]", observe: Observe | None, kind: str,
        timeout_seconds: float | None, method: str, arguments: tuple[Any, ...], options: dict[str, Any],
    ) -> None:  # fmt: skip
        self._connect = connect
        self._kind = kind
        self._timeout_seconds = timeout_seconds
        self._observe = None if observe is None else observe(method[1:])
        self._version = -1
        self._make: Callable[[grpc.aio.Channel], Any] = lambda channel: getattr(channel, kind)(
            method, *arguments, **options
        )
        self._multi_callable: Any = None

    def __call__(self, *request: Any, timeout: float | None = None, metadata: Any = None, **options: Any) -> Any:
        version, channel = self._connect()
        if version != self._version:
            self._multi_callable, self._version = self._make(channel), version
        max_seconds = call_timeout(self._timeout_seconds if timeout is None else timeout)
        if self._observe is None:
            return self._multi_callable(*request, timeout=max_seconds, metadata=metadata, **options)
        observer = self._observe()
        if headers := observer.headers():
            others = [pair for pair in metadata or () if pair[0] not in headers]
            # gRPC's own type, because validating tuples is slow.
            metadata = grpc.aio.Metadata(*headers.items(), *others)
        call = self._multi_callable(*request, timeout=max_seconds, metadata=metadata, **options)
        call.add_done_callback(lambda call: observer.end(_code_of(call)))
        return call


def _code_of(call: Any) -> str:
    """Status code of a finished call. Its coroutine `code()` then finishes without an event loop."""
    try:
        call.code().send(None)
    except StopIteration as done:
        return str(done.value.name)
    return "UNKNOWN"


class MeshChannel(grpc.aio.Channel):
    """Channel to a part, opened by `open_channel`.

    With TLS, it reconnects when the certificate files change, and calls in flight finish on the old connection.
    """

    def __init__(
        self,
        connect: Callable[[], grpc.aio.Channel],
        identity: Identity | None,
        timeout_seconds: float,
        observe: Observe | None,
    ) -> None:
        self._connect = connect
        self._observe = observe
        self._identity = identity
        self._timeout_seconds = timeout_seconds
        self._channel = connect()
        self._version = 0 if identity is None else identity.version
        self._next_check = 0.0
        self._closing: set[Any] = set()

    def _current(self) -> tuple[int, grpc.aio.Channel]:
        if self._identity is not None and time.monotonic() >= self._next_check:
            self._next_check = time.monotonic() + _CHECK_SECONDS
            version = self._identity.refresh()
            if version != self._version:
                old, self._channel, self._version = self._channel, self._connect(), version
                closing = asyncio.get_running_loop().create_task(old.close(_OLD_CONNECTION_SECONDS))
                self._closing.add(closing)
                closing.add_done_callback(self._closing.discard)
        return self._version, self._channel

    def unary_unary(self, method: str, *arguments: Any, **options: Any) -> Any:
        """Callable with one request and one response."""
        return _Method(self._current, self._observe, "unary_unary", self._timeout_seconds, method, arguments, options)

    def unary_stream(self, method: str, *arguments: Any, **options: Any) -> Any:
        """Callable with one request and many responses."""
        return _Method(self._current, self._observe, "unary_stream", self._timeout_seconds, method, arguments, options)

    def stream_unary(self, method: str, *arguments: Any, **options: Any) -> Any:
        """Callable with many requests and one response, without a default timeout."""
        return _Method(self._current, self._observe, "stream_unary", None, method, arguments, options)

    def stream_stream(self, method: str, *arguments: Any, **options: Any) -> Any:
        """Callable with many requests and many responses, without a default timeout."""
        return _Method(self._current, self._observe, "stream_stream", None, method, arguments, options)

    async def close(self, grace: float | None = None) -> None:
        """Closes the connections."""
        for closing in list(self._closing):
            closing.cancel()
        await self._channel.close(grace)

    def get_state(self, try_to_connect: bool = False) -> grpc.ChannelConnectivity:
        """Connectivity state."""
        return self._channel.get_state(try_to_connect)

    async def wait_for_state_change(self, last_observed_state: grpc.ChannelConnectivity) -> None:
        """Waits until the state changes."""
        await self._channel.wait_for_state_change(last_observed_state)

    async def channel_ready(self) -> None:
        """Waits until the channel is connected."""
        await self._channel.channel_ready()

    async def __aenter__(self) -> "MeshChannel":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


def open_channel(
    address: str,
    *,
    timeout_seconds: float,
    part: str = "",
    identity: Identity | None = None,
    observe: Observe | None = None,
) -> grpc.aio.Channel:
    """Channel to a part. Open one per part and event loop.

    The deadline of a call is its own timeout or else `timeout_seconds`, but at most the time left for the request being
    handled, less this hop's reserve.

    Args:
        address: `host:port`, or `dns:///name:port` for a headless Service with several replicas.
        timeout_seconds: default timeout of calls with a single request.
        part: name of the part, which must be in its certificate; required with an identity.
        identity: identity of the caller; None for no TLS.
        observe: makes an observer for each call; parts pass `telemetry.observe_calls`.
    """
    if identity is None:
        return MeshChannel(lambda: grpc.aio.insecure_channel(address, options=_OPTIONS), None, timeout_seconds, observe)
    options: Sequence[tuple[str, Any]] = [*_OPTIONS, ("grpc.ssl_target_name_override", identity.name_of(part))]
    return MeshChannel(
        lambda: grpc.aio.secure_channel(address, identity.channel_credentials(), options=options),
        identity,
        timeout_seconds,
        observe,
    )
