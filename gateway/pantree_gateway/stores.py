"""Values with an expiry, in this process or in a Redis that several replicas share."""

from typing import Protocol

from pantree_runtime.cache import ExpiringCache
from pantree_runtime.shared_redis import SharedRedis

MAX_BYTES = 64 * 1024 * 1024


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


class MemoryStore:
    """Values in this process; the least recently used ones make room for new ones."""

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        self._values: ExpiringCache[str, bytes] = ExpiringCache(
            max_bytes, size_of=lambda key, value: len(key) + len(value)
        )

    async def get(self, key: str) -> bytes | None:
        """Value of a key; None when it is absent or expired."""
        return self._values.get(key)

    async def put(self, key: str, value: bytes, ttl_seconds: float) -> None:
        """Stores a value, replacing any other; one larger than the store is not stored."""
        self._values.put(key, value, ttl_seconds)

    async def add(self, key: str, value: bytes, ttl_seconds: float) -> bool:
        """Stores a value unless the key has one; returns whether it was stored."""
        if self._values.get(key) is not None:
            return False
        self._values.put(key, value, ttl_seconds)
        return True

    async def delete(self, key: str) -> None:
        """Deletes a value."""
        self._values.delete(key)


class RedisStore:
    """Values in Redis, or in this process while Redis is unavailable."""

    def __init__(self, redis: SharedRedis) -> None:
        self._redis = redis
        self._local = MemoryStore()

    async def get(self, key: str) -> bytes | None:
        """Value of a key; None when it is absent or expired."""
        client, local = self._redis.client, self._local
        value = await self._redis.run("get", lambda: client.get(key), lambda: local.get(key))
        return value.encode() if isinstance(value, str) else value

    async def put(self, key: str, value: bytes, ttl_seconds: float) -> None:
        """Stores a value, replacing any other."""
        client, local, milliseconds = self._redis.client, self._local, _milliseconds(ttl_seconds)
        await self._redis.run(
            "set", lambda: client.set(key, value, px=milliseconds), lambda: local.put(key, value, ttl_seconds)
        )

    async def add(self, key: str, value: bytes, ttl_seconds: float) -> bool:
        """Stores a value unless the key has one; returns whether it was stored."""
        client, local, milliseconds = self._redis.client, self._local, _milliseconds(ttl_seconds)
        added = await self._redis.run(
            "add", lambda: client.set(key, value, px=milliseconds, nx=True), lambda: local.add(key, value, ttl_seconds)
        )
        return bool(added)

    async def delete(self, key: str) -> None:
        """Deletes a value."""
        client, local = self._redis.client, self._local
        await self._redis.run("delete", lambda: client.delete(key), lambda: local.delete(key))


def _milliseconds(seconds: float) -> int:
    return max(int(seconds * 1000), 1)
