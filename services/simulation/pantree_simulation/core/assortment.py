"""What there is to be needed: kinds of things in the catalogue, and the items of a first purchase."""

import functools
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pantree_domain.catalog import CATEGORIES, Catalog, CatalogItem
from pantree_simulation.core.records import ITEM, NEED, Assortment, Records
from pantree_simulation.core.scenario import FirstItem
from pantree_simulation.core.streams import Purpose, key_of

# Share of purchases in a category of the first purchase for which the archetype has none, such as baby or pet.
_ADDED_CATEGORY_WEIGHT = 0.10
_NO_PRICE = -1.0


@dataclass(frozen=True)
class NamedAssortment:
    """An assortment with the names that people know."""

    arrays: Assortment
    item_names: tuple[str, ...]
    item_categories: tuple[str, ...]
    """Category of each item, as it is told."""
    categories: tuple[str, ...]
    """Ids of the categories, in the order that the kernel counts them by."""
    added_weights: Mapping[str, float]
    """Weights of categories for which an archetype has none."""


class CatalogArrays:
    """What the catalogue alone says of an assortment: made once, since it is the same for every household.

    Args:
        catalog: the items.
        price_levels: by category, what is paid in proportion to the catalogue's prices.
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
        self.needs = _need_records(
            [
                _Need(key_of(Purpose.NEED, kind, False), self.categories[members[0]], -1, members)
                for kind, members in zip(self.kinds, self.positions_of_kind, strict=True)
            ],
            CATEGORIES,
        )
        self.members = np.array([item for members in self.positions_of_kind for item in members], dtype=np.uint32)
        self.kinds_of_members = np.repeat(np.arange(len(self.kinds)), self.needs["member_count"])
        self.items = np.zeros(len(catalog.items), ITEM)
        self.items["first_drift"] = 1.0
        self.items["given_price"] = _NO_PRICE
        self.items["usual_quantity"] = 1
        self.items["purchases_a_day"] = 1 / np.array([item.typical_interval_days for item in catalog.items])
        levels = np.array([price_levels[item.category] for item in catalog.items])
        self.items["lowest_price"] = levels * [item.price_low for item in catalog.items]
        self.items["highest_price"] = levels * [item.price_high for item in catalog.items]
        self._typical_intervals = {
            category: _typical_interval(members) for category in CATEGORIES if (members := catalog.items_in(category))
        }
        self._typical_interval = _typical_interval(catalog.items)
        self.with_items = self._typical_intervals.keys()
        """Categories that the catalogue has items of."""
        # Many households begin with the same items.
        self.meaning_of = functools.lru_cache(maxsize=4096)(self._meaning_of)

    def _meaning_of(self, name: str) -> "_Meaning":
        found = self._catalog.categorize(name)
        code, item = key_of(Purpose.NEED, name, True), found.item
        if item is None:
            interval = self._typical_intervals.get(found.category, self._typical_interval)
            return _Meaning(code, found.category, interval, None, None, ())
        complements = tuple(self.kinds[kind] for kind in item.complements)
        at, kind = self.positions[item.name], self.kinds[item.kind]
        return _Meaning(code, found.category, item.typical_interval_days, at, kind, complements)


@dataclass(frozen=True)
class _Meaning:
    """What an item of a first purchase means, by its name."""

    code: np.uint64
    """Of the need that it is."""
    category: str
    interval_days: float
    """What is typical between purchases."""
    item: int | None
    """Position of the item of the catalogue that it most likely is."""
    kind: int | None
    """That item's kind."""
    complements: tuple[int, ...]
    """Kinds that go with it."""


def catalog_assortment(catalog: Catalog, price_levels: Mapping[str, float]) -> NamedAssortment:
    """Every kind of thing in the catalogue.

    Args:
        catalog: the items.
        price_levels: by category, what is paid in proportion to the catalogue's prices.
    """
    return assortment_after((), CatalogArrays(catalog, price_levels), complement_preference=1.0)


