"""A store in this process: exact, quick to start, gone when the process ends."""

import asyncio
import itertools
import threading
from collections import defaultdict
from collections.abc import Callable, Collection, Hashable, Iterator, Sequence
from typing import Generic, TypeVar

import numpy as np

from pantree_vector.core import (
    BoughtItem,
    CustomerMatch,
    CustomerPoint,
    EmbeddingModel,
    HeldItem,
    HouseholdPoints,
    ItemFilter,
    ItemMatch,
    Vector,
    Vectors,
)

KeyT = TypeVar("KeyT", bound=Hashable)
PointT = TypeVar("PointT")
ResultT = TypeVar("ResultT")

_FIRST_CAPACITY = 64
# So many are stored within a few tenths of a millisecond.
_MOST_ITEMS_WITHOUT_A_THREAD = 200
# A few megabytes.
_MOST_COPIED_AT_ONCE = 8_192


class _Table(Generic[KeyT, PointT]):
    """Points by key, with their vectors in one matrix."""

    def __init__(self, dimension: int) -> None:
        self._vectors = np.empty((_FIRST_CAPACITY, dimension), dtype=np.float32)
        self._points: list[PointT] = []
        self._keys: list[KeyT] = []
        self._rows: dict[KeyT, int] = {}

    def get(self, key: KeyT) -> PointT | None:
        row = self._rows.get(key)
        return None if row is None else self._points[row]

    def takes_at_once(self, count: int) -> bool:
        """Whether so many new points fit in without copying many vectors."""
        return len(self._points) + count <= len(self._vectors) or len(self._vectors) <= _MOST_COPIED_AT_ONCE

    def put(self, keys: Sequence[KeyT], points: Sequence[PointT], vectors: Vectors) -> None:
        rows = []
        for key, point in zip(keys, points, strict=True):
            row = self._rows.setdefault(key, len(self._points))
            if row == len(self._points):
                self._points.append(point)
                self._keys.append(key)
            else:
                self._points[row] = point
            rows.append(row)
        while len(self._points) > len(self._vectors):
            self._vectors = np.concatenate([self._vectors, np.empty_like(self._vectors)])
        self._vectors[rows] = vectors

    def remove(self, key: KeyT) -> None:
        row = self._rows.pop(key)
        last_point, last_key = self._points.pop(), self._keys.pop()
        if last_key != key:
            self._points[row], self._keys[row] = last_point, last_key
            self._vectors[row] = self._vectors[len(self._points)]
            self._rows[last_key] = row

    def search(self, vector: Vector, is_wanted: Callable[[PointT], bool]) -> Iterator[tuple[PointT, float]]:
        """Wanted points with their cosine similarity, most alike first."""
        scores = np.clip(self._vectors[: len(self._points)] @ vector, -1.0, 1.0)
        for row in np.argsort(-scores, kind="stable").tolist():
            if is_wanted(self._points[row]):
                yield self._points[row], float(scores[row])


_ItemKey = tuple[str, str]
"""Customer and normalised name."""


class _Tenant:
    def __init__(self, dimension: int) -> None:
        self.items: _Table[_ItemKey, BoughtItem] = _Table(dimension)
        self.customers: _Table[str, CustomerPoint] = _Table(dimension)
        self.item_keys: dict[str, dict[_ItemKey, None]] = {}
        """Keys of the items of each customer, in the order in which they were given."""


