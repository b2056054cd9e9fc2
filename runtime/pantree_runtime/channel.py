"""Channels to the parts of the mesh: load balancing, retries, keepalive, deadlines."""

import json
from collections.abc import Callable
from typing import Any

import grpc

from pantree_runtime.deadline import seconds_for_call

# Servers refuse pings that come more often (see server.py); half as often leaves room for clock and network.
KEEPALIVE_MS = 60_000
LEAST_PING_INTERVAL_MS = 30_000
# How many bytes a message may have: gRPC's own default, kept on purpose. Larger things are paged or streamed.
MAX_MESSAGE_BYTES = 4 * 1024 * 1024

_SERVICE_CONFIG = {
    "loadBalancingConfig": [{"round_robin": {}}],
    "methodConfig": [
        {
            "name": [{}],
            # Only UNAVAILABLE: the call was not begun, or the server is going away. gRPC itself never retries a stream
            # after its first message.
            "retryPolicy": {
                "maxAttempts": 4,
                "initialBackoff": "0.1s",
                "maxBackoff": "1s",
                "backoffMultiplier": 2,
                "retryableStatusCodes": ["UNAVAILABLE"],
            },
        }
    ],
}

_OPTIONS = [
    ("grpc.service_config", json.dumps(_SERVICE_CONFIG)),
    ("grpc.enable_retries", 1),
    ("grpc.keepalive_time_ms", KEEPALIVE_MS),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
    # A part that comes back is found within two seconds; gRPC's own back-off goes up to two minutes.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 500),
    ("grpc.max_reconnect_backoff_ms", 2_000),
]


class _UnaryDeadline(grpc.aio.UnaryUnaryClientInterceptor):
    def __init__(self, longest_seconds: float) -> None:
        self._longest_seconds = longest_seconds

    async def intercept_unary_unary(
        self, continuation: Callable[..., Any], client_call_details: grpc.aio.ClientCallDetails, request: Any
    ) -> Any:
        return await continuation(_with_deadline(client_call_details, self._longest_seconds), request)


class _StreamDeadline(grpc.aio.UnaryStreamClientInterceptor):
    def __init__(self, longest_seconds: float) -> None:
        self._longest_seconds = longest_seconds

    async def intercept_unary_stream(
        self, continuation: Callable[..., Any], client_call_details: grpc.aio.ClientCallDetails, request: Any
    ) -> Any:
        return await continuation(_with_deadline(client_call_details, self._longest_seconds), request)


def _with_deadline(details: grpc.aio.ClientCallDetails, longest_seconds: float) -> grpc.aio.ClientCallDetails:
    longest = longest_seconds if details.timeout is None else details.timeout
    return details._replace(timeout=seconds_for_call(longest))  # type: ignore[attr-defined, no-any-return]


def open_channel(address: str, *, longest_seconds: float) -> grpc.aio.Channel:
    """Channel to a part. Call it inside the running event loop, once per part, and close it at the end.

    Every call gets a deadline: its own timeout or `longest_seconds`, and never more than what is left for the request
    being served, less this hop's share.

    Args:
        address: `host:port`, or `dns:///name:port` for a headless Service with several replicas.
        longest_seconds: timeout of calls that name none.
    """
    return grpc.aio.insecure_channel(
        address, options=_OPTIONS, interceptors=[_UnaryDeadline(longest_seconds), _StreamDeadline(longest_seconds)]
    )
