"""Decides which facts of a language model's answer count.

The catalog's facts stand: for an item that it knows, a model can only add what the catalog lacks, related items and
words for shoppers. For other items, a model's facts must be certain enough, must be possible for the category, and
never lengthen how long an item keeps.
"""

import enum
from dataclasses import replace

from pantree_domain.catalog import CATEGORIES, OTHER, Catalog, Perishability, normalize_name
from pantree_enrichment.core.item import (
    MODEL_SOURCE,
    EnrichedItem,
    IntervalReason,
    ModelAnswer,
    RelatedItem,
)
from pantree_enrichment.core.plain_names import checked_plain_name
from pantree_enrichment.core.rules import may_suggest

# A certainty that a language model states is not calibrated; a judgment that ranks it below an equal one of the rules.
_STATED_CERTAINTY_RATIO = 0.8
# An answer that the model itself doubts is not used.
MIN_STATED_CERTAINTY = 0.5

_SHELF_LIVES = (Perishability.DAYS, Perishability.WEEKS, Perishability.MONTHS)  # shortest first


class CheckResult(enum.Enum):
    """What became of a model's answer."""

    USED = "used"
    NOTHING_NEW = "nothing_new"
    UNCERTAIN = "uncertain"
    DISAGREED = "disagreed"
    """Its category contradicts the catalog or a more certain rule, so none of its other facts count."""
    OUT_OF_BOUNDS = "out_of_bounds"
    """A fact that the category does not allow was left out."""


class FactChecker:
    """Merges answers of a language model into those of the rules."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        # Ranges of typical intervals, in days, by shelf life, by category.
        self._intervals: dict[str, dict[Perishability, tuple[float, float]]] = {
            category: _interval_ranges(catalog, category) for category in CATEGORIES
        }

    def merge(self, by_rules: EnrichedItem, answer: ModelAnswer, *, is_known: bool) -> tuple[EnrichedItem, CheckResult]:
        """The rules' answer with the facts of the model's answer that count, and what became of that answer.

        Args:
            by_rules: the rules' answer about the item.
            answer: the model's answer.
            is_known: whether the catalog has the item or a similar one.
        """
        if answer.certainty_ratio < MIN_STATED_CERTAINTY:
            return by_rules, CheckResult.UNCERTAIN
        if is_known:
            if answer.category != by_rules.category:
                return by_rules, CheckResult.DISAGREED
            merged = self._with_plain_name(self._with_related_items(by_rules, answer), answer)
            return merged, CheckResult.USED if merged is not by_rules else CheckResult.NOTHING_NEW
        certainty = answer.certainty_ratio * _STATED_CERTAINTY_RATIO
        merged = by_rules
        if answer.category != by_rules.category:
            if answer.category == OTHER or certainty <= by_rules.certainty_ratio:
                return by_rules, CheckResult.DISAGREED
            merged = replace(
                by_rules,
                category=answer.category,
                certainty_ratio=certainty,
                sources=replace(by_rules.sources, category=MODEL_SOURCE),
            )
        merged = self._with_related_items(merged, answer)
        if merged.category == OTHER:
            return merged, CheckResult.NOTHING_NEW if merged is by_rules else CheckResult.USED
        merged = self._with_plain_name(merged, answer)
        bounded = self._with_bounded_facts(merged, answer, rules_category=by_rules.category)
        if bounded is None:
            return merged, CheckResult.OUT_OF_BOUNDS
        return bounded, CheckResult.USED if bounded != by_rules else CheckResult.NOTHING_NEW

    def _with_bounded_facts(self, item: EnrichedItem, answer: ModelAnswer, rules_category: str) -> EnrichedItem | None:
        """The item with the model's shelf life and interval; None if the category does not allow them."""
        intervals = self._intervals[item.category]
        shelf_life = answer.perishability
        limits = [
            max(possible, key=_SHELF_LIVES.index)
            for category in (item.category, rules_category)
            if (possible := self._intervals[category])
        ]
        if item.perishability is not None:
            limits.append(item.perishability)
        if shelf_life not in intervals or any(
            _SHELF_LIVES.index(shelf_life) > _SHELF_LIVES.index(limit) for limit in limits
        ):
            return None
        min_days, max_days = intervals[shelf_life]
        if not min_days <= answer.suggested_interval_days <= max_days:
            return None
        reason: IntervalReason = answer.interval_reason
        sources = replace(item.sources, suggested_interval=MODEL_SOURCE)
        if shelf_life is not item.perishability:
            sources = replace(sources, perishability=MODEL_SOURCE)
        return replace(
            item,
            perishability=shelf_life,
            suggested_interval_days=answer.suggested_interval_days,
            interval_reason=reason,
            sources=sources,
        )

    def _with_related_items(self, item: EnrichedItem, answer: ModelAnswer) -> EnrichedItem:
        """The item with the model's related items if it has none.

        Only items of the catalog count, under the catalog's names, so shoppers never see text that a model wrote.
        """
        if item.related_items:
            return item
        known: dict[str, RelatedItem] = {}
        for related in answer.related_items:
            found = self._catalog.categorize(related.name).item
            if found is None or not may_suggest(found.name):
                continue
            if normalize_name(found.name) != item.normalized_name:
                known.setdefault(found.name, RelatedItem(found.name, related.relation))
        if not known:
            return item
        sources = replace(item.sources, related_items=MODEL_SOURCE)
        return replace(item, related_items=tuple(known.values()), sources=sources)

    def _with_plain_name(self, item: EnrichedItem, answer: ModelAnswer) -> EnrichedItem:
        """The item with the model's words for its name if it has none, and if shoppers may see them."""
        if item.plain_name:
            return item
        plain_name = checked_plain_name(answer.plain_name, item.name, item.category, self._catalog)
        if not plain_name:
            return item
        return replace(item, plain_name=plain_name, sources=replace(item.sources, plain_name=MODEL_SOURCE))


def _interval_ranges(catalog: Catalog, category: str) -> dict[Perishability, tuple[float, float]]:
    """Shortest and longest typical interval of a category's items, by shelf life."""
    days: dict[Perishability, list[float]] = {}
    for item in catalog.items_in(category):
        days.setdefault(item.perishability, []).append(item.typical_interval_days)
    return {shelf_life: (min(some), max(some)) for shelf_life, some in days.items()}
