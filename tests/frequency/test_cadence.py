import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pantree_frequency.core import cadence
from pantree_frequency.core.records import Floats
from pantree_frequency.core.rhythm import Rhythms
from pantree_frequency.core.supply import options_of
from tests.frequency.histories import analyze, bought_on


def fixed(days: int) -> Floats:
    """An interval that is always this long."""
    return (cadence.DAYS[None, :] >= days).astype(np.float64)


def chosen_steps(intervals: Floats, tolerance: Floats | float = cadence.DEFAULT_STOCKOUT_TOLERANCE) -> list[int]:
    """The steps that items without a rhythm get."""
    ones = np.ones(len(intervals), np.int64)
    best = options_of(intervals, Rhythms.none(len(ones)), ones, tolerance).best
    return [int(step) for step in cadence.STEPS[best]]


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


@pytest.mark.parametrize("days", [7, 14, 21, 28, 35, 42, 56, 84, 112, 168])
def test_need_of_fixed_length_gets_its_own_step(days: int) -> None:
    assert chosen_steps(fixed(days)) == [days]


def test_risks_equal_those_of_drawn_subscriptions() -> None:
    generator = np.random.default_rng(3)
    weights = generator.random(60) * np.exp(-np.arange(60) / 20)
    weights /= weights.sum()
    intervals = np.concatenate([np.cumsum(weights), np.ones(len(cadence.DAYS) - 60)])[None, :]
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
    expected, found = (cadence.harm_of(risks, tolerance) for risks in (all_steps, near_steps))
    assert np.array_equal(expected, found)


@given(st.integers(1, 300), st.floats(0.01, 0.99))
def test_step_is_near_the_median_interval_whatever_the_trade_off(median: int, tolerance: float) -> None:
    (chosen,) = chosen_steps(spread(median), tolerance)
    held = min(max(median, 7), 168)
    week = 7 if median > cadence.HORIZON / 1.5 else 0  # beyond the horizon, distributions are known by weeks
    assert held / 1.5 - week <= chosen <= held * 1.5 + week


def test_lower_tolerance_never_means_a_longer_step() -> None:
    intervals = np.concatenate([spread(median) for median in range(5, 80, 5)])
    chosen = np.stack([chosen_steps(intervals, tolerance) for tolerance in (0.1, 0.3, 0.5, 0.7)])
    assert (np.diff(chosen, axis=0) >= 0).all()
    assert (chosen[-1] > chosen[0]).any()


@given(st.lists(st.tuples(st.integers(1, 200), st.floats(0.01, 1)), min_size=1, max_size=6))
def test_higher_tolerance_never_means_a_shorter_step_for_any_intervals(parts: list[tuple[int, float]]) -> None:
    total = sum(weight for _, weight in parts)
    intervals = np.sum([weight / total * fixed(days) for days, weight in parts], axis=0)
    tolerances = np.linspace(0.01, 0.99, 99)
    chosen = chosen_steps(np.repeat(intervals, len(tolerances), axis=0), tolerances)
    assert chosen == sorted(chosen)
    assert chosen[49] == chosen_steps(intervals, 0.5)[0]


@pytest.mark.parametrize(("mean", "deviation", "step"), [(7.2, 0.8, 7), (8.4, 1.5, 7), (14.0, 2.0, 14)])
def test_fairly_regular_item_gets_the_step_it_is_bought_at(mean: float, deviation: float, step: int) -> None:
    intervals = np.random.default_rng(1).normal(mean, deviation, 16).round().astype(int)
    days = [100, *(100 + np.cumsum(intervals)).tolist()]
    (item,) = analyze(bought_on(*days), days[-1] + 2).items
    assert item.options[0].interval_days == step


def first_of(
    near: Floats, intervals: Floats, step: int, tolerance: float = cadence.DEFAULT_STOCKOUT_TOLERANCE, earliest: int = 1
) -> cadence.FirstDeliveries:
    steps, days = np.full(len(near), step), np.full(len(near), earliest)
    return cadence.choose_first_deliveries(near, intervals, steps, days, tolerance)


@pytest.mark.parametrize("due", [7, 14, 35, 70])
def test_deliveries_of_a_regular_need_begin_on_the_day_it_is_due(due: int) -> None:
    first = first_of(fixed(due), fixed(14), 14)
    assert (first.days[0], first.stockout_probability[0], first.overstock_ratio[0]) == (due, 0.0, 0.0)


def test_what_is_needed_tomorrow_is_delivered_tomorrow() -> None:
    assert first_of(fixed(1), fixed(21), 21).days.tolist() == [1]


def test_ended_need_gets_its_first_delivery_last_and_too_early() -> None:
    first = first_of(np.zeros((1, len(cadence.DAYS))), fixed(14), 14)
    assert (first.days[0], first.stockout_probability[0], first.overstock_ratio[0]) == (84, 0.0, 1.0)


def test_risks_of_the_first_day_equal_those_of_drawn_subscriptions() -> None:
    generator = np.random.default_rng(5)
    weights = generator.random(60) * np.exp(-np.arange(60) / 20)
    weights /= weights.sum()
    later = np.ones(len(cadence.DAYS) - 60)
    intervals = np.concatenate([np.cumsum(weights), later])[None, :]
    soonest = np.append(generator.random(84) * np.exp(-np.arange(84) / 30), 10.0)  # the need may have ended
    soonest /= soonest.sum()
    count = 40_000
    first_need = generator.choice(np.arange(1, 86), size=count, p=soonest)
    first_need[first_need == 85] = 10_000
    gaps = generator.choice(np.arange(1, 61), size=(count, 90), p=weights)
    days = np.cumsum(np.column_stack([first_need, gaps]), axis=1)
    near = np.cumsum(soonest[:84])
    near = np.append(near, np.full(len(cadence.DAYS) - 84, near[-1]))[None, :]
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


@given(st.integers(1, 84), st.integers(4, 100), st.integers(1, 60))
def test_first_delivery_is_never_before_the_earliest_day(due: int, median: int, earliest: int) -> None:
    assert first_of(spread(due), spread(median), 28, earliest=earliest).days[0] >= earliest


def test_first_delivery_of_a_regular_need_is_a_quantile_of_its_next_purchase() -> None:
    near = (np.array([[5], [33], [150], [300]]) <= cadence.EVERY_DAY).astype(np.float64)
    intervals = np.concatenate([fixed(28)] * 4)
    steps, overdue = np.array([28, 35, 168, 168]), np.zeros(4, np.bool_)
    first = cadence.first_deliveries_of_regular(near, intervals, steps, overdue, 0.5)
    assert first.days.tolist() == [5, 33, 150, 168]
    assert (first.stockout_probability[3], first.overstock_ratio[3]) == (0.0, 1.0)
