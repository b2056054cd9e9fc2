"""A household's purchases in canonical order, with spellings of the same item merged."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pantree_domain.item_key import item_key
from pantree_domain.purchases import PurchaseHistory


class CustomerItem(NamedTuple):
    """An item that a customer has bought."""

    key: str
    """Equal for all spellings of the same item."""
    name: str
    """From its latest receipt line."""
    category: str
    """From its latest receipt line with a category; empty if no line has one."""
    unit_price: float
    """Shelf price of one unit on its latest receipt line."""
    day_count: int = 0
    """Distinct days on which it was bought."""
    span_days: int = 0
    """Days from its first to its last purchase."""


@dataclass(frozen=True, eq=False)
class Household:
    """`k` items and `n` receipt lines. Equal purchases have equal arrays, whatever their order in the request."""

    items: tuple[CustomerItem, ...]
    """`k` items, sorted by key."""
    item_indices: NDArray[np.intp]
    """[n], position of each line's item in `items`."""
    days: NDArray[np.int32]
    """[n], days since 1970-01-01, ascending."""
    paid: NDArray[np.float64]
    """[n], amount paid for each line, at least 0."""


def household_of(history: PurchaseHistory) -> Household:
    """The household of a history with at least one receipt line, in any order."""
    keys = [item_key(name) for name in history.item_names]
    # Sort lines by their content, so that sums are exactly equal for every order of the same lines.
    by_name = sorted(
        range(len(keys)), key=lambda item: (keys[item], history.item_names[item], history.item_categories[item])
    )
    rank = np.empty(len(keys), dtype=np.intp)
    rank[by_name] = np.arange(len(keys))
    order = np.lexsort((history.savings, history.prices, history.quantities, rank[history.item_indices], history.days))
    dictionary_indices = history.item_indices[order]
    last_lines = np.full(len(keys), -1)
    last_lines[dictionary_indices] = np.arange(len(order))  # the last assignment to an entry wins
    last_prices = history.prices[order][last_lines].tolist()  # unused for entries without lines

    bought: dict[str, tuple[str, str, float]] = {}  # name, category, unit price
    # Dictionary entries that have lines, the one with the latest line first.
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
            CustomerItem(key, *bought[key], day_count, span)
            for key, day_count, span in zip(position, day_counts, span_days, strict=True)
        ),
        item_indices=item_indices,
        days=days,
        # A saving may exceed price × quantity by half a cent, because those are not exact in binary.
        paid=np.maximum(history.paid[order], 0.0),
    )


def _days_of_items(
    item_indices: NDArray[np.intp], days: NDArray[np.int32], item_count: int
) -> tuple[list[int], list[int]]:
    """Number of distinct purchase days of each item, and the number of days from the first to the last one.

    Args:
        item_indices: [n], item of each line.
        days: [n], day of each line, ascending.
        item_count: number of items, each with at least one line.
    """
    by_item = np.argsort(item_indices, kind="stable")
    items, item_days = item_indices[by_item], days[by_item]  # grouped by item, days ascending within each
    is_next_item = items[1:] != items[:-1]
    starts_day = np.concatenate([[True], is_next_item | (item_days[1:] != item_days[:-1])])
    ends = np.append(np.flatnonzero(is_next_item), len(items) - 1)
    spans = item_days[ends] - item_days[np.append(0, ends[:-1] + 1)]
    return np.bincount(items[starts_day], minlength=item_count).tolist(), spans.tolist()
