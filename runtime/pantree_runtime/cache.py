"""A cache in this process whose values expire, on cachetools."""

import time
from collections.abc import Callable, Hashable
from typing import Generic, NamedTuple, TypeVar

from cachetools import TLRUCache

KeyT = TypeVar("KeyT", bound=Hashable)
ValueT = TypeVar("ValueT")


class _Entry(NamedTuple, Generic[ValueT]):
    value: ValueT
    seconds: float


class ExpiringCache(Generic[KeyT, ValueT]):
    """Values by key, each for its own time. When full, the least recently used value is dropped.

    For one event loop; not safe to share between threads.

    Args:
        max_size: number of values, or the sum of their sizes if `size_of` is given.
        size_of: size of a key with its value.
        clock: monotonic time in seconds.
    """

    def __init__(
        self,
        max_size: float,
        *,
        size_of: Callable[[KeyT, ValueT], float] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._size_of = size_of
        # Each entry carries its size, since cachetools passes only the value to `getsizeof`.
        self._entries: TLRUCache[KeyT, tuple[_Entry[ValueT], float]] = TLRUCache(
            max_size, ttu=lambda _, sized, now: now + sized[0].seconds, timer=clock, getsizeof=lambda sized: sized[1]
        )

    def get(self, key: KeyT) -> ValueT | None:
        """The value of a key; None if it is missing or expired."""
        found = self._entries.get(key)
        return None if found is None else found[0].value

    def put(self, key: KeyT, value: ValueT, seconds: float) -> None:
        """Stores a value and replaces any earlier one. A value larger than the cache is not stored."""
        size = 1.0 if self._size_of is None else self._size_of(key, value)
        self._entries.pop(key, None)
        if size <= self._entries.maxsize:
            self._entries[key] = (_Entry(value, seconds), size)

    def delete(self, key: KeyT) -> None:
        """Removes a value, if there is one."""
        self._entries.pop(key, None)
