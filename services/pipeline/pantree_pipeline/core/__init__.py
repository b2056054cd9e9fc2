"""What the pipeline knows: which stages an answer needs, in which order, and what to do when one of them fails."""

from pantree_domain.evidence import ModelName
from pantree_pipeline.core.events import Completed, Event, Started, Warning
from pantree_pipeline.core.history import Month
from pantree_pipeline.core.order import FirstPurchase, Order
from pantree_pipeline.core.pipeline import Pipeline
from pantree_pipeline.core.ports import (
    Archetypes,
    Candidate,
    Enricher,
    Enrichment,
    EnrichmentResult,
    FrequencyAnalyzer,
    HistoryAnalysis,
    ItemEvidence,
    ItemToEnrich,
    Neighborhood,
    Recommendations,
    Recommender,
    Simulator,
    VectorIndex,
)

__all__ = [
    "Archetypes",
    "Candidate",
    "Completed",
    "Enricher",
    "Enrichment",
    "EnrichmentResult",
    "Event",
    "FirstPurchase",
    "FrequencyAnalyzer",
    "HistoryAnalysis",
    "ItemEvidence",
    "ItemToEnrich",
    "ModelName",
    "Month",
    "Neighborhood",
    "Order",
    "Pipeline",
    "Recommendations",
    "Recommender",
    "Simulator",
    "Started",
    "VectorIndex",
    "Warning",
]
