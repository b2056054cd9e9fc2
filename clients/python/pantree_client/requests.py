"""Requests: a first purchase, a real history, a next basket, a plan, or a replay."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Literal

from google.protobuf.message import Message

from pantree.pipeline.v1.pipeline_service_pb2 import NextBasketInput, PlanInput, ProcessInput, WhatIfInput
from pantree.purchase.v1 import purchase_pb2
from pantree.recommendation.v1 import recommendation_service_pb2
from pantree.recommendation.v1.recommendation_service_pb2 import PromotedItems
from pantree_domain.days import day_number
from pantree_domain.limits import MAX_HISTORY_ROWS
from pantree_runtime.errors import FieldViolation, InvalidInput

# Rows of more bytes are sent as columns, which name each item once: a message has at most 4 MiB.
_MAX_ROWS_BYTES = 3 * 1024 * 1024
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
    item_id: str = ""
    """The shop's own id, such as a SKU, at most 128 characters; returned unchanged."""
    variant: str = ""
    """Variant or pack size, at most 200 characters; returned unchanged."""


@dataclass(frozen=True)
class Purchase:
    """One receipt line."""

    name: str
    """1 to 200 characters."""
    date: date
    price: float | None = None
    """Shelf price of one unit before any saving, 0 to 1,000,000; None if unknown."""
    quantity: int = 1
    """Units, 1 to 10,000."""
    category: str = ""
    """Derived from the name if empty."""
    saving: float = 0.0
    """Amount taken off the whole line, at most price × quantity."""
    item_id: str = ""
    """The shop's own id, such as a SKU, at most 128 characters; returned unchanged."""
    variant: str = ""
    """Variant or pack size, at most 200 characters; returned unchanged. Each variant is an item of its own."""


@dataclass(frozen=True)
class PlanConstraints:
    """What a household demands of its plan. Items are named as in the answer's analysis."""

    delivery_weekdays: Sequence[int] = ()
    """Days with deliveries, 1 (Monday) to 7 (Sunday); all if empty."""
    max_boxes_per_month: int | None = None
    """In any 28 days in a row."""
    budget_per_month: float | None = None
    """Of any 28 days in a row."""
    required_items: Sequence[str] = ()
    excluded_items: Sequence[str] = ()
    min_annual_savings: float | None = None
    """Against the prices that the household paid."""
    notice_days: int = 0
    """Days from the date of the request to the first delivery, at least."""
    price_limits: Mapping[str, float] = field(default_factory=dict)
    """Highest price of a unit, by name of the item."""

    def message(self) -> recommendation_service_pb2.PlanConstraints:
        """The constraints as a message of the contract.

        Raises:
            InvalidInput: when a value does not fit into its field of the message.
        """
        values = {name: value for name, value in vars(self).items() if name != "price_limits"}
        limits: list[dict[str, Any]] = [
            {"name": name, "max_unit_price": price} for name, price in self.price_limits.items()
        ]
        try:
            return recommendation_service_pb2.PlanConstraints(
                **values, price_limits=[recommendation_service_pb2.PriceLimit(**limit) for limit in limits]
            )
        except ValueError:
            raise _out_of_range(
                recommendation_service_pb2.PlanConstraints,
                values,
                price_limits=(recommendation_service_pb2.PriceLimit, limits),
            ) from None


