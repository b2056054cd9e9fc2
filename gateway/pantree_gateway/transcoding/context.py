"""Limits, policies and stores that all routes of a gateway share."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from starlette.types import Scope

from pantree_gateway.stores import Store
from pantree_gateway.transcoding.headers import HeaderPolicy
from pantree_gateway.transcoding.json_codec import JsonCodec
from pantree_gateway.transcoding.stored_responses import IdempotencyStore, ResponseCache


@dataclass(frozen=True)
class Limits:
    """Limits of the size and the duration of requests."""

    body_bytes: int = 16 * 1024 * 1024
    request_timeout_seconds: float = 30.0
    """Applies to a request without a timeout header."""
    stream_timeout_seconds: float = 300.0
    """Applies to a stream without a timeout header."""
    first_message_seconds: float = 30.0
    """How long a WebSocket client may take to send its first request."""
    linger_seconds: float = 1.0
    """How long a WebSocket stays open for another request after the answer to one without an id."""
    idle_seconds: float = 300.0
    """How long a WebSocket stays open for another request after the answer to one with an id."""
    max_queued_requests: int = 16
    """Applies to each WebSocket."""


async def _no_rate_limit(_scope: Scope) -> None:
    pass


@dataclass(frozen=True)
class RouteContext:
    """Limits, policies and stores that all routes of a gateway share."""

    codec: JsonCodec = field(default_factory=JsonCodec)
    limits: Limits = field(default_factory=Limits)
    headers: HeaderPolicy = field(default_factory=HeaderPolicy)
    check_rate_limit: Callable[[Scope], Awaitable[object]] = _no_rate_limit
    """Counts another request on a WebSocket; raises `ProblemError` when the caller is over its limit."""
    cache: ResponseCache = field(default_factory=lambda: ResponseCache(Store()))
    idempotency: IdempotencyStore = field(default_factory=lambda: IdempotencyStore(Store()))
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the gateway is shutting down."""
