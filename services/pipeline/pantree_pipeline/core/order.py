"""What is asked of the pipeline."""

from datetime import date
from typing import Any, NamedTuple

from pantree_domain.purchases import PurchaseHistory


class FirstPurchase(NamedTuple):
    """A first purchase, from which a history is to be simulated."""

    items: tuple[Any, ...]
    """The items in the simulation service's own form; handed on untouched."""
    archetype: str
    simulation_months: int
    start: date
    """Day of the first basket."""
    seed: int


class Order(NamedTuple):
    """One household's request: its first purchase or its real history."""

    customer_id: str
    customer_name: str
    source: FirstPurchase | PurchaseHistory
    as_of: date
    max_recommendations: int | None
    """None leaves it to the recommendation service."""
    include_omitted: bool
    include_cadence_changes: bool = False
    include_suggestions: bool = False
    tenant_id: str = ""
    """The retailer whose customers the household is one of; empty for the default one."""
