"""Points of customers and items, and the port that stores and searches them."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

from pantree_vector.core.embedder import EmbeddingModel, Vector, Vectors
from pantree_vector.core.household import CustomerItem
from pantree_vector.core.identity import customer_point_id, item_point_id
from pantree_vector.core.profile import CustomerProfile


@dataclass(frozen=True, eq=False)
class CustomerPoint:
    """A customer with a profile and its vector."""

    tenant_id: str
    customer_id: str
    vector: Vector
    profile: CustomerProfile

    @cached_property
    def point_id(self) -> str:
        """UUID derived from tenant and customer, so that storing a customer again overwrites the point."""
        return customer_point_id(self.tenant_id, self.customer_id)


@dataclass(frozen=True, eq=False)
class HouseholdPoints:
    """The points of a household: the customer and `k` items."""

    customer: CustomerPoint
    items: tuple[CustomerItem, ...]
    """With distinct keys."""
    vectors: Vectors
    """float32[k, d], vector of each item."""

    @cached_property
    def item_ids(self) -> list[str]:
        """UUIDs of the items' points, derived from tenant, customer and item key."""
        tenant_id, customer_id = self.customer.tenant_id, self.customer.customer_id
        return [item_point_id(tenant_id, customer_id, item.key) for item in self.items]


@dataclass(frozen=True)
class ItemFilter:
    """Conditions on the items to find."""

    category: str = ""
    """Empty matches every category."""
    min_price: float | None = None
    """Inclusive, per unit; None means no limit."""
    max_price: float | None = None
    """Inclusive, per unit; None means no limit."""


ALL_ITEMS = ItemFilter()


@dataclass(frozen=True)
class ItemMatch:
    """An item found."""

    key: str
    name: str
    category: str
    unit_price: float
    """Shelf price of one unit when this customer last bought it; other customers may have seen other prices."""
    score: float
    """Cosine similarity, −1 to 1."""


@dataclass(frozen=True)
class CustomerMatch:
    """A customer found."""

    customer_id: str
    score: float
    """Cosine similarity, −1 to 1."""
    counts_from_day: int = 0
    """That of the profile."""


class VectorStore(Protocol):
    """Stores the points of all tenants; calls for one tenant never return points of another.

    Each call sees everything that earlier finished calls stored or removed. Every method raises ComponentUnavailable
    for `vector-store` when the store does not answer.
    """

    async def open(self, model: EmbeddingModel) -> None:
        """Connects and creates missing collections for vectors of a model. Must be called first.

        Raises:
            StoreMismatch: the stored vectors are of another model.
        """

    async def check(self) -> str:
        """What is wrong with the store, for operators; empty if it works."""

    async def close(self) -> None:
        """Closes connections and files. May be called twice."""

    async def replace_households(self, households: Sequence[HouseholdPoints]) -> None:
        """Stores distinct customers and their items, and removes the customers' other items.

        A call that fails may leave both old and new items; the same call again completes it.
        """

    async def remove_household(self, tenant_id: str, customer_id: str) -> int:
        """Removes a customer and all items of the customer; returns the number of points removed."""

    async def find_customer(self, tenant_id: str, customer_id: str) -> CustomerPoint | None:
        """The stored customer, or None."""

    async def search_items(
        self, tenant_id: str, vector: Vector, *, item_filter: ItemFilter, exclude_keys: Collection[str], limit: int
    ) -> list[ItemMatch]:
        """Items most similar to a vector, most similar first; an item appears once for each customer who buys it.

        Items with one of `exclude_keys` are left out. The limit is 1 to 16,384; fewer matches are all that there are.
        """

    async def search_customers(
        self, tenant_id: str, vector: Vector, *, exclude_customer_id: str, limit: int
    ) -> list[CustomerMatch]:
        """Up to `limit` customers most similar to a vector, most similar first."""

    async def items_of_customers(self, tenant_id: str, customer_ids: Sequence[str]) -> list[tuple[CustomerItem, ...]]:
        """All items of each of these distinct customers, sorted by key; empty for a customer who is not stored."""
