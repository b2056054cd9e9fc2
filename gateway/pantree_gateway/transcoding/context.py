"""Limits, policies and stores that all routes of a gateway share."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from starlette.types import Scope

from pantree_gateway.stores import Store
from pantree_gateway.transcoding.headers import HeaderPolicy
from pantree_gateway.transcoding.json_codec import JsonCodec
from pantree_gateway.transcoding.limits import Limits
from pantree_gateway.transcoding.stored_responses import IdempotencyStore, ResponseCache


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
