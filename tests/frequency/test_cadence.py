import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pantree_frequency.core import cadence
from pantree_frequency.core.records import Floats
from tests.frequency.histories import analyze, bought_on


def fixed(days: int) -> Floats:
    """An interval that is always this long."""
    return (cadence.DAYS[None, :] >= days).astype(np.float64)


def risk(intervals: Floats, step: int) -> tuple[float, float]:
    risks = cadence.risks_of(intervals)
    position = cadence.LADDER_DAYS.tolist().index(step)
    return float(risks.stockout[0, position]), float(risks.overstock[0, position])


def test_delivery_on_the_day_of_need_is_neither_early_nor_late() -> None:
    assert risk(fixed(14), 14) == pytest.approx((0.0, 0.0), abs=1e-9)


def test_shorter_cadence_comes_early_and_never_runs_out() -> None:
    assert risk(fixed(14), 7) == pytest.approx((0.0, 1.0), abs=1e-9)


def test_longer_cadence_runs_out_and_never_comes_early() -> None:
    assert risk(fixed(14), 21) == pytest.approx((1.0, 0.0), abs=1e-9)


@pytest.mark.parametrize("days", [7, 14, 21, 28, 42, 84])
def test_regular_need_gets_its_own_step(days: int) -> None:
    assert cadence.choose_cadences(cadence.risks_of(fixed(days))).interval_days.tolist() == [days]


def test_risks_equal_those_of_drawn_subscriptions() -> None:
    generator = np.random.default_rng(3)
    weights = generator.random(60) * np.exp(-np.arange(60) / 20)
    weights /= weights.sum()
    intervals = np.concatenate([np.cumsum(weights), np.ones(24)])[None, :]
    days = np.cumsum(generator.choice(np.arange(1, 61), size=(40_000, 90), p=weights), axis=1)
    for step in (7, 21, 42):
        count = 84 // step
        delivered = step * np.arange(1, count + 1)
        early = (days[:, :count] > delivered).mean()
        ran_out = ((days[:, :count] < delivered).any(axis=1) | (days[:, count] <= 84)).mean()
        assert risk(intervals, step) == pytest.approx((ran_out, early), abs=0.01)


def spread(median: int) -> Floats:
    """Intervals around a median, half of them within a third of it."""
    return 1.0 / (1.0 + (cadence.DAYS[None, :] / median) ** -3.0)


@pytest.mark.parametrize("tolerance", [0.01, 0.5, 0.99])
def test_steps_that_are_never_taken_need_no_risks(tolerance: float) -> None:
    intervals = np.concatenate([spread(median) for median in range(3, 84)])
    all_steps, near_steps = cadence.risks_of(intervals), cadence.risks_of(intervals, near_only=True)
    assert (near_steps.overstock == 0).mean() > (all_steps.overstock == 0).mean()  # it does leave some out
    expected, found = (cadence.choose_cadences(risks, tolerance) for risks in (all_steps, near_steps))
    for name in ("interval_days", "stockout_probability", "overstock_ratio"):
        assert np.array_equal(getattr(found, name), getattr(expected, name)), name


@given(st.integers(1, 160), st.floats(0.01, 0.99))
def test_step_is_near_the_median_interval_whatever_the_trade_off(median: int, tolerance: float) -> None:
    risks = cadence.risks_of(spread(median))
    (chosen,) = cadence.choose_cadences(risks, tolerance).interval_days.tolist()
    held = min(max(median, 7), 84)
    assert held / 1.5 <= chosen <= held * 1.5 or (median > 84 and chosen == 84)


@pytest.mark.parametrize(
    ("purchases", "mean", "deviation", "min_step"),
    [
        (6, 56, 0, 56),
        (6, 60, 3, 56),
        (12, 28, 1, 21),
        (6, 400, 0, 84),
        (6, 20, 12, 7),
        (5, 56, 0, 7),
        (1, np.nan, np.nan, 7),
    ],
)
def test_min_step_is_that_of_the_own_intervals(purchases: float, mean: float, deviation: float, min_step: int) -> None:
    assert cadence.min_steps(*(np.array([value]) for value in (purchases, mean, deviation))).tolist() == [min_step]


@given(st.integers(3, 160), st.sampled_from(cadence.LADDER_DAYS.astype(int).tolist()), st.floats(0.01, 0.99))
def test_no_step_is_shorter_than_the_own_intervals_allow(median: int, min_step: int, tolerance: float) -> None:
    free, bound = (
        cadence.choose_cadences(cadence.risks_of(spread(median), shortest), tolerance)
        for shortest in (None, np.array([min_step]))
    )
    assert bound.interval_days[0] >= min_step
    if free.interval_days[0] >= min_step:
        assert bound.interval_days[0] == free.interval_days[0]


