"""Simulates whole populations in batches, in constant memory."""

import functools
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
from pantree_simulation.core.model import archetype_arrays, build_model, new_household, new_lines, new_workspace
from pantree_simulation.core.pricing import Pricing
from pantree_simulation.core.records import ArchetypeArrays, Integers, KernelState, Lines, slice_lines
from pantree_simulation.core.streams import household_keys

# Enough to make the cost per batch negligible, few enough for one message.
BATCH_LINES = 65_536
_FIRST_HOUSEHOLDS = 16
_FILL_RATIO = 0.95
_MAX_HOUSEHOLDS = 4_096


@dataclass(frozen=True)
class ArchetypeShare:
    """The share of a population's households that have one archetype."""

    archetype: Archetype
    share: float
    """0 to 1; the shares of a population sum to 1."""


@dataclass(frozen=True)
class Population:
    """The households to simulate, and for how long."""

    first_household: int
    """Number of the first household. A household's id is its number in decimal digits."""
    household_count: int
    mix: Sequence[ArchetypeShare]
    start: date
    month_count: int
    seed: int


@dataclass(frozen=True, eq=False)
class PopulationBatch:
    """`n` lines of `h` consecutive households; at most `BATCH_LINES` unless there is only one household."""

    first_household: int
    line_counts: Integers
    """[h], lines of each household."""
    archetype_indices: Integers
    """[h], position of each household's archetype in the population's mix."""
    lines: Lines
    """[n] each; household by household, each in the order of its trips."""
    assortment: NamedAssortment

    def copy(self) -> "PopulationBatch":
        """A copy with its own arrays. The arrays of a yielded batch are reused for the next one."""
        return replace(
            self,
            line_counts=self.line_counts.copy(),
            archetype_indices=self.archetype_indices.copy(),
            lines=Lines._make(column.copy() for column in self.lines),
        )


class PopulationSimulator:
    """Simulates populations that buy items of a catalog."""

    def __init__(self, catalog: Catalog, behavior: Behavior) -> None:
        self._behavior = behavior
        self._model = build_model(behavior)
        self._assortment = catalog_assortment(catalog, behavior)
        # A large population is simulated in parts, which have the seed and the mix in common.
        self._pricing = functools.lru_cache(maxsize=4)(self._new_pricing)
        self._archetype_arrays = functools.lru_cache(maxsize=64)(self._new_archetype_arrays)

    def batches(self, population: Population) -> Iterator[PopulationBatch]:
        """The households in order. Each batch is computed when it is requested, and is valid until the next one is.

        A household's purchases depend on the seed, its id and the mix, not on the other households.
        """
        assortment, model = self._assortment, self._model
        from_day = day_number(population.start)
        until_day = day_number(add_months(population.start, population.month_count))
        calendar = self._pricing(population.seed).calendar(from_day, until_day)
        archetypes = self._archetype_arrays(tuple(population.mix))
        arrays = assortment.arrays._replace(needs=assortment.arrays.needs.copy())
        work = new_workspace(until_day - from_day, arrays, len(self._behavior.trips.kinds), len(assortment.categories))
        state = KernelState(arrays, archetypes, model, new_household(), work)
        capacity = BATCH_LINES
        # All batches share these arrays, because allocating new memory costs as much as writing to it.
        lines = new_lines(capacity)
        line_counts, indices = np.zeros(_MAX_HOUSEHOLDS, np.int32), np.zeros(_MAX_HOUSEHOLDS, np.int32)
        household, end = population.first_household, population.first_household + population.household_count
        wanted = _FIRST_HOUSEHOLDS
        while household < end:
            numbers = range(household, min(household + wanted, end))
            keys = household_keys(population.seed, numbers)
            if len(lines.days) != capacity:
                lines = new_lines(capacity)
            done = simulate(keys, until_day, calendar, state, lines, line_counts, indices)
            if not done:  # a single household has more lines than fit
                capacity, wanted = 2 * capacity, 1
                continue
            count = int(line_counts[:done].sum())
            yield PopulationBatch(
                first_household=household,
                line_counts=line_counts[:done],
                archetype_indices=indices[:done],
                lines=slice_lines(lines, 0, count),
                assortment=assortment,
            )
            household, capacity = household + done, BATCH_LINES
            # An estimate, from this batch, of how many households will just fit.
            wanted = min(max(int(_FILL_RATIO * capacity * done / max(count, 1)), 1), _MAX_HOUSEHOLDS)

    def _new_pricing(self, seed: int) -> Pricing:
        return Pricing(seed, self._assortment, self._behavior)

    def _new_archetype_arrays(self, mix: tuple[ArchetypeShare, ...]) -> ArchetypeArrays:
        return archetype_arrays(
            [part.archetype for part in mix],
            [part.share for part in mix],
            self._behavior.trips,
            self._model,
            self._assortment.categories,
            self._assortment.choices,
        )
