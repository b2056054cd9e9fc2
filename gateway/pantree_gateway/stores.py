"""Small values kept for a while: in this process, or in Redis for several replicas together."""

import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Any, Protocol, TypeVar

import structlog
from limits.aio.storage import RedisStorage
from redis import asyncio as redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from pantree_runtime.telemetry import external_call

# How long Redis is left alone after a failure, so that requests do not wait for it one by one.
COOL_DOWN_SECONDS = 2.0
# A store nearby answers within milliseconds; a request must not wait long for one that does not.
REDIS_TIMEOUT_SECONDS = 0.5
MOST_BYTES = 64 * 1024 * 1024
SYSTEM = "redis"
"""Name of Redis in traces and counts."""

_log = structlog.get_logger(__name__)

SharedT = TypeVar("SharedT")
LocalT = TypeVar("LocalT")


class Store(Protocol):
    """Values by key, each for some seconds."""

    async def get(self, key: str) -> bytes | None:
        """Value under a key; None when there is none any more."""

    async def put(self, key: str, value: bytes, seconds: float) -> None:
        """Keeps a value, instead of any that was there."""

    async def add(self, key: str, value: bytes, seconds: float) -> bool:
        """Keeps a value unless there is one; whether it did."""

    async def delete(self, key: str) -> None:
        """Forgets a value."""


class MemoryStore:
    """Values of this process; the oldest make room for new ones.

    Args:
        most_bytes: of all values together.
    """

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._most_bytes = most_bytes
        self._bytes = 0
        self._values: OrderedDict[str, tuple[bytes, float]] = OrderedDict()

    async def get(self, key: str) -> bytes | None:
        """Value under a key; None when there is none any more."""
        value, ends_at = self._values.get(key, (None, 0.0))
        if value is not None and ends_at <= time.monotonic():
            await self.delete(key)
            return None
        return value

    async def put(self, key: str, value: bytes, seconds: float) -> None:
        """Keeps a value, instead of any that was there."""
        await self.delete(key)
        self._values[key] = (value, time.monotonic() + seconds)
        self._bytes += len(key) + len(value)
        while self._bytes > self._most_bytes:
            await self.delete(next(iter(self._values)))

    async def add(self, key: str, value: bytes, seconds: float) -> bool:
        """Keeps a value unless there is one; whether it did."""
        if await self.get(key) is not None:
            return False
        await self.put(key, value, seconds)
        return True

    async def delete(self, key: str) -> None:
        """Forgets a value."""
        found = self._values.pop(key, None)
        if found is not None:
            self._bytes -= len(key) + len(found[0])


class RedisHealth:
    """Whether Redis answers, and when to try it again."""

    def __init__(self) -> None:
        self.message = ""
        """What is wrong with it; empty when nothing is."""
        self._next_try = 0.0

    def worth_a_try(self) -> bool:
        """Whether to ask it."""
        return time.monotonic() >= self._next_try

    def worked(self) -> None:
        """Notes that it answered."""
        if self.message:
            _log.info("redis answers again; limits and caches are shared")
        self.message = ""

    def failed(self, error: Exception) -> None:
        """Notes that it did not answer."""
        if not self.message:
            _log.warning("redis does not answer; limits and caches are this replica's own", error=str(error)[:200])
        self.message = "redis does not answer; limits and caches are this replica's own until it does"
        self._next_try = time.monotonic() + COOL_DOWN_SECONDS


class RedisStore:
    """Values in Redis; while it does not answer, in this process.

    Args:
        client: client of the server.
        health: notes how it goes.
    """

    def __init__(self, client: redis.Redis, health: RedisHealth) -> None:
        self._client = client
        self._health = health
        self._local = MemoryStore()

    async def get(self, key: str) -> bytes | None:
        """Value under a key; None when there is none any more."""
        value = await self._either("get", lambda: self._client.get(key), lambda: self._local.get(key))
        return value.encode() if isinstance(value, str) else value

    async def put(self, key: str, value: bytes, seconds: float) -> None:
        """Keeps a value, instead of any that was there."""
        milliseconds = max(int(seconds * 1000), 1)
        await self._either(
            "set",
            lambda: self._client.set(key, value, px=milliseconds),
            lambda: self._local.put(key, value, seconds),
        )

    async def add(self, key: str, value: bytes, seconds: float) -> bool:
        """Keeps a value unless there is one; whether it did."""
        milliseconds = max(int(seconds * 1000), 1)
        return bool(
            await self._either(
                "add",
                lambda: self._client.set(key, value, px=milliseconds, nx=True),
                lambda: self._local.add(key, value, seconds),
            )
        )

    async def delete(self, key: str) -> None:
        """Forgets a value."""
        await self._either("delete", lambda: self._client.delete(key), lambda: self._local.delete(key))

    async def _either(
        self, operation: str, shared: Callable[[], Awaitable[SharedT]], local: Callable[[], Awaitable[LocalT]]
    ) -> SharedT | LocalT:
        if self._health.worth_a_try():
            try:
                with external_call(SYSTEM, operation):
                    result = await shared()
            except (RedisError, OSError, TimeoutError) as error:
                self._health.failed(error)
            else:
                self._health.worked()
                return result
        return await local()


class SharedRedis:
    """A Redis server that several gateways share. It is asked for the first time by the first request.

    Args:
        url: where it is, such as `redis://localhost:6379/0`.
    """

    def __init__(self, url: str) -> None:
        # Gives up at once: a replica that works on its own is better than one that waits.
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