def test_lower_tolerance_never_means_a_longer_step() -> None:
    risks = cadence.risks_of(np.concatenate([spread(median) for median in range(5, 80, 5)]))
    chosen = np.stack([cadence.choose_cadences(risks, tolerance).interval_days for tolerance in (0.1, 0.3, 0.5, 0.7)])
    assert (np.diff(chosen, axis=0) >= 0).all()
    assert (chosen[-1] > chosen[0]).any()


@pytest.mark.parametrize(("mean", "deviation", "step"), [(7.2, 0.8, 7), (8.4, 1.5, 7), (14.0, 2.0, 14)])
def test_fairly_regular_item_gets_the_step_it_is_bought_at(mean: float, deviation: float, step: int) -> None:
    intervals = np.random.default_rng(1).normal(mean, deviation, 16).round().astype(int)
    days = [100, *(100 + np.cumsum(intervals)).tolist()]
    (item,) = analyze(bought_on(*days), days[-1] + 2).items
    assert item.recommended_interval_days == step


def first_of(
    near: Floats, intervals: Floats, step: int, tolerance: float = cadence.DEFAULT_STOCKOUT_TOLERANCE
) -> cadence.FirstDeliveries:
    return cadence.choose_first_deliveries(near, intervals, np.full(len(near), step), tolerance)


@pytest.mark.parametrize("due", [7, 14, 35, 70])
def test_deliveries_of_a_regular_need_begin_on_the_day_it_is_due(due: int) -> None:
    first = first_of(fixed(due), fixed(14), 14)
    assert (first.days[0], first.stockout_probability[0], first.overstock_ratio[0]) == (due, 0.0, 0.0)


def test_what_is_needed_tomorrow_is_delivered_tomorrow() -> None:
    assert first_of(fixed(1), fixed(21), 21).days.tolist() == [1]


def test_ended_need_gets_its_first_delivery_last_and_too_early() -> None:
    first = first_of(np.zeros((1, 84)), fixed(14), 14)
    assert (first.days[0], first.stockout_probability[0], first.overstock_ratio[0]) == (84, 0.0, 1.0)


def test_risks_of_the_first_day_equal_those_of_drawn_subscriptions() -> None:
    generator = np.random.default_rng(5)
    weights = generator.random(60) * np.exp(-np.arange(60) / 20)
    weights /= weights.sum()
    intervals = np.concatenate([np.cumsum(weights), np.ones(24)])[None, :]
    soonest = np.append(generator.random(84) * np.exp(-np.arange(84) / 30), 10.0)  # the need may have ended
    soonest /= soonest.sum()
    count = 40_000
    first_need = generator.choice(np.arange(1, 86), size=count, p=soonest)
    first_need[first_need == 85] = 10_000
    gaps = generator.choice(np.arange(1, 61), size=(count, 90), p=weights)
    days = np.cumsum(np.column_stack([first_need, gaps]), axis=1)
    near = np.cumsum(soonest[:84])[None, :]
    for step in (7, 21, 56):
        for tolerance in (0.05, 0.5, 0.6, 0.95):
            first = first_of(near, intervals, step, tolerance)
            delivered = np.arange(first.days[0], 85, step)
            early = (days[:, : len(delivered)] > delivered).mean()
            ran_out = ((days[:, : len(delivered)] < delivered).any(axis=1) | (days[:, len(delivered)] <= 84)).mean()
            returned = (first.stockout_probability[0], first.overstock_ratio[0])
            assert returned == pytest.approx((ran_out, early), abs=0.01)


@given(
    st.integers(1, 100), st.integers(4, 100), st.floats(0.0, 1.0), st.sampled_from([7, 14, 21, 28, 42, 56, 84])
)  # fmt: skip
def test_more_tolerance_never_begins_sooner(due: int, median: int, alive: float, step: int) -> None:
    near = alive * spread(due)
    days = [int(first_of(near, spread(median), step, tolerance).days[0]) for tolerance in np.linspace(0.05, 0.95, 7)]
    assert days == sorted(days)
    assert set(days) <= set(cadence.FIRST_DAYS.tolist())


@given(st.integers(1, 84), st.integers(4, 100), st.floats(0.05, 0.95))
def test_first_delivery_is_never_later_than_the_week_in_which_it_is_needed(
    due: int, median: int, tolerance: float
) -> None:
    assert first_of(spread(due), spread(median), 28, tolerance).days[0] < due + 7
