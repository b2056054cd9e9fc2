"""What people hand to the command line: a request as JSON, a history as CSV."""

import csv
import io
import json
import re
from collections.abc import Callable, Mapping
from datetime import date
from pathlib import Path
from typing import TextIO, TypeVar

from google.protobuf import json_format

from pantree.pipeline.v1.pipeline_service_pb2 import ProcessInput
from pantree_client import FieldViolation, InvalidInput, Purchase

# The columns of a history, each with the other names under which it is commonly exported.
_COLUMNS: Mapping[str, tuple[str, ...]] = {
    "date": ("date", "day", "purchase_date"),
    "item": ("item", "name", "product", "item_name"),
    "price": ("price", "unit_price"),
    "quantity": ("quantity", "qty"),
    "category": ("category",),
    "saving": ("saving", "savings", "discount"),
}
_REQUIRED = ("date", "item", "price")
# Beyond this many wrong lines a file is of another kind; the first ones tell.
_MOST_PROBLEMS = 20

ValueT = TypeVar("ValueT")


def read_request(text: str) -> ProcessInput:
    """Request in the gateway's JSON form.

    Args:
        text: JSON, such as `{"customer_id": "cust_001", "items": [{"name": "Bananas", "price": 1.99}]}`.

    Raises:
        InvalidInput: when it is no JSON, or has fields that a request has not.
    """
    try:
        document = json.loads(text)
        if not isinstance(document, dict):
            raise InvalidInput([FieldViolation("request", 'is no JSON object; give one such as {"customer_id": …}')])
        return json_format.ParseDict(document, ProcessInput())
    except json.JSONDecodeError as error:
        problem = f"is no JSON: {error.msg} at line {error.lineno}, column {error.colno}"
        raise InvalidInput([FieldViolation("request", problem)]) from None
    except json_format.ParseError as error:
        raise InvalidInput([FieldViolation("request", str(error))]) from None


def read_text(path: Path) -> str:
    """Text of a file in UTF-8.

    Raises:
        InvalidInput: when there is no such file, or it is no UTF-8 text.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise InvalidInput([FieldViolation(str(path), f"cannot be read: {error.strerror}")]) from None
    except UnicodeDecodeError as error:
        problem = f"is not UTF-8 text ({error.reason}); save it as UTF-8"
        raise InvalidInput([FieldViolation(str(path), problem)]) from None


def read_history(path: Path) -> list[Purchase]:
    """Purchases of a CSV file with a header: date, item, price and, if there, quantity, category, saving.

    Raises:
        InvalidInput: naming every wrong line; or the file, when it cannot be read.
    """
    return _read_rows(io.StringIO(read_text(path), newline=""))


def _read_rows(file: TextIO) -> list[Purchase]:
    rows = csv.reader(file)
    header = [column.strip().lower() for column in next(rows, [])]
    positions = {
        column: header.index(name) for column, names in _COLUMNS.items() for name in names[::-1] if name in header
    }
    missing = [column for column in _REQUIRED if column not in positions]
    if missing:
        raise InvalidInput(
            [
                FieldViolation(
                    "line 1",
                    f"lacks {', '.join(missing)}; the header must name date, item, price and may name quantity, "
                    "category, saving",
                )
            ]
        )
    problems: list[FieldViolation] = []
    purchases: list[Purchase] = []
    for row in rows:
        if any(field.strip() for field in row):
            line = _Line(row, positions, rows.line_num, problems)
            purchases.append(
                Purchase(
                    name=line.value("item", str, "the item's name", ""),
                    date=line.value("date", date.fromisoformat, "a day such as 2026-05-22", date.min),
                    price=line.value("price", float, "a number such as 1.99", 0.0),
                    quantity=line.value("quantity", _whole_number, "a whole number such as 2", 1, default="1"),
                    category=line.text("category"),
                    saving=line.value("saving", float, "a number such as 0.50", 0.0, default="0"),
                )
            )
        if len(problems) >= _MOST_PROBLEMS:
            break
    if problems:
        raise InvalidInput(problems)
    if not purchases:
        raise InvalidInput([FieldViolation("file", "has no purchases below its header")])
    return purchases


class _Line:
    """One line of the file, with the problems of all lines."""

    def __init__(
        self, row: list[str], positions: Mapping[str, int], number: int, problems: list[FieldViolation]
    ) -> None:
        self._row = row
        self._positions = positions
        self._number = number
        self._problems = problems

    def text(self, column: str) -> str:
        """Text of a column; empty when the line or the file has no such column."""
        position = self._positions.get(column, len(self._row))
        return self._row[position].strip() if position < len(self._row) else ""

    def value(
        self, column: str, parse: Callable[[str], ValueT], expected: str, stand_in: ValueT, default: str = ""
    ) -> ValueT:
        """Value of a column; when it is wrong, that is noted, and `stand_in` serves until all lines are read."""
        text = self.text(column)
        try:
            if not (text or default):
                raise ValueError
            return parse(text or default)
        except (ValueError, OverflowError):
            shown = f"is {text[:40]!r}" if text else "is empty"
            self._problems.append(FieldViolation(f"line {self._number}, {column}", f"{shown}; give {expected}"))
            return stand_in


def _whole_number(text: str) -> int:
    number = float(text)
    if number != int(number):
        raise ValueError
    return int(number)


_ROW = re.compile(r"^(?:input\.)?history(?:_columns\.\w+)?\[(\d+)\]\.?")


def in_lines_of_file(error: InvalidInput) -> InvalidInput:
    """The error with rows of the request told as purchases of the file, counted from 1 below the header."""
    return InvalidInput(
        [
            FieldViolation(
                _ROW.sub(lambda match: f"purchase {int(match[1]) + 1}, ", violation.field).rstrip(", "),
                violation.description,
            )
            for violation in error.violations
        ]
    )


def without_envelope(error: InvalidInput) -> InvalidInput:
    """The error with fields named as in the JSON request."""
    return InvalidInput([FieldViolation(v.field.removeprefix("input."), v.description) for v in error.violations])
