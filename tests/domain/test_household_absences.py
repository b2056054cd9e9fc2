import numpy as np

from pantree_domain.household.absences import MAX_CURRENT_DAYS, Calendar, household_calendar

AS_OF = 1_000


def calendar(ages: list[int]) -> Calendar:
    return household_calendar(np.array(sorted(AS_OF - age for age in ages), np.int32), AS_OF)


def weekly(last: int, count: int) -> list[int]:
    return [last + 7 * number for number in range(count)]


def test_steady_shopper_was_never_away() -> None:
    assert calendar(weekly(3, 20)).absences == ()


def test_three_weeks_without_a_trip_are_an_absence_without_the_usual_gap() -> None:
    found = calendar([1, *weekly(29, 20)])
    (absence,) = found.absences
    assert (absence.begin, absence.days, absence.current) == (AS_OF - 29, 21, False)
    moved = found.at_home(np.array([AS_OF - 1, AS_OF - 29, AS_OF - 36], np.int32))
    assert (AS_OF - moved).tolist() == [1, 8, 15]


def test_household_that_is_away_now_is_where_it_was_when_it_left() -> None:
    found = calendar(weekly(24, 20))
    assert found.is_away
    assert (AS_OF - found.at_home(np.array([AS_OF - 24], np.int32))).tolist() == [7]


def test_household_that_stays_away_is_stale() -> None:
    found = calendar(weekly(MAX_CURRENT_DAYS + 30, 20))
    assert (found.is_away, found.is_stale, found.absences) == (False, True, ())


def test_household_that_now_shops_rarely_is_not_away() -> None:
    assert calendar([5, 33, 61, 89, *weekly(96, 20)]).absences == ()


def test_household_that_shopped_rarely_at_first_was_not_away() -> None:
    assert calendar([*weekly(3, 20), 175, 210, 252]).absences == ()


def test_a_few_trips_say_nothing_about_absences() -> None:
    assert calendar([1, 8, 60, 67]).absences == ()
    assert calendar([3]).absences == ()


def test_year_away_counts_as_one_gap() -> None:
    found = calendar([*weekly(3, 10), *weekly(430, 20)])
    moved = AS_OF - found.at_home(np.array([AS_OF - 430], np.int32))
    assert moved.tolist() == [73]
