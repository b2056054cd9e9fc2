"""What the catalog says about an item. Always there, and the yardstick for what a language model says."""

import functools
from collections import Counter
from collections.abc import Iterator

from pantree_domain.catalog import CATEGORIES, OTHER, Catalog, CatalogItem, Perishability, normalize_name
from pantree_enrichment.core.item import (
    MAX_SUGGESTED_INTERVAL_DAYS,
    EnrichedItem,
    IntervalReason,
    ItemToEnrich,
    RelatedItem,
    Relation,
)

SOURCE = "rules"

# Enough to choose from and to show on one line.
MAX_SUBSTITUTES = 4
MAX_COMPLEMENTS = 4

_MOST_REMEMBERED = 8192

# A shop files items by its own lights; it is believed only when the name says nothing.
_SHOP_CATEGORY_CERTAINTY = 0.5
# A category speaks for an unknown item of its own when this share of its items keep equally long.
_LEAST_AGREEMENT = 0.9


class RulesEnricher:
    """Answers from the catalog."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        # Households buy much the same things, so most items were asked about before.
        self.enrich_item = functools.lru_cache(maxsize=_MOST_REMEMBERED)(self._enrich_item)
        """What the catalog says about an item."""
        self._perishabilities = {category: self._perishability_of(category) for category in CATEGORIES}
        # "personal_care" is found in a shop's "Health & Personal Care".
        self._category_phrases = {
            normalize_name(category.replace("_", " ")): category for category in CATEGORIES if category != OTHER
        }

    def _enrich_item(self, item: ItemToEnrich) -> EnrichedItem:
        found = self._catalog.categorize(item.name)
        category, certainty_ratio = found.category, found.certainty_ratio
        if category == OTHER and item.category:
            category = self._category_of_shop(item.category)
            certainty_ratio = certainty_ratio if category == OTHER else _SHOP_CATEGORY_CERTAINTY
        known = found.item
        return EnrichedItem(
            name=item.name,
            normalized_name=normalize_name(item.name),
            category=category,
            certainty_ratio=certainty_ratio,
            perishability=self._perishabilities[category] if known is None else known.perishability,
            related_items=() if known is None else tuple(self._related(item.name, known)),
            suggested_interval_days=None if known is None else _interval_days(known),
            interval_reason=None if known is None else _interval_reason(known, found.certainty_ratio),
            source=SOURCE,
        )

    def contradicts(self, answer: EnrichedItem) -> bool:
        """Whether the catalog has an item of exactly that name in another category."""
        found = self._catalog.categorize(answer.name)
        return found.certainty_ratio == 1 and found.category != answer.category

    def recognized(self, answer: EnrichedItem) -> tuple[RelatedItem, ...]:
        """The items of the catalog that an answer's related items mean, by the catalog's names, without others.

        So no free text of a language model ever reaches a shopper.
        """
        recognized: dict[str, RelatedItem] = {}
        for related in answer.related_items:
            found = self._catalog.categorize(related.name).item
            if found is not None and normalize_name(found.name) != answer.normalized_name:
                recognized.setdefault(found.name, RelatedItem(found.name, related.relation))
        return tuple(recognized.values())

    def _related(self, name: str, item: CatalogItem) -> Iterator[RelatedItem]:
        """Substitutes, then complements, in the order of the catalog."""
        itself = normalize_name(name)
        substitutes = [
            other.name for other in self._catalog.items_of_kind(item.kind) if normalize_name(other.name) != itself
        ]
        complements = [others[0].name for kind in item.complements if (others := self._catalog.items_of_kind(kind))]
        yield from (RelatedItem(other, Relation.SUBSTITUTE) for other in substitutes[:MAX_SUBSTITUTES])
        yield from (RelatedItem(other, Relation.COMPLEMENT) for other in complements[:MAX_COMPLEMENTS])

    def _category_of_shop(self, text: str) -> str:
        """Category of the catalog that a shop's category names; `other` when it names none."""
        normalized = normalize_name(text)
        for phrase, category in self._category_phrases.items():
            if f" {phrase} " in f" {normalized} ":
                return category
        return self._catalog.categorize(text).category

    def _perishability_of(self, category: str) -> Perishability | None:
        """How long nearly all items of a category keep; None when they differ."""
        items = self._catalog.items_in(category)
        for perishability, count in Counter(item.perishability for item in items).items():
            if count >= _LEAST_AGREEMENT * len(items):
                return perishability
        return None


def _interval_days(item: CatalogItem) -> int:
    return min(max(round(item.typical_interval_days), 1), MAX_SUGGESTED_INTERVAL_DAYS)


def _interval_reason(item: CatalogItem, certainty_ratio: float) -> IntervalReason:
    days = _interval_days(item)
    if certainty_ratio == 1:
        return IntervalReason("known_item", f"households that use it regularly buy it about every {days} days")
    return IntervalReason("similar_item", f"{item.name}, which is much like it, is bought about every {days} days")
