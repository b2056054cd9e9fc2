"""An in-process cache whose values expire."""

import time
from collections.abc import Callable, Hashable, Iterator
from typing import Generic, NamedTuple, TypeVar

from cachetools import TLRUCache

KeyT = TypeVar("KeyT", bound=Hashable)
ValueT = TypeVar("ValueT")


class _Entry(NamedTuple, Generic[ValueT]):
    value: ValueT
    seconds: float
    size: float


class ExpiringCache(Generic[KeyT, ValueT]):
    """Cache whose values each have their own lifetime. When full, it drops the least recently used value.

    Not thread-safe.

    Args:
        max_size: maximum number of values, or their maximum total size if `size_of` is given.
        size_of: size of a key and its value together.
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
        # Entries carry their size, since cachetools passes only the value to `getsizeof`.
        self._entries: TLRUCache[KeyT, _Entry[ValueT]] = TLRUCache(
            max_size, ttu=lambda _, entry, now: now + entry.seconds, timer=clock, getsizeof=lambda entry: entry.size
        )

    def get(self, key: KeyT) -> ValueT | None:
        """The value of a key; None if it is missing or expired."""
        entry = self._entries.get(key)
        return None if entry is None else entry.value

    def put(self, key: KeyT, value: ValueT, seconds: float) -> None:
        """Stores a value, replacing any earlier one. A value larger than the cache is not stored."""
        size = 1.0 if self._size_of is None else self._size_of(key, value)
        self._entries.pop(key, None)
        if size <= self._entries.maxsize:
            self._entries[key] = _Entry(value, seconds, size)

    def items(self) -> Iterator[tuple[KeyT, ValueT]]:
        """Keys and values that have not expired."""
        for key in list(self._entries):
            entry = self._entries.get(key)
            if entry is not None:
                yield key, entry.value

    @property
    def size(self) -> float:
        """Number of values, or their total size if `size_of` is given."""
        return self._entries.currsize

    def evict(self) -> None:
        """Removes the least recently used value; there is at least one."""
        self._entries.popitem()

    def delete(self, key: KeyT) -> None:
        """Removes a value, if there is one."""
        self._entries.pop(key, None)
