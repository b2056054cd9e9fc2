"""Purchases of households from a file."""

import itertools
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

from pantree_domain.limits import MAX_PRICE, MAX_QUANTITY
from pantree_reader.amounts import Number, currency_code_of, detect_decimal, parse_number
from pantree_reader.charges import is_total
from pantree_reader.dates import DateFormat, detect_format, parse_date
from pantree_reader.errors import invalid_file, refuse, shortened
from pantree_reader.layouts import ROLES, Columns, find_columns, normalized, score
from pantree_reader.notes import Note, NoteKind, Notes, shown_lines
from pantree_reader.options import ReadOptions
from pantree_reader.receipts import (
    RawLine,
    ReceiptLine,
    attach_discounts,
    net_refunds,
    receipt_lines,
    weights_as_units,
    without_charges,
    without_duplicates,
)
from pantree_reader.tables import DELIMITERS, Cell, Row, Table, read_table, text_of
from pantree_runtime.errors import FieldViolation

_NUMBERS = ("quantity", "price", "total", "paid", "saving", "saving_percent")
_AMOUNTS = ("price", "total", "paid", "saving")
_FIRST_DAY = date(1970, 1, 1)
# Days that systems write when they know none.
_PLACEHOLDER_DAYS = frozenset(
    {date(1970, 1, 1), date(1900, 1, 1), date(1899, 12, 30), date(1, 1, 1), date(9999, 12, 31)}
)
# A history whose latest purchase is older than this is in doubt.
_STALE_DAYS = 60
# Few lines before a gap this long are strays, which would stretch the history.
_MAX_GAP_DAYS = 3 * 365
_STRAY_RATIO = 0.1
_VOID_STATUSES = frozenset({"cancelled", "canceled", "voided", "void", "refunded", "failed", "rejected", "expired"})
# Whole discounts on prices with decimals may be in percent if one is at least 10, or all are multiples of 5.
_MIN_PERCENT, _PERCENT_STEP = 10, 5
_MAX_FIRST_ROWS, _MAX_CELL_CHARACTERS = 3, 60


@dataclass(frozen=True)
class FileFormat:
    """How a file was read."""

    kind: str
    """Such as `CSV`."""
    encoding: str
    delimiter: str
    decimal: str
    dates: str
    layout: str
    """Name of a known export; empty if the columns have been found one by one."""
    columns: Mapping[str, str]
    """Column of the file by role."""
    header: tuple[str, ...] = ()
    """All columns of the file, in their order."""
    first_rows: tuple[tuple[str, ...], ...] = ()
    """Cells of the first rows below the header, shortened, to show what a column holds."""

    def __str__(self) -> str:
        parts = [self.kind if not self.layout else f"{self.layout} ({self.kind})"]
        if self.delimiter:
            parts.append(f"{DELIMITERS.get(self.delimiter, repr(self.delimiter))} between columns")
        parts += [self.encoding] * bool(self.encoding)
        parts += [f"dates: {self.dates}"] if self.dates else []
        parts += ["decimal comma"] if self.decimal == "," else []
        return f"{', '.join(parts)}; {', '.join(f'{role} = {name}' for role, name in self.columns.items())}"


@dataclass(frozen=True)
class HouseholdPurchases:
    """The purchases of one household, ordered by day."""

    household: str
    """As in the file; empty if the file has no column of households."""
    purchases: Sequence[ReceiptLine]


@dataclass(frozen=True)
class PurchaseFile:
    """The purchases in a file, what it was taken for, and what was left out, changed or is in doubt."""

    format: FileFormat
    households: Sequence[HouseholdPurchases]
    notes: Sequence[Note]
    currency_code: str
    """ISO 4217 code; empty if the file has none."""
    has_prices: bool


