"""Use cases of the vector service: embed, index, search, delete."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from pantree_domain.days import day_number
from pantree_runtime.cpu_runner import CpuRunner, run_inline
from pantree_runtime.errors import NotFound
from pantree_vector.core.diversity import diverse_order
from pantree_vector.core.embedder import Embedder, EmbeddingModel, Vector, Vectors
from pantree_vector.core.household import CustomerItem
from pantree_vector.core.household_points import HistoryToIndex, points_of
from pantree_vector.core.identity import embedding_text
from pantree_vector.core.keyed_queue import KeyedQueue
from pantree_vector.core.neighborhood import CUSTOMERS_COMPARED, Neighborhood, neighborhood_of
from pantree_vector.core.profile import CustomerProfile
from pantree_vector.core.store import (
    ALL_ITEMS,
    CustomerMatch,
    CustomerPoint,
    HouseholdPoints,
    ItemFilter,
    ItemMatch,
    VectorStore,
)

_CANDIDATES_PER_DIVERSE_HIT = 5
# Points in the first fetch for each item wanted, because a popular item has a point for each of its buyers.
_FIRST_FETCH_FACTOR = 4
_FETCH_GROWTH = 16
_MAX_FETCH = 16_384  # Milvus returns no more points from one search
# Estimated run times in milliseconds.
_MS_PER_LINE = 0.005
_MS_PER_CANDIDATE = 0.02
_NEIGHBORHOOD_MS = 10.0
DEFAULT_WAITING_DAYS = 28
"""Days until a customer that was stored alone counts as a neighbor."""


@dataclass(frozen=True)
class IndexedHistory:
    """What was stored of a history."""

    item_count: int
    """Distinct items."""
    profile: CustomerProfile


def today() -> int:
    """Days from 1970-01-01 until today, in UTC."""
    return day_number(datetime.now(UTC).date())


class Similarity:
    """Finds similar items and similar customers.

    Args:
        store: stores the points.
        embedder: computes vectors of names.
        run_cpu: runs CPU-bound functions.
        waiting_days: days until a customer that was stored alone counts as a neighbor of others.
        today: the current day, in days since 1970-01-01.

    Methods raise ComponentUnavailable for `vector-store` if the store does not answer.
    """

    def __init__(
        self,
        store: VectorStore,
        embedder: Embedder,
        run_cpu: CpuRunner = run_inline,
        *,
        waiting_days: int = DEFAULT_WAITING_DAYS,
        today: Callable[[], int] = today,
    ) -> None:
        self._store = store
        self._waiting_days = waiting_days
        self._today = today
        self._embedder = embedder
        self._run_cpu = run_cpu
        # Two concurrent writes of one household could mix their items.
        self._writes = KeyedQueue()

    @property
    def model(self) -> EmbeddingModel:
        """The model of the embedder."""
        return self._embedder.model

    async def open(self) -> None:
        """Opens the store.

        Raises:
            StoreMismatch: the stored vectors are of another model.
        """
        await self._store.open(self.model)

    async def close(self) -> None:
        """Finishes all writes, then closes the store."""
        await self._writes.join()
        await self._store.close()

    async def embed(self, names: Sequence[str]) -> Vectors:
        """Vectors of names, in their order."""
        texts = [embedding_text(name) for name in names]
        return await self._run_cpu(self._embedder.ms_per_name * len(texts), self._embedder.embed, texts)

    async def index_history(self, to_index: HistoryToIndex) -> IndexedHistory:
        """Like `index_histories`, for one household, which counts as a neighbor after the waiting time."""
        household = (to_index.tenant_id, to_index.customer_id)
        (indexed,) = await asyncio.shield(self._writes.submit({household}, lambda: self._index_alone(to_index)))
        return indexed

    async def index_histories(self, histories: Sequence[HistoryToIndex]) -> list[IndexedHistory]:
        """Replaces the stored items and profiles of households, and returns what was stored, in the same order.

        The caller vouches for them: they count as neighbors at once.

        Idempotent. If a household has two histories, the later one is stored. Calls for the same household run in the
        order in which they were made, and complete even if the caller is canceled.
        """
        if not histories:
            return []
        households = {(one.tenant_id, one.customer_id) for one in histories}
        return await asyncio.shield(self._writes.submit(households, lambda: self._index(histories, self._today())))

    async def _index_alone(self, to_index: HistoryToIndex) -> list[IndexedHistory]:
        known = await self._store.find_customer(to_index.tenant_id, to_index.customer_id)
        counts_from_day = self._today() + self._waiting_days if known is None else known.profile.counts_from_day
        return await self._index([to_index], counts_from_day)

    async def _index(self, histories: Sequence[HistoryToIndex], counts_from_day: int) -> list[IndexedHistory]:
        cost_ms = _MS_PER_LINE * sum(len(one.history) for one in histories)
        cost_ms += self._embedder.ms_per_name * sum(len(one.history.item_names) for one in histories)
        households = await self._run_cpu(cost_ms, self._points_of_all, histories, counts_from_day)
        latest = {(one.customer.tenant_id, one.customer.customer_id): one for one in households}
        await self._store.replace_households(list(latest.values()))
        return [IndexedHistory(item_count=len(one.items), profile=one.customer.profile) for one in households]

    def _points_of_all(self, histories: Sequence[HistoryToIndex], counts_from_day: int) -> list[HouseholdPoints]:
        return [points_of(one, self._embedder, counts_from_day) for one in histories]

    async def search_items(
        self, tenant_id: str, text: str, *, limit: int, item_filter: ItemFilter = ALL_ITEMS, diversity: float = 0.0
    ) -> list[ItemMatch]:
        """Distinct stored items most similar to a text, most similar first.

        Args:
            tenant_id: the retailer.
            text: an item name or a description, not blank.
            limit: maximum number of items.
            item_filter: conditions on the items.
            diversity: 0 to 1; unless 0, hits are ordered by `diverse_order`.
        """
        (vector,) = await self.embed([text])
        if not diversity:
            return await self._search_distinct_items(tenant_id, vector, item_filter, limit)
        candidates = limit * _CANDIDATES_PER_DIVERSE_HIT
        matches = await self._search_distinct_items(tenant_id, vector, item_filter, candidates)
        # Embedding the keys again is cheaper than fetching the same vectors from the store.
        vectors = await self.embed([match.key for match in matches])
        scores = [match.score for match in matches]
        cost_ms = _MS_PER_CANDIDATE * len(matches)
        order = await self._run_cpu(cost_ms, diverse_order, scores, vectors, diversity=diversity, limit=limit)
        return [matches[position] for position in order]

    async def _search_distinct_items(
        self, tenant_id: str, vector: Vector, item_filter: ItemFilter, limit: int
    ) -> list[ItemMatch]:
        """Up to `limit` distinct items most similar to a vector, most similar first, then by name.

        Each fetch excludes the items already found, so it finds a new item unless it is the last one.
        """
        found: dict[str, ItemMatch] = {}
        fetch = limit * _FIRST_FETCH_FACTOR
        while len(found) < limit:
            matches = await self._store.search_items(
                tenant_id, vector, item_filter=item_filter, exclude_keys=list(found), limit=fetch
            )
            for match in matches:
                found.setdefault(match.key, match)
            if len(matches) < fetch:
                break
            fetch = min(fetch * _FETCH_GROWTH, _MAX_FETCH)
        return sorted(found.values(), key=lambda match: (-match.score, match.name))[:limit]

    async def customer_profile(self, tenant_id: str, customer_id: str) -> CustomerProfile:
        """The stored profile of a customer.

        Raises:
            NotFound: the customer is not stored.
        """
        return (await self._stored_customer(tenant_id, customer_id)).profile

    async def search_customers(self, tenant_id: str, customer_id: str, *, limit: int) -> list[CustomerMatch]:
        """Other customers most similar to a stored one, most similar first, then by id.

        Raises:
            NotFound: the customer is not stored.
        """
        customer = await self._stored_customer(tenant_id, customer_id)
        matches = await self._store.search_customers(
            tenant_id, customer.vector, exclude_customer_id=customer_id, limit=limit
        )
        return sorted(matches, key=lambda match: (-match.score, match.customer_id))

    async def items_of_customers(self, tenant_id: str, customer_ids: Sequence[str]) -> list[tuple[CustomerItem, ...]]:
        """All items of each of these distinct customers, sorted by key; empty for a customer who is not stored."""
        return await self._store.items_of_customers(tenant_id, customer_ids)

    async def neighborhood(self, tenant_id: str, customer_id: str, *, limit: int) -> Neighborhood:
        """Up to `limit` items that the customers nearest to a stored one buy regularly.

        Raises:
            NotFound: the customer is not stored.
        """
        matches = await self.search_customers(tenant_id, customer_id, limit=CUSTOMERS_COMPARED)
        day = self._today()
        counted = [match.customer_id for match in matches if match.counts_from_day <= day]
        own, *others = await self.items_of_customers(tenant_id, [customer_id, *counted])
        return await self._run_cpu(_NEIGHBORHOOD_MS, neighborhood_of, own, others, limit=limit)

    async def delete_customer(self, tenant_id: str, customer_id: str) -> int:
        """Removes all points of a customer and returns their number."""
        removal = self._writes.submit(
            [(tenant_id, customer_id)], lambda: self._store.remove_household(tenant_id, customer_id)
        )
        return await asyncio.shield(removal)

    async def _stored_customer(self, tenant_id: str, customer_id: str) -> CustomerPoint:
        customer = await self._store.find_customer(tenant_id, customer_id)
        if customer is None:
            raise NotFound(
                "no profile is stored for this customer_id and tenant_id; call IndexHistory first",
                {"field": "customer_id"},
            )
        return customer
