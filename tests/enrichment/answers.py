"""Answers of a language model, for tests."""

from pantree_domain.catalog import Perishability
from pantree_enrichment.backends.reply import INTERVAL_REASONS
from pantree_enrichment.core.item import EnrichedItem, IntervalReason, ItemToEnrich, RelatedItem, Relation


def answer_about(item: ItemToEnrich, category: str = "pantry") -> EnrichedItem:
    """A complete answer about an item."""
    return EnrichedItem(
        name=item.name,
        normalized_name=item.name,
        category=category,
        certainty_ratio=0.75,
        perishability=Perishability.WEEKS,
        related_items=(
            RelatedItem("Crème fraîche", Relation.COMPLEMENT),
            RelatedItem("oat drink", Relation.SUBSTITUTE),
        ),
        suggested_interval_days=9,
        interval_reason=IntervalReason("spoils_soon", INTERVAL_REASONS["spoils_soon"]),
        source="nim",
    )
