"""What there is to be needed: kinds of things in the catalog, and the items of a first purchase."""

import functools
import itertools
import statistics
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from pantree_domain.catalog import CATEGORIES, Catalog, CatalogItem
from pantree_simulation.core.records import ITEM, NEED, Assortment
from pantree_simulation.core.scenario import FirstItem
from pantree_simulation.core.streams import Purpose, key_of

# Share of purchases in a category of the first purchase for which the archetype has none, such as baby or pet.
_ADDED_CATEGORY_WEIGHT = 0.10
_NO_PRICE = -1.0
# Category of kinds that an item of the first purchase stands for: no archetype wants anything of it. To leave the kinds
# out would mean to copy all others one by one.
_UNNEEDED = ""


class Joined:
    """Texts after others, none of them copied: of hundreds, a household reads a few."""

    def __init__(self, first: Sequence[str], others: Sequence[str]) -> None:
        self._first = first
        self._others = others

    def __len__(self) -> int:
        return len(self._first) + len(self._others)

    def __iter__(self) -> Iterator[str]:
        return itertools.chain(self._first, self._others)

    def at(self, positions: Iterable[int]) -> list[str]:
        """The texts at positions."""
        first, others, count = self._first, self._others, len(self._first)
        return [first[position] if position < count else others[position - count] for position in positions]


class NamedAssortment(NamedTuple):
    """An assortment with the names that people know."""

    arrays: Assortment
    item_names: Joined
    item_categories: Joined
    """Category of each item, as it is told."""
    categories: tuple[str, ...]
    """Ids of the categories, in the order that the kernel counts them by."""
    added_weights: Mapping[str, float]
    """Weights of categories for which an archetype has none."""


class CatalogArrays:
    """What the catalog alone says of an assortment: made once, since it is the same for every household.

    Args:
        catalog: the items.
        price_levels: by category, what is paid in proportion to the catalog's prices.
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
        needs["code"] = [key_of(Purpose.NEED, kind, False) for kind in self.kinds]
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
        self.with_items = self._typical_intervals.keys()
        """Categories that the catalog has items of."""
        # Many households begin with the same items.
        self.meaning_of = functools.lru_cache(maxsize=4096)(self._meaning_of)
        self.with_room_for = functools.lru_cache(maxsize=64)(self._with_room_for)

    def _meaning_of(self, name: str) -> "_Meaning":
        found = self._catalog.categorize(name)
        code, item = key_of(Purpose.NEED, name, True), found.item
        if item is None:
            interval = self._typical_intervals.get(found.category, self._typical_interval)
            return _Meaning(code, found.category, interval, None, None, ())
        complements = tuple(self.kinds[kind] for kind in item.complements)
        at, kind = self.positions[item.name], self.kinds[item.kind]
        return _Meaning(code, found.category, item.typical_interval_days, at, kind, complements)

    def _with_room_for(self, count: int) -> "_Room":
        """The catalog after as many items of a first purchase and their needs, of which the figures are missing."""
        needs, items = np.zeros(count, NEED), np.zeros(count, ITEM)
        needs["preference"], needs["first_item"], items["first_drift"] = 1.0, range(count), 1.0
        return _Room(
            np.concatenate([needs, self.arrays.needs]).tobytes(),
            np.concatenate([items, self.arrays.items]).tobytes(),
            (self.arrays.members + np.uint32(count)).tobytes(),
        )


class _Room(NamedTuple):
    """The arrays of an assortment to be filled in.

    They are bytes: numpy copies records field by field, which takes ten times as long.
    """

    needs: bytes
    items: bytes
    members: bytes


@dataclass(frozen=True)
class _Meaning:
    """What an item of a first purchase means, by its name."""

    code: np.uint64
    """Of the need that it is."""
    category: str
    interval_days: float
    """What is typical between purchases."""
    item: int | None
    """Position of the item of the catalog that it most likely is."""
    kind: int | None
    """That item's kind."""
    complements: tuple[int, ...]
    """Kinds that go with it."""


def catalog_assortment(catalog: Catalog, price_levels: Mapping[str, float]) -> NamedAssortment:
    """Every kind of thing in the catalog.

    Args:
        catalog: the items.
        price_levels: by category, what is paid in proportion to the catalog's prices.
    """
    known = CatalogArrays(catalog, price_levels)
    return NamedAssortment(known.arrays, Joined((), known.names), Joined((), known.categories), CATEGORIES, {})


def assortment_after(
    first_items: Sequence[FirstItem], arrays: CatalogArrays, complement_preference: float
) -> NamedAssortment:
    """The items of a first purchase, each a need of its own, then the other kinds of things in the catalog.

    An item of the first purchase takes the place of its kind; other items of the kind may later take its own place.

    Args:
        first_items: the first purchase; its names are distinct.
        arrays: where other items come from.
        complement_preference: how much likelier what goes with the first purchase is to be a staple.
    """
    count = len(first_items)
    meanings = [arrays.meaning_of(item.name) for item in first_items]
    categories_found = [item.category or meaning.category for item, meaning in zip(first_items, meanings, strict=True)]
    categories = tuple(dict.fromkeys((*CATEGORIES, *categories_found, _UNNEEDED)))
    known = [meaning.item for meaning in meanings]
    room = arrays.with_room_for(count)
    needs, items = np.frombuffer(bytearray(room.needs), NEED), np.frombuffer(bytearray(room.items), ITEM)

    # By row: a household begins with few items, for which whole columns are not worth their numpy calls.
    codes, needs_categories, preferences = needs["code"], needs["category"], needs["preference"]
    member_starts, member_counts = needs["member_start"], needs["member_count"]
    prices, rates, quantities = items["given_price"], items["purchases_a_day"], items["usual_quantity"]
    kinds: set[int] = set()
    first_members: list[int] = []
    for at, (item, meaning) in enumerate(zip(first_items, meanings, strict=True)):
        codes[at] = meaning.code
        needs_categories[at] = categories.index(categories_found[at])
        prices[at], rates[at], quantities[at] = item.price, 1 / meaning.interval_days, item.quantity
        for kind in meaning.complements:
            preferences[count + kind] = complement_preference
        if meaning.kind is not None and meaning.kind not in kinds:
            kinds.add(meaning.kind)
            others = [count + other for other in arrays.positions_of_kind[meaning.kind] if other not in known]
            member_starts[at] = len(arrays.arrays.members) + len(first_members)
            member_counts[at] = len(others)
            first_members += others
            needs_categories[count + meaning.kind] = len(categories) - 1
    members = np.frombuffer(bytearray(room.members) + array("I", first_members), np.uint32)
    return NamedAssortment(
        arrays=Assortment(needs, items, members),
        item_names=Joined([item.name for item in first_items], arrays.names),
        item_categories=Joined(categories_found, arrays.categories),
        categories=categories,
        added_weights={
            category: _ADDED_CATEGORY_WEIGHT for category in categories_found if category in arrays.with_items
        },
    )


def _typical_interval(items: Sequence[CatalogItem]) -> float:
    return statistics.median(item.typical_interval_days for item in items)
