"""The columnar purchase message and the arrays and lists that cores work on. For services that have numpy."""

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from pantree.purchase.v1.purchase_pb2 import PurchaseColumns
from pantree_domain.limits import MAX_HISTORY_ITEMS, MAX_HISTORY_LINES, MAX_PRICE, MAX_QUANTITY
from pantree_domain.purchases import PurchaseHistory, PurchaseLines
from pantree_runtime.validation import Violations, is_text

# 1970-01-01 to 2199-12-31, the days that `Violations.day` accepts.
_LAST_DAY = 84_005
# From about so many elements on, copying a column as a whole takes no longer than by way of a list: 1.5 µs.
_LENGTH_WORTH_A_DETOUR = 64

Number = TypeVar("Number", np.int32, np.float64)


def lines_of(columns: PurchaseColumns) -> PurchaseLines:
    """Purchases of a message as lists, unchecked: for a month from our own services."""
    return PurchaseLines(
        item_names=columns.item_names[:],
        item_categories=columns.item_categories[:] or [""] * len(columns.item_names),
        item_indices=columns.item_indices[:],
        days=columns.days[:],
        quantities=columns.quantities[:],
        prices=columns.prices[:],
        savings=columns.savings[:],
    )


def columns_of_lines(lines: PurchaseLines) -> PurchaseColumns:
    """Message that holds lines."""
    return PurchaseColumns(
        item_names=lines.item_names,
        item_categories=lines.item_categories,
        item_indices=lines.item_indices,
        days=lines.days,
        quantities=lines.quantities,
        prices=lines.prices,
        savings=lines.savings,
    )


def _arrays_of(columns: PurchaseColumns) -> PurchaseHistory:
    return PurchaseHistory(
        item_names=tuple(columns.item_names),
        item_categories=tuple(columns.item_categories) or ("",) * len(columns.item_names),
        item_indices=_array(columns.item_indices, np.int32),
        days=_array(columns.days, np.int32),
        quantities=_array(columns.quantities, np.int32),
        prices=_array(columns.prices, np.float64),
        savings=_array(columns.savings, np.float64),
    )


def _array(column: Sequence[float], dtype: type[Number]) -> NDArray[Number]:
    """A column as an array: copied as a whole when it is long, which takes a detour that is not worth it otherwise."""
    return np.array(column[:], dtype) if len(column) < _LENGTH_WORTH_A_DETOUR else np.asarray(column, dtype)


def history_of(
    columns: PurchaseColumns, field: str, violations: Violations, *, last_day: int | None = None
) -> PurchaseHistory:
    """Purchases of a message as arrays. What is wrong with them is added to `violations`.

    Args:
        columns: the message.
        field: its path in the request, for violations.
        violations: collects what is wrong; when anything is, the history must not be used.
        last_day: latest day that a purchase may have, days since 1970-01-01; None for no limit.
    """
    history = _arrays_of(columns)
    line_count = len(history.days)
    if line_count > MAX_HISTORY_LINES:
        violations.add(f"{field}.days", f"has {line_count:,} lines; send at most {MAX_HISTORY_LINES:,}")
        return history
    if len(history.item_names) > MAX_HISTORY_ITEMS:
        violations.add(
            f"{field}.item_names", f"has {len(history.item_names):,} items; send at most {MAX_HISTORY_ITEMS:,}"
        )
        return history
    _check_dictionary(history, field, violations)
    lengths_differ = False
    for name in ("item_indices", "quantities", "prices", "savings"):
        length = len(getattr(history, name))
        if length != line_count:
            violations.add(f"{field}.{name}", f"has {length:,} elements; give one for each of the {line_count:,} days")
            lengths_differ = True
    if lengths_differ:
        return history
    _check_lines(history, field, violations, _LAST_DAY if last_day is None else last_day)
    return history


def _check_dictionary(history: PurchaseHistory, field: str, violations: Violations) -> None:
    if len(history.item_categories) != len(history.item_names):
        violations.add(
            f"{field}.item_categories",
            f"has {len(history.item_categories):,} elements; give one per item name, or none",
        )
    if len(set(history.item_names)) != len(history.item_names):
        violations.add(f"{field}.item_names", "has a name twice; list each item once")
    if not all(map(is_text, history.item_names)):
        for position, name in enumerate(history.item_names):
            violations.text(f"{field}.item_names[{position}]", name)
    # Many items are of few categories.
    if not all(is_text(category, required=False) for category in set(history.item_categories)):
        for position, category in enumerate(history.item_categories):
            violations.text(f"{field}.item_categories[{position}]", category, required=False)


def _check_lines(history: PurchaseHistory, field: str, violations: Violations, last_day: int) -> None:
    most_savings = history.prices * history.quantities
    checks = {
        "item_indices": (
            (history.item_indices < 0) | (history.item_indices >= len(history.item_names)),
            f"give a position in item_names, 0 to {len(history.item_names) - 1}",
        ),
        "days": (
            (history.days < 0) | (history.days > last_day),
            f"give days since 1970-01-01, 0 to {last_day}; no purchase may be later than as_of",
        ),
        "quantities": (
            (history.quantities < 1) | (history.quantities > MAX_QUANTITY),
            f"give a whole number from 1 to {MAX_QUANTITY:,}",
        ),
        "prices": (
            ~((history.prices >= 0) & (history.prices <= MAX_PRICE)),
            f"give a number from 0 to {MAX_PRICE:,.0f}",
        ),
        "savings": (
            # Half a cent of slack: price × quantity is not exact in binary.
            ~((history.savings >= 0) & (history.savings <= most_savings + 0.005)),
            "give a number from 0 to price × quantity",
        ),
    }
    for name, (is_wrong, remedy) in checks.items():
        for position in np.flatnonzero(is_wrong):
            violations.add(f"{field}.{name}[{position}]", f"is {getattr(history, name)[position]:g}; {remedy}")


def columns_of(history: PurchaseHistory) -> PurchaseColumns:
    """Message that holds a history."""
    return PurchaseColumns(
        item_names=history.item_names,
        item_categories=history.item_categories,
        item_indices=history.item_indices.tolist(),
        days=history.days.tolist(),
        quantities=history.quantities.tolist(),
        prices=history.prices.tolist(),
        savings=history.savings.tolist(),
    )
