"""Arithmetic and display of calendar months."""

import calendar
from datetime import date


def add_months(day: date, months: int) -> date:
    """The same day some months later (earlier if negative), or the last day of that month if it is too short."""
    year, month_index = divmod(day.year * 12 + day.month - 1 + months, 12)
    last_day = calendar.monthrange(year, month_index + 1)[1]
    return date(year, month_index + 1, min(day.day, last_day))


def month_display(day: date) -> str:
    """Month and year such as `May 2026`, in English regardless of the locale."""
    return f"{_MONTH_NAMES[day.month - 1]} {day.year}"


_MONTH_NAMES = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
    "December",
)  # fmt: skip
