"""A store in this process: exact, quick to start, bounded, and lost when the process ends."""

import asyncio
import itertools
from collections import defaultdict
from collections.abc import Callable, Collection, Hashable, Iterator, Sequence
from typing import Generic, ParamSpec, TypeVar

import numpy as np
import structlog

from pantree_runtime.cpu import run_cpu
from pantree_vector.core.embedder import EmbeddingModel, Vector, Vectors
from pantree_vector.core.household import CustomerItem
from pantree_vector.core.store import CustomerMatch, CustomerPoint, HouseholdPoints, ItemFilter, ItemMatch

_log = structlog.get_logger(__name__)

P = ParamSpec("P")
KeyT = TypeVar("KeyT", bound=Hashable)
PointT = TypeVar("PointT")
ResultT = TypeVar("ResultT")

_FIRST_CAPACITY = 64
# Estimated times in milliseconds.
_MS_PER_WRITE = 0.002
_MS_PER_SCORE = 0.0005
_MS_PER_COPY = 0.0005


class _Table(Generic[KeyT, PointT]):
    """Points by key, with their vectors in one matrix."""

    def __init__(self, dimension: int) -> None:
        self._vectors = np.empty((_FIRST_CAPACITY, dimension), dtype=np.float32)
        self._points: list[PointT] = []
        self._keys: list[KeyT] = []
        self._rows: dict[KeyT, int] = {}

    def __len__(self) -> int:
        return len(self._points)

    def growth_ms(self, count: int) -> float:
        """Estimated time to make room for `count` more points."""
        has_room = len(self._points) + count <= len(self._vectors)
        return 0.0 if has_room else _MS_PER_COPY * len(self._vectors)

    def get(self, key: KeyT) -> PointT | None:
        row = self._rows.get(key)
        return None if row is None else self._points[row]

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

    def search(self, vector: Vector, matches: Callable[[PointT], bool]) -> Iterator[tuple[PointT, float]]:
        """Matching points with their cosine similarity, most similar first."""
        scores = np.clip(self._vectors[: len(self._points)] @ vector, -1.0, 1.0)
        for row in np.argsort(-scores, kind="stable").tolist():
            if matches(self._points[row]):
                yield self._points[row], float(scores[row])


_ItemKey = tuple[str, str]
"""Customer and item key."""


class _Tenant:
    def __init__(self, dimension: int) -> None:
        self.items: _Table[_ItemKey, CustomerItem] = _Table(dimension)
        self.customers: _Table[str, CustomerPoint] = _Table(dimension)
        self.item_keys: dict[str, dict[_ItemKey, None]] = {}
        """Keys of each customer's items, in the order in which they were stored. The customer stored last is last."""


