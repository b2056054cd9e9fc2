"""Calendar days as the contract counts them: days since 1970-01-01."""

from datetime import date, timedelta

_EPOCH = date(1970, 1, 1)


def day_number(day: date) -> int:
    """Days from 1970-01-01 to a calendar day."""
    return (day - _EPOCH).days


def calendar_day(number: int) -> date:
    """Calendar day that lies a number of days after 1970-01-01."""
    return _EPOCH + timedelta(days=int(number))
