"""Rate limits per caller, counted in this process or, across replicas, in Redis.

The headers follow the IETF draft "RateLimit header fields for HTTP" (draft-ietf-httpapi-ratelimit-headers).
"""

import math
import time
from dataclasses import dataclass
from typing import Any

from limits import RateLimitItem, parse
from limits.aio.storage import MemoryStorage, RedisStorage
from limits.aio.strategies import SlidingWindowCounterRateLimiter

from pantree_runtime.shared_redis import SharedRedis

_POLICY = "default"


@dataclass(frozen=True)
class RateLimitResult:
    """Whether a request is within its limit, and how much of the limit is left."""

    allowed: bool
    limit: int
    window_seconds: int
    remaining: int
    reset_seconds: int

    def headers(self) -> dict[str, str]:
        """`RateLimit-Policy` and `RateLimit`, and `Retry-After` over the limit."""
        headers = {
            "RateLimit-Policy": f'"{_POLICY}";q={self.limit};w={self.window_seconds}',
            "RateLimit": f'"{_POLICY}";r={self.remaining};t={self.reset_seconds}',
        }
        return headers if self.allowed else {**headers, "Retry-After": str(max(self.reset_seconds, 1))}


class RateLimiter:
    """Counts requests in sliding windows.

    Args:
        limit: default limit, such as `600/minute`; empty for none.
        redis: Redis to count in, over its connections; None counts in this process.

    Raises:
        ValueError: when the limit is malformed.
    """

    def __init__(self, limit: str, redis: SharedRedis | None = None) -> None:
        self._limit = parse(limit) if limit else None
        self._local = SlidingWindowCounterRateLimiter(MemoryStorage())
        self._redis = redis
        if redis is not None:
            # Its own connections would stay open: it has no method that closes them.
            pool: Any = redis.client.connection_pool
            storage = RedisStorage(
                "async+redis://", implementation="redispy", key_prefix="pantree:limit", connection_pool=pool
            )
            self._shared = SlidingWindowCounterRateLimiter(storage)

    async def hit(self, caller: str, own_limit: str = "") -> RateLimitResult | None:
        """Counts a request of a caller, against its own limit if it has one; None without any limit."""
        limit = parse(own_limit) if own_limit else self._limit
        if limit is None:
            return None
        if self._redis is None:
            return await _hit(self._local, limit, caller)
        return await self._redis.run(
            "count",
            lambda: _hit(self._shared, limit, caller),
            lambda: _hit(self._local, limit, caller),
            errors=(Exception,),  # the storage library does not wrap errors
        )


def check_rate_limit(value: str) -> str:
    """Returns a rate limit of the settings or of an API key.

    Raises:
        ValueError: when it is neither empty nor a rate limit.
    """
    try:
        parse(value or "1/second")
    except ValueError:
        raise ValueError("must be a number and a period, such as 600/minute") from None
    return value


async def _hit(limiter: SlidingWindowCounterRateLimiter, limit: RateLimitItem, caller: str) -> RateLimitResult:
    allowed = await limiter.hit(limit, caller)
    stats = await limiter.get_window_stats(limit, caller)
    reset_seconds = math.ceil(max(stats.reset_time - time.time(), 0))
    return RateLimitResult(allowed, limit.amount, limit.get_expiry(), max(stats.remaining, 0), reset_seconds)
