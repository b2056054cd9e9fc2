"""A history cut into months, and months joined into a history."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
from numpy.typing import NDArray

from pantree_domain.days import calendar_day, day_number
from pantree_domain.months import add_months
from pantree_domain.purchases import PurchaseHistory


@dataclass(frozen=True)
class Month:
    """A month of purchases."""

    month_number: int
    """From 1."""
    month_count: int
    period_start: date
    """Inclusive."""
    period_end: date
    """Inclusive."""
    purchases: PurchaseHistory

    @property
    def progress(self) -> float:
        """How far the months have come, 0 to 100."""
        return 100.0 * self.month_number / self.month_count


def join(histories: Sequence[PurchaseHistory]) -> PurchaseHistory:
    """One history with the lines of all, in their order; items of one name are one item.

    Args:
        histories: at least one.
    """
    positions: dict[str, int] = {}
    categories: list[str] = []
    indices: list[NDArray[np.int32]] = []
    for history in histories:
        for name, category in zip(history.item_names, history.item_categories, strict=True):
            if name not in positions:
                positions[name] = len(positions)
                categories.append(category)
        joined_positions = np.array([positions[name] for name in history.item_names], dtype=np.int32)
        indices.append(joined_positions[history.item_indices])
    return PurchaseHistory(
        item_names=tuple(positions),
        item_categories=tuple(categories),
        item_indices=np.concatenate(indices),
        days=np.concatenate([history.days for history in histories]),
        quantities=np.concatenate([history.quantities for history in histories]),
        prices=np.concatenate([history.prices for history in histories]),
        savings=np.concatenate([history.savings for history in histories]),
    )


def purchase_counts(history: PurchaseHistory) -> NDArray[np.int64]:
    """int64[k], on how many distinct days each item of the dictionary was bought."""
    if not len(history):
        return np.zeros(len(history.item_names), dtype=np.int64)
    first = int(history.days.min())
    span = int(history.days.max()) - first + 1
    purchases = np.sort(history.item_indices.astype(np.int64) * span + (history.days - first))
    is_new = np.append(True, purchases[1:] != purchases[:-1])
    return np.bincount(purchases[is_new] // span, minlength=len(history.item_names))


def month_count(history: PurchaseHistory) -> int:
    """Calendar months from that of the first purchase to that of the last one, both included; at least one line."""
    first, last = calendar_day(history.days.min()), calendar_day(history.days.max())
    return (last.year - first.year) * 12 + last.month - first.month + 1


def months_of(history: PurchaseHistory) -> Iterator[Month]:
    """The calendar months of a history of at least one line, empty ones included, each with its lines by day."""
    order = np.argsort(history.days, kind="stable")
    days = history.days[order]
    count = month_count(history)
    first_of_month = calendar_day(days[0]).replace(day=1)
    starts = [add_months(first_of_month, number) for number in range(count + 1)]
    bounds = np.searchsorted(days, [day_number(start) for start in starts])
    for number, ((start, end), (first, last)) in enumerate(
        zip(itertools.pairwise(starts), itertools.pairwise(bounds), strict=True), start=1
    ):
        yield Month(number, count, start, end - timedelta(days=1), _lines(history, order[first:last]))


def _lines(history: PurchaseHistory, lines: NDArray[np.intp]) -> PurchaseHistory:
    """Some lines of a history, with a dictionary of their items only."""
    items, indices = np.unique(history.item_indices[lines], return_inverse=True)
    return PurchaseHistory(
        item_names=tuple(history.item_names[item] for item in items),
        item_categories=tuple(history.item_categories[item] for item in items),
        item_indices=indices.astype(np.int32),
        days=history.days[lines],
        quantities=history.quantities[lines],
        prices=history.prices[lines],
        savings=history.savings[lines],
    )