class MemoryStore:
    """Stores points in numpy arrays, and compares vectors with all of them.

    Args:
        max_items: maximum number of items of all customers. When it is exceeded, the tenant with the most items loses
            the customers that were stored longest ago, so that no tenant can displace the customers of a smaller one.
    """

    def __init__(self, max_items: int) -> None:
        self._lock = asyncio.Lock()
        self._max_items = max_items
        self._tenants: dict[str, _Tenant] = {}
        self._is_full = False

    async def open(self, model: EmbeddingModel) -> None:
        self._tenants = defaultdict(lambda: _Tenant(model.dimension))

    async def check(self) -> str:
        return ""

    async def close(self) -> None:
        self._tenants = {}

    async def replace_households(self, households: Sequence[HouseholdPoints]) -> None:
        count = sum(len(one.items) for one in households)
        cost_ms = _MS_PER_WRITE * (len(households) + count)
        for tenant_id in {one.customer.tenant_id for one in households}:
            tenant = self._tenants[tenant_id]
            cost_ms += tenant.items.growth_ms(count) + tenant.customers.growth_ms(len(households))
        await self._run(cost_ms, self._replace, households)

    def _replace(self, households: Sequence[HouseholdPoints]) -> None:
        for one in households:
            customer = one.customer
            tenant, customer_id = self._tenants[customer.tenant_id], customer.customer_id
            tenant.customers.put([customer_id], [customer], customer.vector[None])
            keys = dict.fromkeys([(customer_id, item.key) for item in one.items])
            for key in tenant.item_keys.get(customer_id, ()):
                if key not in keys:
                    tenant.items.remove(key)
            tenant.items.put(list(keys), one.items, one.vectors)
            tenant.item_keys.pop(customer_id, None)
            tenant.item_keys[customer_id] = keys
            self._make_room()

    def _make_room(self) -> None:
        while sum(len(tenant.items) for tenant in self._tenants.values()) > self._max_items:
            largest = max(self._tenants.values(), key=lambda tenant: len(tenant.items))
            if len(largest.item_keys) == 1:
                return  # a single customer, whose request was within the limits
            _remove(largest, next(iter(largest.item_keys)))
            if not self._is_full:
                self._is_full = True
                _log.warning(
                    "the vector store in memory is full and forgets the customers that were stored longest ago; set "
                    "PANTREE_VECTOR_STORE_URL to a Milvus or Qdrant store, or raise PANTREE_VECTOR_MEMORY_MAX_ITEMS",
                    max_items=self._max_items,
                )

    async def remove_household(self, tenant_id: str, customer_id: str) -> int:
        tenant = self._tenants.get(tenant_id)
        if tenant is None:
            return 0
        cost_ms = _MS_PER_WRITE * len(tenant.item_keys.get(customer_id, ()))
        return await self._run(cost_ms, _remove, tenant, customer_id)

    async def find_customer(self, tenant_id: str, customer_id: str) -> CustomerPoint | None:
        tenant = self._tenants.get(tenant_id)
        return None if tenant is None else await self._run(0, tenant.customers.get, customer_id)

    async def search_items(
        self, tenant_id: str, vector: Vector, *, item_filter: ItemFilter, exclude_keys: Collection[str], limit: int
    ) -> list[ItemMatch]:
        excluded = frozenset(exclude_keys)

        def matches(item: CustomerItem) -> bool:
            return (
                item_filter.category in ("", item.category)
                and (item_filter.min_price is None or item.unit_price >= item_filter.min_price)
                and (item_filter.max_price is None or item.unit_price <= item_filter.max_price)
                and item.key not in excluded
            )

        tenant = self._tenants.get(tenant_id)
        found = [] if tenant is None else await self._search(tenant.items, vector, matches, limit)
        return [ItemMatch(item.key, item.name, item.category, item.unit_price, score) for item, score in found]

    async def search_customers(
        self, tenant_id: str, vector: Vector, *, exclude_customer_id: str, limit: int
    ) -> list[CustomerMatch]:
        tenant = self._tenants.get(tenant_id)
        if tenant is None:
            return []
        found = await self._search(
            tenant.customers, vector, lambda customer: customer.customer_id != exclude_customer_id, limit
        )
        return [
            CustomerMatch(customer.customer_id, score, customer.profile.counts_from_day) for customer, score in found
        ]

    async def items_of_customers(self, tenant_id: str, customer_ids: Sequence[str]) -> list[tuple[CustomerItem, ...]]:
        tenant = self._tenants.get(tenant_id)
        if tenant is None:
            return [() for _ in customer_ids]
        item_count = sum(len(tenant.item_keys.get(customer_id, ())) for customer_id in customer_ids)
        return await self._run(_MS_PER_WRITE * item_count, _items_of_customers, tenant, customer_ids)

    async def _search(
        self, table: _Table[KeyT, PointT], vector: Vector, matches: Callable[[PointT], bool], limit: int
    ) -> list[tuple[PointT, float]]:
        def search() -> list[tuple[PointT, float]]:
            return list(itertools.islice(table.search(vector, matches), limit))

        return await self._run(_MS_PER_SCORE * len(table), search)

    async def _run(
        self, cost_ms: float, operation: Callable[P, ResultT], /, *args: P.args, **kwargs: P.kwargs
    ) -> ResultT:
        """Runs one operation at a time. Writes must not be canceled, because they may be running in a thread."""
        async with self._lock:
            return await run_cpu(cost_ms, operation, *args, **kwargs)


def _remove(tenant: _Tenant, customer_id: str) -> int:
    if tenant.customers.get(customer_id) is None:
        return 0
    tenant.customers.remove(customer_id)
    keys = tenant.item_keys.pop(customer_id)
    for key in keys:
        tenant.items.remove(key)
    return 1 + len(keys)


def _items_of_customers(tenant: _Tenant, customer_ids: Sequence[str]) -> list[tuple[CustomerItem, ...]]:
    return [
        tuple(sorted(item for key in tenant.item_keys.get(customer_id, ()) if (item := tenant.items.get(key))))
        for customer_id in customer_ids
    ]
