"""The kinds of things that a household may need: those of the catalog, and the items of a first purchase."""

import functools
import itertools
import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from pantree_domain.catalog import CATEGORIES, Catalog, CatalogItem, Trait
from pantree_simulation.core.behavior import Behavior
from pantree_simulation.core.choices import Choices
from pantree_simulation.core.records import ITEM, NEED, Assortment
from pantree_simulation.core.scenario import FirstItem
from pantree_simulation.core.streams import Purpose, key_of

# Weight of a category of the first purchase that has no weight in the archetype, such as baby or pet.
_ADDED_CATEGORY_WEIGHT = 0.10
_NO_PRICE = -1.0
# Category of kinds that an item of the first purchase replaces; no archetype has a weight for it. Removing these kinds
# would require copying all others.
_UNUSED_CATEGORY = ""
# A baby or a pet of the first purchase has needs of its own: what suits it is so many times more likely to be a staple.
_STAGE_PREFERENCE = 4.0
# What no household needs regularly is bought again after so many of the intervals of those who buy it most often.
_INTERVALS_UNTIL_NEXT_OCCASION = 4


class ChainedTexts:
    """Two sequences of texts as one. Not copied, because a household reads only a few of hundreds of texts."""

    def __init__(self, first: Sequence[str], others: Sequence[str]) -> None:
        self._first = first
        self._others = others

    def __len__(self) -> int:
        return len(self._first) + len(self._others)

    def __iter__(self) -> Iterator[str]:
        return itertools.chain(self._first, self._others)

    def take(self, positions: Iterable[int]) -> list[str]:
        """The texts at positions."""
        first, others, count = self._first, self._others, len(self._first)
        return [first[position] if position < count else others[position - count] for position in positions]


class NamedAssortment(NamedTuple):
    """An assortment with the names of its items and categories."""

    arrays: Assortment
    item_names: ChainedTexts
    item_categories: ChainedTexts
    """The reported category of each item."""
    categories: tuple[str, ...]
    """Ids of the categories, in the order of the kernel's category positions."""
    choices: Choices
    added_weights: Mapping[str, float]
    """Weights of categories that have none in an archetype."""


class CatalogArrays:
    """The part of an assortment that depends on the catalog alone, computed once for all households.

    Args:
        catalog: the items.
        behavior: price levels, and how often variants are chosen.
    """

    def __init__(self, catalog: Catalog, behavior: Behavior) -> None:
        self._catalog = catalog
        self.choices = choices = Choices(catalog, behavior)
        self.names = tuple(variant.name for variant in choices.members)
        self.categories = tuple(variant.item.category for variant in choices.members)
        self._plain_variants: dict[str, int] = {}
        for at, variant in enumerate(choices.members):
            self._plain_variants.setdefault(variant.item.name, at)
        needs = np.zeros(len(choices.kinds), NEED)
        needs["stream_code"] = [key_of(Purpose.NEED, kind, False) for kind in choices.kinds]
        needs["preference"] = 1.0
        needs["kind"] = range(len(choices.kinds))
        needs["category"] = choices.kind_categories
        needs["first_item"] = -1
        needs["member_count"], needs["member_start"] = choices.member_counts, choices.member_starts
        members = np.arange(len(choices.members), dtype=np.uint32)
        items = np.zeros(len(choices.members), ITEM)
        items["first_drift"] = 1.0
        items["given_price"] = _NO_PRICE
        items["usual_quantity"] = 1
        items["purchases_a_day"] = choices.purchases_a_day
        levels = np.array([behavior.prices.levels[category] for category in self.categories])
        items["lowest_price"] = levels * [variant.price_low for variant in choices.members]
        items["highest_price"] = levels * [variant.price_high for variant in choices.members]
        self.stages = [
            frozenset[str]().union(*(item.stages for item in catalog.items_of_kind(kind))) for kind in choices.kinds
        ]
        """Stages that each kind is for; empty for anyone."""
        self.arrays = Assortment(needs, items, members)
        """The catalog alone."""
        self._typical_intervals = {
            category: _typical_interval(found) for category in CATEGORIES if (found := catalog.items_in(category))
        }
        self._typical_interval = _typical_interval(catalog.items)
        self.categories_with_items = self._typical_intervals.keys()
        # Many households begin with the same items.
        self.match = functools.lru_cache(maxsize=4096)(self._match)
        self.template = functools.lru_cache(maxsize=64)(self._template)

    def _match(self, name: str) -> "_CatalogMatch":
        found = self._catalog.categorize(name)
        code, item = key_of(Purpose.NEED, name, True), found.item
        if item is None:
            interval = self._typical_intervals.get(found.category, self._typical_interval)
            return _CatalogMatch(code, found.category, interval, None, None, (), frozenset(), False)
        complements = tuple(self.choices.kinds[kind] for kind in item.complements)
        variant = self._catalog.variant_by_name.get(name)
        member = self._plain_variants[item.name] if variant is None else self.choices.members.index(variant)
        return _CatalogMatch(
            code,
            found.category,
            1 / float(self.choices.purchases_a_day[member]),
            member,
            self.choices.kinds[item.kind],
            complements,
            item.stages,
            Trait.OCCASION in item.traits,
        )

    def _template(self, count: int) -> "_Template":
        """An assortment with `count` items of a first purchase and their needs, which are not filled in yet."""
        needs, items = np.zeros(count, NEED), np.zeros(count, ITEM)
        needs["preference"], needs["first_item"], items["first_drift"] = 1.0, range(count), 1.0
        return _Template(
            np.concatenate([needs, self.arrays.needs]).tobytes(),
            np.concatenate([items, self.arrays.items]).tobytes(),
            (self.arrays.members + np.uint32(count)).tobytes(),
        )


