"""What the customers most alike to a customer buy again and again, counted.

Alike are, of the customers whose profiles are nearest, those whose items are: profiles know that oat milk is like soy
milk, items know what is bought by the same people. An item is told only when enough of them buy it, both because a few
prove nothing and because what a few buy is nobody else's business.
"""

import math
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pantree_vector.core.store import HeldItem

CUSTOMERS_COMPARED = 100
"""How many of the nearest profiles are compared item by item."""
NEIGHBORS = 50
"""How many of those are neighbors."""
REGULAR_DAYS = 3
"""Days with a purchase from which on an item is bought regularly; two intervals, as the recommendation asks for."""
LEAST_BUYERS = 5
"""Regular buyers below which an item is not told."""
_LEAST_LIFT = 1.2
"""How many times as common an item must be among the buyers of another one for the two to go together. A judgement:
below it, one neighbor more or less decides."""


@dataclass(frozen=True)
class Association:
    """How an item goes with one that the customer buys."""

    name: str
    """The customer's own item."""
    buyer_count: int
    """Neighbors that bought it."""
    regular_count: int
    """Those of them that buy the other item regularly."""


@dataclass(frozen=True)
class NeighborItem:
    """An item that neighbors buy again and again, and the customer does not, or not yet."""

    name: str
    category: str
    """An empty string when unknown."""
    buyer_count: int
    """Neighbors that ever bought it."""
    regular_buyer_count: int
    """Those that bought it on `REGULAR_DAYS` days or more."""
    interval_quartiles: tuple[float, float, float]
    """Lower quartile, median and upper quartile of the mean intervals of the regular buyers, days."""
    own_day_count: int
    """Days on which the customer bought it, below `REGULAR_DAYS`."""
    associated_item: Association | None
    """The customer's own item that goes with it most; None when none clearly does."""


@dataclass(frozen=True)
class Neighborhood:
    """What was counted."""

    neighbor_count: int
    items: tuple[NeighborItem, ...]
    """By number of regular buyers, most first, then by normalised name."""


def neighborhood_of(own: Sequence[HeldItem], others: Sequence[Sequence[HeldItem]], *, limit: int) -> Neighborhood:
    """What the customers most alike in their items buy regularly, and the customer does not.

    Args:
        own: the customer's items.
        others: items of customers with similar profiles, the most alike first.
        limit: largest number of items.
    """
    held = {item.normalised_name: item for item in own}
    neighbors = _most_alike(held.keys(), others)
    shown: dict[str, HeldItem] = {}
    for items in neighbors:
        for item in items:
            shown.setdefault(item.normalised_name, item)
    names = sorted(shown)
    positions = {name: position for position, name in enumerate(names)}
    days = np.zeros((len(neighbors), len(names)), np.int64)
    intervals = np.full(days.shape, np.nan)
    for row, items in enumerate(neighbors):
        for item in items:
            column = positions[item.normalised_name]
            days[row, column] = item.day_count
            if item.day_count > 1:
                intervals[row, column] = item.span_days / (item.day_count - 1)
    bought, regular = days > 0, days >= REGULAR_DAYS
    counts = regular.sum(axis=0)
    own_days = np.array([held[name].day_count if name in held else 0 for name in names], np.int64)
    told = np.flatnonzero((counts >= LEAST_BUYERS) & (own_days < REGULAR_DAYS))
    told = told[np.argsort(-counts[told], kind="stable")][:limit]
    mine = {positions[name]: held[name].name for name in sorted(held) if name in positions}
    return Neighborhood(
        neighbor_count=len(neighbors),
        items=tuple(
            NeighborItem(
                name=shown[names[column]].name,
                category=shown[names[column]].category,
                buyer_count=int(bought[:, column].sum()),
                regular_buyer_count=int(counts[column]),
                interval_quartiles=_quartiles(intervals[regular[:, column], column]),
                own_day_count=int(own_days[column]),
                associated_item=_associated_item(
                    regular[:, column], bought, {own: mine[own] for own in mine if own != column}
                ),
            )
            for column in told.tolist()
        ),
    )


def _most_alike(own: Set[str], others: Sequence[Sequence[HeldItem]]) -> list[Sequence[HeldItem]]:
    """The customers with most in common by the cosine similarity of what was ever bought; equal ones in their order."""
    scores = []
    for items in others:
        common = sum(item.normalised_name in own for item in items)
        # The customer's own number of items is the same for all, so that it does not change the order.
        scores.append(common / math.sqrt(len(items)) if items else 0.0)
    order = sorted(range(len(others)), key=lambda place: -scores[place])
    return [others[place] for place in order[:NEIGHBORS] if others[place]]


def _quartiles(intervals: NDArray[np.float64]) -> tuple[float, float, float]:
    low, median, high = np.quantile(intervals, [0.25, 0.5, 0.75]).tolist()
    return low, median, high


def _associated_item(
    regular: NDArray[np.bool_], bought: NDArray[np.bool_], own: Mapping[int, str]
) -> Association | None:
    """The customer's own item among whose buyers an item is most common; None when it is hardly more common there.

    Args:
        regular: [neighbors], who buys the item regularly.
        bought: [neighbors, items], who ever bought what.
        own: names of the customer's other items by column.
    """
    best, best_ratio = None, _LEAST_LIFT * float(regular.mean())
    for column, name in own.items():
        buyer_count, common = int(bought[:, column].sum()), int((bought[:, column] & regular).sum())
        if common >= LEAST_BUYERS and common / buyer_count > best_ratio:
            best, best_ratio = Association(name, buyer_count, common), common / buyer_count
    return best
