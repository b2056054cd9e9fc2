"""The service's whole knowledge behind one object: it embeds, indexes, searches and forgets."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from weakref import WeakValueDictionary

from pantree_domain.purchases import PurchaseHistory
from pantree_runtime.errors import NotFound
from pantree_vector.core.embedder import Embedder, EmbeddingModel, Vectors
from pantree_vector.core.identity import normalise_name
from pantree_vector.core.indexing import points_of
from pantree_vector.core.profile import CustomerProfile
from pantree_vector.core.searching import search_distinct_items
from pantree_vector.core.store import CustomerMatch, CustomerPoint, ItemMatch, VectorStore


@dataclass(frozen=True)
class IndexedHistory:
    """What was stored of a history."""

    item_count: int
    """Distinct items."""
    profile: CustomerProfile


class Similarity:
    """Answers which items and which customers are alike.

    Methods raise ComponentUnavailable for `vector-store` when the store does not answer.
    """

    def __init__(self, store: VectorStore, embedder: Embedder) -> None:
        self._store = store
        self._embedder = embedder
        # Two calls that store one household at the same time could mix their items.
        self._household_locks: WeakValueDictionary[tuple[str, str], asyncio.Lock] = WeakValueDictionary()

    @property
    def model(self) -> EmbeddingModel:
        """What makes the vectors."""
        return self._embedder.model

    async def open(self) -> None:
        """Opens the store.

        Raises:
            StoreMismatch: when the stored vectors were made by another model.
        """
        await self._store.open(self.model)

    async def close(self) -> None:
        """Closes the store."""
        await self._store.close()

    async def embed(self, names: Sequence[str]) -> Vectors:
        """Vectors of names, in their order.

        Args:
            names: `n` names, none blank.

        Returns:
            float32[n, d], each row of length 1.
        """
        return await asyncio.to_thread(self._embedder.embed, [normalise_name(name) for name in names])

    async def index_history(
        self, tenant_id: str, customer_id: str, history: PurchaseHistory, as_of_day: int
    ) -> IndexedHistory:
        """Stores a household's items and profile in place of what was stored; a second run changes nothing.

        Args:
            tenant_id: the retailer.
            customer_id: the household.
            history: at least one receipt line, none later than `as_of_day`.
            as_of_day: the day for which the profile is made, days since 1970-01-01.
        """
        customer, items = await asyncio.to_thread(points_of, tenant_id, customer_id, history, as_of_day, self._embedder)
        async with self._household_lock(tenant_id, customer_id):
            await self._store.replace_household(customer, items)
        return IndexedHistory(item_count=len(items), profile=customer.profile)

    async def search_items(self, tenant_id: str, text: str, *, category: str, limit: int) -> list[ItemMatch]:
        """Stored items most alike to a text, most alike first, each once.

        Args:
            tenant_id: the retailer.
            text: an item name or a description, not blank.
            category: only items of this category; empty for all.
            limit: largest number of items.
        """
        (vector,) = await self.embed([text])
        return await search_distinct_items(self._store, tenant_id, vector, category=category, limit=limit)

    async def customer_profile(self, tenant_id: str, customer_id: str) -> CustomerProfile:
        """The profile stored last for a customer.

        Raises:
            NotFound: when the customer is not stored.
        """
        return (await self._stored_customer(tenant_id, customer_id)).profile

    async def search_customers(self, tenant_id: str, customer_id: str, *, limit: int) -> list[CustomerMatch]:
        """Customers most alike to a stored one, most alike first, then by id, without that one.

        Raises:
            NotFound: when the customer is not stored.
        """
        customer = await self._stored_customer(tenant_id, customer_id)
        matches = await self._store.search_customers(
            tenant_id, customer.vector, without_customer_id=customer_id, limit=limit
        )
        return sorted(matches, key=lambda match: (-match.score, match.customer_id))

    async def delete_customer(self, tenant_id: str, customer_id: str) -> int:
        """Removes every trace of a customer and returns the number of points removed."""
        async with self._household_lock(tenant_id, customer_id):
            return await self._store.remove_household(tenant_id, customer_id)

    async def _stored_customer(self, tenant_id: str, customer_id: str) -> CustomerPoint:
        customer = await self._store.find_customer(tenant_id, customer_id)
        if customer is None:
            raise NotFound(
                "no profile is stored for this customer_id and tenant_id; call IndexHistory first",
                {"field": "customer_id"},
            )
        return customer

    def _household_lock(self, tenant_id: str, customer_id: str) -> asyncio.Lock:
        return self._household_locks.setdefault((tenant_id, customer_id), asyncio.Lock())
