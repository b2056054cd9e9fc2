"""Day numbers of the contract: days since 1970-01-01."""

from datetime import date, timedelta

_EPOCH = date(1970, 1, 1)


def day_number(day: date) -> int:
    """Day number of a calendar day."""
    return (day - _EPOCH).days


def calendar_day(number: int) -> date:
    """Calendar day of a day number."""
    return _EPOCH + timedelta(days=int(number))
