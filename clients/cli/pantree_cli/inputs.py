"""Input for the command line: a request as JSON, histories from a file of purchases."""

import enum
import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from google.protobuf import json_format
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message_factory import GetMessageClass

from pantree.pipeline.v1.pipeline_service_pb2 import ProcessInput
from pantree_client import FieldViolation, InvalidInput, Purchase
from pantree_client.requests import invalid_input, rename_fields
from pantree_reader import PurchaseFile
from pantree_reader.layouts import ROLES

_ROLE_OF_FIELD = {
    "name": "item",
    "item_names": "item",
    "item_categories": "category",
    "days": "date",
    "quantities": "quantity",
    "prices": "price",
    "savings": "saving",
}


class Mode(enum.StrEnum):
    """Which items of a next basket are wanted."""

    BOTH = "both"
    REPEAT = "repeat"
    EXPLORE = "explore"


def read_text(path: Path | None) -> str:
    """Content of a UTF-8 file, or of standard input if there is no path.

    Raises:
        InvalidInput: when there is no such file, or it is not UTF-8.
    """
    name = "standard input" if path is None else str(path)
    try:
        return (sys.stdin.buffer.read() if path is None else path.read_bytes()).decode("utf-8-sig")
    except OSError as error:
        _fail(name, f"cannot be read: {error.strerror}")
    except UnicodeDecodeError as error:
        _fail(name, f"must be UTF-8 text ({error.reason}); save it as UTF-8")


def read_request(text: str) -> ProcessInput:
    """Request from the JSON of the REST API.

    Raises:
        InvalidInput: when it is not JSON, or fields are unknown or have the wrong type.
    """
    try:
        document = json.loads(text)
    except json.JSONDecodeError as error:
        _fail("request", f"must be JSON: {error.msg} at line {error.lineno}, column {error.colno}")
    except (ValueError, RecursionError) as error:  # a number with thousands of digits, or very deep nesting
        _fail("request", f"must be JSON: {error}")
    if not isinstance(document, dict):
        _fail("request", 'must be a JSON object, such as {"customer_id": …}')
    try:
        return json_format.ParseDict(document, ProcessInput())
    except json_format.ParseError as error:
        violations = list(_violations(document, ProcessInput.DESCRIPTOR, ""))
        raise invalid_input(violations or [FieldViolation("request", str(error))]) from None


def _violations(document: Mapping[str, Any], message: Descriptor, path: str) -> Iterator[FieldViolation]:
    """The fields of a JSON object that do not fit into a message."""
    for name, value in document.items():
        field = message.fields_by_name.get(name) or message.fields_by_camelcase_name.get(name)
        if field is None:
            yield FieldViolation(path + name, "is not a field of a request")
        elif _fits(message, name, value):
            continue
        elif field.is_repeated and isinstance(value, list):
            for position, element in enumerate(value):
                if not _fits(message, name, [element]):
                    yield from _violations_of_value(element, field, f"{path}{name}[{position}]")
        elif field.is_repeated:
            yield FieldViolation(path + name, "must be a list")
        else:
            yield from _violations_of_value(value, field, path + name)


def _fits(message: Descriptor, name: str, value: Any) -> bool:
    try:
        json_format.ParseDict({name: value}, GetMessageClass(message)())
    except json_format.ParseError:
        return False
    return True


def _violations_of_value(value: Any, field: FieldDescriptor, path: str) -> Iterator[FieldViolation]:
    if field.message_type is not None and isinstance(value, dict):
        yield from _violations(value, field.message_type, f"{path}.")
        return
    kinds = {
        FieldDescriptor.CPPTYPE_MESSAGE: "an object",
        FieldDescriptor.CPPTYPE_STRING: "text",
        FieldDescriptor.CPPTYPE_BOOL: "true or false",
        FieldDescriptor.CPPTYPE_DOUBLE: "a number",
    }
    expected = kinds.get(field.cpp_type, "a whole number that is in range")
    yield FieldViolation(path, f"must be {expected}; is {_shortened(json.dumps(value))}")


@dataclass(frozen=True)
class HouseholdHistory:
    """Purchases of one household from a file, with their line numbers."""

    household: str
    """As in the file; empty if it has no column of households."""
    purchases: list[Purchase]
    lines: list[int]

    def name_lines(self, error: InvalidInput) -> InvalidInput:
        """The error, with lines of the file instead of positions in the request."""
        names = list(dict.fromkeys(purchase.name for purchase in self.purchases))

        def rename(field: str) -> str:
            match = re.match(r"history(?:_columns\.(\w+))?\[(\d+)\](?:\.(\w+))?$", field)
            if match is None:
                return field
            column, position = match[1] or match[3], int(match[2])
            if column in ("item_names", "item_categories"):  # one per item, not one per line
                position = next(at for at, purchase in enumerate(self.purchases) if purchase.name == names[position])
            shown = _ROLE_OF_FIELD.get(column or "", column)
            return f"line {self.lines[position]}" + (f", {shown}" if shown else "")

        return rename_fields(error, rename)


def households_of(file: PurchaseFile, household: str) -> list[HouseholdHistory]:
    """The histories of all households in a file, or of one.

    Raises:
        InvalidInput: when the file does not have the household.
    """
    found = [one for one in file.households if not household or one.household == household]
    if not found:
        names = [one.household for one in file.households]
        more = f" and {len(names) - 5:,} more" if len(names) > 5 else ""
        _fail("household", f"must be one of {', '.join(map(repr, names[:5]))}{more}; is {household!r}")
    return [
        HouseholdHistory(
            household=one.household,
            purchases=[
                Purchase(
                    name=line.name,
                    date=line.day,
                    price=line.price,
                    quantity=line.quantity,
                    category=line.category,
                    saving=line.saving,
                    item_id=line.item_id,
                    variant=line.variant,
                )
                for line in one.purchases
            ],
            lines=[line.line for line in one.purchases],
        )
        for one in found
    ]


def columns_of(texts: Sequence[str]) -> dict[str, str]:
    """Columns by role from texts such as `date=Order Date`.

    Raises:
        InvalidInput: when a text is not of this form, or names an unknown role.
    """
    columns = {}
    for text in texts:
        role, separator, column = text.partition("=")
        if not separator or role not in ROLES:
            _fail("--map", f"must be ROLE=COLUMN with one of the roles {', '.join(ROLES)}; is {_shortened(text)}")
        columns[role] = column
    return columns


def _shortened(text: str) -> str:
    return text if len(text) <= 40 else f"{text[:39]}…"


def _fail(field: str, description: str) -> NoReturn:
    raise InvalidInput([FieldViolation(field, description)]) from None
