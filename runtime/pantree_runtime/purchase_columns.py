"""The columnar purchase message and the arrays and lists that cores work on. For services that have numpy."""

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from pantree.purchase.v1.purchase_pb2 import PurchaseColumns
from pantree_domain.days import day_number
from pantree_domain.purchases import PurchaseHistory, PurchaseLines
from pantree_runtime.validation import Violations, parse_day

# Price × quantity is not exact in binary.
HALF_A_CENT = 0.005
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


def history_of(columns: PurchaseColumns) -> PurchaseHistory:
    """Purchases of a message as arrays."""
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


def check_columns(columns: PurchaseColumns, as_of: str, violations: Violations) -> None:
    """Adds a violation for each rule of purchases that compares fields.

    Args:
        columns: the purchases.
        as_of: as-of date of the request: an ISO 8601 day, or empty when there is none.
        violations: gets the violations, named by their path in the purchases.
    """
    item_count, line_count = len(columns.item_names), len(columns.days)
    if len(columns.item_categories) not in (0, item_count):
        violations.add(
            "item_categories",
            f"must have one element for each of the {item_count:,} item_names, or none; "
            f"has {len(columns.item_categories):,}",
        )
    lengths_differ = False
    for name in ("item_indices", "quantities", "prices", "savings"):
        length = len(getattr(columns, name))
        if length != line_count:
            violations.add(name, f"must have one element for each of the {line_count:,} days; has {length:,}")
            lengths_differ = True
    if lengths_differ:
        return
    indices, days = _array(columns.item_indices, np.int32), _array(columns.days, np.int32)
    for at in np.flatnonzero(indices >= item_count):
        violations.add(
            f"item_indices[{at}]", f"must be a position in item_names, from 0 to {item_count - 1:,}; is {indices[at]:,}"
        )
    as_of_day = parse_day(as_of)
    if as_of_day is not None:
        for at in np.flatnonzero(days > day_number(as_of_day)):
            violations.add(
                f"days[{at}]", f"must be at most {day_number(as_of_day):,}, the day of as_of; is {days[at]:,}"
            )
    prices, savings = _array(columns.prices, np.float64), _array(columns.savings, np.float64)
    with np.errstate(invalid="ignore"):  # a price may be infinite, which violates its bound
        full_prices = prices * _array(columns.quantities, np.int32)
    for at in np.flatnonzero(savings > full_prices + HALF_A_CENT):
        violations.add(f"savings[{at}]", f"must be at most price × quantity, {full_prices[at]:,g}; is {savings[at]:,g}")


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
