"""Tables from the bytes of a file: rows of cells with their line numbers."""

import codecs
import csv
import io
import json
import re
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any

from pantree_reader.errors import refuse, shortened
from pantree_reader.notes import NoteKind, Notes
from pantree_reader.options import ReadOptions

Cell = str | int | float | Decimal | date | datetime | None
"""Text as in the file, or the value of a typed format; empty text and None are empty cells."""

DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "vertical bar"}
# Rows above the header, such as a title, that are looked through.
_MAX_HEADER_ROWS = 25
# Characters of Western text outside of ASCII. Windows-1252 is assumed if a text has no others.
_WESTERN = re.compile(
    "[\u00a0-\u00ff\u0152\u0153\u0160\u0161\u0178\u017d\u017e\u20ac\u2013\u2014\u2018-\u201e\u2026\u2122]{1,3}"
)
_NOT_ASCII = re.compile(r"[^\x00-\x7f]+")
# Encodings that are looked for in text that is neither UTF-8 nor Western.
_OTHER_ENCODINGS = ["cp932", "gb18030", "big5", "euc_kr", "cp1251", "cp1250", "cp1253", "cp1254", "koi8_r"]
_SEPARATOR_HINT = re.compile(r"sep=(.)\r?\n", re.IGNORECASE)


@dataclass(frozen=True)
class Row:
    """One row: the line of a text file on which it begins, or the row of a sheet or table, from 1."""

    line: int
    cells: Sequence[Cell]

    def is_empty(self) -> bool:
        """Whether no cell has a value."""
        return all(text_of(cell) == "" for cell in self.cells)


@dataclass(frozen=True)
class Table:
    """Header and rows."""

    kind: str
    """Such as `CSV`."""
    encoding: str
    """Empty for formats with typed cells."""
    delimiter: str
    """Empty for formats with typed cells."""
    header: Row
    rows: Sequence[Row]


ScoreHeader = Callable[[Sequence[str]], int]
"""Number of roles that the columns of a header have; 0 if it is none."""


def text_of(cell: Cell) -> str:
    """Text of a cell, without white space around it."""
    if cell is None:
        return ""
    if isinstance(cell, float) and cell.is_integer() and abs(cell) < 1e15:
        return str(int(cell))  # spreadsheets and data frames hold identifiers as floats
    return str(cell).strip()


def read_table(data: bytes, options: ReadOptions, score: ScoreHeader, notes: Notes) -> Table:
    """The table in a file, whatever its format.

    Raises:
        InvalidInput: when the file cannot be read.
    """
    if data[:4] == b"PAR1":
        return _parquet(data)
    if data[:4] in (b"PK\x03\x04", b"\xd0\xcf\x11\xe0"):
        return _workbook(data, options, score)
    text, encoding = _decode(data, options, notes)
    if text.lstrip()[:1] in ("{", "["):
        return _json(text, encoding)
    return _delimited(text, encoding, options, score)


def _decode(data: bytes, options: ReadOptions, notes: Notes) -> tuple[str, str]:
    if options.encoding:
        try:
            return data.decode(options.encoding).removeprefix("\ufeff"), options.encoding
        except LookupError:
            refuse("encoding", f"must be the name of an encoding, such as cp1252; is {shortened(options.encoding)}")
        except UnicodeDecodeError as error:
            refuse(f"line {_line_at(data, error.start)}", f"is not {options.encoding}; pass another encoding")
    for mark, name in (
        (codecs.BOM_UTF8, "utf-8-sig"),
        (codecs.BOM_UTF16_LE, "utf-16"),
        (codecs.BOM_UTF16_BE, "utf-16"),
    ):
        if data.startswith(mark):
            return _decoded_as(data, name), name.removesuffix("-sig")
    if b"\0" in data[:1000]:
        # Half of the bytes of ASCII text in UTF-16 are zero.
        name = "utf-16-le" if data[1:1000:2].count(0) > data[:1000:2].count(0) else "utf-16-be"
        return _decoded_as(data, name), name
    try:
        return data.decode("utf-8"), "utf-8"
    except UnicodeDecodeError as error:
        line = _line_at(data, error.start)
    text, name = _guessed(data, line)
    notes.add(
        NoteKind.DOUBTED,
        "encoding",
        f"the text is not UTF-8; it is read as {name}. If names look wrong, give the encoding",
        line,
    )
    return text, name


