"""The bounds of request fields, read from the contract.

They are `buf.validate` options in the protos. `make protos` writes them to `pantree/limits.json`, which can be read
without descriptors or a transport library.
"""

import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any

DEFAULT_SIMULATION_MONTHS = 6
DEFAULT_RECOMMENDATIONS = 20


@dataclass(frozen=True)
class FieldLimits:
    """Limits of a field's value. None and False mean no limit."""

    required: bool = False
    """The field must be present; for optional and message fields."""
    minimum: float | None = None
    maximum: float | None = None
    exclusive_minimum: float | None = None
    exclusive_maximum: float | None = None
    finite: bool = False
    """NaN and infinities are invalid, as they are for a field with a lower and an upper bound."""
    max_length: int | None = None
    """Maximum number of characters of a text."""
    not_blank: bool = False
    """A text must contain a character other than white space."""
    no_control_characters: bool = False
    """A text must not contain U+0000 to U+001F or U+007F to U+009F."""
    no_invisible_characters: bool = False
    """A text must not contain control characters or characters that show nothing."""
    calendar_day: bool = False
    """A text must be an ISO 8601 calendar day from 1970-01-01 to 2199-12-31."""
    forecast_day: bool = False
    """A text must be an ISO 8601 calendar day from 1970-01-01 to 9999-12-31."""
    currency_code: bool = False
    """A text must be three capital letters, as ISO 4217 codes are."""
    defined_only: bool = False
    """An enum must have a value that the contract defines."""
    min_items: int = 0
    max_items: int | None = None
    unique: bool = False
    """The elements of a list must differ."""
    items: "FieldLimits | None" = None
    """Limits of each element of a list."""
    ignore_zero_value: bool = False
    """Empty text and the number 0 are valid regardless of other limits."""
    ignore_always: bool = False
    """Elements of a list are not checked with the request; each gets its own error in the response."""


NO_LIMITS = FieldLimits()


@functools.cache
def _all_limits() -> dict[str, dict[str, FieldLimits]]:
    table = json.loads(resources.files("pantree").joinpath("limits.json").read_bytes())
    return {
        message: {field: _field_limits(entry) for field, entry in fields.items()} for message, fields in table.items()
    }


def _field_limits(entry: dict[str, Any]) -> FieldLimits:
    items = entry.pop("items", None)
    return FieldLimits(**entry, items=None if items is None else _field_limits(items))


def message_limits(message: str) -> Mapping[str, FieldLimits]:
    """Limits by field name, without fields that have none.

    Args:
        message: full name, such as `pantree.purchase.v1.BasketItem`.
    """
    return _all_limits().get(message, {})


def field_limits(field: str) -> FieldLimits:
    """Limits of a field; `NO_LIMITS` if it has none.

    Args:
        field: full name, such as `pantree.purchase.v1.BasketItem.price`.
    """
    message, _, name = field.rpartition(".")
    return message_limits(message).get(name, NO_LIMITS)


def max_items(field: str) -> int:
    """Maximum number of elements of a list. Raises `KeyError` if there is no limit."""
    return int(_required(field, field_limits(field).max_items))


def max_length(field: str) -> int:
    """Maximum number of characters of a text. Raises `KeyError` if there is no limit."""
    return int(_required(field, field_limits(field).max_length))


def maximum(field: str) -> float:
    """Maximum of a number. Raises `KeyError` if there is no limit."""
    return float(_required(field, field_limits(field).maximum))


def _required(field: str, limit: float | None) -> float:
    if limit is None:
        raise KeyError(f"the contract sets no such limit for {field}")
    return limit


MAX_NAME_CHARACTERS = max_length("pantree.purchase.v1.Purchase.name")
MAX_ID_CHARACTERS = max_length("pantree.pipeline.v1.ProcessInput.customer_id")
MAX_BASKET_ITEMS = max_items("pantree.pipeline.v1.ProcessInput.items")
MAX_HISTORY_ROWS = max_items("pantree.pipeline.v1.ProcessInput.history")
MAX_HISTORY_ITEMS = max_items("pantree.purchase.v1.PurchaseColumns.item_names")
MAX_PRICE = maximum("pantree.purchase.v1.Purchase.price")
MAX_QUANTITY = int(maximum("pantree.purchase.v1.Purchase.quantity"))
MAX_SIMULATION_MONTHS = int(maximum("pantree.pipeline.v1.ProcessInput.simulation_months"))
MAX_RECOMMENDATIONS = int(maximum("pantree.pipeline.v1.ProcessInput.max_recommendations"))