class MemoryStore:
    """Keeps points in numpy arrays and compares with every one of them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._tenants: dict[str, _Tenant] = {}

    async def open(self, model: EmbeddingModel) -> None:
        """Starts empty."""
        self._tenants = defaultdict(lambda: _Tenant(model.dimension))

    async def close(self) -> None:
        """Forgets everything."""
        self._tenants = {}

    async def replace_households(self, households: Sequence[HouseholdPoints]) -> None:
        """Stores customers and exactly these items."""
        if not self._replaced_at_once(households):
            await self._in_thread(lambda: self._replace(households))

    def _replaced_at_once(self, households: Sequence[HouseholdPoints]) -> bool:
        """Stores few items if nothing else is under way and no large table need grow; whether it did.

        That takes less than the way to a thread and back.
        """
        count = sum(len(one.items) for one in households)
        if count > _MOST_ITEMS_WITHOUT_A_THREAD or not self._lock.acquire(blocking=False):
            return False
        try:
            for one in households:
                tenant = self._tenants[one.customer.tenant_id]
                if not (tenant.items.takes_at_once(count) and tenant.customers.takes_at_once(len(households))):
                    return False
            self._replace(households)
            return True
        finally:
            self._lock.release()

    def _replace(self, households: Sequence[HouseholdPoints]) -> None:
        for one in households:
            customer = one.customer
            tenant, customer_id = self._tenants[customer.tenant_id], customer.customer_id
            tenant.customers.put([customer_id], [customer], customer.vector[None])
            keys = dict.fromkeys([(customer_id, item.normalised_name) for item in one.items])
            for key in tenant.item_keys.get(customer_id, ()):
                if key not in keys:
                    tenant.items.remove(key)
            tenant.items.put(list(keys), one.items, one.vectors)
            tenant.item_keys[customer_id] = keys

    async def remove_household(self, tenant_id: str, customer_id: str) -> int:
        """Removes a customer and all items of the customer."""

        def remove() -> int:
            tenant = self._tenants.get(tenant_id)
            if tenant is None or tenant.customers.get(customer_id) is None:
                return 0
            tenant.customers.remove(customer_id)
            keys = tenant.item_keys.pop(customer_id)
            for key in keys:
                tenant.items.remove(key)
            return 1 + len(keys)

        return await self._in_thread(remove)

    async def find_customer(self, tenant_id: str, customer_id: str) -> CustomerPoint | None:
        """The stored customer, or None."""

        def find() -> CustomerPoint | None:
            tenant = self._tenants.get(tenant_id)
            return None if tenant is None else tenant.customers.get(customer_id)

        return await self._in_thread(find)

    async def search_items(
        self, tenant_id: str, vector: Vector, *, wanted: ItemFilter, without_names: Collection[str], limit: int
    ) -> list[ItemMatch]:
        """Items most alike to a vector, most alike first."""
        unwanted = frozenset(without_names)

        def is_wanted(item: BoughtItem) -> bool:
            return (
                wanted.category in ("", item.category)
                and (wanted.least_price is None or item.unit_price >= wanted.least_price)
                and (wanted.most_price is None or item.unit_price <= wanted.most_price)
                and item.normalised_name not in unwanted
            )

        def search() -> list[ItemMatch]:
            tenant = self._tenants.get(tenant_id)
            found = iter(()) if tenant is None else tenant.items.search(vector, is_wanted)
            return [
                ItemMatch(item.normalised_name, item.name, item.category, item.unit_price, score)
                for item, score in itertools.islice(found, limit)
            ]

        return await self._in_thread(search)

    async def search_customers(
        self, tenant_id: str, vector: Vector, *, without_customer_id: str, limit: int
    ) -> list[CustomerMatch]:
        """Customers most alike to a vector, most alike first."""

        def is_wanted(customer: CustomerPoint) -> bool:
            return customer.customer_id != without_customer_id

        def search() -> list[CustomerMatch]:
            tenant = self._tenants.get(tenant_id)
            found = iter(()) if tenant is None else tenant.customers.search(vector, is_wanted)
            return [CustomerMatch(customer.customer_id, score) for customer, score in itertools.islice(found, limit)]

        return await self._in_thread(search)

    async def items_of_customers(self, tenant_id: str, customer_ids: Sequence[str]) -> list[tuple[HeldItem, ...]]:
        """All items of each customer, by normalised name."""

        def held() -> list[tuple[HeldItem, ...]]:
            tenant = self._tenants.get(tenant_id)
            if tenant is None:
                return [() for _ in customer_ids]
            return [
                tuple(
                    sorted(
                        (
                            HeldItem(item.normalised_name, item.name, item.category, item.day_count, item.span_days)
                            for item in map(tenant.items.get, tenant.item_keys.get(customer_id, ()))
                            if item is not None
                        ),
                        key=lambda item: item.normalised_name,
                    )
                )
                for customer_id in customer_ids
            ]

        return await self._in_thread(held)

    async def _in_thread(self, operation: Callable[[], ResultT]) -> ResultT:
        """Runs one operation at a time, in a thread: a search over many points must not hold up the event loop."""

        def run() -> ResultT:
            with self._lock:
                return operation()

        return await asyncio.to_thread(run)
