"""Enriches items from the catalog, without a language model."""

import functools
from collections import Counter
from collections.abc import Iterator

from pantree_domain.catalog import CATEGORIES, OTHER, Catalog, CatalogItem, Perishability, normalize_name
from pantree_domain.goods import load_goods_policy
from pantree_enrichment.core.item import (
    MAX_SUGGESTED_INTERVAL_DAYS,
    RULES_SOURCE,
    EnrichedItem,
    FactSources,
    IntervalReason,
    ItemToEnrich,
    RelatedItem,
    Relation,
)
from pantree_enrichment.core.plain_names import is_terse, plain_name_of

# Enough to choose from, few enough for one line.
MAX_SUBSTITUTES = 4
MAX_COMPLEMENTS = 4

_MAX_CACHED = 8192

# Every shop has its own categories, so they are used only if the name is unknown.
_SHOP_CATEGORY_CERTAINTY = 0.5
# Minimum share of a category's items with the same perishability for it to apply to unknown items of the category.
_MIN_AGREEMENT = 0.9


class RulesEnricher:
    """Enriches items from the catalog."""

    def __init__(self, catalog: Catalog) -> None:
        self.catalog = catalog
        # Households buy mostly the same items, so most of them are cached.
        self.enrich_item = functools.lru_cache(maxsize=_MAX_CACHED)(self._enrich_item)
        """Describes an item by what the catalog knows about it."""
        self._perishabilities = {category: self._perishability_of(category) for category in CATEGORIES}
        # "personal_care" matches a shop's "Health & Personal Care".
        self._category_phrases = {
            normalize_name(category.replace("_", " ")): category for category in CATEGORIES if category != OTHER
        }

    def _enrich_item(self, item: ItemToEnrich) -> EnrichedItem:
        found = self.catalog.categorize(item.name)
        category, certainty_ratio = found.category, found.certainty_ratio
        if category == OTHER and item.category:
            category = self._category_of_shop(item.category)
            certainty_ratio = certainty_ratio if category == OTHER else _SHOP_CATEGORY_CERTAINTY
        known = found.item
        perishability = self._perishabilities[category] if known is None else known.perishability
        related_items = () if known is None else tuple(self._related(item.name, known))
        plain_name = plain_name_of(item.name, self.catalog)
        return EnrichedItem(
            name=item.name,
            normalized_name=normalize_name(item.name),
            category=category,
            certainty_ratio=certainty_ratio,
            perishability=perishability,
            related_items=related_items,
            suggested_interval_days=None if known is None else _interval_days(known),
            interval_reason=None if known is None else _interval_reason(known, found.certainty_ratio),
            sources=FactSources(
                category="" if category == OTHER else RULES_SOURCE,
                perishability="" if perishability is None else RULES_SOURCE,
                suggested_interval="" if known is None else RULES_SOURCE,
                related_items=RULES_SOURCE if related_items else "",
                plain_name=RULES_SOURCE if plain_name else "",
            ),
            plain_name=plain_name,
        )

    def knows(self, item: ItemToEnrich) -> bool:
        """Whether the catalog has the item or a similar one."""
        return self.enrich_item(item).sources.suggested_interval == RULES_SOURCE

    def lacks_facts(self, item: ItemToEnrich) -> bool:
        """Whether something about the item is unknown that a language model may know."""
        by_rules = self.enrich_item(item)
        lacks_plain_name = is_terse(item.name) and not by_rules.plain_name
        return not self.knows(item) or not by_rules.related_items or lacks_plain_name

    def _related(self, name: str, item: CatalogItem) -> Iterator[RelatedItem]:
        """Substitutes, then complements, in the order of the catalog."""
        own_name = normalize_name(name)
        substitutes = [
            other.name
            for other in self.catalog.items_of_kind(item.kind)
            if normalize_name(other.name) != own_name and may_suggest(other.name)
        ]
        complements = [
            others[0].name
            for kind in item.complements
            if (others := self.catalog.items_of_kind(kind)) and may_suggest(others[0].name)
        ]
        yield from (RelatedItem(other, Relation.SUBSTITUTE) for other in substitutes[:MAX_SUBSTITUTES])
        yield from (RelatedItem(other, Relation.COMPLEMENT) for other in complements[:MAX_COMPLEMENTS])

    def _category_of_shop(self, text: str) -> str:
        """The catalog's category for a shop's category; `other` if unknown."""
        normalized = normalize_name(text)
        for phrase, category in self._category_phrases.items():
            if f" {phrase} " in f" {normalized} ":
                return category
        return self.catalog.categorize(text).category

    def _perishability_of(self, category: str) -> Perishability | None:
        """Perishability of nearly all items of a category; None if they differ."""
        items = self.catalog.items_in(category)
        for perishability, count in Counter(item.perishability for item in items).items():
            if count >= _MIN_AGREEMENT * len(items):
                return perishability
        return None


def may_suggest(name: str) -> bool:
    """Whether the policy for goods allows suggesting an item."""
    match = load_goods_policy().match(name, "")
    return match is None or match.goods.suggest


def _interval_days(item: CatalogItem) -> int:
    return min(max(round(item.typical_interval_days), 1), MAX_SUGGESTED_INTERVAL_DAYS)


def _interval_reason(item: CatalogItem, certainty_ratio: float) -> IntervalReason:
    days = _interval_days(item)
    if certainty_ratio == 1:
        return IntervalReason("known_item", f"households that use it regularly buy it about every {days} days")
    return IntervalReason("similar_item", f"{item.name}, a similar item, is bought about every {days} days")
