"""A store of expiring values, in this process or in a Redis that several replicas share."""

from collections.abc import Awaitable, Callable
from typing import Any

from pantree_runtime.cache import ExpiringCache
from pantree_runtime.shared_redis import SharedRedis

MAX_BYTES = 64 * 1024 * 1024


class Store:
    """Expiring values by key.

    Args:
        redis: stores the values while it is available; otherwise this process stores them.
        max_bytes: total size of the values in this process; the least recently used ones are evicted.
    """

    def __init__(self, redis: SharedRedis | None = None, max_bytes: int = MAX_BYTES) -> None:
        self._redis = redis
        self._local: ExpiringCache[str, bytes] = ExpiringCache(
            max_bytes, size_of=lambda key, value: len(key) + len(value)
        )

    async def get(self, key: str) -> bytes | None:
        """Value of a key; None when it is absent or expired."""
        value: bytes | None = await self._run("get", lambda redis: redis.get(key), lambda: self._local.get(key))
        return value

    async def put(self, key: str, value: bytes, ttl_seconds: float) -> None:
        """Stores or replaces a value."""
        await self._run(
            "set",
            lambda redis: redis.set(key, value, px=max(int(ttl_seconds * 1000), 1)),
            lambda: self._local.put(key, value, ttl_seconds),
        )

    async def add(self, key: str, value: bytes, ttl_seconds: float) -> bool:
        """Stores a value unless the key has one, and returns whether it did."""

        def add_locally() -> bool:
            if self._local.get(key) is not None:
                return False
            self._local.put(key, value, ttl_seconds)
            return True

        return bool(
            await self._run(
                "add", lambda redis: redis.set(key, value, px=max(int(ttl_seconds * 1000), 1), nx=True), add_locally
            )
        )

    async def delete(self, key: str) -> None:
        """Deletes a value."""
        await self._run("delete", lambda redis: redis.delete(key), lambda: self._local.delete(key))

    async def _run(self, operation: str, command: Callable[[Any], Awaitable[Any]], local: Callable[[], Any]) -> Any:
        async def fallback() -> Any:
            return local()

        redis = self._redis
        return local() if redis is None else await redis.run(operation, lambda: command(redis.client), fallback)
