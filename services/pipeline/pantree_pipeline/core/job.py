"""The input of the pipeline."""

from datetime import date
from typing import Any, NamedTuple

from pantree_domain.purchases import PurchaseHistory


class FirstPurchase(NamedTuple):
    """A first purchase, from which a history is simulated."""

    items: tuple[Any, ...]
    """`BasketItem` messages, passed on unchanged."""
    archetype: str
    simulation_months: int
    start: date
    """Day of the first basket."""
    seed: int


class Job(NamedTuple):
    """One household to process: its first purchase or its real history."""

    customer_id: str
    customer_name: str
    source: FirstPurchase | PurchaseHistory
    as_of: date
    max_recommendations: int | None
    """None for the default of the recommendation service."""
    include_omitted: bool
    include_cadence_changes: bool = False
    include_suggestions: bool = False
    tenant_id: str = ""
    """The retailer that the household is a customer of; empty for the default one."""
