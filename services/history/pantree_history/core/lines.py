"""Receipt lines as they are stored."""

import functools
from typing import NamedTuple

WEIGHT_UNITS = ("g", "kg", "oz", "lb")
MICROSECONDS = 1_000_000
SECONDS_PER_DAY = 86_400


class LineKey(NamedTuple):
    """Identifies a line within a tenant."""

    order_id: str
    line_id: str


class Line(NamedTuple):
    """Content of a receipt line, in the order of the stores' columns."""

    order_id: str
    line_id: str
    occurred_on: int
    """The shop's day, in days since 1970-01-01."""
    name: str
    category: str = ""
    item_id: str = ""
    variant: str = ""
    quantity: int = 1
    price: float | None = None
    """Shelf price of one unit; None when unknown."""
    saving: float = 0.0
    currency_code: str = ""
    weight: float | None = None
    """Weight of the whole line; None when it was not weighed."""
    weight_unit: str = ""
    returned_order_id: str = ""
    """Order of the line that this line returns; empty for a purchase."""
    returned_line_id: str = ""
    recommendation_id: str = ""
    """Answer that the purchase followed; empty when unknown."""

    @property
    def key(self) -> LineKey:
        """Identifies the line within the tenant."""
        return LineKey(self.order_id, self.line_id)


COLUMNS = Line._fields
make_line = functools.partial(tuple.__new__, Line)
"""As `Line._make`, in a third of its time."""


class Revision(NamedTuple):
    """A line as it was stored at some time."""

    line: Line
    revision: int
    """Counts the revisions of the line from 1."""
    recorded_at: int
    """Microseconds since 1970-01-01 in UTC."""
    superseded_at: int | None
    """When it was corrected or removed; None if it is current."""


def end_of_day(day: int) -> int:
    """The last microsecond of a day in UTC, in microseconds since 1970-01-01."""
    return (day + 1) * SECONDS_PER_DAY * MICROSECONDS - 1


def day_of(instant: int) -> int:
    """Day in UTC of an instant in microseconds, in days since 1970-01-01."""
    return instant // (SECONDS_PER_DAY * MICROSECONDS)