class _Template(NamedTuple):
    """The arrays of an assortment as bytes, because numpy copies records field by field, which is ten times slower."""

    needs: bytes
    items: bytes
    members: bytes


class _CatalogMatch(NamedTuple):
    """The catalog's data for an item of a first purchase, matched by name."""

    stream_code: np.uint64
    category: str
    interval_days: float
    """Typical days between purchases."""
    member: int | None
    """Position of the matching variant."""
    kind: int | None
    complements: tuple[int, ...]
    """Complementary kinds."""
    stages: frozenset[str]
    """Such as `infant`, that the item is for."""
    is_for_occasion: bool
    """Whether no household needs it regularly."""


def catalog_assortment(catalog: Catalog, behavior: Behavior) -> NamedAssortment:
    """Every kind of thing in the catalog, in its variants."""
    known = CatalogArrays(catalog, behavior)
    names, categories = ChainedTexts((), known.names), ChainedTexts((), known.categories)
    return NamedAssortment(known.arrays, names, categories, CATEGORIES, known.choices, {})


def household_assortment(
    first_items: Sequence[FirstItem], arrays: CatalogArrays, complement_preference: float
) -> NamedAssortment:
    """The items of a first purchase, each a need of its own, then the other kinds of things in the catalog.

    An item of the first purchase takes the place of its kind; other variants of the kind are bought now and then. A
    baby or a pet of the first purchase has the needs of its stage or species, and no others of its category.
    `complement_preference` multiplies the probability that a complement of the first purchase is a staple.
    """
    count = len(first_items)
    matches = [arrays.match(item.name) for item in first_items]
    item_categories = [item.category or match.category for item, match in zip(first_items, matches, strict=True)]
    categories = tuple(dict.fromkeys((*CATEGORIES, *item_categories, _UNUSED_CATEGORY)))
    template = arrays.template(count)
    needs, items = np.frombuffer(bytearray(template.needs), NEED), np.frombuffer(bytearray(template.items), ITEM)

    # Row by row: for the few items of a first purchase, numpy calls on whole columns would take longer.
    codes, need_categories, preferences = needs["stream_code"], needs["category"], needs["preference"]
    member_starts, member_counts = needs["member_start"], needs["member_count"]
    prices, rates, quantities = items["given_price"], items["purchases_a_day"], items["usual_quantity"]
    need_kinds = needs["kind"]
    members = np.frombuffer(bytearray(template.members), np.uint32)
    kinds: set[int] = set()
    for at, (item, match) in enumerate(zip(first_items, matches, strict=True)):
        codes[at] = match.stream_code
        need_categories[at] = categories.index(item_categories[at])
        prices[at], rates[at], quantities[at] = item.price, 1 / match.interval_days, item.quantity
        need_kinds[at] = len(arrays.choices.kinds) if match.kind is None else match.kind
        if match.is_for_occasion:
            preferences[at], rates[at] = 0.0, rates[at] / _INTERVALS_UNTIL_NEXT_OCCASION
        for kind in match.complements:
            preferences[count + kind] = complement_preference
        if match.kind is not None and match.kind not in kinds:
            kinds.add(match.kind)
            member_starts[at] = arrays.choices.member_starts[match.kind]
            member_counts[at] = arrays.choices.member_counts[match.kind]
            need_categories[count + match.kind] = len(categories) - 1
        if match.member is not None:
            members[match.member] = at  # in place of the variant, and under its name in the first purchase
    stages = _stages(matches)
    if stages:
        for kind, suited in enumerate(arrays.stages):
            if suited and not suited & stages:
                need_categories[count + kind] = len(categories) - 1
            elif suited:
                preferences[count + kind] = _STAGE_PREFERENCE
    return NamedAssortment(
        arrays=Assortment(needs, items, members),
        item_names=ChainedTexts([item.name for item in first_items], arrays.names),
        item_categories=ChainedTexts(item_categories, arrays.categories),
        categories=categories,
        choices=arrays.choices,
        added_weights={
            category: _ADDED_CATEGORY_WEIGHT for category in item_categories if category in arrays.categories_with_items
        },
    )


def _stages(matches: Sequence[_CatalogMatch]) -> frozenset[str]:
    """Stages of the household's babies and pets; items for several of them say nothing if others do."""
    known = [match.stages for match in matches if match.stages]
    certain = [stages for stages in known if len(stages) == 1]
    return frozenset[str]().union(*(certain or known[:1]))


def _typical_interval(items: Sequence[CatalogItem]) -> float:
    return statistics.median(item.typical_interval_days for item in items)
