"""The kinds of things that a household may need: those of the catalog, and the items of a first purchase."""

import functools
import itertools
import statistics
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from pantree_domain.catalog import CATEGORIES, Catalog, CatalogItem
from pantree_simulation.core.records import ITEM, NEED, Assortment
from pantree_simulation.core.scenario import FirstItem
from pantree_simulation.core.streams import Purpose, key_of

# Weight of a category of the first purchase that has no weight in the archetype, such as baby or pet.
_ADDED_CATEGORY_WEIGHT = 0.10
_NO_PRICE = -1.0
# Category of kinds that an item of the first purchase replaces; no archetype has a weight for it. Removing these kinds
# would require copying all others.
_UNUSED_CATEGORY = ""


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
    added_weights: Mapping[str, float]
    """Weights of categories that have none in an archetype."""


class CatalogArrays:
    """The part of an assortment that depends on the catalog alone, computed once for all households.

    Args:
        catalog: the items.
        price_levels: paid prices over the catalog's, by category.
    """

    def __init__(self, catalog: Catalog, price_levels: Mapping[str, float]) -> None:
        self._catalog = catalog
        self.names = tuple(item.name for item in catalog.items)
        self.categories = tuple(item.category for item in catalog.items)
        self.positions = {item.name: at for at, item in enumerate(catalog.items)}
        self.kinds = {kind: at for at, kind in enumerate(dict.fromkeys(item.kind for item in catalog.items))}
        self.positions_of_kind = [
            [self.positions[item.name] for item in catalog.items_of_kind(kind)] for kind in self.kinds
        ]
        needs = np.zeros(len(self.kinds), NEED)
        needs["stream_code"] = [key_of(Purpose.NEED, kind, False) for kind in self.kinds]
        needs["preference"] = 1.0
        needs["category"] = [CATEGORIES.index(self.categories[at[0]]) for at in self.positions_of_kind]
        needs["first_item"] = -1
        needs["member_count"] = [len(at) for at in self.positions_of_kind]
        needs["member_start"] = np.cumsum(needs["member_count"]) - needs["member_count"]
        members = np.array([item for positions in self.positions_of_kind for item in positions], dtype=np.uint32)
        items = np.zeros(len(catalog.items), ITEM)
        items["first_drift"] = 1.0
        items["given_price"] = _NO_PRICE
        items["usual_quantity"] = 1
        items["purchases_a_day"] = 1 / np.array([item.typical_interval_days for item in catalog.items])
        levels = np.array([price_levels[item.category] for item in catalog.items])
        items["lowest_price"] = levels * [item.price_low for item in catalog.items]
        items["highest_price"] = levels * [item.price_high for item in catalog.items]
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
            return _CatalogMatch(code, found.category, interval, None, None, ())
        complements = tuple(self.kinds[kind] for kind in item.complements)
        at, kind = self.positions[item.name], self.kinds[item.kind]
        return _CatalogMatch(code, found.category, item.typical_interval_days, at, kind, complements)

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
    item: int | None
    """Position of the matching item of the catalog."""
    kind: int | None
    complements: tuple[int, ...]
    """Complementary kinds."""


def catalog_assortment(catalog: Catalog, price_levels: Mapping[str, float]) -> NamedAssortment:
    """Every kind of thing in the catalog; `price_levels` are paid prices over the catalog's, by category."""
    known = CatalogArrays(catalog, price_levels)
    names, categories = ChainedTexts((), known.names), ChainedTexts((), known.categories)
    return NamedAssortment(known.arrays, names, categories, CATEGORIES, {})


def household_assortment(
    first_items: Sequence[FirstItem], arrays: CatalogArrays, complement_preference: float
) -> NamedAssortment:
    """The items of a first purchase, each a need of its own, then the other kinds of things in the catalog.

    An item of the first purchase takes the place of its kind; later, other items of the kind may replace it.
    `complement_preference` multiplies the probability that a complement of the first purchase is a staple.
    """
    count = len(first_items)
    matches = [arrays.match(item.name) for item in first_items]
    item_categories = [item.category or match.category for item, match in zip(first_items, matches, strict=True)]
    categories = tuple(dict.fromkeys((*CATEGORIES, *item_categories, _UNUSED_CATEGORY)))
    known = [match.item for match in matches]
    template = arrays.template(count)
    needs, items = np.frombuffer(bytearray(template.needs), NEED), np.frombuffer(bytearray(template.items), ITEM)

    # Row by row: for the few items of a first purchase, numpy calls on whole columns would take longer.
    codes, need_categories, preferences = needs["stream_code"], needs["category"], needs["preference"]
    member_starts, member_counts = needs["member_start"], needs["member_count"]
    prices, rates, quantities = items["given_price"], items["purchases_a_day"], items["usual_quantity"]
    kinds: set[int] = set()
    first_members: list[int] = []
    for at, (item, match) in enumerate(zip(first_items, matches, strict=True)):
        codes[at] = match.stream_code
        need_categories[at] = categories.index(item_categories[at])
        prices[at], rates[at], quantities[at] = item.price, 1 / match.interval_days, item.quantity
        for kind in match.complements:
            preferences[count + kind] = complement_preference
        if match.kind is not None and match.kind not in kinds:
            kinds.add(match.kind)
            others = [count + other for other in arrays.positions_of_kind[match.kind] if other not in known]
            member_starts[at] = len(arrays.arrays.members) + len(first_members)
            member_counts[at] = len(others)
            first_members += others
            need_categories[count + match.kind] = len(categories) - 1
    members = np.frombuffer(bytearray(template.members) + array("I", first_members), np.uint32)
    return NamedAssortment(
        arrays=Assortment(needs, items, members),
        item_names=ChainedTexts([item.name for item in first_items], arrays.names),
        item_categories=ChainedTexts(item_categories, arrays.categories),
        categories=categories,
        added_weights={
            category: _ADDED_CATEGORY_WEIGHT for category in item_categories if category in arrays.categories_with_items
        },
    )


def _typical_interval(items: Sequence[CatalogItem]) -> float:
    return statistics.median(item.typical_interval_days for item in items)
