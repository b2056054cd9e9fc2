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

    Items keep the order of their first spelling. An item gets the spelling and the category that its latest line has,
    whatever the order of lines and spellings is.
    """
    positions = distinct_positions(history.item_names)
    if positions is None:
        return history
    return replace(
        history,
        item_names=latest_labels(history, positions, history.item_names),
        item_categories=latest_labels(history, positions, history.item_categories),
        item_indices=np.array(positions, np.int32)[history.item_indices],
    )


def fold_labels(history: PurchaseHistory, labels: Sequence[str]) -> tuple[str, ...]:
    """A label of each item, such as its type, after `fold_items`: that of its latest line that has one.

    Args:
        history: before `fold_items`.
        labels: k labels, an empty string means unknown; or none at all.
    """
    positions = distinct_positions(history.item_names) if labels else None
    return tuple(labels) if positions is None else latest_labels(history, positions, labels)


def latest_labels(history: PurchaseHistory, positions: Sequence[int], labels: Sequence[str]) -> tuple[str, ...]:
    """Of the labels of each item's spellings that are known, the one whose spelling was bought last.

    Of several spellings on the latest day, the one that sorts first.

    Args:
        history: of k spellings.
        positions: item of each spelling.
        labels: of each spelling; an empty string means unknown.
    """
    latest_days = np.full(len(positions), -1, np.int64)
    np.maximum.at(latest_days, history.item_indices, history.days)
    chosen = [""] * (max(positions) + 1)
    spellings = zip((-latest_days).tolist(), history.item_names, labels, positions, strict=True)
    for _, _, label, position in sorted(spellings):
        chosen[position] = chosen[position] or label
    return tuple(chosen)


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
