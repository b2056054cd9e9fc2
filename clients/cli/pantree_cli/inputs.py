"""Input for the command line: a request as JSON, a history as CSV."""

import csv
import io
import json
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from google.protobuf import json_format
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message_factory import GetMessageClass

from pantree.pipeline.v1.pipeline_service_pb2 import ProcessInput
from pantree_client import FieldViolation, InvalidInput, Purchase
from pantree_client.requests import invalid_input, rename_fields

# The columns of a history, with the names that common exports use for them.
_COLUMNS: Mapping[str, tuple[str, ...]] = {
    "date": ("date", "day", "purchase_date"),
    "item": ("item", "name", "product", "item_name"),
    "price": ("price", "unit_price"),
    "quantity": ("quantity", "qty"),
    "category": ("category",),
    "saving": ("saving", "savings", "discount"),
}
_REQUIRED = ("date", "item", "price")
_COLUMN_OF_FIELD = {
    "name": "item",
    "item_names": "item",
    "item_categories": "category",
    "days": "date",
    "quantities": "quantity",
    "prices": "price",
    "savings": "saving",
}

ValueT = TypeVar("ValueT")


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
class HistoryFile:
    """Purchases from a CSV file, with their line numbers."""

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
            shown = _COLUMN_OF_FIELD.get(column or "", column)
            return f"line {self.lines[position]}" + (f", {shown}" if shown else "")

        return rename_fields(error, rename)


def read_history(path: Path) -> HistoryFile:
    """Purchases from a CSV file with the columns date, item, price and optionally quantity, category, saving.

    Raises:
        InvalidInput: when the file cannot be read, or lines are invalid. It names the first ones and counts the others.
    """
    rows = csv.reader(io.StringIO(read_text(path), newline=""))
    try:
        header = [column.strip().lower() for column in next(rows, [])]
    except csv.Error as error:
        _fail("line 1", f"must be a CSV header: {error}")
    positions = {
        column: header.index(name) for column, names in _COLUMNS.items() for name in names[::-1] if name in header
    }
    if missing := [column for column in _REQUIRED if column not in positions]:
        optional = "quantity, category, saving are optional"
        _fail("line 1", f"must name the columns {', '.join(_REQUIRED)} ({optional}); lacks {', '.join(missing)}")
    file = HistoryFile([], [])
    violations: list[FieldViolation] = []
    first_line = rows.line_num + 1
    while (row := _next_row(rows, first_line, violations)) is not None:
        if any(cell.strip() for cell in row):
            line = _Line(row, positions, first_line)
            file.purchases.append(line.purchase())
            file.lines.append(first_line)
            if line.violations and rows.line_num > first_line:
                description = f'has a quote (") that is not closed before line {rows.line_num}'
                line.violations = [FieldViolation(f"line {first_line}", description)]
            violations += line.violations
        first_line = rows.line_num + 1
    if violations:
        raise invalid_input(violations)
    if not file.purchases:
        _fail(str(path), "has no purchases below its header")
    return file


def _next_row(rows: Any, first_line: int, violations: list[FieldViolation]) -> list[str] | None:
    """The next row of a CSV reader; None at the end, or after an error, which is added to the violations."""
    try:
        return next(rows, None)
    except csv.Error as error:
        hint = f'has a quote (") that is not closed, or is not CSV: {error}'
        violations.append(FieldViolation(f"line {first_line}", hint))
        return None


class _Line:
    """One line of a history and its violations."""

    def __init__(self, row: list[str], positions: Mapping[str, int], number: int) -> None:
        self._row = row
        self._positions = positions
        self._number = number
        self.violations: list[FieldViolation] = []

    def purchase(self) -> Purchase:
        """The purchase; an invalid cell is recorded and replaced by a default value."""
        return Purchase(
            name=self._value("item", str, "the name of the item", ""),
            date=self._value("date", date.fromisoformat, "a date such as 2026-05-22", date.min),
            price=self._value("price", float, "a number such as 1.99", 0.0),
            quantity=self._value("quantity", _whole_number, "a whole number such as 2", 1),
            category=self._text("category"),
            saving=self._value("saving", float, "a number such as 0.50", 0.0),
        )

    def _text(self, column: str) -> str:
        position = self._positions.get(column, len(self._row))
        return self._row[position].strip() if position < len(self._row) else ""

    def _value(self, column: str, parse: Callable[[str], ValueT], expected: str, default: ValueT) -> ValueT:
        text = self._text(column)
        if not text and column not in _REQUIRED:
            return default
        try:
            if text:
                return parse(text)
        except (ValueError, OverflowError):
            pass
        found = f"is {_shortened(text)!r}" if text else "is empty"
        self.violations.append(FieldViolation(f"line {self._number}, {column}", f"must be {expected}; {found}"))
        return default


def _whole_number(text: str) -> int:
    number = float(text)
    if number != int(number):
        raise ValueError
    return int(number)


def _shortened(text: str) -> str:
    return text if len(text) <= 40 else f"{text[:39]}…"


def _fail(field: str, description: str) -> NoReturn:
    raise InvalidInput([FieldViolation(field, description)]) from None
