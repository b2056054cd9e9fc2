"""Scenarios for the simulation tests."""

from datetime import date
from importlib import resources

from hypothesis import strategies as st

from pantree_domain.catalog import load_catalog
from pantree_domain.limits import MAX_PRICE, MAX_QUANTITY
from pantree_simulation.core.archetypes import Archetypes, parse_archetypes
from pantree_simulation.core.behavior import parse_behavior
from pantree_simulation.core.population import PopulationSimulator
from pantree_simulation.core.scenario import FirstItem, Scenario
from pantree_simulation.core.simulation import SimulatedMonth, Simulator

BANANAS = FirstItem("Bananas", 1.99, 1, "")
CHICKEN = FirstItem("Chicken Breast", 12.99, 1, "")


def _own_file(name: str) -> str:
    return (resources.files("pantree_simulation") / name).read_text("utf-8")


OUR_BEHAVIOR = parse_behavior(_own_file("behavior.toml"))
SIMULATOR = Simulator(load_catalog(), OUR_BEHAVIOR)
POPULATION_SIMULATOR = PopulationSimulator(load_catalog(), OUR_BEHAVIOR)


def our_archetypes() -> Archetypes:
    return parse_archetypes(_own_file("archetypes.toml"))


def a_scenario(
    *,
    household_id: str = "household",
    archetype: str = "",
    items: tuple[FirstItem, ...] = (BANANAS, CHICKEN),
    start: date = date(2026, 1, 15),
    month_count: int = 6,
    seed: int = 0,
) -> Scenario:
    found = our_archetypes().get(archetype)
    assert found is not None
    return Scenario(household_id, found, items, start, month_count, seed)


def months_of(scenario: Scenario) -> list[SimulatedMonth]:
    return list(SIMULATOR.months(scenario))


# A line as (day, name, category, quantity, price, saving).
Line = tuple[int, str, str, int, float, float]


def lines_of(month: SimulatedMonth) -> list[Line]:
    purchases = month.purchases
    return [
        (
            purchases.days[at],
            purchases.item_names[item],
            purchases.item_categories[item],
            purchases.quantities[at],
            purchases.prices[at],
            purchases.savings[at],
        )
        for at, item in enumerate(purchases.item_indices)
    ]


def all_lines_of(scenario: Scenario) -> list[Line]:
    return [line for month in months_of(scenario) for line in lines_of(month)]


_names = st.one_of(
    st.sampled_from([item.name for item in load_catalog().items]),
    st.text("abcdefgh -'é", min_size=1, max_size=20).filter(str.strip),
)
_first_items = st.builds(
    FirstItem,
    name=_names,
    price=st.one_of(st.integers(0, 10_000).map(lambda cents: cents / 100), st.floats(0, MAX_PRICE)),
    quantity=st.one_of(st.integers(1, 5), st.integers(1, MAX_QUANTITY)),
    category=st.sampled_from(["", "", "produce", "baby", "Obst und Gemüse"]),
)


def scenarios(max_months: int = 4) -> st.SearchStrategy[Scenario]:
    return st.builds(
        a_scenario,
        household_id=st.text(max_size=10),
        archetype=st.sampled_from(our_archetypes().ids),
        items=st.lists(_first_items, min_size=1, max_size=8, unique_by=lambda item: item.name.strip().casefold()).map(
            tuple
        ),
        start=st.dates(date(1970, 1, 1), date(2190, 12, 31)),
        month_count=st.integers(1, max_months),
        seed=st.integers(0, 2**32 - 1),
    )
