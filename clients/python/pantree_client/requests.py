"""Requests: a first purchase or a real history."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from google.protobuf.message import Message

from pantree.pipeline.v1.pipeline_service_pb2 import ProcessInput
from pantree.purchase.v1 import purchase_pb2
from pantree_domain.days import day_number
from pantree_domain.limits import MAX_HISTORY_ROWS
from pantree_runtime.errors import FieldViolation, InvalidInput

# Further invalid fields are only counted.
_MAX_VIOLATIONS = 20


@dataclass(frozen=True)
class Item:
    """One item of a first purchase."""

    name: str
    """1 to 200 characters."""
    price: float
    """Shelf price of one unit, 0 to 1,000,000."""
    quantity: int = 1
    """Units, 1 to 10,000."""
    category: str = ""
    """Derived from the name if empty."""


@dataclass(frozen=True)
class Purchase:
    """One receipt line."""

    name: str
    """1 to 200 characters."""
    date: date
    price: float
    """Shelf price of one unit before any saving, 0 to 1,000,000."""
    quantity: int = 1
    """Units, 1 to 10,000."""
    category: str = ""
    """Derived from the name if empty."""
    saving: float = 0.0
    """Amount taken off the whole line, at most price × quantity."""


@dataclass(frozen=True)
class FirstPurchase:
    """A household's first purchase. Its history is simulated."""

    customer_id: str
    """1 to 128 characters."""
    items: Sequence[Item]
    """1 to 100 distinct items."""
    archetype: str = ""
    """Kind of shopper to simulate; the service's default if empty."""
    simulation_months: int | None = None
    """1 to 60; the service's default if None."""
    customer_name: str = ""
    """At most 200 characters."""
    as_of: date | None = None
    """Date of the request; today if None."""
    seed: int | None = None
    """Random seed; if None, the service chooses one and returns it in the result."""
    max_recommendations: int | None = None
    """1 to 100; 20 if None."""
    include_omitted: bool = False
    include_cadence_changes: bool = False
    include_suggestions: bool = False
    """Include items that similar customers buy. The answer then depends on the stored customers, whatever the seed."""

    def message(self) -> ProcessInput:
        """The request as a message of the contract.

        Raises:
            InvalidInput: when a value does not fit into its field of the message.
        """
        values = _input_values(self)
        items = [vars(item) for item in self.items]
        try:
            return ProcessInput(**values, items=[purchase_pb2.BasketItem(**item) for item in items])
        except ValueError:
            raise _out_of_range(values, items=(purchase_pb2.BasketItem, items)) from None


@dataclass(frozen=True)
class History:
    """A household's real history. Nothing is simulated."""

    customer_id: str
    """1 to 128 characters."""
    purchases: Sequence[Purchase]
    """In any order, at most 100,000 lines of at most 8,000 distinct items."""
    customer_name: str = ""
    """At most 200 characters."""
    as_of: date | None = None
    """Date of the request; the day of the latest purchase if None."""
    max_recommendations: int | None = None
    """1 to 100; 20 if None."""
    include_omitted: bool = False
    include_cadence_changes: bool = False
    include_suggestions: bool = False
    """Include items that similar customers buy. The answer then depends on the stored customers."""

    def message(self) -> ProcessInput:
        """The request as a message of the contract. More rows than a message allows become columns.

        Raises:
            InvalidInput: when a value does not fit into its field of the message.
        """
        values = _input_values(self)
        rows = [vars(purchase) | {"date": purchase.date.isoformat()} for purchase in self.purchases]
        try:
            if len(rows) > MAX_HISTORY_ROWS:
                return ProcessInput(**values, history_columns=_columns(self.purchases))
            return ProcessInput(**values, history=[purchase_pb2.Purchase(**row) for row in rows])
        except ValueError:
            raise _out_of_range(values, history=(purchase_pb2.Purchase, rows)) from None


def _input_values(request: FirstPurchase | History) -> dict[str, Any]:
    """Values of the fields that have the same names in the request and in its message."""
    as_of = "" if request.as_of is None else request.as_of.isoformat()
    return {name: value for name, value in vars(request).items() if name not in ("items", "purchases")} | {
        "as_of": as_of
    }


def _columns(purchases: Sequence[Purchase]) -> purchase_pb2.PurchaseColumns:
    first_of_item: dict[str, Purchase] = {}
    for purchase in purchases:
        first_of_item.setdefault(purchase.name, purchase)
    positions = {name: position for position, name in enumerate(first_of_item)}
    return purchase_pb2.PurchaseColumns(
        item_names=positions,
        item_categories=[purchase.category for purchase in first_of_item.values()],
        item_indices=[positions[purchase.name] for purchase in purchases],
        days=[day_number(purchase.date) for purchase in purchases],
        quantities=[purchase.quantity for purchase in purchases],
        prices=[purchase.price for purchase in purchases],
        savings=[purchase.saving for purchase in purchases],
    )


def _out_of_range(
    values: Mapping[str, Any], **rows_by_field: tuple[type[Message], Sequence[Mapping[str, Any]]]
) -> InvalidInput:
    """Error that names the values that do not fit into their fields."""
    violations = list(_violations(ProcessInput, values, ""))
    for field, (kind, rows) in rows_by_field.items():
        for position, row in enumerate(rows):
            violations += _violations(kind, row, f"{field}[{position}].")
    return invalid_input(violations)


def _violations(kind: type[Message], values: Mapping[str, Any], path: str) -> Iterator[FieldViolation]:
    for name, value in values.items():
        try:
            kind(**{name: value})
        except UnicodeError:
            yield FieldViolation(path + name, "must be valid Unicode text")
        except ValueError:
            yield FieldViolation(path + name, f"is out of range: {value}")


def invalid_input(violations: Sequence[FieldViolation]) -> InvalidInput:
    """Error that names the first violations and counts the others."""
    return InvalidInput(violations[:_MAX_VIOLATIONS], max(len(violations) - _MAX_VIOLATIONS, 0))


def rename_fields(error: InvalidInput, rename: Callable[[str], str]) -> InvalidInput:
    """The same error with other field names."""
    named = error.violations[:-1] if error.omitted_count else error.violations
    return InvalidInput([FieldViolation(rename(v.field), v.description) for v in named], error.omitted_count)