@dataclass(frozen=True)
class PlanRequest:
    """A household whose deliveries are planned again, without its history."""

    customer_id: str
    """1 to 128 characters."""
    analysis: recommendation_service_pb2.PlanAnalysis
    """Of a `Result`; ask for it with `include_analysis`."""
    constraints: PlanConstraints | None = None

    def message(self) -> PlanInput:
        """The request as a message of the contract."""
        return PlanInput(
            customer_id=self.customer_id,
            analysis=self.analysis,
            constraints=None if self.constraints is None else self.constraints.message(),
        )


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
    currency_code: str = ""
    """ISO 4217 code of all amounts, such as `EUR`; it decides to how many digits they are rounded."""
    stockout_tolerance_ratio: float | None = None
    """Above 0, to deliver more and avoid stockouts, and below 1, to deliver less; 0.5 if None."""
    include_analysis: bool = False
    """Include what `PlanRequest` needs."""
    constraints: PlanConstraints | None = None
    """Items that do not fit are not recommended."""

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
            raise _out_of_range(ProcessInput, values, items=(purchase_pb2.BasketItem, items)) from None


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
    currency_code: str = ""
    """ISO 4217 code of all amounts, such as `EUR`; it decides to how many digits they are rounded."""
    stockout_tolerance_ratio: float | None = None
    """Above 0, to deliver more and avoid stockouts, and below 1, to deliver less; 0.5 if None."""
    include_analysis: bool = False
    """Include what `PlanRequest` needs."""
    constraints: PlanConstraints | None = None
    """Items that do not fit are not recommended."""

    def message(self) -> ProcessInput:
        """The request as a message of the contract. Rows that a message cannot hold, by number or size, become columns.

        Raises:
            InvalidInput: when a value does not fit into its field of the message.
        """
        values = _input_values(self)
        rows = [vars(purchase) | {"date": purchase.date.isoformat()} for purchase in self.purchases]
        try:
            if len(rows) > MAX_HISTORY_ROWS:
                return ProcessInput(**values, history_columns=_columns(self.purchases))
            message = ProcessInput(**values, history=[purchase_pb2.Purchase(**row) for row in rows])
            if message.ByteSize() <= _MAX_ROWS_BYTES:
                return message
            return ProcessInput(**values, history_columns=_columns(self.purchases))
        except ValueError:
            raise _out_of_range(ProcessInput, values, history=(purchase_pb2.Purchase, rows)) from None


@dataclass(frozen=True)
class AssortmentItem:
    """An item that a household could buy for the first time."""

    name: str
    """1 to 200 characters."""
    category: str = ""
    """Empty if unknown."""


@dataclass(frozen=True)
class BasketRequest:
    """A household whose next basket is wanted."""

    customer_id: str
    """1 to 128 characters."""
    purchases: Sequence[Purchase] = ()
    """In any order, at most 100,000 lines of at most 8,000 distinct items; none for a new customer."""
    as_of: date | None = None
    """Day of the basket; the household's expected next trip if None. Required without purchases."""
    mode: Literal["both", "repeat", "explore"] = "both"
    """`repeat` for items that the household has bought before, `explore` for others."""
    max_items: int | None = None
    """1 to 100; 20 if None."""
    assortment: Sequence[AssortmentItem] = ()
    """Items that could be bought for the first time; those that the model knows if empty."""
    promoted: Sequence[str] | None = None
    """Names of the items on promotion on that day; None if unknown."""

    def message(self) -> NextBasketInput:
        """The request as a message of the contract. More rows than a message allows become columns.

        Raises:
            InvalidInput: when a value does not fit into its field of the message.
        """
        values: dict[str, Any] = {
            "customer_id": self.customer_id,
            "as_of": "" if self.as_of is None else self.as_of.isoformat(),
            "mode": f"BASKET_MODE_{self.mode.upper()}",
            "max_items": self.max_items,
        }
        if self.promoted is not None:
            values["promotions"] = PromotedItems(names=self.promoted)
        rows = [vars(purchase) | {"date": purchase.date.isoformat()} for purchase in self.purchases]
        items = [vars(item) for item in self.assortment]
        try:
            message = NextBasketInput(
                **values, assortment=[recommendation_service_pb2.AssortmentItem(**item) for item in items]
            )
            if len(rows) > MAX_HISTORY_ROWS:
                message.history_columns.CopyFrom(_columns(self.purchases))
            else:
                message.history.extend(purchase_pb2.Purchase(**row) for row in rows)
        except ValueError:
            raise _out_of_range(
                NextBasketInput,
                values,
                history=(purchase_pb2.Purchase, rows),
                assortment=(recommendation_service_pb2.AssortmentItem, items),
            ) from None
        return message


