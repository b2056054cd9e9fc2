"""What the simulation service knows: how often shoppers go shopping, and how often they need what."""

from pantree_simulation.core.archetypes import Archetype, ArchetypePage, Archetypes, parse_archetypes
from pantree_simulation.core.scenario import FirstItem, Scenario
from pantree_simulation.core.simulation import SimulatedMonth, simulate

__all__ = [
    "Archetype",
    "ArchetypePage",
    "Archetypes",
    "FirstItem",
    "Scenario",
    "SimulatedMonth",
    "parse_archetypes",
    "simulate",
]
