"""Whether simulated households keep to the figures of their archetype."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

import numpy as np
from numpy.typing import NDArray

from pantree_domain.catalog import CATEGORIES, load_catalog
from pantree_research.realism.simulated import our_archetypes
from pantree_research.realism.statistics import Floats
from pantree_simulation.core.archetypes import Archetype
from pantree_simulation.core.behavior import Behavior
from pantree_simulation.core.population import ArchetypeShare, Population, PopulationSimulator

_RATIO_TOLERANCE = 0.15
_SHARE_TOLERANCE = 0.03
_MONTHS = 6


@dataclass(frozen=True)
class ArchetypeFigures:
    """What households of one archetype did."""

    trip_gaps: NDArray[np.int32]
    """Days between the trips of a household, of all households."""
    mean_basket_items: float
    category_shares: Mapping[str, float]


def figures_of(archetype: Archetype, behavior: Behavior, household_count: int, seed: int = 1) -> ArchetypeFigures:
    """Figures of households of an archetype over half a year."""
    population = Population(0, household_count, [ArchetypeShare(archetype, 1.0)], date(2026, 1, 1), _MONTHS, seed)
    batches = [batch.copy() for batch in PopulationSimulator(load_catalog(), behavior).batches(population)]
    households = np.repeat(np.arange(household_count), np.concatenate([batch.line_counts for batch in batches]))
    days = np.concatenate([batch.lines.days for batch in batches])
    items = np.concatenate([batch.lines.items for batch in batches])
    trip = (np.diff(days, prepend=-1) != 0) | (np.diff(households, prepend=-1) != 0)
    gaps = np.diff(days[trip])[np.diff(households[trip]) == 0]
    categories = np.array([CATEGORIES.index(category) for category in batches[0].assortment.item_categories])
    counts = np.bincount(categories[items], minlength=len(CATEGORIES))
    return ArchetypeFigures(
        trip_gaps=gaps,
        mean_basket_items=len(days) / int(trip.sum()),
        category_shares=dict(zip(CATEGORIES, (counts / counts.sum()).tolist(), strict=True)),
    )


def archetype_deviations(
    behavior: Behavior, household_count: int, seed: int = 1, shift: float = 0.0
) -> dict[str, Floats]:
    """How far each archetype is off in trip gap, basket and category shares, in tolerances: 1 is just within.

    Args:
        behavior: how shoppers behave.
        household_count: how many households of each archetype to simulate.
        seed: of the populations.
        shift: with one, the median trip gap is held with a margin: so many more or fewer gaps may be shorter. A median
            of whole days jumps by a day.
    """
    deviations = {}
    for archetype in our_archetypes():
        figures = figures_of(archetype, behavior, household_count, seed)
        ratios = np.array(
            [
                figures.trip_gaps.mean() / archetype.mean_trip_gap_days,
                *(np.quantile(figures.trip_gaps, [0.5 - shift, 0.5 + shift]) / archetype.mean_trip_gap_days),
                figures.mean_basket_items / archetype.mean_basket_items,
            ]
        )
        weights = archetype.category_weights
        off = [figures.category_shares[category] - weights.get(category, 0) for category in CATEGORIES]
        deviations[archetype.id] = np.concatenate(
            [np.abs(ratios - 1) / _RATIO_TOLERANCE, np.abs(off) / _SHARE_TOLERANCE]
        )
    return deviations
