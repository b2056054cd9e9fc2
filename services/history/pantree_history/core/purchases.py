"""Purchases of a household in the form in which the other parts take them."""

from collections.abc import Sequence
from typing import NamedTuple

from pantree_domain.limits import MAX_HISTORY_ITEMS
from pantree_history.core.lines import Line, LineKey

MAX_LINES = 100_000
"""Bound of `pantree.purchase.v1.PurchaseColumns`."""


class Item(NamedTuple):
    """An entry of a dictionary of items."""

    name: str
    category: str
    item_id: str
    variant: str


class Purchases(NamedTuple):
    """Lines of a household, ordered by day."""

    items: Sequence[Item]
    indices: Sequence[int]
    """Position of each line's item."""
    lines: Sequence[Line]
    quantities: Sequence[int]
    """Units that were not returned."""
    savings: Sequence[float]
    """In proportion to those units."""
    omitted_count: int
    """The oldest lines, which exceed the bounds of a history."""
    currency_code: str
    """Of all lines; empty when unknown or when they differ."""


def purchases_of(lines: Sequence[Line], as_of: int | None = None) -> Purchases:
    """Purchases without what was returned, nor what is later than the as-of day.

    Returned units are taken off the line that they return, whatever the day of the return; a return of an unknown line
    has no effect.

    Args:
        lines: ordered by day.
        as_of: last day; None for no limit.
    """
    returned: dict[LineKey, int] = {}
    for line in lines:
        if line.returned_order_id and (as_of is None or line.occurred_on <= as_of):
            key = LineKey(line.returned_order_id, line.returned_line_id)
            returned[key] = returned.get(key, 0) + line.quantity
    kept: list[tuple[Line, int, float]] = []
    for line in lines:
        if line.returned_order_id or (as_of is not None and line.occurred_on > as_of):
            continue
        units = line.quantity - returned.get(line.key, 0)
        if units > 0:
            saving = line.saving if units == line.quantity else line.saving * units / line.quantity
            kept.append((line, units, saving))
    first, items = _newest_within_bounds([line for line, _, _ in kept])
    newest = kept[first:]
    codes = {line.currency_code for line, _, _ in newest}
    return Purchases(
        items=list(items),
        indices=[items[_item(line)] for line, _, _ in newest],
        lines=[line for line, _, _ in newest],
        quantities=[units for _, units, _ in newest],
        savings=[saving for _, _, saving in newest],
        omitted_count=first,
        currency_code=codes.pop() if len(codes) == 1 else "",
    )


def _newest_within_bounds(lines: Sequence[Line]) -> tuple[int, dict[Item, int]]:
    """Position of the first of the newest lines that are within the bounds of a history, and the items of those."""
    distinct: set[Item] = set()
    first = max(len(lines) - MAX_LINES, 0)
    for position in range(len(lines) - 1, first - 1, -1):
        distinct.add(_item(lines[position]))
        if len(distinct) > MAX_HISTORY_ITEMS:
            first = position + 1
            break
    items: dict[Item, int] = {}
    for line in lines[first:]:
        items.setdefault(_item(line), len(items))
    return first, items


def _item(line: Line) -> Item:
    return Item(line.name, line.category, line.item_id, line.variant)
