"""What there is to be needed: kinds of things in the catalogue, and the items of a first purchase."""

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
        self.catalog = catalog
        self.names = tuple(item.name for item in catalog.items)
        self.categories = tuple(item.category for item in catalog.items)
        self.positions = {item.name: at for at, item in enumerate(catalog.items)}
        self.kinds = {kind: at for at, kind in enumerate(dict.fromkeys(item.kind for item in catalog.items))}
        self.needs = _need_records(
            [
                _Need(kind, members[0].category, 1.0, -1, [self.positions[item.name] for item in members])
                for kind in self.kinds
                if (members := catalog.items_of_kind(kind))
            ],
            CATEGORIES,
        )
        self.members = np.array(
            [self.positions[item.name] for kind in self.kinds for item in catalog.items_of_kind(kind)], dtype=np.uint32
        )
        self.kinds_of_members = np.repeat(np.arange(len(self.kinds)), self.needs["member_count"])
        self.items = np.zeros(len(catalog.items), ITEM)
        self.items["first_drift"] = 1.0
        self.items["given_price"] = _NO_PRICE
        self.items["usual_quantity"] = 1
        self.items["purchases_a_day"] = 1 / np.array([item.typical_interval_days for item in catalog.items])
        levels = np.array([price_levels[item.category] for item in catalog.items])
        self.items["lowest_price"] = levels * [item.price_low for item in catalog.items]
        self.items["highest_price"] = levels * [item.price_high for item in catalog.items]


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
    catalog = arrays.catalog
    found = [catalog.categorize(item.name) for item in first_items]
    known = [categorization.item for categorization in found]
    alike = [
        (categorization.item,) if categorization.item else catalog.items_in(categorization.category) or catalog.items
        for categorization in found
    ]
    first_categories = [
        item.category or categorization.category for item, categorization in zip(first_items, found, strict=True)
    ]
    complements = {kind for item in known if item for kind in item.complements}
    count = len(first_items)

    needs: list[_Need] = []
    kinds: set[str] = set()
    for at, (item, nearest) in enumerate(zip(first_items, known, strict=True)):
        others: list[int] = []
        if nearest and nearest.kind not in kinds:
            members = catalog.items_of_kind(nearest.kind)
            others = [count + arrays.positions[other.name] for other in members if other not in known]
            kinds.add(nearest.kind)
        needs.append(_Need(item.name, first_categories[at], 1.0, at, others))

    categories = tuple(dict.fromkeys([*CATEGORIES, *first_categories]))
    is_left = np.ones(len(arrays.kinds), np.bool_)
    is_left[[arrays.kinds[kind] for kind in kinds]] = False
    other_needs = arrays.needs.copy()
    other_needs["preference"][[arrays.kinds[kind] for kind in complements]] = complement_preference
    need_records = _joined(_need_records(needs, categories), other_needs[is_left])
    need_records["member_start"] = np.cumsum(need_records["member_count"]) - need_records["member_count"]
    first_members = np.array([member for need in needs for member in need.members], dtype=np.uint32)
    other_members = arrays.members[is_left[arrays.kinds_of_members]] + np.uint32(count)
    added = [category for category in first_categories if catalog.items_in(category)]
    return NamedAssortment(
        arrays=Assortment(
            need_records,
            _joined(_first_item_records(first_items, list(map(_typical_interval, alike))), arrays.items),
            np.concatenate([first_members, other_members]),
        ),
        item_names=(*(item.name for item in first_items), *arrays.names),
        item_categories=(*first_categories, *arrays.categories),
        categories=categories,
        added_weights=dict.fromkeys(added, _ADDED_CATEGORY_WEIGHT),
    )


@dataclass(frozen=True)
class _Need:
    name: str
    category: str
    preference: float
    first_item: int
    members: Sequence[int]


def _joined(first: Records, second: Records) -> Records:
    """Records of one type after others. numpy's own way compares all their fields first, which takes longer."""
    joined = np.empty(len(first) + len(second), first.dtype)
    joined[: len(first)] = first
    joined[len(first) :] = second
    return joined


def _need_records(needs: Sequence[_Need], categories: Sequence[str]) -> Records:
    records = np.zeros(len(needs), NEED)
    records["code"] = [key_of(Purpose.NEED, need.name, need.first_item >= 0) for need in needs]
    records["preference"] = [need.preference for need in needs]
    records["category"] = [categories.index(need.category) for need in needs]
    records["first_item"] = [need.first_item for need in needs]
    records["member_count"] = [len(need.members) for need in needs]
    records["member_start"] = np.cumsum(records["member_count"]) - records["member_count"]
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
