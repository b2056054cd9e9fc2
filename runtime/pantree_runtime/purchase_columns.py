"""Converts and checks the columnar purchase message. For services with numpy."""

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from pantree.purchase.v1.purchase_pb2 import PurchaseColumns
from pantree_domain.days import day_number
from pantree_domain.purchases import PurchaseHistory, PurchaseLines
from pantree_runtime.validation import Violations, parse_day

# Tolerance, since price × quantity is inexact in binary.
HALF_A_CENT = 0.005
# From this length on, numpy copies a column directly in less time than by way of a list: 1.5 µs.
_MIN_DIRECT_LENGTH = 64

Number = TypeVar("Number", np.int32, np.float64)


def lines_of(columns: PurchaseColumns) -> PurchaseLines:
    """Purchases of a message as lists. Unchecked, so only for messages of our own services."""
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
    """Converts lines to their message."""
    return PurchaseColumns(**lines._asdict())


def history_of(columns: PurchaseColumns) -> PurchaseHistory:
    """Purchases of a message as arrays."""
    return PurchaseHistory(
        item_names=tuple(columns.item_names),
        item_categories=tuple(columns.item_categories) or ("",) * len(columns.item_names),
        item_indices=_array(columns.item_indices, np.int32),
        days=_array(columns.days, np.int32),
        quantities=_array(columns.quantities, np.int32),
        prices=_amounts(columns.prices, len(columns.days)),
        savings=_amounts(columns.savings, len(columns.days)),
    )


def _amounts(column: Sequence[float], length: int) -> NDArray[np.float64]:
    """Amounts of lines; 0 when they are unknown."""
    return _array(column, np.float64) if len(column) else np.zeros(length)


def _array(column: Sequence[float], dtype: type[Number]) -> NDArray[Number]:
    return np.array(column[:], dtype) if len(column) < _MIN_DIRECT_LENGTH else np.asarray(column, dtype)


def check_columns(columns: PurchaseColumns, as_of: str, violations: Violations) -> None:
    """Adds the violations of rules that compare fields of purchases.

    Args:
        columns: the purchases.
        as_of: as-of date of the request, an ISO 8601 day; may be empty.
        violations: gets the violations, with paths relative to the purchases.
    """
    item_count, line_count = len(columns.item_names), len(columns.days)
    for name in ("item_categories", "item_ids", "item_variants"):
        if len(getattr(columns, name)) not in (0, item_count):
            violations.add(
                name,
                f"must have one element for each of the {item_count:,} item_names, or none; "
                f"has {len(getattr(columns, name)):,}",
            )
    lengths_differ = False
    # Prices may be unknown; savings need them.
    may_be_empty = ("prices", "savings") if not columns.prices else ()
    for name in ("item_indices", "quantities", "prices", "savings"):
        length = len(getattr(columns, name))
        if length != line_count and not (name in may_be_empty and not length):
            violations.add(name, f"must have one element for each of the {line_count:,} days; has {length:,}")
            lengths_differ = True
    if lengths_differ:
        return
    indices, days = _array(columns.item_indices, np.int32), _array(columns.days, np.int32)
    for at in np.flatnonzero(indices >= item_count):
        violations.add(
            f"item_indices[{at}]",
            f"must be a position in item_names, which has {item_count:,} elements; is {indices[at]:,}",
        )
    as_of_day = parse_day(as_of)
    if as_of_day is not None:
        for at in np.flatnonzero(days > day_number(as_of_day)):
            violations.add(
                f"days[{at}]", f"must be at most {day_number(as_of_day):,}, the day of as_of; is {days[at]:,}"
            )
    prices, savings = _amounts(columns.prices, line_count), _amounts(columns.savings, line_count)
    with np.errstate(invalid="ignore"):  # an infinite price violates its bound
        full_prices = prices * _array(columns.quantities, np.int32)
    for at in np.flatnonzero(savings > full_prices + HALF_A_CENT):
        violations.add(f"savings[{at}]", f"must be at most price × quantity, {full_prices[at]:,g}; is {savings[at]:,g}")


def columns_of(history: PurchaseHistory) -> PurchaseColumns:
    """Converts a history to its message."""
    return PurchaseColumns(
        item_names=history.item_names,
        item_categories=history.item_categories,
        item_indices=history.item_indices.tolist(),
        days=history.days.tolist(),
        quantities=history.quantities.tolist(),
        prices=history.prices.tolist(),
        savings=history.savings.tolist(),
    )
