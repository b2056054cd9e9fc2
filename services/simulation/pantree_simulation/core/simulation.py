"""Simulates a household month by month, each month only when it is requested."""

import functools
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta

from pantree_domain.catalog import Catalog
from pantree_domain.days import day_number
from pantree_domain.purchases import PurchaseLines
from pantree_simulation.core.archetypes import Archetype
from pantree_simulation.core.assortment import CatalogArrays, NamedAssortment, household_assortment
from pantree_simulation.core.behavior import Behavior
from pantree_simulation.core.kernel import EXISTING_HOUSEHOLD, simulate_period, write_lines
from pantree_simulation.core.model import archetype_arrays, build_model, new_household, new_lines, new_workspace
from pantree_simulation.core.pricing import Pricing
from pantree_simulation.core.records import ArchetypeArrays, KernelState, Lines, Workspace
from pantree_simulation.core.scenario import Scenario
from pantree_simulation.core.streams import household_key

_MAX_MONTH_DAYS = 31


@dataclass(frozen=True)
class SimulatedMonth:
    """The purchases of a household in one month of a simulation."""

    number: int
    """Counted from 1."""
    count: int
    """Months of the whole simulation."""
    start: date
    """First day, inclusive."""
    end: date
    """Last day, inclusive."""
    purchases: PurchaseLines
    """Lines by day; the item names are only those bought in this month."""


class Simulator:
    """Simulates single households from their first purchase.

    The catalog provides the other items, and the categories of items that have none.
    """

    def __init__(self, catalog: Catalog, behavior: Behavior) -> None:
        self._catalog = CatalogArrays(catalog, behavior)
        self._behavior = behavior
        self._model = build_model(behavior)
        # Memory of the last month, which is reused unless another month is being computed.
        self._buffers: deque[tuple[Workspace, Lines]] = deque(maxlen=1)
        # Most households have only the catalog's categories.
        self._archetype_arrays = functools.lru_cache(maxsize=1024)(self._new_archetype_arrays)

    def months(self, scenario: Scenario) -> Iterator[SimulatedMonth]:
        """The months of a scenario in order, each computed only when it is requested.

        The first basket is the first purchase as given. A longer scenario begins with the months of a shorter one.
        """
        behavior, model = self._behavior, self._model
        assortment = household_assortment(scenario.items, self._catalog, behavior.needs.complement_preference)
        shop = Pricing(scenario.seed, assortment, behavior)
        arrays = assortment.arrays
        key = household_key(scenario.seed, scenario.household_id)
        archetypes = self._archetype_arrays(
            scenario.archetype, assortment.categories, tuple(assortment.added_weights.items())
        )
        household = new_household()
        first_items = range(len(scenario.items))
        for month in range(scenario.month_count):
            start, next_start = scenario.month_start(month), scenario.month_start(month + 1)
            from_day, until_day = day_number(start), day_number(next_start)
            archetype = 0 if month == 0 else EXISTING_HOUSEHOLD
            work, lines = buffers = self._buffers_for(assortment)
            state = KernelState(arrays, archetypes, model, household, work)
            count = simulate_period(key, archetype, from_day, until_day, state)
            bought = set(work.events["item"][:count].tolist())
            calendar = shop.calendar(from_day, until_day, bought.union(first_items))
            if month == 0:
                arrays.items["first_drift"][: len(first_items)] = calendar.drifts[: len(first_items), 0]
            write_lines(count, calendar, state, lines)
            purchases = _lines_with_names(lines, count, assortment)
            self._buffers.append(buffers)
            yield SimulatedMonth(
                number=month + 1,
                count=scenario.month_count,
                start=start,
                end=next_start - timedelta(days=1),
                purchases=purchases,
            )

    def _buffers_for(self, assortment: NamedAssortment) -> tuple[Workspace, Lines]:
        """Memory for a household's month, reused if possible, because allocating it costs more than writing to it."""
        need_count, category_count = len(assortment.arrays.needs), len(assortment.categories)
        try:
            work, lines = self._buffers.pop()
        except IndexError:
            pass
        else:
            if (len(work.staples), work.sums.shape[1]) == (need_count, category_count):
                return work, lines
        work = new_workspace(_MAX_MONTH_DAYS, assortment.arrays, len(self._behavior.trips.kinds), category_count)
        return work, new_lines(_MAX_MONTH_DAYS * need_count)

    def _new_archetype_arrays(
        self, archetype: Archetype, categories: tuple[str, ...], added_weights: tuple[tuple[str, float], ...]
    ) -> ArchetypeArrays:
        return archetype_arrays(
            [archetype],
            [1.0],
            self._behavior.trips,
            self._model,
            categories,
            self._catalog.choices,
            dict(added_weights),
        )


def _lines_with_names(lines: Lines, count: int, assortment: NamedAssortment) -> PurchaseLines:
    """The first `count` lines, with the names of the items in the order in which they were first bought."""
    items = lines.items[:count].tolist()
    positions = {item: at for at, item in enumerate(dict.fromkeys(items))}
    return PurchaseLines(
        item_names=assortment.item_names.take(positions),
        item_categories=assortment.item_categories.take(positions),
        item_indices=[positions[item] for item in items],
        days=lines.days[:count].tolist(),
        quantities=lines.quantities[:count].tolist(),
        prices=lines.prices[:count].tolist(),
        savings=lines.savings[:count].tolist(),
    )
