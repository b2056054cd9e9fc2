"""Whether many simulated households together look like their archetype."""

from collections import Counter
from dataclasses import dataclass, field

import numpy as np
import pytest

from tests.simulation.scenarios import a_scenario, months_of, our_archetypes

HOUSEHOLDS = 50


@dataclass
class Population:
    """What a few households of one archetype did in half a year."""

    trip_gaps: list[int] = field(default_factory=list)
    weekdays: list[int] = field(default_factory=list)
    basket_items: list[int] = field(default_factory=list)
    quantities: list[int] = field(default_factory=list)
    saving_ratios: list[float] = field(default_factory=list)
    categories: Counter[str] = field(default_factory=Counter)
    repeat_ratios: list[float] = field(default_factory=list)
    """By household: share of items that were bought on more than two days."""


@pytest.fixture(scope="module", params=our_archetypes().ids)
def archetype_id(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def population(archetype_id: str) -> Population:
    population = Population()
    for household in range(HOUSEHOLDS):
        days: list[int] = []
        item_days: Counter[str] = Counter()
        for month in months_of(a_scenario(household_id=str(household), archetype=archetype_id)):
            purchases = month.purchases
            days.extend(purchases.days.tolist())
            bought = [purchases.item_names[item] for item in purchases.item_indices]
            item_days.update(bought)
            population.categories.update(purchases.item_categories[item] for item in purchases.item_indices)
            population.quantities.extend(purchases.quantities.tolist())
            population.saving_ratios.extend((purchases.savings / purchases.prices / purchases.quantities).tolist())
        trips, counts = np.unique(days, return_counts=True)
        population.trip_gaps.extend(np.diff(trips).tolist())
        population.weekdays.extend(((trips[1:] + 3) % 7).tolist())
        population.basket_items.extend(counts[1:].tolist())
        population.repeat_ratios.append(sum(count > 2 for count in item_days.values()) / len(item_days))
    return population


def test_trip_gaps_are_those_of_the_archetype(archetype_id: str, population: Population) -> None:
    archetype = our_archetypes().get(archetype_id)
    assert archetype is not None
    assert np.median(population.trip_gaps) == pytest.approx(archetype.mean_trip_gap_days, rel=0.15)
    assert np.mean(population.trip_gaps) == pytest.approx(archetype.mean_trip_gap_days, rel=0.15)
    assert 0.35 < np.std(population.trip_gaps) / np.mean(population.trip_gaps) < 0.8


def test_category_shares_are_the_weights_of_the_archetype(archetype_id: str, population: Population) -> None:
    archetype = our_archetypes().get(archetype_id)
    assert archetype is not None
    assert set(population.categories) == set(archetype.category_weights)
    for category, weight in archetype.category_weights.items():
        assert population.categories[category] / population.categories.total() == pytest.approx(weight, abs=0.03)


def test_basket_sizes_are_those_of_the_archetype(archetype_id: str, population: Population) -> None:
    archetype = our_archetypes().get(archetype_id)
    assert archetype is not None
    assert np.mean(population.basket_items) == pytest.approx(archetype.mean_basket_items, rel=0.15)
    assert np.quantile(population.basket_items, 0.9) > 2 * np.quantile(population.basket_items, 0.1)


def test_promotions_have_the_frequency_of_the_archetype_and_realistic_depth(
    archetype_id: str, population: Population
) -> None:
    archetype = our_archetypes().get(archetype_id)
    assert archetype is not None
    ratios = np.array(population.saving_ratios)
    assert np.mean(ratios > 0) == pytest.approx(archetype.promotion_ratio, abs=0.05)
    # 84.51° Complete Journey, 2017: quartiles of the depth of promotions.
    assert np.quantile(ratios[ratios > 0], [0.25, 0.5, 0.75]) == pytest.approx([0.16, 0.25, 0.37], rel=0.2)


def test_quantities_above_one_are_as_rare_as_the_archetype_says(archetype_id: str, population: Population) -> None:
    archetype = our_archetypes().get(archetype_id)
    assert archetype is not None
    more = np.mean(np.array(population.quantities) > 1)
    assert more == pytest.approx(archetype.multiple_units_ratio, abs=0.04)


def test_weekends_are_busier_than_midweek(population: Population) -> None:
    trips_by_weekday = np.bincount(population.weekdays, minlength=7)
    assert trips_by_weekday.min() > 0
    assert trips_by_weekday[5:].mean() > trips_by_weekday[1:4].mean()


def test_some_items_recur_and_others_come_and_go(population: Population) -> None:
    assert 0.3 < np.mean(population.repeat_ratios) < 0.9
