"""Limits of the size and the duration of requests."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ParamSpec, TypeVar

from pantree_runtime.cpu import run_cpu

P = ParamSpec("P")
ResultT = TypeVar("ResultT")

# Estimated time to parse and convert JSON.
_MS_PER_BYTE = 5.0 / (128 * 1024)
# While a large body is parsed, it takes 10 times its size. More parsers would not be faster, because only one thread
# runs Python at a time.
_LARGE_BYTES = 256 * 1024
_MAX_PARSERS = 2


@dataclass(frozen=True)
class Limits:
    """Limits of the size and the duration of requests."""

    body_bytes: int = 16 * 1024 * 1024
    request_timeout_seconds: float = 30.0
    """Applies to a request without a timeout header."""
    stream_timeout_seconds: float = 300.0
    """Applies to a stream without a timeout header."""
    body_seconds: float = 10.0
    """How long a body may take, plus its size over `min_body_bytes_per_second`, and a pause within it."""
    min_body_bytes_per_second: int = 16 * 1024
    first_message_seconds: float = 10.0
    """How long a WebSocket client may take to send its first request."""
    linger_seconds: float = 1.0
    """How long a WebSocket stays open for another request after the answer to one without an id."""
    idle_seconds: float = 300.0
    """How long a WebSocket stays open for another request after the answer to one with an id."""
    max_queued_requests: int = 16
    """Applies to each WebSocket."""
    parsers: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(_MAX_PARSERS))
    """Limits the large bodies that are parsed at a time."""

    async def run_parser(
        self, body_bytes: int, parse: Callable[P, ResultT], /, *args: P.args, **kwargs: P.kwargs
    ) -> ResultT:
        """Result of a function that parses or converts a body."""
        cost_ms = body_bytes * _MS_PER_BYTE
        if body_bytes < _LARGE_BYTES:
            return await run_cpu(cost_ms, parse, *args, **kwargs)
        async with self.parsers:
            return await run_cpu(cost_ms, parse, *args, **kwargs)
