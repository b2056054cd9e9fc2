"""What the pipeline tells on its way."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from pantree_domain.evidence import ModelName
from pantree_domain.purchases import PurchaseHistory
from pantree_pipeline.core.history import Month
from pantree_pipeline.core.order import Order
from pantree_pipeline.core.ports import Enrichment, Recommendations


class Started(NamedTuple):
    """The order is accepted and the work has begun."""

    order: Order
    month_count: int


@dataclass(frozen=True)
class Warning:
    """What is missing from an answer, and why."""

    component: str
    code: str
    message: str


@dataclass(frozen=True)
class Completed:
    """The result."""

    order: Order
    month_count: int
    history: PurchaseHistory
    confidence_model: ModelName
    recommendations: Recommendations
    enrichments: Mapping[str, Enrichment]
    """By item name."""
    profile: object | None
    """The customer's profile in the vector service's own form; None when it could not be made."""
    warnings: tuple[Warning, ...]
    cadence_changes: tuple[object, ...] = ()
    """When a later purchase would make cadences longer, in the frequency service's own form; empty unless asked for."""


Event = Started | Month | Completed
