"""The simulation model: how often shoppers go shopping, and how often they need each kind of item."""

from pantree_simulation.core.archetypes import Archetype, ArchetypePage, Archetypes, parse_archetypes
from pantree_simulation.core.behavior import Behavior, parse_behavior
from pantree_simulation.core.population import ArchetypeShare, Population, PopulationBatch, PopulationSimulator
from pantree_simulation.core.scenario import FirstItem, Scenario
from pantree_simulation.core.simulation import SimulatedMonth, Simulator
from pantree_simulation.core.warm_up import warm_up

__all__ = [
    "Archetype",
    "ArchetypePage",
    "ArchetypeShare",
    "Archetypes",
    "Behavior",
    "FirstItem",
    "Population",
    "PopulationBatch",
    "PopulationSimulator",
    "Scenario",
    "SimulatedMonth",
    "Simulator",
    "parse_archetypes",
    "parse_behavior",
    "warm_up",
]
