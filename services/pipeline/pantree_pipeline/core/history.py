"""Splits a history into months and joins months into a history."""

import itertools
from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pantree_domain.days import calendar_day, day_number
from pantree_domain.months import add_months
from pantree_domain.purchases import PurchaseHistory, PurchaseLines


class Month(NamedTuple):
    """A month of purchases."""

    month_number: int
    """From 1."""
    month_count: int
    period_start: date
    """Inclusive."""
    period_end: date
    """Inclusive."""
    purchases: PurchaseLines

    @property
    def progress(self) -> float:
        """Share of the months so far, 0 to 100."""
        return 100.0 * self.month_number / self.month_count


def join(months: Sequence[PurchaseLines]) -> PurchaseHistory:
    """One history with the lines of all months, in order; there is at least one month."""
    categories: dict[str, str] = {}
    for month in months:
        for name, category in zip(month.item_names, month.item_categories, strict=True):
            categories.setdefault(name, category)
    positions = {name: position for position, name in enumerate(categories)}
    indices: list[int] = []
    for month in months:
        month_positions = [positions[name] for name in month.item_names]
        indices += [month_positions[item] for item in month.item_indices]
    chain = itertools.chain.from_iterable
    return PurchaseHistory(
        item_names=tuple(positions),
        item_categories=tuple(categories.values()),
        item_indices=np.array(indices, dtype=np.int32),
        days=np.fromiter(chain(month.days for month in months), np.int32, len(indices)),
        quantities=np.fromiter(chain(month.quantities for month in months), np.int32, len(indices)),
        prices=np.fromiter(chain(month.prices for month in months), np.float64, len(indices)),
        savings=np.fromiter(chain(month.savings for month in months), np.float64, len(indices)),
    )


def purchase_counts(history: PurchaseHistory) -> NDArray[np.int64]:
    """Number of distinct days on which each item was bought, int64[k]."""
    if not len(history):
        return np.zeros(len(history.item_names), dtype=np.int64)
    first = int(history.days.min())
    span = int(history.days.max()) - first + 1
    purchases = np.sort(history.item_indices.astype(np.int64) * span + (history.days - first))
    is_new = np.append(True, purchases[1:] != purchases[:-1])
    return np.bincount(purchases[is_new] // span, minlength=len(history.item_names))


def month_count(history: PurchaseHistory) -> int:
    """Number of calendar months from the first purchase to the last one, both months included."""
    first, last = calendar_day(history.days.min()), calendar_day(history.days.max())
    return (last.year - first.year) * 12 + last.month - first.month + 1


def months_of(history: PurchaseHistory) -> Iterator[Month]:
    """The calendar months of a history that is not empty, each with its lines sorted by day; a month may have none."""
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


def _lines(history: PurchaseHistory, lines: NDArray[np.intp]) -> PurchaseLines:
    """The lines at the given positions, with only the items that occur in them."""
    items, indices = np.unique(history.item_indices[lines], return_inverse=True)
    return PurchaseLines(
        item_names=[history.item_names[item] for item in items],
        item_categories=[history.item_categories[item] for item in items],
        item_indices=indices.tolist(),
        days=history.days[lines].tolist(),
        quantities=history.quantities[lines].tolist(),
        prices=history.prices[lines].tolist(),
        savings=history.savings[lines].tolist(),
    )
