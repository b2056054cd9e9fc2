"""Populations for the simulation tests."""

from datetime import date

import numpy as np

from pantree_simulation.core.archetypes import Archetype
from pantree_simulation.core.population import ArchetypeShare, Population, PopulationBatch
from pantree_simulation.core.records import Lines
from tests.simulation.scenarios import POPULATION_SIMULATOR, our_archetypes


def equal_parts(archetypes: tuple[Archetype, ...] | None = None) -> tuple[ArchetypeShare, ...]:
    of_all = archetypes or our_archetypes().all
    return tuple(ArchetypeShare(archetype, 1 / len(of_all)) for archetype in of_all)


def a_population(
    *,
    first_household: int = 0,
    household_count: int = 40,
    mix: tuple[ArchetypeShare, ...] | None = None,
    start: date = date(2026, 1, 15),
    month_count: int = 6,
    seed: int = 0,
) -> Population:
    return Population(first_household, household_count, mix or equal_parts(), start, month_count, seed)


def batches_of(population: Population) -> list[PopulationBatch]:
    return [batch.copy() for batch in POPULATION_SIMULATOR.batches(population)]


def all_lines(batches: list[PopulationBatch]) -> Lines:
    return Lines(*(np.concatenate(columns) for columns in zip(*(batch.lines for batch in batches), strict=True)))


def by_household(batches: list[PopulationBatch]) -> dict[int, tuple[tuple[float, ...], ...]]:
    """Lines of each household, as rows."""
    found = {}
    for batch in batches:
        ends = np.cumsum(batch.line_counts)
        for at, (end, count) in enumerate(zip(ends.tolist(), batch.line_counts.tolist(), strict=True)):
            rows = zip(*(column[end - count : end].tolist() for column in batch.lines), strict=True)
            found[batch.first_household + at] = tuple(rows)
    return found