def read_file(path: Path, options: ReadOptions | None = None) -> PurchaseFile:
    """Purchases from a file. See `read_purchases`.

    Raises:
        InvalidInput: as `read_purchases`, or when the file cannot be opened.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        refuse(str(path), f"cannot be read: {error.strerror}")
    return read_purchases(data, options)


def read_purchases(data: bytes, options: ReadOptions | None = None) -> PurchaseFile:
    """Purchases from the bytes of a file.

    Raises:
        InvalidInput: when the file cannot be read without guessing. It names the first lines and counts the others.
    """
    options = options or ReadOptions()
    notes = Notes()
    table = read_table(data, options, score, notes)
    file = _Interpreter(table, options, notes).purchases()
    if options.strict and file.notes:
        raise invalid_file(
            [
                FieldViolation(shown_lines(note.lines) if note.lines else "file", f"{note.kind.value}: {note.text}")
                for note in file.notes
            ]
        )
    return file


def format_of(data: bytes, options: ReadOptions | None = None) -> FileFormat:
    """How a file would be read, as far as its header says: for files that `read_purchases` refuses.

    Raises:
        InvalidInput: when the file is no table.
    """
    options = options or ReadOptions()
    table = read_table(data, options, score, Notes())
    header = [text_of(cell) for cell in table.header.cells]
    given = {role: at for role, name in options.columns.items() if (at := _position(header, name)) is not None}
    return _format_of(table, _columns(header, given, options))


def _position(header: Sequence[str], name: str) -> int | None:
    """Of a column with this name, or else with one that differs in spelling only; None for an empty or unknown one."""
    if name in header:
        return header.index(name) if name else None
    alike = (position for position, other in enumerate(header) if name and normalized(other) == normalized(name))
    return next(alike, None)


def _columns(header: Sequence[str], given: Mapping[str, int], options: ReadOptions) -> Columns:
    """The columns of a file, without roles that the options leave out.

    Args:
        header: names of the columns.
        given: positions that the options give, by role.
        options: of the reader.
    """
    found = find_columns(header, dict(given))
    positions = {role: at for role, at in found.positions.items() if options.columns.get(role) != ""}
    if "saving" in given:
        positions.pop("saving_percent", None)
    if "saving_percent" in given:
        positions.pop("saving", None)
    return Columns(found.layout, positions, found.savings)


def _format_of(table: Table, columns: Columns, decimal: str = "", dates: str = "") -> FileFormat:
    header = tuple(text_of(cell) for cell in table.header.cells)
    first = itertools.islice((row for row in table.rows if not row.is_empty()), _MAX_FIRST_ROWS)
    return FileFormat(
        kind=table.kind,
        encoding=table.encoding,
        delimiter=table.delimiter,
        decimal=decimal,
        dates=dates,
        layout=columns.layout,
        columns={role: header[columns.positions[role]] for role in ROLES if role in columns.positions},
        header=header,
        first_rows=tuple(
            tuple(text_of(_at(row, at))[:_MAX_CELL_CHARACTERS] for at in range(len(header))) for row in first
        ),
    )


class _Interpreter:
    """Turns a table into purchases."""

    def __init__(self, table: Table, options: ReadOptions, notes: Notes) -> None:
        self._table = table
        self._options = options
        self._notes = notes
        self._violations: list[FieldViolation] = []
        self._invalid_lines: set[int] = set()
        self._header = [text_of(cell) for cell in table.header.cells]
        self._rows = [row for row in table.rows if not row.is_empty()]
        self._columns = self._find_columns()
        self._decimal = ""
        self._dates = DateFormat("")
        self._signs: dict[str, list[int]] = defaultdict(list)
        self._is_percent = False

    def purchases(self) -> PurchaseFile:
        columns = self._columns.positions
        self._rows = self._without_totals(self._rows)
        if not self._rows:
            refuse("file", "has no purchases below its header")
        self._dates = self._date_format()
        self._decimal = self._options.decimal or detect_decimal(
            (row.line, role, self._cell(row, role)) for row in self._rows for role in _NUMBERS if role in columns
        )
        self._is_percent = "saving_percent" in columns or self._has_percent_signs()
        relative = self._relative_days()
        lines = [one for row in self._rows if (one := self._raw_line(row, relative)) is not None]
        if self._violations and not self._options.leave_out_invalid:
            raise invalid_file(self._violations)
        lines = [line for line in lines if line.line not in self._invalid_lines]
        currency_code, lines = self._one_currency(lines)
        self._check_ambiguous_savings(lines)
        lines = self._with_household(lines)
        lines = self._in_time(lines)
        has_prices = any(role in columns for role in ("price", "total", "paid"))
        if not has_prices:
            text = "the file has no prices: cadences are computed, costs and savings are unknown"
            self._notes.add(NoteKind.DOUBTED, "no_prices", text)
        households = self._households(lines)
        if not households:
            notes = "; ".join(str(note) for note in self._notes.all())
            refuse("file", f"has no purchases of goods ({notes})")
        return PurchaseFile(self._format(), households, self._notes.all(), currency_code, has_prices)

    def _format(self) -> FileFormat:
        return _format_of(self._table, self._columns, self._decimal, self._dates.description)

    # Columns

    def _find_columns(self) -> Columns:
        header = self._header
        given: dict[str, int] = {}
        line = f"line {self._table.header.line}" if self._table.header.line else "columns"
        for role, name in self._options.columns.items():
            if role not in ROLES:
                refuse("columns", f"has the unknown role {shortened(role)}; use one of {', '.join(ROLES)}")
            if not name:
                continue
            position = _position(header, name)
            if position is None:
                refuse(line, f"has no column {shortened(name)}; it has {', '.join(header)}")
            given[role] = position
        columns = _columns(header, given, self._options)
        positions = dict(columns.positions)
        self._positions = positions
        if "item" in positions and "item" not in given and self._is_numbering("item"):
            if "item_id" in positions and positions["item_id"] != positions["item"]:
                del positions["item"]
            elif len(self._values("item")) == len(self._rows) > 1 or any(
                v.startswith("#") for v in self._values("item")
            ):
                refuse(
                    line,
                    f"has no column with names of items: {header[positions['item']]!r} holds numbers. "
                    "Give it, such as --map item=COLUMN",
                )
        if "item" not in positions and "item_id" in positions:
            positions["item"] = positions["item_id"]
        has_date = any(role in positions for role in ("date", "days_since", "day_number"))
        if "item" not in positions or not has_date:
            missing = [role for role, there in (("date", has_date), ("item", "item" in positions)) if not there]
            refuse(
                line,
                "must name the columns date and item (price, quantity and others are optional); "
                f"lacks {', '.join(missing)}. It has {', '.join(header[:20])}. "
                f"Give a column, such as --map {missing[0]}=COLUMN",
            )
        for role in ("variant", "quantity"):
            if role == "quantity" and "quantity" in positions and "variant" not in positions and self._holds_sizes():
                positions["variant"] = positions.pop("quantity")
        return Columns(columns.layout, positions, columns.savings)

    def _values(self, role: str) -> set[str]:
        return {text for row in self._rows if (text := text_of(_at(row, self._positions[role])))}

    def _is_numbering(self, role: str) -> bool:
        """Whether a column holds numbers, such as #1001, and no names."""
        values = self._values(role)
        return bool(values) and all(value.lstrip("#").replace("-", "").isdecimal() for value in values)

    def _holds_sizes(self) -> bool:
        """Whether the quantities are pack sizes such as `500 g`."""
        values = [
            value for value in self._values("quantity") if not value.replace(".", "").replace(",", "").isdecimal()
        ]
        return bool(values) and all(value[:1].isdecimal() and value[-1:].isalpha() for value in values)

    def _cell(self, row: Row, role: str) -> Cell:
        position = self._columns.positions.get(role)
        return None if position is None else _at(row, position)

    def _text(self, row: Row, role: str) -> str:
        return text_of(self._cell(row, role))

    def _id(self, row: Row, role: str) -> str:
        """An identifier. Data frames write whole numbers of a column with gaps as 17850.0."""
        text = self._text(row, role)
        return text.removesuffix(".0") if text[:-2].isdecimal() else text

    # Rows

    def _without_totals(self, rows: Sequence[Row]) -> list[Row]:
        """The rows without sums and remarks below the purchases."""
        kept = []
        time_roles = [role for role in ("date", "day_number", "order_number") if role in self._columns.positions]
        for row in rows:
            name = self._text(row, "item")
            has_time = any(self._text(row, role) for role in time_roles)
            if is_total(name) or is_total(text_of(row.cells[0])) or (not has_time and not name):
                self._notes.add(NoteKind.LEFT_OUT, "total", "a sum or a remark, not a purchase", row.line)
            elif not name and not self._text(row, "item_id") and has_time:
                self._notes.add(NoteKind.LEFT_OUT, "no_item", "without an item", row.line)
            else:
                kept.append(row)
        return kept

    def _date_format(self) -> DateFormat:
        if "date" in self._columns.positions:
            cells = [(row.line, self._cell(row, "date")) for row in self._rows]
            return detect_format(cells, self._options.date_format, self._options.time_zone)
        return DateFormat("counted back from the as-of date")

    def _relative_days(self) -> Mapping[int, date]:
        """Day of each line of a file without dates: the latest one is the as-of date or the day of reading."""
        columns = self._columns.positions
        if "date" in columns:
            return {}
        last = self._options.as_of or self._options.today
        if last is None:
            refuse("file", "has no dates, only days since other purchases; give an as-of date")
        self._notes.add(
            NoteKind.DOUBTED,
            "relative_days",
            f"the file has no dates: its latest day is taken as {last}; give the as-of date",
        )
        if "day_number" in columns:
            numbers = {
                row.line: self._number(row, "day_number", "a day number such as 8", required=True) for row in self._rows
            }
            if self._violations:
                raise invalid_file(self._violations)
            latest = max(number.value for number in numbers.values() if number)
            return {
                line: last - timedelta(days=int(latest - number.value)) for line, number in numbers.items() if number
            }
        orders: dict[str, dict[str, tuple[int, int]]] = defaultdict(dict)
        for row in self._rows:
            gap = (
                self._number(row, "days_since", "days such as 7")
                if self._text(row, "days_since")
                else Number(Decimal(0))
            )
            order = self._number(row, "order_number", "a number such as 1") if "order_number" in columns else None
            receipt = self._text(row, "receipt") or str(row.line)
            number = int(order.value) if order else len(orders[self._text(row, "household")])
            orders[self._text(row, "household")].setdefault(receipt, (number, int(gap.value) if gap else 0))
        if self._violations:
            raise invalid_file(self._violations)
        days: dict[tuple[str, str], date] = {}
        for household, receipts in orders.items():
            day = last
            for receipt, (_, gap_days) in sorted(receipts.items(), key=lambda one: -one[1][0]):
                days[household, receipt] = day
                day -= timedelta(days=gap_days)
        return {
            row.line: days[self._text(row, "household"), self._text(row, "receipt") or str(row.line)]
            for row in self._rows
        }

    def _has_percent_signs(self) -> bool:
        return "saving" in self._columns.positions and any("%" in self._text(row, "saving") for row in self._rows)

    def _number(self, row: Row, role: str, expected: str, *, required: bool = False) -> Number | None:
        cell = self._cell(row, role)
        text = text_of(cell)
        if not text and not required:
            return None
        number = parse_number(cell, self._decimal or ".")
        if number is None:
            self._fail(row, role, f"must be {expected}; {f'is {shortened(text)}' if text else 'is empty'}")
        elif number.currency and role in _AMOUNTS:
            self._signs[number.currency].append(row.line)
        return number

    def _fail(self, row: Row, role: str, description: str) -> None:
        column = self._header[self._columns.positions[role]] if role in self._columns.positions else role
        self._violations.append(FieldViolation(f"line {row.line}, {column}", description))
        if self._options.leave_out_invalid and row.line not in self._invalid_lines:
            self._invalid_lines.add(row.line)
            self._notes.add(NoteKind.LEFT_OUT, "invalid", f"{column} {description}", row.line)

    def _raw_line(self, row: Row, relative: Mapping[int, date]) -> RawLine | None:
        status = self._text(row, "status").lower()
        if status in _VOID_STATUSES:
            self._notes.add(NoteKind.LEFT_OUT, "status", f"the order is {status}", row.line)
            return None
        day = relative.get(row.line) or self._day(row)
        quantity = self._quantity(row)
        price, saving = self._price_and_saving(row, quantity)
        if day is None or quantity is None:
            return None
        if quantity == 0:
            self._notes.add(NoteKind.LEFT_OUT, "no_units", "a quantity of 0", row.line)
            return None
        return RawLine(
            line=row.line,
            household=self._id(row, "household"),
            receipt=self._id(row, "receipt"),
            day=day,
            name=self._text(row, "item") or self._text(row, "item_id"),
            quantity=quantity,
            price=price,
            saving=saving,
            category=self._text(row, "category"),
            item_id=self._id(row, "item_id"),
            variant=self._text(row, "variant"),
        )

    def _day(self, row: Row) -> date | None:
        day = parse_date(self._cell(row, "date"), self._dates)
        if day is None:
            text = self._text(row, "date")
            form = self._options.date_format
            expected = f"a date of the form {form}" if form else "a date such as 2026-05-22"
            self._fail(row, "date", f"must be {expected}; {f'is {shortened(text)}' if text else 'is empty'}")
        return day

    def _quantity(self, row: Row) -> Decimal | None:
        if "quantity" not in self._columns.positions:
            return Decimal(1)
        number = self._number(row, "quantity", "a number such as 2")
        if number is None:
            return None if self._text(row, "quantity") else Decimal(1)
        if abs(number.value) > MAX_QUANTITY:
            text = self._text(row, "quantity")
            hint = ", which looks like a barcode" if len(text) >= 8 else ""
            self._fail(
                row, "quantity", f"must be at most {MAX_QUANTITY:,}; is {shortened(text)}{hint}: correct the line"
            )
            return None
        return number.value

    def _price_and_saving(self, row: Row, quantity: Decimal | None) -> tuple[Decimal | None, Decimal]:
        price = self._number(row, "price", "a number such as 1.99", required=self._needs("price"))
        total = self._number(row, "total", "a number such as 3.98", required=self._needs("total"))
        paid = self._number(row, "paid", "a number such as 3.98", required=self._needs("paid"))
        saving = self._savings(row)
        percent = self._number(row, "saving_percent", "a number such as 10")
        units = abs(quantity) if quantity else Decimal(1)
        amount: Decimal | None = None
        if price is not None:
            amount = price.value
        elif total is not None:
            amount = total.value / units
        elif paid is not None:
            amount = (paid.value + saving) / units
        if amount is None:
            return None, Decimal(0)
        if abs(amount) > Decimal(MAX_PRICE):
            role = next(role for role in ("price", "total", "paid") if role in self._columns.positions)
            self._fail(row, role, f"must be at most {MAX_PRICE:,.0f}; is {shortened(self._text(row, role))}")
        if quantity is not None and quantity < 0:
            amount = abs(amount)  # a refund, whose amount some files write with a sign of its own
        if percent is not None and amount > 0:
            if not 0 <= abs(percent.value) <= 100:
                self._fail(
                    row, "saving_percent", f"must be 0 to 100; is {shortened(self._text(row, 'saving_percent'))}"
                )
            saving = amount * units * abs(percent.value) / 100
        if amount > 0 and saving > amount * units + Decimal("0.005") and not self._is_percent:
            role = "saving" if "saving" in self._columns.positions else "price"
            self._fail(
                row,
                role,
                f"must be at most price × quantity, {amount * units:,f}; is {shortened(self._text(row, role))}. "
                "If the discounts are in percent, give --map saving_percent=COLUMN",
            )
        return amount, min(saving, amount * units) if amount > 0 else Decimal(0)

    def _needs(self, role: str) -> bool:
        """Whether a line must have a value here: its column is the only one with amounts."""
        present = [one for one in ("price", "total", "paid") if one in self._columns.positions]
        return present == [role]

    def _savings(self, row: Row) -> Decimal:
        """Amount of all discounts of a line; their sign differs between exports."""
        number = self._number(row, "saving", "a number such as 0.50")
        amount = abs(number.value) if number else Decimal(0)
        for position in self._columns.savings:
            if (more := parse_number(_at(row, position), self._decimal)) is not None:
                amount += abs(more.value)
        return amount

    # All lines

    def _one_currency(self, lines: Sequence[RawLine]) -> tuple[str, list[RawLine]]:
        """The currency of the file and its lines; a file with several needs a choice."""
        given = self._options.currency_code.upper()
        by_line: dict[int, str] = {}
        if "currency_code" in self._columns.positions:
            for row in self._rows:
                if text := self._text(row, "currency_code"):
                    by_line[row.line] = currency_code_of(text.upper()) or text
        else:
            for sign, numbers in self._signs.items():
                for number in numbers:
                    by_line[number] = currency_code_of(sign) or sign
        counts = Counter(by_line.values())
        if len(counts) > 1 and given not in counts:
            usual = counts.most_common(1)[0][0]
            line = min(number for number, code in by_line.items() if code != usual)
            refuse(
                f"line {line}, currency",
                f"is {by_line[line]}, other lines are in {usual}: choose the lines to read, such as --currency {usual}",
            )
        if len(counts) > 1:
            for number, code in by_line.items():
                if code != given:
                    self._notes.add(NoteKind.LEFT_OUT, "currency", f"in {code}, not in {given}", number)
            lines = [one for one in lines if by_line.get(one.line, given) == given]
        only = next(iter(counts), "")
        code = given or (only if len(only) == 3 and only.isalpha() else "")
        return code, list(lines)

    def _check_ambiguous_savings(self, lines: Sequence[RawLine]) -> None:
        """Refuses discounts that may be amounts or percents."""
        columns = self._columns.positions
        if "saving" not in columns or "saving" in self._options.columns:
            return
        if self._is_percent:
            self._apply_percents(lines)
            return
        if "amount" in normalized(self._header[columns["saving"]]) or self._columns.savings:
            return
        texts = {row.line: self._text(row, "saving") for row in self._rows}
        texts = {line: text for line, text in texts.items() if text.strip("0.,-")}
        if not texts or not all(text.isdecimal() for text in texts.values()) or not self._has_decimal_prices():
            return
        if max(map(int, texts.values())) < _MIN_PERCENT and any(int(text) % _PERCENT_STEP for text in texts.values()):
            return
        line = min(texts)
        refuse(
            f"line {line}, {self._header[columns['saving']]}",
            f"{shortened(texts[line])} may be an amount or a percentage: give --map saving=COLUMN for amounts off the "
            "line, or --map saving_percent=COLUMN",
        )

    def _has_decimal_prices(self) -> bool:
        """Whether amounts are written with decimals, so that amounts without them are unusual."""
        roles = [role for role in ("price", "total", "paid") if role in self._columns.positions]
        numbers = (parse_number(self._cell(row, role), self._decimal) for row in self._rows for role in roles)
        return any(number is not None and number.has_decimals for number in numbers) or any(
            "." in self._text(row, role) for row in self._rows for role in roles
        )

    def _apply_percents(self, lines: Sequence[RawLine]) -> None:
        texts = {row.line: self._cell(row, "saving") for row in self._rows}
        for one in lines:
            number = parse_number(texts[one.line], self._decimal)
            if number is not None and one.price is not None and one.price > 0:
                one.saving = one.price * abs(one.quantity) * min(abs(number.value), Decimal(100)) / 100

    def _with_household(self, lines: Sequence[RawLine]) -> list[RawLine]:
        """The lines of known households; lines of an order get what only its first line has."""
        if "household" not in self._columns.positions:
            return list(lines)
        of_receipt = {one.receipt: one.household for one in lines if one.receipt and one.household}
        for one in lines:
            one.household = one.household or of_receipt.get(one.receipt, "")
        if not any(one.household for one in lines):
            return list(lines)
        for one in lines:
            if not one.household:
                self._notes.add(
                    NoteKind.LEFT_OUT, "no_household", "without a household, which other lines have", one.line
                )
        return [one for one in lines if one.household]

    def _in_time(self, lines: Sequence[RawLine]) -> list[RawLine]:
        """The lines without placeholder days, days to come, and strays long before all others."""
        options = self._options
        kept = []
        usual = Counter(one.day in _PLACEHOLDER_DAYS for one in lines)
        last = options.as_of or options.today
        for one in lines:
            if one.day in _PLACEHOLDER_DAYS and usual[False]:
                self._notes.add(
                    NoteKind.LEFT_OUT, "placeholder_day", f"{one.day} is a placeholder, not a day", one.line
                )
            elif one.day < _FIRST_DAY:
                self._notes.add(NoteKind.LEFT_OUT, "too_early", f"{one.day} is before {_FIRST_DAY}", one.line)
            elif last is not None and one.day > last:
                what = "the as-of date" if options.as_of else "today"
                self._notes.add(NoteKind.LEFT_OUT, "future_day", f"{one.day} is after {what}, {last}", one.line)
            else:
                kept.append(one)
        if lines and not kept:
            first = min(lines, key=lambda one: one.line)
            refuse(
                f"line {first.line}, date",
                f"is {first.day}, and no line has a day up to {last or 'today'}; "
                "check the date format or give the as-of date",
            )
        days = sorted(one.day for one in kept)
        for count in range(1, int(len(days) * _STRAY_RATIO) + 1):
            if (days[count] - days[count - 1]).days > _MAX_GAP_DAYS:
                limit = days[count - 1]
                for one in kept:
                    if one.day <= limit:
                        text = f"{one.day} is more than three years before all later lines"
                        self._notes.add(NoteKind.LEFT_OUT, "stray_day", text, one.line)
                kept = [one for one in kept if one.day > limit]
                break
        if options.today is not None and options.as_of is None and kept:
            latest = max(one.day for one in kept)
            if (options.today - latest).days > _STALE_DAYS:
                text = (
                    f"the latest purchase is of {latest}, {(options.today - latest).days:,} days ago: "
                    f"recommendations are as of that day; give --as-of {options.today} for deliveries from today on"
                )
                self._notes.add(NoteKind.DOUBTED, "stale", text)
        return kept

    def _households(self, lines: Sequence[RawLine]) -> list[HouseholdPurchases]:
        lines = without_charges(lines, self._notes)
        lines = without_duplicates(lines, self._options.duplicates, self._notes)
        lines = net_refunds(lines, self._notes)
        lines = attach_discounts(lines, self._notes)
        lines = weights_as_units(lines, self._notes)
        by_household: dict[str, list[RawLine]] = defaultdict(list)
        for one in lines:
            by_household[one.household].append(one)
        return [
            HouseholdPurchases(household, receipt_lines(mine, self._notes)) for household, mine in by_household.items()
        ]


def _at(row: Row, position: int) -> Cell:
    return row.cells[position] if position < len(row.cells) else None
