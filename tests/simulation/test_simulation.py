import itertools
import os
import subprocess
import sys
from datetime import date, timedelta
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pantree_domain.catalog import load_catalog
from pantree_domain.days import day_number
from pantree_domain.limits import MAX_PRICE, MAX_QUANTITY
from pantree_simulation.core.scenario import FirstItem, Scenario
from tests.simulation.scenarios import (
    BANANAS,
    CHICKEN,
    SIMULATOR,
    a_scenario,
    all_lines_of,
    lines_of,
    months_of,
    scenarios,
)

few_examples = settings(max_examples=15, deadline=None)


def exact(amount: float) -> Fraction:
    """The decimal number that a float represents."""
    return Fraction(repr(amount))


@few_examples
@given(scenarios())
def test_lines_are_within_their_month_in_ascending_order(scenario: Scenario) -> None:
    for month in months_of(scenario):
        days = month.purchases.days
        assert days == sorted(days)
        assert all(day_number(month.start) <= day <= day_number(month.end) for day in days)


@few_examples
@given(scenarios())
def test_lines_are_valid_purchases(scenario: Scenario) -> None:
    for month in months_of(scenario):
        names = month.purchases.item_names
        assert len(set(names)) == len(names)
        lines = lines_of(month)
        assert {line[1] for line in lines} == set(names)
        for _, name, category, quantity, price, saving in lines:
            assert name
            assert category
            assert 1 <= quantity <= MAX_QUANTITY
            assert 0 <= exact(saving) <= exact(price) * quantity
            assert (exact(saving) * 100).denominator == 1


@few_examples
@given(scenarios())
def test_prices_are_whole_cents_or_those_of_the_first_purchase(scenario: Scenario) -> None:
    given_prices = {item.name: item.price for item in scenario.items}
    for month in months_of(scenario):
        for _, name, _, _, price, _ in lines_of(month):
            assert 0 <= price <= MAX_PRICE
            assert price == given_prices.get(name) or (exact(price) * 100).denominator == 1


@few_examples
@given(scenarios())
def test_first_basket_is_the_first_purchase(scenario: Scenario) -> None:
    start = day_number(scenario.start)
    first_basket = [line for line in lines_of(months_of(scenario)[0]) if line[0] == start]
    assert [(name, quantity, price, saving) for _, name, _, quantity, price, saving in first_basket] == [
        (item.name, item.quantity, item.price, 0.0) for item in scenario.items
    ]
    for item, line in zip(scenario.items, first_basket, strict=True):
        assert line[2] == (item.category or load_catalog().categorize(item.name).category)


@few_examples
@given(scenarios())
def test_first_items_are_not_duplicated_by_catalog_items(scenario: Scenario) -> None:
    first_names = {item.name for item in scenario.items}
    plain = {variant.item.name: variant.name for variant in reversed(load_catalog().variants)}
    replaced = {plain[item.name] for name in first_names if (item := load_catalog().categorize(name).item)}
    others = {line[1] for line in all_lines_of(scenario)} - first_names
    assert not others & replaced


@few_examples
@given(scenarios(), st.integers(1, 4))
def test_longer_simulation_begins_like_a_shorter_one(scenario: Scenario, more_months: int) -> None:
    longer = scenario._replace(month_count=scenario.month_count + more_months)
    for short, long in zip(months_of(scenario), months_of(longer)[: scenario.month_count], strict=True):
        assert lines_of(short) == lines_of(long)
        assert (short.number, short.start, short.end) == (long.number, long.start, long.end)


@few_examples
@given(scenarios())
def test_equal_scenarios_have_equal_histories(scenario: Scenario) -> None:
    assert all_lines_of(scenario) == all_lines_of(scenario)


@pytest.mark.parametrize("change", [{"household_id": "other"}, {"seed": 1}])
def test_another_household_or_seed_has_another_history(change: dict[str, str | int]) -> None:
    assert all_lines_of(a_scenario()) != all_lines_of(a_scenario(**change))  # type: ignore[arg-type]