def _decoded_as(data: bytes, name: str) -> str:
    try:
        return data.decode(name)
    except UnicodeDecodeError as error:
        refuse(
            f"line {_line_at(data, error.start)}", f"is not {name.upper()}, as which the file begins; save it as UTF-8"
        )


def _guessed(data: bytes, line: int) -> tuple[str, str]:
    try:
        text = data.decode("cp1252")
        if all(_WESTERN.fullmatch(run) for run in _NOT_ASCII.findall(text)):
            return text, "cp1252"
    except UnicodeDecodeError:
        pass
    try:
        import charset_normalizer
    except ModuleNotFoundError:
        refuse(f"line {line}", "is not UTF-8; save the file as UTF-8, or give its encoding")
    best = charset_normalizer.from_bytes(data, cp_isolation=_OTHER_ENCODINGS).best()
    if best is None:
        refuse(f"line {line}", "is not UTF-8; save the file as UTF-8, or give its encoding")
    return str(best), best.encoding


def _line_at(data: bytes, position: int) -> int:
    return data.count(b"\n", 0, position) + 1


def _delimited(text: str, encoding: str, options: ReadOptions, score: ScoreHeader) -> Table:
    first_line = 1
    delimiter = options.delimiter
    if hint := _SEPARATOR_HINT.match(text):
        text, first_line = text[hint.end() :], 2
        delimiter = delimiter or hint[1]
    if len(delimiter) > 1:
        refuse("delimiter", f"must be one character; is {shortened(delimiter)}")
    if not text.strip():
        refuse("file", "is empty; it must have a header and a line for each purchase")
    best_score, best, best_delimiter = -1, (0, 0), ""
    for candidate in delimiter or DELIMITERS:
        for position, row in enumerate(_first_rows(text, candidate, first_line)):
            found = (score([text_of(cell) for cell in row.cells]), len(row.cells) > 1)
            if found[0] > best_score and found[1]:
                best_score, best, best_delimiter = found[0], (position, row.line), candidate
    if not best_delimiter:
        best_delimiter = delimiter or ","
    rows = list(_csv_rows(text, best_delimiter, first_line, is_strict=True))
    position = best[0] if best_score > 0 else 0
    kind = "TSV" if best_delimiter == "\t" else "CSV"
    return Table(kind, encoding, best_delimiter, rows[position], rows[position + 1 :])


def _first_rows(text: str, delimiter: str, first_line: int) -> list[Row]:
    found = []
    for row in _csv_rows(text, delimiter, first_line, is_strict=False):
        found.append(row)
        if len(found) == _MAX_HEADER_ROWS:
            break
    return found


