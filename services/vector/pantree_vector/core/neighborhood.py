"""Counts what the nearest customers buy regularly.

Of the customers with the nearest profiles, those with the most items in common are the neighbors. Profiles capture
that oat milk is similar to soy milk; items in common show what the same people buy. An item is included only if enough
neighbors buy it, because a few buyers are weak evidence and their purchases are private.

Someone who can store customers could invent all buyers but one, and learn from the count what that one buys. So only
customers count that a back end has vouched for or that were stored long ago, and customers with nearly the same items
count once (docs/decisions/0049).
"""

import math
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pantree_vector.core.household import CustomerItem

CUSTOMERS_COMPARED = 100
"""Number of nearest profiles that are compared item by item."""
NEIGHBORS = 50
"""Maximum number of neighbors among them."""
REGULAR_DAYS = 3
"""Minimum number of purchase days of an item that is bought regularly: two intervals, as recommendation requires."""
MIN_BUYERS = 5
"""Minimum number of regular buyers of an item that is included (k-anonymity)."""
COPY_RATIO, MIN_COPY_ITEMS = 0.8, 8
"""Share of common items among all items of two customers, from which on they count as one, and how many items that
takes. Of 1,434 households of Complete Journey that are not reserved, no two share more than .49 of their product types
or .17 of their products in a year."""
_MIN_LIFT = 1.2
"""Minimum ratio between an item's frequency among the buyers of another item and among all neighbors for the two to be
associated. A judgment, not fitted: with a smaller one, a single neighbor would decide."""


@dataclass(frozen=True)
class Association:
    """An item of the customer whose buyers also buy a suggested item."""

    name: str
    """The customer's own item."""
    buyer_count: int
    """Neighbors that bought it."""
    regular_count: int
    """Neighbors that bought it and buy the suggested item regularly."""


@dataclass(frozen=True)
class NeighborItem:
    """An item that neighbors buy regularly and the customer does not."""

    name: str
    category: str
    """Empty when unknown."""
    buyer_count: int
    """Neighbors that ever bought it."""
    regular_buyer_count: int
    """Neighbors that bought it on at least `REGULAR_DAYS` days."""
    interval_quartiles: tuple[float, float, float]
    """Lower quartile, median and upper quartile of the regular buyers' mean intervals, in days."""
    own_day_count: int
    """Days on which the customer bought it, fewer than `REGULAR_DAYS`."""
    associated_item: Association | None
    """The customer's most strongly associated item; None if there is none."""


@dataclass(frozen=True)
class Neighborhood:
    """The items that neighbors buy regularly."""

    neighbor_count: int
    items: tuple[NeighborItem, ...]
    """By number of regular buyers, highest first, then by item key."""


def neighborhood_of(
    own: Sequence[CustomerItem], others: Sequence[Sequence[CustomerItem]], *, limit: int
) -> Neighborhood:
    """Items that the customers with the most items in common buy regularly and the customer does not.

    Args:
        own: the customer's items.
        others: items of customers with similar profiles, nearest first.
        limit: maximum number of items.
    """
    own_items = {item.key: item for item in own}
    neighbors = _nearest(own_items.keys(), others)
    shown: dict[str, CustomerItem] = {}
    for items in neighbors:
        for item in items:
            shown.setdefault(item.key, item)
    keys = sorted(shown)
    positions = {key: position for position, key in enumerate(keys)}
    days = np.zeros((len(neighbors), len(keys)), np.int64)
    intervals = np.full(days.shape, np.nan)
    for row, items in enumerate(neighbors):
        for item in items:
            column = positions[item.key]
            days[row, column] = item.day_count
            if item.day_count > 1:
                intervals[row, column] = item.span_days / (item.day_count - 1)
    bought, regular = days > 0, days >= REGULAR_DAYS
    counts = regular.sum(axis=0)
    own_days = np.array([own_items[key].day_count if key in own_items else 0 for key in keys], np.int64)
    included = np.flatnonzero((counts >= MIN_BUYERS) & (own_days < REGULAR_DAYS))
    included = included[np.argsort(-counts[included], kind="stable")][:limit]
    own_names = {positions[key]: own_items[key].name for key in sorted(own_items) if key in positions}
    return Neighborhood(
        neighbor_count=len(neighbors),
        items=tuple(
            NeighborItem(
                name=shown[keys[column]].name,
                category=shown[keys[column]].category,
                buyer_count=int(bought[:, column].sum()),
                regular_buyer_count=int(counts[column]),
                interval_quartiles=_quartiles(intervals[regular[:, column], column]),
                own_day_count=int(own_days[column]),
                associated_item=_associated_item(
                    regular[:, column], bought, {own: own_names[own] for own in own_names if own != column}
                ),
            )
            for column in included.tolist()
        ),
    )


def _nearest(own: Set[str], others: Sequence[Sequence[CustomerItem]]) -> list[Sequence[CustomerItem]]:
    """The customers nearest by cosine similarity of the sets of items ever bought; ties keep their order.

    Of those with nearly the same items, only the nearest is included.
    """
    scores = []
    for items in others:
        common = sum(item.key in own for item in items)
        # The customer's own number of items is a common factor and does not change the order.
        scores.append(common / math.sqrt(len(items)) if items else 0.0)
    order = sorted(range(len(others)), key=lambda place: -scores[place])
    nearest: list[Sequence[CustomerItem]] = []
    found: list[frozenset[str]] = []
    for place in order:
        keys = frozenset(item.key for item in others[place])
        if keys and not any(_are_copies(keys, other) for other in found):
            nearest.append(others[place])
            found.append(keys)
            if len(nearest) == NEIGHBORS:
                break
    return nearest


def _are_copies(keys: frozenset[str], other: frozenset[str]) -> bool:
    smaller, larger = sorted((len(keys), len(other)))
    if larger < MIN_COPY_ITEMS or smaller < COPY_RATIO * larger:
        return False
    common = len(keys & other)
    return common >= COPY_RATIO * (smaller + larger - common)


def _quartiles(intervals: NDArray[np.float64]) -> tuple[float, float, float]:
    low, median, high = np.quantile(intervals, [0.25, 0.5, 0.75]).tolist()
    return low, median, high


def _associated_item(
    regular: NDArray[np.bool_], bought: NDArray[np.bool_], own: Mapping[int, str]
) -> Association | None:
    """The customer's own item among whose buyers an item is most common; None when the lift is too small.

    Args:
        regular: [neighbors], which neighbors buy the item regularly.
        bought: [neighbors, items], which neighbors ever bought which item.
        own: names of the customer's other items by column.
    """
    best, best_ratio = None, _MIN_LIFT * float(regular.mean())
    for column, name in own.items():
        buyer_count, common = int(bought[:, column].sum()), int((bought[:, column] & regular).sum())
        if common >= MIN_BUYERS and common / buyer_count > best_ratio:
            best, best_ratio = Association(name, buyer_count, common), common / buyer_count
    return best
