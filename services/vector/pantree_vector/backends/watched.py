"""Counts and traces the calls to a store outside this process."""

from collections.abc import Collection, Sequence

from pantree_runtime.telemetry import external_call
from pantree_vector.core import (
    CustomerMatch,
    CustomerPoint,
    EmbeddingModel,
    HeldItem,
    HouseholdPoints,
    ItemFilter,
    ItemMatch,
    Vector,
    VectorStore,
)


class WatchedStore:
    """Another store, each call of which has a span and a place in the counts."""

    def __init__(self, store: VectorStore, system: str) -> None:
        """Takes what is watched.

        Args:
            store: what answers.
            system: name of it, such as `milvus`.
        """
        self._store = store
        self._system = system

    async def open(self, model: EmbeddingModel) -> None:
        """Connects, and makes what is missing."""
        with external_call(self._system, "open"):
            await self._store.open(model)

    async def close(self) -> None:
        """Lets go of connections and files."""
        await self._store.close()

    async def replace_households(self, households: Sequence[HouseholdPoints]) -> None:
        """Stores customers and exactly these items."""
        with external_call(self._system, "replace_households"):
            await self._store.replace_households(households)

    async def remove_household(self, tenant_id: str, customer_id: str) -> int:
        """Removes a customer and all items of the customer; returns the number of points removed."""
        with external_call(self._system, "remove_household"):
            return await self._store.remove_household(tenant_id, customer_id)

    async def find_customer(self, tenant_id: str, customer_id: str) -> CustomerPoint | None:
        """The stored customer, or None."""
        with external_call(self._system, "find_customer"):
            return await self._store.find_customer(tenant_id, customer_id)

    async def search_items(
        self, tenant_id: str, vector: Vector, *, wanted: ItemFilter, without_names: Collection[str], limit: int
    ) -> list[ItemMatch]:
        """Items most alike to a vector, most alike first."""
        with external_call(self._system, "search_items"):
            return await self._store.search_items(
                tenant_id, vector, wanted=wanted, without_names=without_names, limit=limit
            )

    async def search_customers(
        self, tenant_id: str, vector: Vector, *, without_customer_id: str, limit: int
    ) -> list[CustomerMatch]:
        """Customers most alike to a vector, most alike first."""
        with external_call(self._system, "search_customers"):
            return await self._store.search_customers(
                tenant_id, vector, without_customer_id=without_customer_id, limit=limit
            )

    async def items_of_customers(self, tenant_id: str, customer_ids: Sequence[str]) -> list[tuple[HeldItem, ...]]:
        """All items of each customer, by normalised name."""
        with external_call(self._system, "items_of_customers"):
            return await self._store.items_of_customers(tenant_id, customer_ids)