def _csv_rows(text: str, delimiter: str, first_line: int, is_strict: bool) -> Iterator[Row]:
    """Rows that are not empty. In strict mode, a quote that is not closed or doubled is an error."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=is_strict)
    width = 0
    while True:
        line = first_line + reader.line_num
        try:
            cells = next(reader, None)
        except csv.Error as error:
            if not is_strict:
                return
            what = "is not closed" if "end of data" in str(error) or "limit" in str(error) else "is not doubled"
            refuse(
                f"line {line}",
                f'has a quote (") that {what}: close it at the end of the cell, write "" for a quote inside',
            )
        if cells is None:
            return
        row = Row(line, cells)
        if not row.is_empty():
            if is_strict and width and len(cells) < width and first_line + reader.line_num > line + 1:
                refuse(
                    f"line {line}", 'has a quote (") that is not closed: close it at the end of the cell, or write ""'
                )
            width = width or len(cells)
            yield row


def _json(text: str, encoding: str) -> Table:
    """JSON lines, or a list of objects."""
    objects: list[tuple[int, dict[str, Any]]] = []
    if text.lstrip().startswith("["):
        try:
            document = json.loads(text, parse_float=Decimal)
        except (ValueError, RecursionError) as error:
            refuse(f"line {getattr(error, 'lineno', 1)}", f"is not JSON: {error}")
        objects = list(enumerate(document, 1))
    else:
        for number, line in enumerate(text.splitlines(), 1):
            if line.strip():
                try:
                    objects.append((number, json.loads(line, parse_float=Decimal)))
                except (ValueError, RecursionError) as error:
                    refuse(f"line {number}", f"is not JSON: {error}; JSON lines have one object on each line")
    names: dict[str, None] = {}
    for number, one in objects:
        if not isinstance(one, dict):
            refuse(
                f"line {number}", 'must be a JSON object, such as {"date": "2026-05-22", "item": "Milk", "price": 1.49}'
            )
        names.update(dict.fromkeys(one))
    rows = [Row(number, [_json_cell(one.get(name), number, name) for name in names]) for number, one in objects]
    return Table("JSON lines", encoding, "", Row(0, list(names)), rows)


def _json_cell(value: Any, line: int, name: str) -> Cell:
    if isinstance(value, bool | dict | list):
        if value in ([], {}):
            return None
        return json.dumps(value, default=str)
    if value is None or isinstance(value, str | int | Decimal):
        return value
    refuse(f"line {line}, {name}", "must be a number, a text or null")


def _workbook(data: bytes, options: ReadOptions, score: ScoreHeader) -> Table:
    if data[:2] == b"PK" and not any(name.startswith("xl/") for name in _names_in(data)):
        refuse("file", "is a ZIP archive, but no workbook; unpack it, and pass the file with the purchases")
    try:
        import python_calamine
    except ModuleNotFoundError:
        refuse("file", "is a workbook; reading it needs pip install 'pantree[xlsx]', or save it as CSV")
    try:
        workbook = python_calamine.CalamineWorkbook.from_filelike(io.BytesIO(data))
        sheet = options.sheet or workbook.sheet_names[0]
        if sheet not in workbook.sheet_names:
            refuse("sheet", f"must be one of {', '.join(workbook.sheet_names)}; is {shortened(sheet)}")
        cells = workbook.get_sheet_by_name(sheet).to_python(skip_empty_area=False)
    except python_calamine.CalamineError as error:
        refuse("file", f"is a workbook that cannot be read: {error}; save it as CSV")
    rows = [Row(number, [_sheet_cell(cell) for cell in one]) for number, one in enumerate(cells, 1)]
    rows = [row for row in rows if not row.is_empty()]
    if not rows:
        refuse("file", f"has no cells in the sheet {sheet}; give another sheet")
    scores = [score([text_of(cell) for cell in row.cells]) for row in rows[:_MAX_HEADER_ROWS]]
    position = scores.index(max(scores))
    return Table(f"workbook, sheet {sheet}", "", "", rows[position], rows[position + 1 :])


def _names_in(data: bytes) -> list[str]:
    try:
        return zipfile.ZipFile(io.BytesIO(data)).namelist()
    except zipfile.BadZipFile:
        return []


def _sheet_cell(cell: Any) -> Cell:
    if isinstance(cell, bool | time) or not isinstance(cell, str | int | float | date | None):
        return str(cell)
    return cell


def _parquet(data: bytes) -> Table:
    try:
        from pyarrow import parquet
    except ModuleNotFoundError:
        refuse("file", "is Parquet; reading it needs pip install 'pantree[parquet]'")
    try:
        table = parquet.read_table(io.BytesIO(data))
    except (OSError, ValueError) as error:  # ArrowInvalid is a ValueError
        refuse("file", f"is Parquet that cannot be read: {error}")
    columns = [column.to_pylist() for column in table.columns]
    rows = [Row(number, list(cells)) for number, cells in enumerate(zip(*columns, strict=True), 1)]
    return Table("Parquet", "", "", Row(0, table.column_names), rows)
