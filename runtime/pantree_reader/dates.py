"""Dates as people write them."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pantree_reader.errors import refuse, shortened
from pantree_reader.tables import Cell, text_of

# What follows the day: a time, and an offset.
_TIME = (
    r"(?:[T ,]+\d{1,2}:\d{2}(?::\d{2}(?:[.,]\d+)?)?\s*(?:[AaPp]\.?[Mm]\.?)?"
    r"\s*(?:Z|UTC|GMT|[+-]\d{2}:?\d{2}(?::\d{2})?)?)?"
)
_YEAR_FIRST = re.compile(rf"(\d{{4}})([-/.])(\d{{1,2}})\2(\d{{1,2}}){_TIME}")
_YEAR_LAST = re.compile(rf"(\d{{1,2}})([-/.]) ?(\d{{1,2}})\2 ?(\d{{4}}|\d{{2}}){_TIME}")
_COMPACT = re.compile(rf"(\d{{4}})(\d{{2}})(\d{{2}}){_TIME}")
_JAPANESE = re.compile(rf"(\d{{4}})年(\d{{1,2}})月(\d{{1,2}})日{_TIME}")
_DAY_NAMED = re.compile(
    rf"(?:[A-Za-z]{{3,9}},? )?(\d{{1,2}})(?:st|nd|rd|th)?[- .]+([A-Za-z]{{3,9}})\.?[- ,]+(\d{{4}}|\d{{2}}){_TIME}"
)
_NAMED_DAY = re.compile(rf"(?:[A-Za-z]{{3,9}},? )?([A-Za-z]{{3,9}})\.? (\d{{1,2}})(?:st|nd|rd|th)?,? (\d{{4}}){_TIME}")
_OFFSET = re.compile(r"(?:Z|UTC|GMT|[+-]\d{2}:?\d{2})$")
_MONTH_NAMES = {
    name: number
    for number, names in enumerate(
        ("january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november",
         "december"), 1,
    )
    for name in (names, names[:3], names[:4] if names == "september" else names)
}  # fmt: skip
# Serial numbers of spreadsheets: 1990 to 2119.
_SERIALS = (32_874, 80_354)
_SERIAL_EPOCH = date(1899, 12, 30)

DAY_FIRST, MONTH_FIRST = "day first", "month first"


@dataclass(frozen=True)
class DateFormat:
    """How the dates of a file are read."""

    description: str
    """For people."""
    order: str = ""
    """Order of numeric dates with the year at their end."""
    pattern: str = ""
    """Given format for `strptime`."""
    time_zone: str = ""


def detect_format(cells: Iterable[tuple[int, Cell]], pattern: str, time_zone: str) -> DateFormat:
    """Format of the dates of a file.

    Args:
        cells: line and cell of every date.
        pattern: given format; empty to detect it.
        time_zone: given time zone; empty takes dates as written.

    Raises:
        InvalidInput: when the order of day and month is contradictory or may be either.
    """
    if time_zone:
        try:
            ZoneInfo(time_zone)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            refuse("time zone", f"must be a name such as America/New_York; is {shortened(time_zone)}")
    if pattern:
        return DateFormat(pattern, pattern=pattern, time_zone=time_zone)
    evidence: dict[str, tuple[int, str]] = {}
    undecided: tuple[int, str] | None = None
    kinds: dict[str, None] = {}
    has_offset = False
    for line, cell in cells:
        text = text_of(cell)
        if not text:
            continue
        has_offset = has_offset or (isinstance(cell, str) and bool(_OFFSET.search(text)) and ":" in text)
        kinds.setdefault(_kind_of(cell, text))
        match = _YEAR_LAST.fullmatch(text) if isinstance(cell, str) else None
        if match is None:
            continue
        first, second = int(match[1]), int(match[3])
        if first > 12 >= second:
            evidence.setdefault(DAY_FIRST, (line, text))
        elif second > 12 >= first or (match[2] == "/" and second > 12):
            evidence.setdefault(MONTH_FIRST, (line, text))
        elif match[2] == ".":
            evidence.setdefault(DAY_FIRST, (line, text))  # 5.6.2026 is used with the day first only
        else:
            undecided = undecided or (line, text)
    if len(evidence) > 1:
        (line, text), (other_line, other) = max(evidence.values()), min(evidence.values())
        refuse(
            f"line {line}, date",
            f"{shortened(text)} has another order of day and month than {shortened(other)} in line {other_line}; "
            "correct the lines, or give the date format",
        )
    if undecided is not None and not evidence:
        line, text = undecided
        refuse(
            f"line {line}, date",
            f"{shortened(text)} may have the day or the month first; "
            "give the date format, such as %d/%m/%Y or %m/%d/%Y",
        )
    order = next(iter(evidence), "")
    shown = {"year last": order}
    description = " and ".join(shown.get(kind, kind) for kind in kinds if kind) or "unknown"
    if has_offset:
        description += f", in {time_zone}" if time_zone else ", days as written regardless of their UTC offset"
    return DateFormat(description, order=order, time_zone=time_zone)


def _kind_of(cell: Cell, text: str) -> str:
    if isinstance(cell, date):
        return "dates of the file"
    patterns = {
        "year first": (_YEAR_FIRST, _COMPACT, _JAPANESE),
        "year last": (_YEAR_LAST,),
        "named months": (_DAY_NAMED, _NAMED_DAY),
    }
    for kind, shapes in patterns.items():
        if any(shape.fullmatch(text) for shape in shapes):
            return kind
    return (
        {5: "serial numbers", 10: "Unix seconds", 13: "Unix milliseconds"}.get(len(text), "")
        if text.isdecimal()
        else ""
    )


def parse_date(cell: Cell, how: DateFormat) -> date | None:
    """Day in a cell; None if it is none."""
    if isinstance(cell, datetime):
        return (cell.astimezone(ZoneInfo(how.time_zone)) if how.time_zone and cell.tzinfo else cell).date()
    if isinstance(cell, date):
        return cell
    text = text_of(cell)
    try:
        if how.pattern:
            return _in_zone(datetime.strptime(text, how.pattern), how).date()
        return _parsed(text, how)
    except (ValueError, OverflowError):
        return None


def _parsed(text: str, how: DateFormat) -> date | None:
    if how.time_zone and _OFFSET.search(text) and _YEAR_FIRST.fullmatch(text):
        return _in_zone(_instant(text), how).date()
    for shape in (_YEAR_FIRST, _JAPANESE, _COMPACT):
        if match := shape.fullmatch(text):
            year, month, day = (int(part) for part in match.groups() if part and part.isdecimal())
            return date(year, month, day)
    if match := _YEAR_LAST.fullmatch(text):
        first, second, year = int(match[1]), int(match[3]), _year(match[4])
        day, month = (first, second) if how.order == DAY_FIRST else (second, first)
        return date(year, month, day)
    if match := _DAY_NAMED.fullmatch(text):
        return date(_year(match[3]), _month(match[2]), int(match[1]))
    if match := _NAMED_DAY.fullmatch(text):
        return date(_year(match[3]), _month(match[1]), int(match[2]))
    if not re.fullmatch(r"\d+(?:\.\d+)?", text):
        return None
    number = Decimal(text)
    if _SERIALS[0] <= number <= _SERIALS[1]:
        return _SERIAL_EPOCH + timedelta(days=int(number))
    if len(str(int(number))) in (10, 13):
        seconds = int(number) // (1000 if len(str(int(number))) == 13 else 1)
        return _in_zone(datetime.fromtimestamp(seconds, UTC), how).date()
    return None


def _instant(text: str) -> datetime:
    text = re.sub(r"\s*(?:Z|UTC|GMT)$", "+00:00", text)
    return datetime.fromisoformat(re.sub(r"\s+([+-]\d{2}):?(\d{2})$", r"\1:\2", text).replace("/", "-"))


def _in_zone(moment: datetime, how: DateFormat) -> datetime:
    return moment.astimezone(ZoneInfo(how.time_zone)) if how.time_zone and moment.tzinfo else moment


def _year(text: str) -> int:
    return int(text) if len(text) == 4 else 2000 + int(text)


def _month(name: str) -> int:
    if name.lower() not in _MONTH_NAMES:
        raise ValueError
    return _MONTH_NAMES[name.lower()]
