from hypothesis import given
from hypothesis import strategies as st

from pantree_domain.cadence import LADDER, nearest_cadence

intervals = st.floats(min_value=0.5, max_value=500, allow_nan=False)


def test_nearest_cadence_of_the_original_example_is_weekly() -> None:
    assert nearest_cadence(7.2).frequency == "weekly"


def test_nearest_cadence_between_two_steps_goes_by_ratio() -> None:
    assert nearest_cadence(17).interval_days == 14  # 17/14 < 21/17
    assert nearest_cadence(17.5).interval_days == 21  # 17.5/14 > 21/17.5


@given(intervals)
def test_no_step_is_nearer_by_ratio_than_the_nearest_cadence(interval_days: float) -> None:
    def distance(step_days: int) -> float:
        return max(step_days / interval_days, interval_days / step_days)

    assert distance(nearest_cadence(interval_days).interval_days) == min(distance(s.interval_days) for s in LADDER)


@given(intervals, intervals)
def test_longer_intervals_never_get_shorter_cadences(one: float, other: float) -> None:
    shorter, longer = sorted((one, other))
    assert nearest_cadence(shorter).interval_days <= nearest_cadence(longer).interval_days
