"""Simulates whole populations in batches, in constant memory."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date

import numpy as np

from pantree_domain.catalog import Catalog
from pantree_domain.days import day_number
from pantree_domain.months import add_months
from pantree_simulation.core.archetypes import Archetype
from pantree_simulation.core.assortment import NamedAssortment, catalog_assortment
from pantree_simulation.core.behavior import Behavior
from pantree_simulation.core.kernel import simulate
from pantree_simulation.core.model import archetypes_of, model_of, new_household, new_lines, new_workspace
from pantree_simulation.core.records import Integers, Lines, part_of
from pantree_simulation.core.shop import Shop
from pantree_simulation.core.streams import household_keys

# A batch has room for this many lines: enough that the work for a batch does not count, few enough for one message.
BATCH_LINES = 65_536
_FIRST_HOUSEHOLDS = 16
_FILL_RATIO = 0.95
_MOST_HOUSEHOLDS = 4_096


@dataclass(frozen=True)
class ArchetypeShare:
    """How many of a population's households are of an archetype."""

    archetype: Archetype
    share: float
    """0 to 1; those of a population sum to 1."""


@dataclass(frozen=True)
class Population:
    """Whom to simulate, and for how long."""

    first_household: int
    """Number of the first household; its id is the number in digits."""
    household_count: int
    mix: Sequence[ArchetypeShare]
    start: date
    month_count: int
    seed: int


@dataclass(frozen=True, eq=False)
class PopulationBatch:
    """Purchases of `h` households that follow each other, `n` lines.

    `n` is at most `BATCH_LINES`, unless there is only one household.
    """

    first_household: int
    line_counts: Integers
    """[h], lines of each household."""
    archetype_indices: Integers
    """[h], position of each household's archetype in the population's mix."""
    lines: Lines
    """[n] each; household by household, each in the order of its trips."""
    assortment: NamedAssortment

    def copy(self) -> "PopulationBatch":
        """A batch with arrays of its own; those of a batch that was just yielded are reused for the next one."""
        return replace(
            self,
            line_counts=self.line_counts.copy(),
            archetype_indices=self.archetype_indices.copy(),
            lines=Lines._make(column.copy() for column in self.lines),
        )


class PopulationSimulator:
    """Simulates populations.

    Args:
        catalog: what there is to be bought.
        behavior: how shoppers behave.
    """

    def __init__(self, catalog: Catalog, behavior: Behavior) -> None:
        self._behavior = behavior
        self._model = model_of(behavior)
        self._assortment = catalog_assortment(catalog, behavior.prices.levels)

    def batches(self, population: Population) -> Iterator[PopulationBatch]:
        """The households in order. Each batch is made when it is asked for, and holds until the next one is.

        A household's purchases depend on the seed, its id and the mix, not on which households are asked for with it.
        """
        assortment, model = self._assortment, self._model
        from_day = day_number(population.start)
        until_day = day_number(add_months(population.start, population.month_count))
        calendar = Shop(population.seed, assortment.item_names, self._behavior).calendar(from_day, until_day)
        archetypes = archetypes_of(
            [part.archetype for part in population.mix],
            [part.share for part in population.mix],
            self._behavior.trips,
            model,
            assortment.categories,
        )
        household_record = new_household()
        arrays = assortment.arrays._replace(needs=assortment.arrays.needs.copy())
        work = new_workspace(until_day - from_day, arrays, self._behavior, len(assortment.categories))
        room = BATCH_LINES
        # The same arrays for all batches: fresh memory costs as much as what is written into it.
        lines = new_lines(room)
        line_counts, indices = np.zeros(_MOST_HOUSEHOLDS, np.int32), np.zeros(_MOST_HOUSEHOLDS, np.int32)
        household, end = population.first_household, population.first_household + population.household_count
        wanted = _FIRST_HOUSEHOLDS
        while household < end:
            numbers = range(household, min(household + wanted, end))
            keys = household_keys(population.seed, numbers)
            if len(lines.days) != room:
                lines = new_lines(room)
            done = simulate(
                keys,
                until_day,
                calendar,
                arrays,
                archetypes,
                model,
                household_record,
                work,
                lines,
                line_counts,
                indices,
            )
            if not done:  # a single household buys more than has room
                room, wanted = 2 * room, 1
                continue
            count = int(line_counts[:done].sum())
            yield PopulationBatch(
                first_household=household,
                line_counts=line_counts[:done],
                archetype_indices=indices[:done],
                lines=part_of(lines, 0, count),
                assortment=assortment,
            )
            household, room = household + done, BATCH_LINES
            # As many households as will just have room, by the lines of those before.
            wanted = min(max(int(_FILL_RATIO * room * done / max(count, 1)), 1), _MOST_HOUSEHOLDS)
