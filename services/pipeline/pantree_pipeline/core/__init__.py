"""The pipeline's logic: which stages an answer needs, in which order, and what happens when one of them fails."""

from pantree_domain.evidence import ModelName
from pantree_pipeline.core.events import Completed, Degradation, Event, Started
from pantree_pipeline.core.health import Component, ComponentHealth, HealthProbe, State, mesh_state
from pantree_pipeline.core.history import Month
from pantree_pipeline.core.job import FirstPurchase, Job
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
    "Component",
    "ComponentHealth",
    "Degradation",
    "Enricher",
    "Enrichment",
    "EnrichmentResult",
    "Event",
    "FirstPurchase",
    "FrequencyAnalyzer",
    "HealthProbe",
    "HistoryAnalysis",
    "ItemEvidence",
    "ItemToEnrich",
    "Job",
    "ModelName",
    "Month",
    "Neighborhood",
    "Pipeline",
    "Recommendations",
    "Recommender",
    "Simulator",
    "Started",
    "State",
    "VectorIndex",
    "mesh_state",
]
