from datetime import date

from hypothesis import given
from hypothesis import strategies as st

from pantree_domain.days import calendar_day, day_number
from pantree_domain.months import add_months, month_display

days = st.dates(min_value=date(1970, 1, 1), max_value=date(2199, 12, 31))


def test_add_months_to_a_longer_month_keeps_the_last_day() -> None:
    assert add_months(date(2026, 8, 31), -6) == date(2026, 2, 28)
    assert add_months(date(2024, 1, 31), 1) == date(2024, 2, 29)


def test_month_display_is_month_and_year() -> None:
    assert month_display(date(2026, 5, 22)) == "May 2026"


@given(days, st.integers(min_value=-600, max_value=600))
def test_add_months_moves_by_that_many_months(day: date, months: int) -> None:
    moved = add_months(day, months)
    assert (moved.year * 12 + moved.month) - (day.year * 12 + day.month) == months
    assert moved.day <= day.day


@given(days)
def test_day_number_and_calendar_day_are_inverse(day: date) -> None:
    assert calendar_day(day_number(day)) == day
