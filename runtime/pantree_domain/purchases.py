"""Purchases of one household, as arrays or, for the few lines of a month, as lists."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pantree_domain.item_key import distinct_positions


@dataclass(frozen=True, eq=False)
class PurchaseHistory:
    """Receipt lines of one household: `n` lines that refer to a dictionary of `k` items."""

    item_names: tuple[str, ...]
    """`k` distinct names."""
    item_categories: tuple[str, ...]
    """`k` categories; an empty string means unknown."""
    item_indices: NDArray[np.int32]
    """[n], positions of the lines' items in the dictionary, 0 to k−1."""
    days: NDArray[np.int32]
    """[n], days since 1970-01-01."""
    quantities: NDArray[np.int32]
    """[n], units, at least 1."""
    prices: NDArray[np.float64]
    """[n], shelf price of one unit."""
    savings: NDArray[np.float64]
    """[n], discount on the whole line, at most price × quantity."""

    def __len__(self) -> int:
        return len(self.days)

    @property
    def paid(self) -> NDArray[np.float64]:
        """float64[n], amount paid for each line, after savings."""
        return self.prices * self.quantities - self.savings

    @property
    def trip_days(self) -> NDArray[np.int32]:
        """int32[t], the distinct days with a purchase, ascending."""
        return np.unique(self.days)


def fold_items(history: PurchaseHistory) -> PurchaseHistory:
    """The history with one dictionary entry per item; the same object if no item has several spellings.

    Items keep the order of their first spelling. An item gets the spelling of its latest line and the first nonempty
    category of its spellings.
    """
    positions = distinct_positions(history.item_names)
    if positions is None:
        return history
    latest_days = np.full(len(positions), -1, np.int64)
    np.maximum.at(latest_days, history.item_indices, history.days)
    count = max(positions) + 1
    entries: list[int] = [-1] * count
    categories = [""] * count
    # Of several spellings on the latest day, the one that sorts first.
    for entry in sorted(range(len(positions)), key=lambda entry: (-latest_days[entry], history.item_names[entry])):
        if entries[positions[entry]] < 0:
            entries[positions[entry]] = entry
    for position, category in zip(positions, history.item_categories, strict=True):
        categories[position] = categories[position] or category
    return replace(
        history,
        item_names=tuple(history.item_names[entry] for entry in entries),
        item_categories=tuple(categories),
        item_indices=np.array(positions, np.int32)[history.item_indices],
    )


class PurchaseLines(NamedTuple):
    """Receipt lines of one household in a short period, such as a month, and a dictionary of their items.

    Kept in lists, because creating arrays for so few lines takes longer than processing them.
    """

    item_names: Sequence[str]
    """Distinct names."""
    item_categories: Sequence[str]
    """Categories; an empty string means unknown."""
    item_indices: list[int]
    """Positions of the lines' items in the dictionary."""
    days: list[int]
    """Days since 1970-01-01."""
    quantities: list[int]
    """Units, at least 1."""
    prices: list[float]
    """Shelf price of one unit."""
    savings: list[float]
    """Discount on the whole line, at most price × quantity."""
