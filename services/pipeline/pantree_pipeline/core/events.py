"""The events of a pipeline."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from pantree_domain.evidence import ModelName
from pantree_domain.purchases import PurchaseHistory
from pantree_pipeline.core.history import Month
from pantree_pipeline.core.job import Job
from pantree_pipeline.core.ports import Enrichment, ErasedHistory, ItemEvidence, Recommendations


class Started(NamedTuple):
    """The job has started."""

    job: Job
    month_count: int


@dataclass(frozen=True)
class Degradation:
    """What is missing from the result, and why; a warning in the response."""

    component: str
    code: str
    message: str


class ForecastEvidence(NamedTuple):
    """What the forecast of an item is made of."""

    evidence: ItemEvidence
    purchased_days: tuple[int, ...]
    """Day numbers, ascending."""


@dataclass(frozen=True)
class Completed:
    """The result."""

    job: Job
    month_count: int
    history: PurchaseHistory
    confidence_model: ModelName
    recommendations: Recommendations
    enrichments: Mapping[str, Enrichment]
    """By item name."""
    profile: object | None
    """Message of the vector service; None if it is missing."""
    degradations: tuple[Degradation, ...]
    cadence_changes: tuple[object, ...] = ()
    """Messages of the frequency service; empty unless requested."""
    forecasts: tuple[ForecastEvidence, ...] = ()
    """Of the recommended items, in their order; empty unless requested."""


class Erased(NamedTuple):
    """What an erasure removed."""

    history: ErasedHistory | None
    """None if the history service is disabled."""
    vector_count: int | None
    """Number of stored points; None if the vector service is disabled."""


Event = Started | Month | Completed
