"""A store of expiring values, in this process or in a Redis that several replicas share."""

import time
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, NamedTuple

from pantree_runtime.cache import ExpiringCache
from pantree_runtime.errors import ComponentUnavailable
from pantree_runtime.shared_redis import SharedRedis

MAX_BYTES = 32 * 1024 * 1024
_MAX_FORGOTTEN = 100_000
NOBODY: frozenset[str] = frozenset()


class _Local(NamedTuple):
    value: bytes
    subjects: frozenset[str]
    began_at: float


class Store:
    """Expiring values by partition and key; a partition belongs to a tenant, or to a caller without one.

    A value can have subjects, those whom it is about, so that `forget` finds it. All values with subjects have the same
    lifetime, or `forget` may miss some.

    Args:
        name: distinguishes stores that share a Redis.
        redis: stores the values while it is available; otherwise this process stores them.
        max_bytes: total size of the values in this process. When it is exceeded, the partition with the most bytes
            loses its least recently used values, so that no tenant can evict those of another one that stores less.
        clock: seconds since 1970, for `forget`.
    """

    def __init__(
        self,
        name: str = "",
        redis: SharedRedis | None = None,
        max_bytes: int = MAX_BYTES,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._name = name
        self._redis = redis
        self._max_bytes = max_bytes
        self.clock = clock
        self._local: dict[str, ExpiringCache[str, _Local]] = {}
        self._forgotten: ExpiringCache[str, float] = ExpiringCache(_MAX_FORGOTTEN)
        """When each subject was forgotten."""

    @property
    def is_local(self) -> bool:
        """Whether other replicas don't see the values although they should, because Redis is unavailable."""
        return self._redis is not None and bool(self._redis.message)

    async def get(self, partition: str, key: str) -> bytes | None:
        """Value of a key; None when it is absent or expired."""
        value: bytes | None = await self._run("get", lambda redis: redis.get(key), lambda: None)
        # This process may have stored it while Redis was unavailable.
        return await self._get(partition, key) if value is None else value

    async def put(
        self,
        partition: str,
        key: str,
        value: bytes,
        ttl_seconds: float,
        *,
        subjects: frozenset[str] = NOBODY,
        began_at: float = float("inf"),
    ) -> None:
        """Stores or replaces a value.

        Args:
            partition: whose part of the store it is.
            key: unique among all partitions.
            value: the value.
            ttl_seconds: its lifetime.
            subjects: those whom it is about.
            began_at: when the work on the value began. If a subject was forgotten since, the key gets no value.
        """
        self._delete(partition, key)
        if self._is_forgotten(subjects, began_at):
            await self.delete(partition, key)
            return

        async def put(redis: Any) -> None:
            milliseconds = max(int(ttl_seconds * 1000), 1)
            if not subjects:
                await redis.set(key, value, px=milliseconds)
                return
            now = self.clock()
            # First the index, then the marker: `forget` writes the marker first, so one of the two sees the other.
            async with redis.pipeline(transaction=True) as commands:
                commands.set(key, value, px=milliseconds)
                for subject in subjects:
                    index = self._index(subject)
                    commands.zremrangebyscore(index, "-inf", now)
                    commands.zadd(index, {key: now + ttl_seconds})
                    commands.pexpire(index, milliseconds)
                commands.mget([self._marker(subject) for subject in subjects])
                markers = (await commands.execute())[-1]
            if _is_after(markers, began_at):
                await redis.delete(key)

        await self._run("set", put, lambda: self._put(partition, key, _Local(value, subjects, began_at), ttl_seconds))

    async def add(self, partition: str, key: str, value: bytes, ttl_seconds: float) -> bool:
        """Stores a value without subjects unless the key has a value, and returns whether it did."""

        def add_locally() -> bool:
            if self._find(partition, key) is not None:
                return False
            self._put(partition, key, _Local(value, NOBODY, float("inf")), ttl_seconds)
            return True

        if self._redis is not None and await self._get(partition, key) is not None:
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

    async def forget(self, subject: str, ttl_seconds: float) -> None:
        """Deletes the values about a subject, in all partitions and replicas, and those that are being computed.

        Args:
            subject: whom they are about.
            ttl_seconds: longest lifetime of a value.

        Raises:
            ComponentUnavailable: when Redis is unavailable; what this process stores is deleted all the same.
        """
        now = self.clock()
        self._forgotten.put(subject, now, ttl_seconds)
        for values in self._local.values():
            for key in [key for key, stored in values.items() if subject in stored.subjects]:
                values.delete(key)
        if self._redis is None:
            return

        async def forget(redis: Any) -> bool:
            index = self._index(subject)
            await redis.set(self._marker(subject), repr(now), px=max(int(ttl_seconds * 1000), 1))
            keys = await redis.zrange(index, 0, -1)
            await redis.delete(index, *keys)
            return True

        if not await self._run("forget", forget, lambda: False):
            detail = "stored responses of this customer cannot be deleted at the moment; repeat the request later"
            raise ComponentUnavailable("redis", detail)

    def _index(self, subject: str) -> str:
        """Redis key of the keys of a subject's values."""
        return f"pantree:of:{self._name}:{subject}"

    def _marker(self, subject: str) -> str:
        """Redis key of the time at which a subject was forgotten."""
        return f"pantree:forgotten:{self._name}:{subject}"

    async def _get(self, partition: str, key: str) -> bytes | None:
        """A value that this process has stored. Another replica may have forgotten its subjects meanwhile."""
        stored = self._find(partition, key)
        if stored is not None and stored.subjects and self._redis is not None:
            names = [self._marker(subject) for subject in stored.subjects]
            if _is_after(await self._run("get", lambda redis: redis.mget(names), list), stored.began_at):
                self._delete(partition, key)
                return None
        return None if stored is None else stored.value

    def _is_forgotten(self, subjects: Iterable[str], began_at: float) -> bool:
        return any((self._forgotten.get(subject) or 0.0) >= began_at for subject in subjects)

    def _find(self, partition: str, key: str) -> _Local | None:
        values = self._local.get(partition)
        return None if values is None else values.get(key)

    def _put(self, partition: str, key: str, stored: _Local, ttl_seconds: float) -> None:
        values = self._local.get(partition)
        if values is None:
            values = self._local[partition] = ExpiringCache(
                self._max_bytes, size_of=lambda key, stored: len(key) + len(stored.value)
            )
        values.put(key, stored, ttl_seconds)
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


def _is_after(markers: Iterable[bytes | None], began_at: float) -> bool:
    return any(marker is not None and float(marker) >= began_at for marker in markers)
