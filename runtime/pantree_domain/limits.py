"""The bounds of request fields, read from the contract.

They are `buf.validate` options in the protos. `make protos` writes them to `pantree/limits.json`, which takes neither
descriptors nor a transport library to read.
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
    """What a field may hold. None and False mean that there is no such limit."""

    required: bool = False
    """An optional or message field must be present."""
    minimum: float | None = None
    maximum: float | None = None
    exclusive_minimum: float | None = None
    exclusive_maximum: float | None = None
    finite: bool = False
    """NaN and the infinities are refused. Both bounds together refuse them, too."""
    max_length: int | None = None
    """Largest number of characters of a text."""
    not_blank: bool = False
    """A text must have a character that is not white space."""
    no_control_characters: bool = False
    """A text must not contain U+0000 to U+001F or U+007F."""
    calendar_day: bool = False
    """A text must be an ISO 8601 calendar day from 1970-01-01 to 2199-12-31."""
    defined_only: bool = False
    """An enum must have a value that the contract defines."""
    min_items: int = 0
    max_items: int | None = None
    unique: bool = False
    """The elements of a list must differ."""
    items: "FieldLimits | None" = None
    """Limits of each element of a list."""
    ignore_zero_value: bool = False
    """An empty text, or a number 0, is accepted whatever the other limits."""
    ignore_always: bool = False
    """Elements of a list are not checked with the request: each gets an error of its own in the response."""


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
    """Limits of the fields that have any, by field name.

    Args:
        message: full name, such as `pantree.purchase.v1.BasketItem`.
    """
    return _all_limits().get(message, {})


def field_limits(field: str) -> FieldLimits:
    """Limits of a field; `NO_LIMITS` when it has none.

    Args:
        field: full name, such as `pantree.purchase.v1.BasketItem.price`: the `full_name` of its descriptor.
    """
    message, _, name = field.rpartition(".")
    return message_limits(message).get(name, NO_LIMITS)


def max_items(field: str) -> int:
    """Largest number of elements of a list.

    Raises:
        KeyError: when the contract sets none.
    """
    return int(_required(field, field_limits(field).max_items))


def max_length(field: str) -> int:
    """Largest number of characters of a text.

    Raises:
        KeyError: when the contract sets none.
    """
    return int(_required(field, field_limits(field).max_length))


def maximum(field: str) -> float:
    """Largest value of a number.

    Raises:
        KeyError: when the contract sets none.
    """
    return float(_required(field, field_limits(field).maximum))


def _required(field: str, limit: float | None) -> float:
    if limit is None:
        raise KeyError(f"the contract sets no such limit for {field}")
    return limit


MAX_NAME_CHARACTERS = max_length("pantree.purchase.v1.Purchase.name")
MAX_ID_CHARACTERS = max_length("pantree.pipeline.v1.ProcessInput.customer_id")
MAX_BASKET_ITEMS = max_items("pantree.pipeline.v1.ProcessInput.items")
MAX_HISTORY_ROWS = max_items("pantree.pipeline.v1.ProcessInput.history")
MAX_HISTORY_LINES = max_items("pantree.purchase.v1.PurchaseColumns.days")
MAX_HISTORY_ITEMS = max_items("pantree.purchase.v1.PurchaseColumns.item_names")
MAX_PRICE = maximum("pantree.purchase.v1.Purchase.price")
MAX_QUANTITY = int(maximum("pantree.purchase.v1.Purchase.quantity"))
MAX_SIMULATION_MONTHS = int(maximum("pantree.pipeline.v1.ProcessInput.simulation_months"))
MAX_RECOMMENDATIONS = int(maximum("pantree.pipeline.v1.ProcessInput.max_recommendations"))
