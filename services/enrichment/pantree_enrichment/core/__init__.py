"""What the enrichment service knows: what an item is by the catalog, and how far a language model is believed."""

from pantree_enrichment.core.enrichment import Enrichment
from pantree_enrichment.core.item import (
    MAX_SUGGESTED_INTERVAL_DAYS,
    EnrichedItem,
    IntervalReason,
    ItemEnricher,
    ItemToEnrich,
    Outcome,
    RelatedItem,
    Relation,
    Unanswered,
)
from pantree_enrichment.core.question import question_about, why_not_to_ask
from pantree_enrichment.core.rules import RulesEnricher

__all__ = [
    "MAX_SUGGESTED_INTERVAL_DAYS",
    "EnrichedItem",
    "Enrichment",
    "IntervalReason",
    "ItemEnricher",
    "ItemToEnrich",
    "Outcome",
    "RelatedItem",
    "Relation",
    "RulesEnricher",
    "Unanswered",
    "question_about",
    "why_not_to_ask",
]