def assortment_after(
    first_items: Sequence[FirstItem], arrays: CatalogArrays, complement_preference: float
) -> NamedAssortment:
    """The items of a first purchase, each a need of its own, then the other kinds of things in the catalogue.

    An item of the first purchase takes the place of its kind; other items of the kind may later take its own place.

    Args:
        first_items: the first purchase; its names are distinct.
        arrays: where other items come from.
        complement_preference: how much likelier what goes with the first purchase is to be a staple.
    """
    meanings = [arrays.meaning_of(item.name) for item in first_items]
    categories_found = [item.category or meaning.category for item, meaning in zip(first_items, meanings, strict=True)]
    known = [meaning.item for meaning in meanings]
    count = len(first_items)

    needs: list[_Need] = []
    kinds: set[int] = set()
    complements: set[int] = set()
    for at, (category, meaning) in enumerate(zip(categories_found, meanings, strict=True)):
        others: list[int] = []
        complements.update(meaning.complements)
        if meaning.kind is not None and meaning.kind not in kinds:
            others = [count + other for other in arrays.positions_of_kind[meaning.kind] if other not in known]
            kinds.add(meaning.kind)
        needs.append(_Need(meaning.code, category, at, others))

    categories = tuple(dict.fromkeys([*CATEGORIES, *categories_found]))
    is_left = np.ones(len(arrays.kinds), np.bool_)
    is_left[list(kinds)] = False
    preferences = arrays.needs["preference"].copy()
    preferences[list(complements)] = complement_preference
    left = np.flatnonzero(is_left)
    need_records = _joined(_need_records(needs, categories), arrays.needs.take(left))
    need_records["preference"][count:] = preferences[left]
    need_records["member_start"] = np.cumsum(need_records["member_count"]) - need_records["member_count"]
    first_members = np.array([member for need in needs for member in need.members], dtype=np.uint32)
    other_members = arrays.members[is_left[arrays.kinds_of_members]] + np.uint32(count)
    return NamedAssortment(
        arrays=Assortment(
            need_records,
            _joined(_first_item_records(first_items, [meaning.interval_days for meaning in meanings]), arrays.items),
            np.concatenate([first_members, other_members]),
        ),
        item_names=(*(item.name for item in first_items), *arrays.names),
        item_categories=(*categories_found, *arrays.categories),
        categories=categories,
        added_weights={
            category: _ADDED_CATEGORY_WEIGHT for category in categories_found if category in arrays.with_items
        },
    )


@dataclass(frozen=True)
class _Need:
    code: np.uint64
    category: str
    first_item: int
    members: Sequence[int]


def _joined(first: Records, second: Records) -> Records:
    """Records of one type after others, as bytes: numpy copies field by field, which takes ten times as long."""
    joined = np.empty(len(first) + len(second), first.dtype)
    joined_bytes = joined.view(np.uint8)
    joined_bytes[: first.nbytes] = first.view(np.uint8)
    joined_bytes[first.nbytes :] = second.view(np.uint8)
    return joined


def _need_records(needs: Sequence[_Need], categories: Sequence[str]) -> Records:
    records = np.zeros(len(needs), NEED)
    records["code"] = [need.code for need in needs]
    records["preference"] = 1.0
    records["category"] = [categories.index(need.category) for need in needs]
    records["first_item"] = [need.first_item for need in needs]
    records["member_count"] = [len(need.members) for need in needs]
    return records


def _first_item_records(first_items: Sequence[FirstItem], intervals: Sequence[float]) -> Records:
    records = np.zeros(len(first_items), ITEM)
    records["first_drift"] = 1.0
    records["given_price"] = [item.price for item in first_items]
    records["purchases_a_day"] = 1 / np.array(intervals)
    records["usual_quantity"] = [item.quantity for item in first_items]
    return records


def _typical_interval(items: Sequence[CatalogItem]) -> float:
    return statistics.median(item.typical_interval_days for item in items)
