"""A store of expiring values, in this process or in a Redis that several replicas share."""

from collections.abc import Awaitable, Callable
from typing import Any

from pantree_runtime.cache import ExpiringCache
from pantree_runtime.shared_redis import SharedRedis

MAX_BYTES = 32 * 1024 * 1024


class Store:
    """Expiring values by partition and key; a partition belongs to a tenant, or to a caller without one.

    Args:
        redis: stores the values while it is available; otherwise this process stores them.
        max_bytes: total size of the values in this process. When it is exceeded, the partition with the most bytes
            loses its least recently used values, so that no tenant can evict those of another one that stores less.
    """

    def __init__(self, redis: SharedRedis | None = None, max_bytes: int = MAX_BYTES) -> None:
        self._redis = redis
        self._max_bytes = max_bytes
        self._local: dict[str, ExpiringCache[str, bytes]] = {}

    @property
    def is_local(self) -> bool:
        """Whether other replicas don't see the values although they should, because Redis is unavailable."""
        return self._redis is not None and bool(self._redis.message)

    async def get(self, partition: str, key: str) -> bytes | None:
        """Value of a key; None when it is absent or expired."""
        value: bytes | None = await self._run("get", lambda redis: redis.get(key), lambda: None)
        # This process may have stored it while Redis was unavailable.
        return self._get(partition, key) if value is None else value

    async def put(self, partition: str, key: str, value: bytes, ttl_seconds: float) -> None:
        """Stores or replaces a value."""
        self._delete(partition, key)
        await self._run(
            "set",
            lambda redis: redis.set(key, value, px=max(int(ttl_seconds * 1000), 1)),
            lambda: self._put(partition, key, value, ttl_seconds),
        )

    async def add(self, partition: str, key: str, value: bytes, ttl_seconds: float) -> bool:
        """Stores a value unless the key has one, and returns whether it did."""

        def add_locally() -> bool:
            if self._get(partition, key) is not None:
                return False
            self._put(partition, key, value, ttl_seconds)
            return True

        if self._redis is not None and self._get(partition, key) is not None:
            return False  # stored by this process while Redis was unavailable
        return bool(
            await self._run(
                "add", lambda redis: redis.set(key, value, px=max(int(ttl_seconds * 1000), 1), nx=True), add_locally
            )
        )

    async def delete(self, partition: str, key: str) -> None:
        """Deletes a value."""
        self._delete(partition, key)
        await self._run("delete", lambda redis: redis.delete(key), lambda: None)

    def _get(self, partition: str, key: str) -> bytes | None:
        values = self._local.get(partition)
        return None if values is None else values.get(key)

    def _put(self, partition: str, key: str, value: bytes, ttl_seconds: float) -> None:
        values = self._local.get(partition)
        if values is None:
            values = self._local[partition] = ExpiringCache(
                self._max_bytes, size_of=lambda key, value: len(key) + len(value)
            )
        values.put(key, value, ttl_seconds)
        while sum(one.size for one in self._local.values()) > self._max_bytes:
            largest = max(self._local, key=lambda name: self._local[name].size)
            self._local[largest].evict()

    def _delete(self, partition: str, key: str) -> None:
        if partition in self._local:
            self._local[partition].delete(key)

    async def _run(self, operation: str, command: Callable[[Any], Awaitable[Any]], local: Callable[[], Any]) -> Any:
        async def fallback() -> Any:
            return local()

        redis = self._redis
        return local() if redis is None else await redis.run(operation, lambda: command(redis.client), fallback)
