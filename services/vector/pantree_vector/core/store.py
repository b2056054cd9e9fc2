"""The port through which points are kept and searched."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

from pantree_vector.core.embedder import EmbeddingModel, Vector, Vectors
from pantree_vector.core.household import BoughtItem
from pantree_vector.core.identity import item_point_id
from pantree_vector.core.profile import CustomerProfile


@dataclass(frozen=True, eq=False)
class CustomerPoint:
    """A customer's profile and where it lies among the items."""

    tenant_id: str
    customer_id: str
    vector: Vector
    profile: CustomerProfile


@dataclass(frozen=True, eq=False)
class HouseholdPoints:
    """A customer with exactly the `k` items that are to be known of the customer."""

    customer: CustomerPoint
    items: tuple[BoughtItem, ...]
    """With distinct normalised names."""
    vectors: Vectors
    """float32[k, d], where each item lies."""

    @cached_property
    def item_ids(self) -> list[str]:
        """UUID of each item's point, from tenant, customer and item, so that storing it again overwrites it."""
        tenant_id, customer_id = self.customer.tenant_id, self.customer.customer_id
        return [item_point_id(tenant_id, customer_id, item.normalised_name) for item in self.items]


@dataclass(frozen=True)
class ItemFilter:
    """Which items are wanted."""

    category: str = ""
    """Only items of this category; an empty string for all."""
    least_price: float | None = None
    """Smallest unit price; None for no limit."""
    most_price: float | None = None
    """Largest unit price; None for no limit."""


ALL_ITEMS = ItemFilter()


@dataclass(frozen=True)
class ItemMatch:
    """An item found."""

    normalised_name: str
    name: str
    category: str
    unit_price: float
    """What its buyer paid last for one unit, before savings; another buyer of the item may have paid otherwise."""
    score: float
    """Cosine similarity, −1 to 1."""


@dataclass(frozen=True)
class HeldItem:
    """An item as a customer buys it."""

    normalised_name: str
    name: str
    category: str
    """An empty string when unknown."""
    day_count: int
    """Distinct days on which the customer bought it."""
    span_days: int
    """Days from the first of them to the last one."""


@dataclass(frozen=True)
class CustomerMatch:
    """A customer found."""

    customer_id: str
    score: float
    """Cosine similarity, −1 to 1."""


class VectorStore(Protocol):
    """Keeps the points of all tenants; what one tenant stores, no call for another one finds.

    What a finished call has stored or removed, the next call sees. Every method raises ComponentUnavailable for
    `vector-store` when the store does not answer.
    """

    async def open(self, model: EmbeddingModel) -> None:
        """Connects, and makes what is missing. No other method may be called before.

        Args:
            model: what makes the vectors.

        Raises:
            StoreMismatch: when the stored vectors were made by another model.
        """
        ...

    async def close(self) -> None:
        """Lets go of connections and files. Closing twice is no error."""
        ...

    async def replace_households(self, households: Sequence[HouseholdPoints]) -> None:
        """Stores customers and exactly these items; other items of the customers are removed.

        A call that fails may leave items of both the old and the new state; calling again mends it.

        Args:
            households: distinct customers with their items.
        """
        ...

    async def remove_household(self, tenant_id: str, customer_id: str) -> int:
        """Removes a customer and all items of the customer.

        Returns:
            Number of points removed, 0 when nothing was stored.
        """
        ...

    async def find_customer(self, tenant_id: str, customer_id: str) -> CustomerPoint | None:
        """The stored customer, or None."""
        ...

    async def search_items(
        self, tenant_id: str, vector: Vector, *, wanted: ItemFilter, without_names: Collection[str], limit: int
    ) -> list[ItemMatch]:
        """Items most alike to a vector, most alike first; an item comes once for each customer who buys it.

        Args:
            tenant_id: whose items.
            vector: float32[d], what to compare with.
            wanted: which items.
            without_names: normalised names of items to leave out.
            limit: largest number of matches, 1 to 16,384; fewer come only when there are no more.
        """
        ...

    async def search_customers(
        self, tenant_id: str, vector: Vector, *, without_customer_id: str, limit: int
    ) -> list[CustomerMatch]:
        """Customers most alike to a vector, most alike first.

        Args:
            tenant_id: whose customers.
            vector: float32[d], what to compare with.
            without_customer_id: the customer to leave out.
            limit: largest number of matches.
        """
        ...

    async def items_of_customers(self, tenant_id: str, customer_ids: Sequence[str]) -> list[tuple[HeldItem, ...]]:
        """All items of each customer, by normalised name; none for a customer who is not stored.

        Args:
            tenant_id: whose customers.
            customer_ids: distinct customers.
        """
        ...
