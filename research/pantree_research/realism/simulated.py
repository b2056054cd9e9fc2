"""Simulated purchases: a year of a population of all archetypes in equal parts."""

from datetime import date
from importlib import resources

import numpy as np

from pantree_domain.catalog import CATEGORIES, load_catalog
from pantree_research.realism.statistics import Purchases
from pantree_simulation.core.archetypes import Archetype, parse_archetypes
from pantree_simulation.core.behavior import Behavior, parse_behavior
from pantree_simulation.core.choices import Choices
from pantree_simulation.core.population import ArchetypeShare, Population, PopulationSimulator

FIRST_DAY = date(2017, 1, 1)  # as in the real data
MONTHS = 12


def our_behavior() -> Behavior:
    """The behavior that comes with the service."""
    return parse_behavior((resources.files("pantree_simulation") / "behavior.toml").read_text("utf-8"))


def our_archetypes() -> tuple[Archetype, ...]:
    """The archetypes that come with the service."""
    text = (resources.files("pantree_simulation") / "archetypes.toml").read_text("utf-8")
    return parse_archetypes(text).page("", 100).archetypes


def simulated_purchases(behavior: Behavior, household_count: int, seed: int = 1) -> Purchases:
    """A year of a population.

    A kind of the catalog, whose items replace each other, stands for a product type.
    """
    archetypes = our_archetypes()
    mix = [ArchetypeShare(archetype, 1 / len(archetypes)) for archetype in archetypes]
    population = Population(0, household_count, mix, FIRST_DAY, MONTHS, seed)
    batches = [batch.copy() for batch in PopulationSimulator(load_catalog(), behavior).batches(population)]
    choices = Choices(load_catalog(), behavior)
    type_of_item = np.array([choices.kinds[variant.item.kind] for variant in choices.members])
    category_of_item = np.array([CATEGORIES.index(variant.item.category) for variant in choices.members])
    items = np.concatenate([batch.lines.items for batch in batches]).astype(np.int64)
    counts = np.concatenate([batch.line_counts for batch in batches])
    return Purchases(
        households=np.repeat(np.arange(household_count), counts),
        days=np.concatenate([batch.lines.days for batch in batches]).astype(np.int64),
        items=items,
        types=type_of_item[items],
        categories=category_of_item[items],
        quantities=np.concatenate([batch.lines.quantities for batch in batches]).astype(np.int64),
        prices=np.concatenate([batch.lines.prices for batch in batches]),
        savings=np.concatenate([batch.lines.savings for batch in batches]),
    )
