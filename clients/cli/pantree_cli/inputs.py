"""What people hand to the command line: a request as JSON, a history as CSV."""

import csv
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
        return json_format.Parse(text, ProcessInput())
    except json_format.ParseError as error:
        raise InvalidInput([FieldViolation("request", str(error))]) from None


def read_history(path: Path) -> list[Purchase]:
    """Purchases of a CSV file with a header: date, item, price and, if there, quantity, category, saving.

    Raises:
        InvalidInput: naming every wrong line.
        OSError: when the file cannot be read.
    """
    with path.open(newline="", encoding="utf-8-sig") as file:
        try:
            return _read_rows(file)
        except UnicodeDecodeError as error:
            raise InvalidInput(
                [FieldViolation("file", f"is not UTF-8 text ({error.reason}); save it as UTF-8")]
            ) from None


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
                    name=line.value("item", str, "is empty; give the item's name"),
                    date=line.value("date", date.fromisoformat, "is no day; write it as 2026-05-22", date.min),
                    price=line.value("price", float, "is no number; write it as 1.99", 0.0),
                    quantity=line.value("quantity", _whole_number, "is no whole number; write it as 2", 1, default="1"),
                    category=line.value("category", str, "", default=""),
                    saving=line.value("saving", float, "is no number; write it as 0.50", 0.0, default="0"),
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

    def value(
        self,
        column: str,
        parse: Callable[[str], ValueT],
        problem: str,
        when_wrong: ValueT | None = None,
        default: str | None = None,
    ) -> ValueT:
        """Value of a column; a wrong one is noted, and `when_wrong` stands in until all lines are read."""
        position = self._positions.get(column, len(self._row))
        text = self._row[position].strip() if position < len(self._row) else ""
        if not text and default is not None:
            text = default
        elif not text:
            self._problems.append(FieldViolation(f"line {self._number}, {column}", "is empty"))
            return when_wrong if when_wrong is not None else parse(text)
        try:
            return parse(text)
        except ValueError:
            self._problems.append(FieldViolation(f"line {self._number}, {column}", f"{text[:40]!r} {problem}"))
            if when_wrong is None:
                raise
            return when_wrong


def _whole_number(text: str) -> int:
    number = float(text)
    if number != int(number):
        raise ValueError
    return int(number)


_ROW = re.compile(r"^input\.history(?:_columns\.\w+)?\[(\d+)\]\.?")


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
