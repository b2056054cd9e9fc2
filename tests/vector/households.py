"""Purchases for the tests of the vector service."""

from collections.abc import Sequence

import numpy as np

from pantree_domain.purchases import PurchaseHistory

# Name, category, day, paid.
Line = tuple[str, str, int, float]

FAMILY: Sequence[Line] = (
    ("Bananas", "produce", 20_000, 2.0),
    ("Whole Milk", "dairy", 20_000, 4.0),
    ("Bananas", "produce", 20_007, 2.0),
    ("Paper Towels", "household", 20_014, 8.0),
)
NEIGHBORS: Sequence[Line] = (
    ("Organic Bananas", "produce", 20_001, 3.0),
    ("Skim Milk", "dairy", 20_008, 4.0),
)


def history_of_lines(lines: Sequence[Line]) -> PurchaseHistory:
    """A history with one unit per line; an item has the first category given for its name."""
    categories: dict[str, str] = {}
    for name, category, _, _ in lines:
        categories.setdefault(name, category)
    names = tuple(categories)
    return PurchaseHistory(
        item_names=names,
        item_categories=tuple(categories.values()),
        item_indices=np.array([names.index(name) for name, _, _, _ in lines], dtype=np.int32),
        days=np.array([day for _, _, day, _ in lines], dtype=np.int32),
        quantities=np.ones(len(lines), dtype=np.int32),
        prices=np.array([paid for _, _, _, paid in lines]),
        savings=np.zeros(len(lines)),
    )
