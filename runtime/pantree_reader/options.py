"""What the caller of a reader may give instead of having it detected."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Literal


@dataclass(frozen=True)
class ReadOptions:
    """How to read a file. What is not given is detected."""

    columns: Mapping[str, str] = field(default_factory=dict)
    """Column of the file by role (see `layouts.ROLES`), such as `{"date": "Order Date"}`; empty to ignore a role."""
    date_format: str = ""
    """Format of dates, such as `%d/%m/%Y`."""
    decimal: str = ""
    """Decimal separator, `.` or `,`."""
    delimiter: str = ""
    """Delimiter of columns, one character."""
    encoding: str = ""
    """Encoding of text, such as `cp1252`."""
    sheet: str = ""
    """Sheet of a workbook; the first one if empty."""
    time_zone: str = ""
    """Time zone of the shop, such as `America/New_York`, for times with an offset; empty takes dates as written."""
    currency_code: str = ""
    """ISO 4217 code: of the amounts, or of the lines to read if a column has several currencies."""
    duplicates: Literal["auto", "keep", "drop"] = "auto"
    """What to do with repeated lines: recognize overlapping exports, keep all lines, or keep one of equal lines."""
    as_of: date | None = None
    """As-of date: later lines are left out."""
    today: date | None = None
    """Day on which the file is read: later lines are left out, and an old file is in doubt. None means no check."""
    leave_out_invalid: bool = False
    """Leave out lines with values that cannot be read, with a note, instead of refusing the file."""
    strict: bool = False
    """Refuse a file with lines that are left out, changed or in doubt."""
