"""Days of deliveries. Each is counted from an anchor, so that no month end drifts."""

import calendar
from dataclasses import dataclass
from datetime import UTC, date, datetime
from enum import StrEnum
from functools import cache
from typing import NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pantree_domain.days import calendar_day, day_number
from pantree_history.core.lines import MICROSECONDS

_MONTHS = 12
# Mean of the Gregorian calendar.
_DAYS_PER_MONTH = 365.2425 / _MONTHS
_DAYS_PER_WEEK = 7


class Unit(StrEnum):
    """Unit of an interval."""

    DAY = "day"
    WEEK = "week"
    MONTH = "month"


@dataclass(frozen=True)
class Interval:
    """Time between two deliveries."""

    unit: Unit
    count: int

    @property
    def days(self) -> int:
        """Days between two deliveries; of months, their mean, rounded."""
        if self.unit is Unit.MONTH:
            return round(self.count * _DAYS_PER_MONTH)
        return self.count * (_DAYS_PER_WEEK if self.unit is Unit.WEEK else 1)


class Segment(NamedTuple):
    """A part of a schedule with one interval."""

    first_sequence: int
    anchor_day: int
    """Day from which all others are counted, in days since 1970-01-01."""
    interval: Interval
    offset: int = 0
    """Units between the anchor and the first delivery of the segment."""

    def day(self, sequence: int) -> int:
        """Day of a delivery, in days since 1970-01-01."""
        units = self.offset + (sequence - self.first_sequence) * self.interval.count
        if self.interval.unit is Unit.MONTH:
            return _after_months(self.anchor_day, units)
        return self.anchor_day + units * (_DAYS_PER_WEEK if self.interval.unit is Unit.WEEK else 1)

    def from_sequence(self, sequence: int, interval: Interval) -> "Segment":
        """The segment that goes on with another interval at a delivery, whose day stays."""
        if interval.unit is self.interval.unit is Unit.MONTH:
            # An anchor on the 31st stays one, even if the delivery is on the 28th.
            offset = self.offset + (sequence - self.first_sequence) * self.interval.count
            return Segment(sequence, self.anchor_day, interval, offset)
        return Segment(sequence, self.day(sequence), interval)


def _after_months(day: int, months: int) -> int:
    """The same day of the month some months later; the last one if that month is shorter."""
    start = calendar_day(day)
    year, month = divmod(start.year * _MONTHS + start.month - 1 + months, _MONTHS)
    last = calendar.monthrange(year, month + 1)[1]
    return day_number(date(year, month + 1, min(start.day, last)))


@cache
def zone_of(name: str) -> ZoneInfo | None:
    """The time zone of an IANA name; None if there is none."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None


def local_day(instant: int, time_zone: str) -> int:
    """Day of an instant in a time zone, in days since 1970-01-01.

    Args:
        instant: microseconds since 1970-01-01 in UTC.
        time_zone: IANA name.
    """
    moment = datetime.fromtimestamp(instant // MICROSECONDS, UTC)
    return day_number(moment.astimezone(zone_of(time_zone)).date())


def start_of_day(day: int, time_zone: str) -> int:
    """First instant of a day in a time zone, in microseconds since 1970-01-01 in UTC."""
    start = datetime.combine(calendar_day(day), datetime.min.time(), zone_of(time_zone))
    return int(start.timestamp()) * MICROSECONDS
