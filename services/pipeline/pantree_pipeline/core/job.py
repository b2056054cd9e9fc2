"""The input of the pipeline."""

from collections.abc import Mapping
from datetime import date
from types import MappingProxyType
from typing import Any, NamedTuple

from pantree_domain.purchases import PurchaseHistory
from pantree_pipeline.core.identity import ItemIdentity


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
    include_forecasts: bool = False
    tenant_id: str = ""
    """The retailer that the household is a customer of; empty for the default one."""
    currency_code: str = ""
    """ISO 4217 code of all amounts; empty when unknown."""
    identities: Mapping[str, ItemIdentity] = MappingProxyType({})
    """What the retailer calls an item, by its name in the source; for items with an id or a variant."""
    stockout_tolerance: float | None = None
    """Above 0 (avoid stockouts) and below 1 (avoid overstock); None for the default of the frequency service."""
    history_version: str = ""
    """Version of the stored history that is the source; empty for another source."""
    omitted_count: int = 0
    """Number of the oldest stored lines that the source lacks, because there are too many."""
    include_analysis: bool = False
    constraints: object | None = None
    """Message with the constraints of the plan, passed on unchanged; None without any."""


class NextBasketJob(NamedTuple):
    """One household whose next basket is predicted."""

    customer_id: str
    history: PurchaseHistory
    """May be empty."""
    as_of: date | None
    """None for the household's expected next trip."""
    options: object
    """Message with the options of the request, passed on unchanged."""
    identities: Mapping[str, ItemIdentity] = MappingProxyType({})
    """What the retailer calls an item, by its name in the history; for items with an id or a variant."""
    history_version: str = ""
    """Version of the stored history; empty if it comes from the request."""
