"""Answers of a language model, for tests."""

from pantree_domain.catalog import Perishability
from pantree_enrichment.backends.reply import INTERVAL_REASONS
from pantree_enrichment.core.item import IntervalReason, ItemToEnrich, ModelAnswer, ModelItem, RelatedItem, Relation
from pantree_enrichment.core.model_item import model_item


def model_item_of(name: str, category: str = "") -> ModelItem:
    """An item as a language model gets it."""
    return model_item(ItemToEnrich(name, category))


def answer_about(item: ModelItem, category: str = "pantry") -> ModelAnswer:
    """A complete answer, which differs between items."""
    return ModelAnswer(
        category=category,
        certainty_ratio=0.75,
        perishability=Perishability.WEEKS,
        related_items=(
            RelatedItem("Crème fraîche", Relation.COMPLEMENT),
            RelatedItem(f"another {item.name}", Relation.SUBSTITUTE),
        ),
        suggested_interval_days=9,
        interval_reason=IntervalReason("spoils_soon", INTERVAL_REASONS["spoils_soon"]),
    )
