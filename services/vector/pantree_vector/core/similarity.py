"""The service's whole knowledge behind one object: it embeds, indexes, searches and forgets."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from pantree_domain.purchases import PurchaseHistory
from pantree_runtime.cpu import run_cpu
from pantree_runtime.errors import NotFound
from pantree_vector.core.diversity import diverse_order
from pantree_vector.core.embedder import Embedder, EmbeddingModel, Vectors
from pantree_vector.core.identity import normalise_name
from pantree_vector.core.indexing import HistoryToIndex, points_of
from pantree_vector.core.neighborhood import CUSTOMERS_COMPARED, Neighborhood, neighborhood_of
from pantree_vector.core.profile import CustomerProfile
from pantree_vector.core.searching import search_distinct_items
from pantree_vector.core.store import (
    ALL_ITEMS,
    CustomerMatch,
    CustomerPoint,
    HeldItem,
    HouseholdPoints,
    ItemFilter,
    ItemMatch,
    VectorStore,
)
from pantree_vector.core.turns import Turns

_CANDIDATES_PER_DIVERSE_HIT = 5
# Estimated time to make the points of a household.
_MS_PER_LINE = 0.005


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
        self._turns = Turns()

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
        """Closes the store when what was begun is done."""
        await self._turns.finish()
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
        (indexed,) = await self.index_histories([HistoryToIndex(tenant_id, customer_id, history, as_of_day)])
        return indexed

    async def index_histories(self, histories: Sequence[HistoryToIndex]) -> list[IndexedHistory]:
        """Stores many households like `index_history`, in one go; of two histories of one household the later counts.

        Calls for the same household are carried out in the order in which they were made, and to the end even if the
        caller goes away.

        Returns:
            What was stored, in the order of the histories.
        """
        if not histories:
            return []
        households = {(one.tenant_id, one.customer_id) for one in histories}
        return await asyncio.shield(self._turns.take(households, lambda: self._index(histories)))

    async def _index(self, histories: Sequence[HistoryToIndex]) -> list[IndexedHistory]:
        lines = sum(len(one.history) for one in histories)
        households = await run_cpu(lines * _MS_PER_LINE, self._points_of_all, histories)
        latest = {(one.customer.tenant_id, one.customer.customer_id): one for one in households}
        await self._store.replace_households(list(latest.values()))
        return [IndexedHistory(item_count=len(one.items), profile=one.customer.profile) for one in households]

    def _points_of_all(self, histories: Sequence[HistoryToIndex]) -> list[HouseholdPoints]:
        return [
            points_of(one.tenant_id, one.customer_id, one.history, one.as_of_day, self._embedder) for one in histories
        ]

    async def search_items(
        self, tenant_id: str, text: str, *, limit: int, wanted: ItemFilter = ALL_ITEMS, diversity: float = 0.0
    ) -> list[ItemMatch]:
        """Stored items most alike to a text, each once, most alike first unless diversity is asked for.

        Args:
            tenant_id: the retailer.
            text: an item name or a description, not blank.
            limit: largest number of items.
            wanted: which items.
            diversity: 0 to 1, how much unlikeness to the hits before it counts for a hit against likeness to the text.
        """
        (vector,) = await self.embed([text])
        fetched = limit * _CANDIDATES_PER_DIVERSE_HIT if diversity else limit
        matches = await search_distinct_items(self._store, tenant_id, vector, wanted=wanted, limit=fetched)
        if not diversity:
            return matches
        # An item's vector is that of its normalised name, so that the store need not send it.
        vectors = await self.embed([match.normalised_name for match in matches])
        order = diverse_order([match.score for match in matches], vectors, diversity=diversity, limit=limit)
        return [matches[position] for position in order]

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

    async def items_of_customers(self, tenant_id: str, customer_ids: Sequence[str]) -> list[tuple[HeldItem, ...]]:
        """All items of each of some distinct customers, by normalised name; none for one who is not stored."""
        return await self._store.items_of_customers(tenant_id, customer_ids)

    async def neighborhood(self, tenant_id: str, customer_id: str, *, limit: int) -> Neighborhood:
        """What the customers most alike to a stored one buy again and again.

        Args:
            tenant_id: the retailer.
            customer_id: the household.
            limit: largest number of items.

        Raises:
            NotFound: when the customer is not stored.
        """
        matches = await self.search_customers(tenant_id, customer_id, limit=CUSTOMERS_COMPARED)
        own, *others = await self.items_of_customers(
            tenant_id, [customer_id, *(match.customer_id for match in matches)]
        )
        return await asyncio.to_thread(neighborhood_of, own, others, limit=limit)

    async def delete_customer(self, tenant_id: str, customer_id: str) -> int:
        """Removes every trace of a customer and returns the number of points removed."""
        removed = self._turns.take(
            [(tenant_id, customer_id)], lambda: self._store.remove_household(tenant_id, customer_id)
        )
        return await asyncio.shield(removed)

    async def _stored_customer(self, tenant_id: str, customer_id: str) -> CustomerPoint:
        customer = await self._store.find_customer(tenant_id, customer_id)
        if customer is None:
            raise NotFound(
                "no profile is stored for this customer_id and tenant_id; call IndexHistory first",
                {"field": "customer_id"},
            )
        return customer
