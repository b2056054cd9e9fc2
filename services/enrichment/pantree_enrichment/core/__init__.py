"""Core of the enrichment service: what the catalog knows about items, and how far a language model is trusted."""

from pantree_enrichment.core.enrichment import Enrichment
from pantree_enrichment.core.item import (
    MAX_SUGGESTED_INTERVAL_DAYS,
    EnrichedItem,
    Failure,
    IntervalReason,
    ItemToEnrich,
    Outcome,
    RelatedItem,
    Relation,
)
from pantree_enrichment.core.ports import AnswerCache, ItemEnricher, LanguageModel
from pantree_enrichment.core.rules import RulesEnricher
from pantree_enrichment.core.screening import plain_item, skip_reason

__all__ = [
    "MAX_SUGGESTED_INTERVAL_DAYS",
    "AnswerCache",
    "EnrichedItem",
    "Enrichment",
    "Failure",
    "IntervalReason",
    "ItemEnricher",
    "ItemToEnrich",
    "LanguageModel",
    "Outcome",
    "RelatedItem",
    "Relation",
    "RulesEnricher",
    "plain_item",
    "skip_reason",
]
