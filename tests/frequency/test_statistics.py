from random import Random

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pantree_domain.evidence import Trend
from pantree_frequency.core.statistics import ItemStatistics, item_statistics
from pantree_frequency.core.trend import p_value
from tests.frequency.histories import Line, bought_on, history_of, lines

# What compiles is slow the first time.
NO_DEADLINE = settings(deadline=None)


def only_item(*days: int) -> ItemStatistics:
    (item,) = item_statistics(bought_on(*days))
    return item


def test_one_purchase_has_no_intervals() -> None:
    item = only_item(100)
    assert item.purchase_count == 1
    assert item.mean_interval_days is None
    assert item.median_interval_days is None
    assert item.standard_deviation_days is None
    assert item.coefficient_of_variation is None
    assert item.consistency_ratio == 0.0
    assert item.trend is Trend.UNKNOWN


def test_two_purchases_have_a_mean_but_no_deviation() -> None:
    item = only_item(100, 109)
    assert (item.mean_interval_days, item.median_interval_days) == (9.0, 9.0)
    assert item.standard_deviation_days is None


def test_lines_of_one_day_are_one_purchase_with_all_its_units() -> None:
    (item,) = item_statistics(
        history_of([("Milk", 100, 2, 3.0, 1.0), ("Milk", 100, 1, 3.6, 0.0), ("Milk", 107, 1, 3.0, 0.0)])
    )
    assert (item.purchase_count, item.total_quantity, item.typical_quantity) == (2, 4, 2)
    assert item.total_spend == pytest.approx(2 * 3.0 - 1.0 + 3.6 + 3.0)


def test_latest_unit_price_is_that_of_the_last_day() -> None:
    (item,) = item_statistics(history_of([("Milk", 107, 1, 3.5, 0.0), ("Milk", 100, 3, 3.0, 0.0)]))
    assert item.latest_unit_price == 3.5
    assert item.mean_unit_price == pytest.approx((3.5 + 9.0) / 4)


@pytest.mark.parametrize(
    ("days", "trend"),
    [
        ((0, 7, 14, 21, 28), Trend.STABLE),
        ((0, 20, 34, 43, 47), Trend.ACCELERATING),
        ((0, 4, 13, 27, 47), Trend.SLOWING),
        ((0, 7, 21), Trend.UNKNOWN),
    ],
)
def test_trend_of_intervals(days: tuple[int, ...], trend: Trend) -> None:
    assert only_item(*days).trend is trend


@pytest.mark.parametrize(("t", "degrees"), [(12.7062, 1), (4.30265, 2), (2.77645, 4), (2.22814, 10), (1.98397, 100)])
def test_p_value_equals_that_of_the_tables(t: float, degrees: int) -> None:
    assert p_value(t, degrees) == pytest.approx(0.05, abs=1e-6)
    assert p_value(-t, degrees) == p_value(t, degrees)


def test_significance_of_a_trend() -> None:
    assert only_item(0, 7, 14, 21, 28).trend_p_value == 1.0
    assert only_item(0, 4, 12, 24, 40).trend_p_value == 0.0  # on a line to the last digit
    # Intervals 5, 9, 6, 10, 9: slope .9, residual sum of squares 10.7, so t = .9 / sqrt(10.7 / 3 / 10) = 1.507.
    item = only_item(0, 5, 14, 20, 30, 39)
    assert item.trend_slope_days == pytest.approx(0.9)
    assert item.trend_p_value == pytest.approx(0.229, abs=0.001)
    assert only_item(0, 7, 21).trend_p_value is None


@NO_DEADLINE
@given(lines)
def test_statistics_equal_plain_pandas(rows: list[Line]) -> None:
    frame = pd.DataFrame(rows, columns=["name", "day", "quantity", "price", "saving"])
    frame["paid"] = frame.price * frame.quantity - frame.saving
    by_name = {item.name: item for item in item_statistics(history_of(rows))}
    assert set(by_name) == set(frame.name)
    for name, group in frame.groupby("name"):
        item = by_name[str(name)]
        days = pd.Series(sorted(group.day.unique()))
        intervals = days.diff().dropna()
        assert item.purchase_count == len(days)
        assert (item.first_day, item.last_day) == (days.iloc[0], days.iloc[-1])
        assert item.total_quantity == group.quantity.sum()
        assert item.total_spend == pytest.approx(group.paid.sum(), abs=1e-9)
        assert nan_if_none(item.mean_interval_days) == pytest.approx(intervals.mean(), abs=1e-9, nan_ok=True)
        assert nan_if_none(item.median_interval_days) == pytest.approx(intervals.median(), abs=1e-9, nan_ok=True)
        assert nan_if_none(item.standard_deviation_days) == pytest.approx(intervals.std(), abs=1e-9, nan_ok=True)
        assert item.typical_quantity == max(1, int(group.groupby("day").quantity.sum().tail(5).median()))
        assert item.mean_paid_unit_price == pytest.approx(group.paid.sum() / group.quantity.sum(), abs=1e-9)
        by_day = group.groupby("day")
        deviation = (by_day.paid.sum() / by_day.quantity.sum()).std()
        assert nan_if_none(item.paid_unit_price_deviation) == pytest.approx(deviation, abs=1e-9, nan_ok=True)
        if len(intervals) >= 3:
            slope = np.polyfit(np.arange(len(intervals)), intervals, 1)[0]
            assert item.trend_slope_days == pytest.approx(slope, abs=1e-9)


def nan_if_none(value: float | None) -> float:
    return float("nan") if value is None else value


@NO_DEADLINE
@given(lines, st.randoms(use_true_random=False))
def test_order_of_lines_does_not_matter(rows: list[Line], random: Random) -> None:
    shuffled = list(rows)
    random.shuffle(shuffled)
    by_name = {item.name: item for item in item_statistics(history_of(rows))}
    assert {item.name: item for item in item_statistics(history_of(shuffled))} == by_name


@NO_DEADLINE
@given(lines, st.integers(min_value=-300, max_value=300))
def test_moving_all_days_moves_days_only(rows: list[Line], shift: int) -> None:
    moved = item_statistics(history_of([(name, day + shift, *rest) for name, day, *rest in rows]))  # type: ignore[misc]
    for before, after in zip(item_statistics(history_of(rows)), moved, strict=True):
        assert after.first_day == before.first_day + shift
        assert after.mean_interval_days == before.mean_interval_days
        assert after.coefficient_of_variation == before.coefficient_of_variation
        assert after.trend is before.trend
