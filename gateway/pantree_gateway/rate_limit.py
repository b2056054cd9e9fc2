"""How many requests a caller may make, kept in this process or, for several replicas together, in Redis.

The headers are those of the IETF draft "RateLimit header fields for HTTP" (draft-ietf-httpapi-ratelimit-headers).
"""

import math
import time
from dataclasses import dataclass

from limits import RateLimitItem, parse
from limits.aio.storage import MemoryStorage
from limits.aio.strategies import SlidingWindowCounterRateLimiter

from pantree_gateway.stores import SYSTEM, SharedRedis
from pantree_runtime.telemetry import external_call

_POLICY = "default"


@dataclass(frozen=True)
class Verdict:
    """What a limit says to one request."""

    allowed: bool
    most: int
    window_seconds: int
    remaining: int
    reset_seconds: int

    def headers(self) -> dict[str, str]:
        """Headers that tell the client; `Retry-After` only when it has to wait."""
        told = {
            "RateLimit-Policy": f'"{_POLICY}";q={self.most};w={self.window_seconds}',
            "RateLimit": f'"{_POLICY}";r={self.remaining};t={self.reset_seconds}',
        }
        return told if self.allowed else {**told, "Retry-After": str(max(self.reset_seconds, 1))}


class RateLimiter:
    """Counts requests in sliding windows.

    Args:
        limit: general limit, such as `600/minute`; empty for none.
        shared: Redis that all replicas count in; None counts in this process.

    Raises:
        ValueError: when the limit cannot be read.
    """

    def __init__(self, limit: str, shared: SharedRedis | None) -> None:
        self._limit = parse(limit) if limit else None
        self._own: dict[str, RateLimitItem] = {}
        self._local = SlidingWindowCounterRateLimiter(MemoryStorage())
        self._health = shared.health if shared else None
        self._shared = SlidingWindowCounterRateLimiter(shared.limits) if shared else None

    async def judge(self, caller: str, own_limit: str = "") -> Verdict | None:
        """Counts a request; None when there is no limit.

        Args:
            caller: whom to count for; it is kept as a key for the length of a window.
            own_limit: the caller's own limit, if any.
        """
        limit = self._own.setdefault(own_limit, parse(own_limit)) if own_limit else self._limit
        if limit is None:
            return None
        if self._shared is not None and self._health is not None and self._health.worth_a_try():
            try:
                with external_call(SYSTEM, "count"):
                    verdict = await self._ask(self._shared, limit, caller)
            except Exception as error:  # the storage library lets errors of every kind through
                self._health.failed(error)
            else:
                self._health.worked()
                return verdict
        return await self._ask(self._local, limit, caller)

    async def _ask(self, limiter: SlidingWindowCounterRateLimiter, limit: RateLimitItem, caller: str) -> Verdict:
        allowed = await limiter.hit(limit, caller)
        stats = await limiter.get_window_stats(limit, caller)
        wait = math.ceil(max(stats.reset_time - time.time(), 0))
        return Verdict(allowed, limit.amount, limit.get_expiry(), max(stats.remaining, 0), wait)
