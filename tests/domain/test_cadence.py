import pytest
from hypothesis import given
from hypothesis import strategies as st

from pantree_domain.cadence import LADDER, ladder_of, nearest_cadence

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


def test_default_ladder_has_the_original_names() -> None:
    names = [step.frequency for step in ladder_of("")]
    assert names == [
        "weekly", "biweekly", "every_3_weeks", "monthly", "every_5_weeks", "every_6_weeks", "bimonthly", "quarterly",
        "every_16_weeks", "every_24_weeks",
    ]  # fmt: skip


def test_ladder_of_a_retailer_names_each_step() -> None:
    found = [(step.frequency, step.interval_days) for step in ladder_of("7, 10, 28, 70")]
    assert found == [("weekly", 7), ("every_10_days", 10), ("monthly", 28), ("every_10_weeks", 70)]


@pytest.mark.parametrize("text", ["7", "14,7", "7,7", "0,7", "7,400", "7;14", "a,b", "7,,14", "-7,14", "7,1e1"])
def test_wrong_ladder_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="must"):
        ladder_of(text)