@dataclass(frozen=True)
class WhatIfRequest:
    """A household whose plan is replayed on its own past."""

    customer_id: str
    """1 to 128 characters."""
    purchases: Sequence[Purchase] = ()
    """In any order, with those after `as_of`; at most 100,000 lines of at most 8,000 distinct items. None if stored."""
    stored_history: bool = False
    """Replay the stored purchases of the customer."""
    as_of: date | None = None
    """Day of the plan, at least a week before the latest purchase; `week_count` weeks before it if None."""
    week_count: int | None = None
    """1 to 12; if None, 12, or as many of 12 as there are after `as_of`."""
    max_recommendations: int | None = None
    """1 to 100; 20 if None."""
    currency_code: str = ""
    """ISO 4217 code of all amounts, such as `EUR`; it decides to how many digits they are rounded."""
    stockout_tolerance_ratio: float | None = None
    """Above 0, to deliver more and avoid stockouts, and below 1, to deliver less; 0.5 if None."""
    constraints: PlanConstraints | None = None

    def message(self) -> WhatIfInput:
        """The request as a message of the contract. Rows that a message cannot hold, by number or size, become columns.

        Raises:
            InvalidInput: when a value does not fit into its field of the message.
        """
        values: dict[str, Any] = {name: value for name, value in vars(self).items() if name != "purchases"} | {
            "as_of": "" if self.as_of is None else self.as_of.isoformat(),
            "constraints": None if self.constraints is None else self.constraints.message(),
        }
        rows = [vars(purchase) | {"date": purchase.date.isoformat()} for purchase in self.purchases]
        try:
            if len(rows) > MAX_HISTORY_ROWS:
                return WhatIfInput(**values, history_columns=_columns(self.purchases))
            message = WhatIfInput(**values, history=[purchase_pb2.Purchase(**row) for row in rows])
            if message.ByteSize() <= _MAX_ROWS_BYTES:
                return message
            return WhatIfInput(**values, history_columns=_columns(self.purchases))
        except ValueError:
            raise _out_of_range(WhatIfInput, values, history=(purchase_pb2.Purchase, rows)) from None


def _input_values(request: FirstPurchase | History) -> dict[str, Any]:
    """Values of the fields that have the same names in the request and in its message."""
    as_of = "" if request.as_of is None else request.as_of.isoformat()
    return {name: value for name, value in vars(request).items() if name not in ("items", "purchases")} | {
        "as_of": as_of,
        "constraints": None if request.constraints is None else request.constraints.message(),
    }


def _columns(purchases: Sequence[Purchase]) -> purchase_pb2.PurchaseColumns:
    """Columns of purchases. The names of items must differ, so items of one name get their variant or id added."""
    positions: dict[tuple[str, str, str], int] = {}
    indices = [positions.setdefault((p.name, p.item_id, p.variant), len(positions)) for p in purchases]
    categories = [""] * len(positions)
    for position, purchase in zip(indices, purchases, strict=True):
        categories[position] = categories[position] or purchase.category
    names: dict[str, None] = {}
    for name, item_id, variant in positions:
        candidates = (name, f"{name} {variant}".strip(), f"{name} {variant} {item_id}".strip())
        names[next((one for one in candidates if one not in names), candidates[-1])] = None
    has_prices = any(purchase.price is not None for purchase in purchases)
    return purchase_pb2.PurchaseColumns(
        item_names=names,
        item_categories=categories,
        item_ids=[item_id for _, item_id, _ in positions] if any(p.item_id for p in purchases) else (),
        item_variants=[variant for *_, variant in positions] if any(p.variant for p in purchases) else (),
        item_indices=indices,
        days=[day_number(purchase.date) for purchase in purchases],
        quantities=[purchase.quantity for purchase in purchases],
        prices=[purchase.price or 0.0 for purchase in purchases] if has_prices else (),
        savings=[purchase.saving for purchase in purchases],
    )


def _out_of_range(
    kind: type[Message], values: Mapping[str, Any], **rows_by_field: tuple[type[Message], Sequence[Mapping[str, Any]]]
) -> InvalidInput:
    """Error that names the values that do not fit into their fields."""
    violations = list(_violations(kind, values, ""))
    for name, (row_kind, rows) in rows_by_field.items():
        for position, row in enumerate(rows):
            violations += _violations(row_kind, row, f"{name}[{position}].")
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
