"""Households as they are read from a table, and the history that each would send."""

from dataclasses import dataclass, field
from datetime import date

import numpy as np
import pyarrow as pa

from pantree.pipeline.v1 import pipeline_service_pb2 as pipeline
from pantree.purchase.v1.purchase_pb2 import Purchase, PurchaseColumns
from pantree_domain.days import calendar_day, day_number
from pantree_domain.limits import max_items
from pantree_runtime.errors import PantreeError

MAX_LINES = max_items("pantree.purchase.v1.PurchaseColumns.days")

Key = tuple[str, str]
"""Household and tenant."""


class HouseholdRejected(Exception):
    """A household has no result, for a reason of its own.

    Args:
        reason: code, such as `NO_PURCHASES`.
        text: what is wrong.
    """

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(text)
        self.reason = reason
        self.text = text


@dataclass
class Household:
    """Lines of one household, as far as they have been read."""

    key: Key
    line_count: int = 0
    batches: list[pa.RecordBatch] = field(default_factory=list)

    def add(self, lines: pa.RecordBatch) -> None:
        """Adds lines; those of a household with too many are counted only."""
        self.line_count += lines.num_rows
        if self.line_count > MAX_LINES:
            self.batches.clear()
        else:
            self.batches.append(lines)

    def lines_until(self, as_of: date, end: date) -> pa.Table:
        """The lines until a day.

        Raises:
            HouseholdRejected: if there are too many lines, or none until the as-of date.
        """
        if self.line_count > MAX_LINES:
            raise HouseholdRejected(
                "TOO_MANY_LINES", f"has {self.line_count:,} lines; at most {MAX_LINES:,} are scored"
            )
        lines = pa.Table.from_batches(self.batches)
        # Lines are sorted by day.
        days = lines["date"].cast(pa.int32()).to_numpy()
        if days[0] > day_number(as_of):
            raise HouseholdRejected("NO_PURCHASES", f"has no purchases until {as_of.isoformat()}")
        return lines.slice(0, int(np.searchsorted(days, day_number(end), side="right")))


def rejection_of(error: Exception) -> HouseholdRejected:
    """What is written of a household that raised an error."""
    if isinstance(error, HouseholdRejected):
        return error
    if isinstance(error, PantreeError):
        return HouseholdRejected(error.reason, error.message)
    return HouseholdRejected("FAILED", f"{type(error).__name__}: {error}")


def _currency_of(lines: pa.Table) -> str:
    """The currency of all amounts; empty if the lines name none."""
    currencies = sorted({code for code in lines["currency_code"].to_pylist() if code})
    if len(currencies) > 1:
        raise HouseholdRejected("SEVERAL_CURRENCIES", f"has amounts in {', '.join(currencies)}")
    return "".join(currencies)


def set_history(message: pipeline.ProcessInput | pipeline.WhatIfInput, lines: pa.Table) -> None:
    """Gives a request the lines as its history, and their currency.

    Raises:
        HouseholdRejected: if there are several currencies.
    """
    message.currency_code = _currency_of(lines)
    days = lines["date"].cast(pa.int32()).to_pylist()
    items: dict[tuple[str, str, str], int] = {}
    columns = (lines[name].to_pylist() for name in ("item", "category", "item_id"))
    indices = [items.setdefault(item, len(items)) for item in zip(*columns, strict=True)]
    names, categories, ids = zip(*items, strict=True)
    amounts = {name: lines[name].to_pylist() for name in ("quantity", "price", "saving")}
    if len(set(names)) == len(names):
        message.history_columns.CopyFrom(
            PurchaseColumns(
                item_names=names,
                item_categories=categories,
                item_ids=ids if any(ids) else None,
                item_indices=indices,
                days=days,
                quantities=amounts["quantity"],
                prices=amounts["price"],
                savings=amounts["saving"],
            )
        )
        return
    # Names with several categories or ids fit rows only.
    for item, day, quantity, price, saving in zip(indices, days, *amounts.values(), strict=True):
        message.history.append(
            Purchase(
                name=names[item],
                category=categories[item],
                item_id=ids[item],
                date=calendar_day(day).isoformat(),
                quantity=quantity,
                price=price,
                saving=saving,
            )
        )
