"""Populations: households do not depend on one another, and on average match their archetype."""

import os
import subprocess
import sys
import threading
from datetime import date

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pantree_domain.days import day_number
from pantree_domain.limits import MAX_QUANTITY
from pantree_domain.months import add_months
from pantree_research.realism.archetypes import ArchetypeFigures, figures_of
from pantree_simulation.core.population import BATCH_LINES, ArchetypeShare
from pantree_simulation.core.streams import Purpose, household_keys, key_of
from tests.simulation.populations import a_population, all_lines, batches_of, by_household
from tests.simulation.scenarios import OUR_BEHAVIOR, our_archetypes

HOUSEHOLDS = 500
few_examples = settings(max_examples=15, deadline=None)


@pytest.fixture(scope="module", params=our_archetypes().ids)
def archetype_id(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def figures(archetype_id: str) -> ArchetypeFigures:
    archetype = our_archetypes().get(archetype_id)
    assert archetype is not None
    return figures_of(archetype, OUR_BEHAVIOR, HOUSEHOLDS)


def test_trip_gaps_are_those_of_the_archetype(archetype_id: str, figures: ArchetypeFigures) -> None:
    archetype = our_archetypes().get(archetype_id)
    assert archetype is not None
    assert np.median(figures.trip_gaps) == pytest.approx(archetype.mean_trip_gap_days, rel=0.15)
    assert figures.trip_gaps.mean() == pytest.approx(archetype.mean_trip_gap_days, rel=0.15)


def test_category_shares_are_the_weights_of_the_archetype(archetype_id: str, figures: ArchetypeFigures) -> None:
    archetype = our_archetypes().get(archetype_id)
    assert archetype is not None
    for category, share in figures.category_shares.items():
        assert share == pytest.approx(archetype.category_weights.get(category, 0), abs=0.03), category


def test_basket_sizes_are_those_of_the_archetype(archetype_id: str, figures: ArchetypeFigures) -> None:
    archetype = our_archetypes().get(archetype_id)
    assert archetype is not None
    assert figures.mean_basket_items == pytest.approx(archetype.mean_basket_items, rel=0.15)


def test_promotions_and_units_are_as_frequent_as_in_the_archetype(archetype_id: str) -> None:
    archetype = our_archetypes().get(archetype_id)
    assert archetype is not None
    mix = (ArchetypeShare(archetype, 1.0),)
    lines = all_lines(batches_of(a_population(household_count=200, mix=mix)))
    # Fresh food has fewer promotions than the average category, and rare trips need more units of what is used up fast.
    assert (lines.savings > 0).mean() == pytest.approx(archetype.promotion_ratio, abs=0.12)
    assert -0.02 < (lines.quantities > 1).mean() - archetype.multiple_units_ratio < 0.15


def test_mix_is_that_of_the_population() -> None:
    family, single = our_archetypes().get("busy_family"), our_archetypes().get("single_professional")
    assert family is not None
    assert single is not None
    mix = (ArchetypeShare(family, 0.2), ArchetypeShare(single, 0.8))
    batches = batches_of(a_population(household_count=2_000, mix=mix, month_count=1))
    indices = np.concatenate([batch.archetype_indices for batch in batches])
    assert indices.mean() == pytest.approx(0.8, abs=0.03)


@few_examples
@given(
    st.integers(0, 2**31 - 11),
    st.integers(1, 10),
    st.dates(date(1970, 1, 1), date(2190, 1, 1)),
    st.integers(1, 8),
    st.integers(0, 2**32 - 1),
)
def test_lines_are_valid_purchases(first: int, count: int, start: date, month_count: int, seed: int) -> None:
    batches = batches_of(
        a_population(first_household=first, household_count=count, start=start, month_count=month_count, seed=seed)
    )
    assert sum(len(batch.line_counts) for batch in batches) == count
    for household in by_household(batches).values():
        days = np.array([line[0] for line in household])
        assert np.all(np.diff(days) >= 0)
        assert len({(line[0], line[1]) for line in household}) == len(household)  # an item is once on a receipt
    lines = all_lines(batches)
    assert np.all((lines.days >= day_number(start)) & (lines.days < day_number(add_months(start, month_count))))
    assert np.all((lines.quantities >= 1) & (lines.quantities <= MAX_QUANTITY))
    assert np.all(lines.prices > 0)
    assert np.all((lines.savings >= 0) & (lines.savings <= lines.prices * lines.quantities))
    for money in (lines.prices, lines.savings):
        assert np.array_equal(money, np.round(money * 100) / 100)


@few_examples
@given(st.integers(0, 30), st.integers(1, 30))
def test_household_does_not_depend_on_the_others(first: int, count: int) -> None:
    alone = by_household(batches_of(a_population(first_household=first, household_count=count)))
    of_all = by_household(batches_of(a_population(household_count=60)))
    assert alone == {number: of_all[number] for number in range(first, first + count)}


def test_longer_simulation_begins_like_a_shorter_one() -> None:
    short = by_household(batches_of(a_population(month_count=6)))
    long = by_household(batches_of(a_population(month_count=12)))
    assert all(long[number][: len(lines)] == lines for number, lines in short.items())


def test_threads_do_not_change_what_households_buy() -> None:
    populations = [a_population(first_household=first, household_count=10) for first in range(0, 80, 10)]
    found: dict[int, object] = {}
    threads = [
        threading.Thread(target=lambda part=part: found.update(by_household(batches_of(part)))) for part in populations
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == by_household(batches_of(a_population(household_count=80)))


def test_another_seed_has_other_purchases() -> None:
    one, other = (all_lines(batches_of(a_population(seed=seed))) for seed in (0, 1))
    assert one.items.tolist() != other.items.tolist()


def test_promotions_of_an_item_are_at_the_same_time_for_all_households() -> None:
    lines = all_lines(batches_of(a_population(household_count=400, month_count=1)))
    promoted: dict[tuple[int, int], list[bool]] = {
        (item, day): [] for item, day in zip(lines.items.tolist(), lines.days.tolist(), strict=True)
    }
    for item, day, saving in zip(lines.items.tolist(), lines.days.tolist(), lines.savings.tolist(), strict=True):
        promoted[item, day].append(saving > 0)
    agreement = [np.mean(of_day) for of_day in promoted.values() if len(of_day) >= 4]
    assert len(agreement) > 100
    assert np.mean([max(share, 1 - share) for share in agreement]) > 0.85  # by chance it would be about 0.65


def test_batches_fit_into_messages() -> None:
    batches = batches_of(a_population(household_count=2_000))
    sizes = [len(batch.lines.days) for batch in batches]
    assert max(sizes) <= BATCH_LINES
    assert np.mean(sizes[1:-1]) > 0.8 * BATCH_LINES  # few messages, not many


def test_keys_of_numbered_households_are_those_of_their_ids() -> None:
    numbers = [0, 7, 10**15]
    expected = [key_of(Purpose.HOUSEHOLD, 3, str(number)) for number in numbers]
    assert household_keys(3, numbers).tolist() == expected


_PROGRAM = """
from tests.simulation.populations import *
from tests.simulation.scenarios import *
print(by_household(batches_of(a_population(household_count=3, month_count=2))))
print([lines_of(month) for month in months_of(a_scenario(seed=7, month_count=2))])
"""


def test_results_are_the_same_without_compilation() -> None:
    environments = ({"NUMBA_DISABLE_JIT": "1"}, {"NUMBA_DISABLE_JIT": "0"})
    printed = [
        subprocess.run(
            [sys.executable, "-W", "error", "-c", _PROGRAM],
            env={**os.environ, **environment},
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for environment in environments
    ]
    assert printed[0].count("(") > 100
    assert printed[0] == printed[1]