def test_history_is_the_same_in_another_process() -> None:
    program = (
        "from tests.simulation.scenarios import *; print([lines_of(month) for month in months_of(a_scenario(seed=7))])"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "1"}
    printed = subprocess.run(
        [sys.executable, "-c", program], env=environment, check=True, capture_output=True, text=True
    )
    assert printed.stdout.strip() == str([lines_of(month) for month in months_of(a_scenario(seed=7))])


@few_examples
@given(st.dates(date(1970, 1, 1), date(2190, 12, 31)), st.integers(1, 60))
def test_months_are_contiguous_calendar_months(start: date, month_count: int) -> None:
    scenario = a_scenario(start=start, month_count=month_count)
    boundaries = [scenario.month_start(month) for month in range(month_count + 1)]
    assert boundaries[0] == start
    for month, boundary in enumerate(boundaries):
        months = start.year * 12 + start.month - 1 + month
        assert (boundary.year * 12 + boundary.month - 1) == months
        assert boundary.day == start.day or (boundary.day < start.day and (boundary + timedelta(days=1)).day == 1)


def test_period_in_a_shorter_month_ends_with_the_month() -> None:
    months = months_of(a_scenario(start=date(2027, 1, 31), month_count=3))
    assert [(month.start, month.end) for month in months] == [
        (date(2027, 1, 31), date(2027, 2, 27)),
        (date(2027, 2, 28), date(2027, 3, 30)),
        (date(2027, 3, 31), date(2027, 4, 29)),
    ]
    assert [(month.number, month.count) for month in months] == [(1, 3), (2, 3), (3, 3)]


def test_months_have_no_gaps_or_overlaps() -> None:
    for month, next_month in itertools.pairwise(months_of(a_scenario(start=date(2026, 12, 30), month_count=12))):
        assert month.end + timedelta(days=1) == next_month.start


def test_first_items_recur_about_as_often_as_is_typical() -> None:
    intervals: dict[str, list[float]] = {"Bananas": [], "Paper Towels": []}
    for household in range(20):
        scenario = a_scenario(
            household_id=str(household), items=(BANANAS, FirstItem("Paper Towels", 9.99, 1, "")), month_count=24
        )
        lines = all_lines_of(scenario)
        for name, of_item in intervals.items():
            of_item.extend(np.diff([line[0] for line in lines if line[1] == name]))
    assert 7 <= np.mean(intervals["Bananas"]) <= 11  # 8 days are typical, the same as between two trips
    assert 20 <= np.mean(intervals["Paper Towels"]) <= 28  # 24 days are typical


def test_first_item_of_a_category_without_weight_adds_the_category() -> None:
    def share_of_pet_items(item: FirstItem) -> float:
        lines = all_lines_of(a_scenario(items=(item,), month_count=12))
        return sum(line[2] == "pet" and line[1] != item.name for line in lines) / len(lines)

    assert share_of_pet_items(FirstItem("Cat Litter", 10.99, 1, "")) > 0
    assert share_of_pet_items(BANANAS) == 0


def test_quantity_never_exceeds_the_maximum() -> None:
    scenario = a_scenario(
        archetype="busy_family", items=(FirstItem("Bananas", 0.01, MAX_QUANTITY, ""),), month_count=24
    )
    quantities = {line[3] for month in months_of(scenario) for line in lines_of(month) if line[1] == "Bananas"}
    assert quantities == {MAX_QUANTITY}


def test_savings_are_a_share_of_the_shelf_price() -> None:
    items = (FirstItem("Free Sample", 0, 1, ""), FirstItem("Gold Caviar", 1_000_000, 1, ""), CHICKEN)
    lines = all_lines_of(a_scenario(items=items, month_count=36))
    assert {line[5] for line in lines if line[1] == "Free Sample"} == {0}
    for item in items[1:]:
        depths = [saving / (price * quantity) for _, name, _, quantity, price, saving in lines if name == item.name]
        assert 0.2 < max(depths) < 0.9


def test_month_is_computed_only_when_requested() -> None:
    # 100,000 years would never finish, and have no dates.
    months = SIMULATOR.months(a_scenario(month_count=1_200_000))
    assert [next(months).number for _ in range(3)] == [1, 2, 3]
