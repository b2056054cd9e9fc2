"""The points that a history stands for."""

from dataclasses import dataclass

from pantree_domain.purchases import PurchaseHistory
from pantree_vector.core.embedder import Embedder
from pantree_vector.core.household import household_of
from pantree_vector.core.identity import normalise_name
from pantree_vector.core.profile import profile_of, profile_vector
from pantree_vector.core.store import CustomerPoint, HouseholdPoints


@dataclass(frozen=True, eq=False)
class HistoryToIndex:
    """A household's purchases that are to be known from now on."""

    tenant_id: str
    """The retailer."""
    customer_id: str
    """The household."""
    history: PurchaseHistory
    """At least one receipt line, none later than `as_of_day`."""
    as_of_day: int
    """The day for which the profile is made, days since 1970-01-01."""


def points_of(
    tenant_id: str, customer_id: str, history: PurchaseHistory, as_of_day: int, embedder: Embedder
) -> HouseholdPoints:
    """The customer and the customer's items, each once, as they are to be stored.

    Args:
        tenant_id: the retailer.
        customer_id: the household.
        history: at least one receipt line, none later than `as_of_day`; spellings of one item
            (`item_key`) are one item.
        as_of_day: the day for which the profile is made, days since 1970-01-01.
        embedder: makes the vectors.
    """
    household = household_of(history)
    vectors = embedder.embed([normalise_name(item.normalised_name) for item in household.items])
    customer = CustomerPoint(
        tenant_id=tenant_id,
        customer_id=customer_id,
        vector=profile_vector(household, vectors),
        profile=profile_of(customer_id, household, as_of_day),
    )
    return HouseholdPoints(customer, household.items, vectors)
