"""Items with a rhythm of their own: what is delivered, how much of it, and from which day."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pantree_frequency.core import AnalysisRequest, ItemFrequency, Options, analyze_histories
from tests.frequency.histories import AS_OF_DAY, Line, analyze, bundled_models, history_of

REGULAR_INTERVALS = [3, 5, 7, 10, 14, 21, 28, 42, 56, 84, 112, 140]


def gaps_of(interval: int, jitter: float, count: int, seed: int) -> list[int]:
    """Intervals of one rhythm."""
    generator = np.random.default_rng(seed)
    factors = generator.gamma(1 / jitter**2, jitter**2, count) if jitter else np.ones(count)
    return [max(round(interval * factor), 1) for factor in factors]


def lines_of(gaps: Sequence[int], recency: int, units: Sequence[int] | None = None) -> list[Line]:
    """One item, last bought `recency` days ago."""
    days = AS_OF_DAY - recency - np.cumsum([0, *reversed(gaps)])[::-1]
    quantities = units or [1] * len(days)
    return [("Coffee", int(day), quantity, 5.0, 0.0) for day, quantity in zip(days, quantities, strict=True)]


def analyzed(gaps: Sequence[int], recency: int, units: Sequence[int] | None = None) -> ItemFrequency:
    (item,) = analyze(history_of(lines_of(gaps, recency, units)), AS_OF_DAY).items
    return item


def supply(item: ItemFrequency, interval: int, units: int = 1) -> float:
    best = item.options[0]
    return best.quantity * interval / (best.interval_days * units)


@pytest.mark.parametrize("interval", REGULAR_INTERVALS)
@pytest.mark.parametrize("phase", [0.15, 0.5, 0.9])
def test_regular_item_is_supplied_as_it_is_used_from_the_day_it_is_due(interval: int, phase: float) -> None:
    recency = round(phase * interval)
    item = analyzed(gaps_of(interval, 0.12, 7, seed=interval), recency)
    assert item.regularity_ratio > 0.3
    assert 0.8 <= supply(item, interval) <= 1.25
    due = max(interval - recency, 1)
    assert abs(item.first_delivery.day - AS_OF_DAY - due) <= max(interval / 4, 4)


@pytest.mark.parametrize(
    ("gaps", "interval"),
    [
        ([28, 28, 56, 28, 28, 28], 28),  # a missed purchase
        ([14, 14, 14, 14, 28, 14, 14], 14),
        ([7, 7, 7, 7, 7, 14, 14, 14, 14, 14], 14),  # a new rhythm; twice the interval may also be missed purchases
        ([28, 28, 28, 28, 28, 42, 42, 42], 42),
        ([42, 42, 42, 42, 28, 28, 28], 28),
    ],
)
def test_rhythm_survives_a_missed_purchase_and_follows_a_change(gaps: Sequence[int], interval: int) -> None:
    assert supply(analyzed(gaps, interval // 2), interval) == pytest.approx(1.0)


@pytest.mark.parametrize("interval", [12, 24, 49, 98])
@pytest.mark.parametrize("factor", [0.6, 1.6])
def test_change_is_followed_after_three_intervals_with_jitter(interval: int, factor: float) -> None:
    right = 0
    for seed in range(10):
        before = gaps_of(round(interval * factor), 0.12, 4 + seed % 3, seed)
        item = analyzed([*before, *gaps_of(interval, 0.12, 3, 100 + seed)], interval // 2)
        right += 0.8 <= supply(item, interval) <= 1.25
    assert right >= 8


def test_larger_purchase_explains_a_longer_interval() -> None:
    item = analyzed([28, 28, 56, 28, 28], 14, units=[1, 1, 2, 1, 1, 1])
    assert (item.options[0].interval_days, item.options[0].quantity) == (28, 1)
    after_two = analyzed([28, 28, 56, 28, 28], 14, units=[1, 1, 2, 1, 1, 2])
    assert after_two.first_delivery.day - item.first_delivery.day >= 14


def test_faster_than_weekly_comes_in_larger_quantity() -> None:
    best = analyzed([3] * 9, 1).options[0]
    assert (best.interval_days, best.quantity) == (7, 2)
    assert best.supply_ratio == pytest.approx(2 * 3 / 7, abs=0.03)


def test_irregular_item_has_no_rhythm() -> None:
    assert analyzed([3, 40, 9, 22, 61, 5, 17], 8).regularity_ratio == 0.0


def test_two_equal_intervals_are_no_rhythm_yet() -> None:
    assert analyzed([28, 28], 5).regularity_ratio == 0.0


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(REGULAR_INTERVALS), st.integers(4, 10), st.floats(0.02, 0.2), st.integers(0, 10_000))
def test_one_more_purchase_when_it_was_due_keeps_the_rhythm(
    interval: int, count: int, jitter: float, seed: int
) -> None:
    gaps = gaps_of(interval, jitter, count, seed)
    before, after = analyzed(gaps, 1), analyzed([*gaps, interval], 1)
    assert after.regularity_ratio > 0
    own = abs(np.log(supply(after, interval)))
    # Of an item bought every three days, two or three units a week are .86 or 1.29 of the use.
    assert own <= max(abs(np.log(supply(before, interval))), np.log(9 / 7)) + 1e-9


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(1, 150), min_size=1, max_size=12), st.integers(0, 200))
def test_first_delivery_is_within_an_interval_and_never_right_after_a_purchase(gaps: list[int], recency: int) -> None:
    item = analyzed(gaps, recency)
    days = item.first_delivery.day - AS_OF_DAY
    own_days = item.use_days if item.regularity_ratio > 0 else np.mean(gaps)
    assert 1 <= days <= max(84, item.options[0].interval_days)
    # Half of the item's own interval, or the last day that comes into question.
    assert recency + days >= 0.5 * own_days or days == 84


def test_options_begin_with_the_recommended_one_and_name_each_step_once() -> None:
    item = analyzed([20, 35, 28, 40], 10)
    steps = [option.interval_days for option in item.options]
    assert len(steps) == len(set(steps)) <= 6
    for option in item.options:
        assert 0.0 <= option.stockout_probability <= 1.0
        assert 0.0 <= option.overstock_ratio <= 1.0
        assert option.quantity >= 1


@pytest.mark.parametrize("interval", [8, 9, 10, 11, 13, 18, 24])
def test_an_option_brings_no_more_than_is_bought_at_once(interval: int) -> None:
    # What spoils is only delivered so.
    for units in (1, 3):
        item = analyzed(gaps_of(interval, 0.2, 18, seed=interval), 2, [units] * 19)
        assert item.regularity_ratio > 0.3
        assert min(option.quantity for option in item.options) <= units


@settings(max_examples=25, deadline=None)
@given(st.sampled_from(REGULAR_INTERVALS), st.floats(0.02, 0.25), st.integers(0, 10_000))
def test_waiting_never_makes_the_first_delivery_earlier(interval: int, jitter: float, seed: int) -> None:
    rows = lines_of(gaps_of(interval, jitter, 8, seed), 0)
    days = range(AS_OF_DAY, AS_OF_DAY + interval + interval // 3 + 1)
    requests = [AnalysisRequest(history_of(rows), day) for day in days]
    firsts = [answer.items[0].first_delivery.day for answer in analyze_histories(requests, bundled_models(), Options())]
    # Which points of a posterior are kept depends on the days since the last purchase; that may turn a day.
    assert all(later >= max(firsts[:number]) - 1 for number, later in enumerate(firsts) if number)


@pytest.mark.parametrize(("interval", "jitter"), [(7, 0.0), (10, 0.2), (28, 0.12), (42, 0.25), (84, 0.0)])
def test_units_on_hand_are_those_of_simulated_deliveries(interval: int, jitter: float) -> None:
    item = analyzed(gaps_of(interval, jitter, 9, seed=1), 1)
    best = item.options[0]
    generator = np.random.default_rng(2)
    found = []
    for _ in range(300):
        deliveries = max(84 // best.interval_days, 1)
        # The household starts with a delivery, and each unit is used evenly within its own interval.
        used_up, unit_days = 0.0, 0.0
        for number in range(deliveries + 1):
            arrival = number * best.interval_days
            for _ in range(best.quantity):
                factor = generator.gamma(1 / jitter**2, jitter**2) if jitter else 1.0
                start = max(used_up, arrival)
                used_up = start + item.use_days * factor
                if number:
                    unit_days += start - arrival + (used_up - start) / 2
        found.append(unit_days / (deliveries * best.interval_days))
    assert best.units_on_hand == pytest.approx(np.mean(found), rel=0.25, abs=0.1)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(1, 150), min_size=1, max_size=12), st.integers(0, 200), st.integers(1, 6))
def test_units_on_hand_include_those_in_use(gaps: list[int], recency: int, units: int) -> None:
    for option in analyzed(gaps, recency, [units] * (len(gaps) + 1)).options:
        assert option.units_on_hand >= option.quantity * option.supply_ratio / 2 - 1e-6
