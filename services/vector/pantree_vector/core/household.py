"""A household's purchases with its items told apart by normalised name, in an order of their own."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pantree_domain.item_key import item_key
from pantree_domain.purchases import PurchaseHistory


class BoughtItem(NamedTuple):
    """An item that a household has bought."""

    normalised_name: str
    name: str
    """As on its latest receipt line."""
    category: str
    """As on its latest receipt line that has one; an empty string when none has."""
    unit_price: float
    """Shelf price of one unit on its latest receipt line."""
    day_count: int = 0
    """Distinct days on which it was bought."""
    span_days: int = 0
    """Days from the first of them to the last one."""


@dataclass(frozen=True, eq=False)
class Household:
    """`k` items and `n` lines. Equal purchases give equal arrays, whatever order they came in."""

    items: tuple[BoughtItem, ...]
    """`k` items that were bought, by normalised name."""
    item_indices: NDArray[np.intp]
    """[n], position of each line's item in `items`."""
    days: NDArray[np.int32]
    """[n], days since 1970-01-01, ascending."""
    paid: NDArray[np.float64]
    """[n], what was paid for each line, at least 0."""


def household_of(history: PurchaseHistory) -> Household:
    """The household behind a history.

    Args:
        history: at least one receipt line, in any order.
    """
    keys = [item_key(name) for name in history.item_names]
    # Lines in an order that depends on what they hold alone: sums come out the same to the last digit.
    by_name = sorted(
        range(len(keys)), key=lambda item: (keys[item], history.item_names[item], history.item_categories[item])
    )
    rank = np.empty(len(keys), dtype=np.intp)
    rank[by_name] = np.arange(len(keys))
    order = np.lexsort((history.savings, history.prices, history.quantities, rank[history.item_indices], history.days))
    dictionary_indices = history.item_indices[order]
    last_lines = np.full(len(keys), -1)
    last_lines[dictionary_indices] = np.arange(len(order))  # of several lines the last one stays
    # Of entries without a line anything: they are not looked at.
    last_prices = history.prices[order][last_lines].tolist()

    bought: dict[str, tuple[str, str, float]] = {}  # name, category, unit price
    # From the latest line back to the first, each dictionary entry once, where it was bought last.
    for item in np.argsort(-last_lines)[: np.count_nonzero(last_lines >= 0)].tolist():
        known = bought.get(keys[item])
        category = history.item_categories[item]
        if known is None:
            bought[keys[item]] = history.item_names[item], category, last_prices[item]
        elif not known[1]:
            bought[keys[item]] = known[0], category, known[2]
    position = {key: index for index, key in enumerate(sorted(bought))}
    item_of_entry = np.array([position.get(key, -1) for key in keys], dtype=np.intp)
    item_indices, days = item_of_entry[dictionary_indices], history.days[order]
    day_counts, span_days = _days_of_items(item_indices, days, len(position))
    return Household(
        items=tuple(
            BoughtItem(key, *bought[key], day_count, span)
            for key, day_count, span in zip(position, day_counts, span_days, strict=True)
        ),
        item_indices=item_indices,
        days=days,
        # A saving may exceed price × quantity by half a cent, since those are not exact in binary.
        paid=np.maximum(history.paid[order], 0.0),
    )


def _days_of_items(
    item_indices: NDArray[np.intp], days: NDArray[np.int32], item_count: int
) -> tuple[list[int], list[int]]:
    """Distinct days with a purchase of each item, and the days from the first of them to the last one.

    Args:
        item_indices: [n], item of each line.
        days: [n], day of each line, ascending.
        item_count: number of items, each with a line.
    """
    by_item = np.argsort(item_indices, kind="stable")
    items, item_days = item_indices[by_item], days[by_item]
    # Lines of one item stand together now, its days ascending.
    is_other_item = items[1:] != items[:-1]
    begins = np.concatenate([[True], is_other_item | (item_days[1:] != item_days[:-1])])
    ends = np.append(np.flatnonzero(is_other_item), len(items) - 1)
    spans = item_days[ends] - item_days[np.append(0, ends[:-1] + 1)]
    return np.bincount(items[begins], minlength=item_count).tolist(), spans.tolist()
