"""Values with an expiry, in this process or in a Redis that several replicas share."""

import time
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple, Protocol, TypeVar

import structlog
from cachetools import TLRUCache
from limits.aio.storage import RedisStorage
from redis import asyncio as redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from pantree_runtime.telemetry import external_call

# How long Redis is skipped after a failure, so that requests do not wait for it one by one.
COOL_DOWN_SECONDS = 2.0
# A store nearby answers within milliseconds.
REDIS_TIMEOUT_SECONDS = 0.5
MAX_BYTES = 64 * 1024 * 1024
SYSTEM = "redis"
"""Name of Redis in traces and metrics."""

_log = structlog.get_logger(__name__)

SharedT = TypeVar("SharedT")
LocalT = TypeVar("LocalT")


class Store(Protocol):
    """Values by key, each with an expiry."""

    async def get(self, key: str) -> bytes | None:
        """Value of a key; None when it is absent or expired."""

    async def put(self, key: str, value: bytes, ttl_seconds: float) -> None:
        """Stores a value, replacing any other."""

    async def add(self, key: str, value: bytes, ttl_seconds: float) -> bool:
        """Stores a value unless the key has one; returns whether it was stored."""

    async def delete(self, key: str) -> None:
        """Deletes a value."""


class _Item(NamedTuple):
    value: bytes
    ttl_seconds: float
    size: int


class MemoryStore:
    """Values in this process; the least recently used ones make room for new ones."""

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        self._items: TLRUCache[str, _Item] = TLRUCache(
            max_bytes, lambda _key, item, now: now + item.ttl_seconds, time.monotonic, lambda item: item.size
        )

    async def get(self, key: str) -> bytes | None:
        """Value of a key; None when it is absent or expired."""
        item = self._items.get(key)
        return None if item is None else item.value

    async def put(self, key: str, value: bytes, ttl_seconds: float) -> None:
        """Stores a value, replacing any other; one that is too large is not stored."""
        self._items.pop(key, None)
        size = len(key) + len(value)
        if size <= self._items.maxsize:
            self._items[key] = _Item(value, ttl_seconds, size)

    async def add(self, key: str, value: bytes, ttl_seconds: float) -> bool:
        """Stores a value unless the key has one; returns whether it was stored."""
        if key in self._items:
            return False
        await self.put(key, value, ttl_seconds)
        return True

    async def delete(self, key: str) -> None:
        """Deletes a value."""
        self._items.pop(key, None)


class RedisHealth:
    """Whether Redis answers, and when to try it again."""

    def __init__(self) -> None:
        self.message = ""
        """What is wrong; empty when it answers."""
        self._next_try = 0.0

    def is_available(self) -> bool:
        """Whether to use it."""
        return time.monotonic() >= self._next_try

    def record_success(self) -> None:
        """Records that it answered."""
        if self.message:
            _log.info("redis answers again; limits and caches are shared")
        self.message = ""

    def record_failure(self, error: Exception) -> None:
        """Records that it did not answer."""
        if not self.message:
            _log.warning("redis is unavailable; limits and caches are local to this replica", error=str(error)[:200])
        self.message = "redis is unavailable; until it answers, limits and caches are local to this replica"
        self._next_try = time.monotonic() + COOL_DOWN_SECONDS


class RedisStore:
    """Values in Redis, or in this process while Redis is unavailable."""

    def __init__(self, client: redis.Redis, health: RedisHealth) -> None:
        self._client = client
        self._health = health
        self._local = MemoryStore()

    async def get(self, key: str) -> bytes | None:
        """Value of a key; None when it is absent or expired."""
        value = await self._with_fallback("get", lambda: self._client.get(key), lambda: self._local.get(key))
        return value.encode() if isinstance(value, str) else value

    async def put(self, key: str, value: bytes, ttl_seconds: float) -> None:
        """Stores a value, replacing any other."""
        await self._with_fallback(
            "set",
            lambda: self._client.set(key, value, px=_milliseconds(ttl_seconds)),
            lambda: self._local.put(key, value, ttl_seconds),
        )

    async def add(self, key: str, value: bytes, ttl_seconds: float) -> bool:
        """Stores a value unless the key has one; returns whether it was stored."""
        return bool(
            await self._with_fallback(
                "add",
                lambda: self._client.set(key, value, px=_milliseconds(ttl_seconds), nx=True),
                lambda: self._local.add(key, value, ttl_seconds),
            )
        )

    async def delete(self, key: str) -> None:
        """Deletes a value."""
        await self._with_fallback("delete", lambda: self._client.delete(key), lambda: self._local.delete(key))

    async def _with_fallback(
        self, operation: str, shared: Callable[[], Awaitable[SharedT]], local: Callable[[], Awaitable[LocalT]]
    ) -> SharedT | LocalT:
        if self._health.is_available():
            try:
                with external_call(SYSTEM, operation):
                    result = await shared()
            except (RedisError, OSError, TimeoutError) as error:
                self._health.record_failure(error)
            else:
                self._health.record_success()
                return result
        return await local()


def _milliseconds(seconds: float) -> int:
    return max(int(seconds * 1000), 1)


class SharedRedis:
    """A Redis server that several gateways share; connects with the first request.

    Args:
        url: such as `redis://localhost:6379/0`.
    """

    def __init__(self, url: str) -> None:
        # No retries: falling back to local values is better than waiting.
        options: dict[str, Any] = {
            "socket_timeout": REDIS_TIMEOUT_SECONDS,
            "socket_connect_timeout": REDIS_TIMEOUT_SECONDS,
            "retry": Retry(NoBackoff(), 0),
        }
        self.health = RedisHealth()
        self._client = redis.Redis.from_url(url, **options)
        self.store = RedisStore(self._client, self.health)
        self.limits = RedisStorage(f"async+{url}", implementation="redispy", key_prefix="pantree:limit", **options)

    async def close(self) -> None:
        """Closes the connections."""
        await self._client.aclose()
