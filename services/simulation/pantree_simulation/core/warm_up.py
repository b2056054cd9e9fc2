"""Compiles the kernel, or loads it from the cache, so that no caller waits for it."""

from datetime import date

from pantree_simulation.core.archetypes import Archetypes
from pantree_simulation.core.population import ArchetypeShare, Population, PopulationSimulator
from pantree_simulation.core.scenario import FirstItem, Scenario
from pantree_simulation.core.simulation import Simulator


def warm_up(simulator: Simulator, population_simulator: PopulationSimulator, archetypes: Archetypes) -> None:
    """Simulates a household and a population for a month."""
    archetype = archetypes.all[0]
    start = date(2026, 1, 1)
    list(simulator.months(Scenario("", archetype, (FirstItem("Milk", 4.99, 1, ""),), start, month_count=1, seed=0)))
    list(population_simulator.batches(Population(0, 1, [ArchetypeShare(archetype, 1.0)], start, month_count=1, seed=0)))
