"""The points to store for a purchase history."""

from dataclasses import dataclass, replace

from pantree_domain.purchases import PurchaseHistory
from pantree_vector.core.embedder import Embedder
from pantree_vector.core.household import household_of
from pantree_vector.core.identity import embedding_text
from pantree_vector.core.profile import profile_of, profile_vector
from pantree_vector.core.store import CustomerPoint, HouseholdPoints


@dataclass(frozen=True, eq=False)
class HistoryToIndex:
    """A household's complete purchases, which replace what is stored."""

    tenant_id: str
    """The retailer."""
    customer_id: str
    """The household."""
    history: PurchaseHistory
    """At least one receipt line, none later than `as_of_day`."""
    as_of_day: int
    """As-of date of the profile, days since 1970-01-01."""


def points_of(to_index: HistoryToIndex, embedder: Embedder, counts_from_day: int = 0) -> HouseholdPoints:
    """The customer's point and one point for each of the customer's items.

    Args:
        to_index: the household.
        embedder: computes vectors of names.
        counts_from_day: first day on which others may learn from the customer.
    """
    household = household_of(to_index.history)
    vectors = embedder.embed([embedding_text(item.key) for item in household.items])
    customer = CustomerPoint(
        tenant_id=to_index.tenant_id,
        customer_id=to_index.customer_id,
        vector=profile_vector(household, vectors),
        profile=replace(
            profile_of(to_index.customer_id, household, to_index.as_of_day), counts_from_day=counts_from_day
        ),
    )
    return HouseholdPoints(customer, household.items, vectors)
