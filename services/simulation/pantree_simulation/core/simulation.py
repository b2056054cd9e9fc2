"""Simulates a household month by month, each month only when it is asked for."""

import functools
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta

from pantree_domain.catalog import Catalog
from pantree_domain.days import day_number
from pantree_domain.purchases import PurchaseLines
from pantree_simulation.core.archetypes import Archetype
from pantree_simulation.core.assortment import CatalogArrays, NamedAssortment, assortment_after
from pantree_simulation.core.behavior import Behavior
from pantree_simulation.core.kernel import SETTLED, live, write_lines
from pantree_simulation.core.model import archetypes_of, model_of, new_household, new_lines, new_workspace
from pantree_simulation.core.records import Archetypes, Lines, Workspace
from pantree_simulation.core.scenario import Scenario
from pantree_simulation.core.shop import Shop
from pantree_simulation.core.streams import household_key

_LONGEST_MONTH_DAYS = 31


@dataclass(frozen=True)
class SimulatedMonth:
    """What a household buys in one month of a simulation."""

    number: int
    """Counted from 1."""
    count: int
    """Months of the whole simulation."""
    start: date
    """First day, inclusive."""
    end: date
    """Last day, inclusive."""
    purchases: PurchaseLines
    """Lines by day; the dictionary holds only items bought in this month."""


class Simulator:
    """Simulates single households from their first purchase.

    Args:
        catalog: where other items come from, and the categories of items that have none.
        behavior: how shoppers behave.
    """

    def __init__(self, catalog: Catalog, behavior: Behavior) -> None:
        self._catalog = CatalogArrays(catalog, behavior.prices.levels)
        self._behavior = behavior
        self._model = model_of(behavior)
        # Of the month that was made last, if nobody uses it.
        self._rooms: deque[tuple[Workspace, Lines]] = deque(maxlen=1)
        # Most households have no categories but the catalog's.
        self._archetypes_of = functools.lru_cache(maxsize=1024)(self._made_archetypes)

    def months(self, scenario: Scenario) -> Iterator[SimulatedMonth]:
        """The months of a scenario in order. Each is made when it is asked for; who stops asking stops the work.

        The first basket is the first purchase as given. A scenario with more months begins with the months of one with
        fewer.

        Args:
            scenario: whom to simulate, and for how long.
        """
        behavior, model = self._behavior, self._model
        assortment = assortment_after(scenario.items, self._catalog, behavior.needs.complement_preference)
        shop = Shop(scenario.seed, assortment.item_names, behavior)
        arrays = assortment.arrays
        key = household_key(scenario.seed, scenario.household_id)
        archetypes = self._archetypes_of(
            scenario.archetype, assortment.categories, tuple(assortment.added_weights.items())
        )
        household = new_household()
        first_items = range(len(scenario.items))
        for month in range(scenario.month_count):
            start, next_start = scenario.month_start(month), scenario.month_start(month + 1)
            from_day, until_day = day_number(start), day_number(next_start)
            archetype = 0 if month == 0 else SETTLED
            work, lines = room = self._room_for(assortment)
            count = live(key, archetype, from_day, until_day, arrays, archetypes, model, household, work)
            bought = set(work.events["item"][:count].tolist())
            calendar = shop.calendar(from_day, until_day, bought.union(first_items))
            if month == 0:
                arrays.items["first_drift"][: len(first_items)] = calendar.drifts[: len(first_items), 0]
            write_lines(count, calendar, arrays, household, work, lines)
            purchases = _lines_with_names(lines, count, assortment)
            self._rooms.append(room)
            yield SimulatedMonth(
                number=month + 1,
                count=scenario.month_count,
                start=start,
                end=next_start - timedelta(days=1),
                purchases=purchases,
            )

    def _room_for(self, assortment: NamedAssortment) -> tuple[Workspace, Lines]:
        """Room for a household's month: fresh memory would cost more than what is written into it."""
        need_count, category_count = len(assortment.arrays.needs), len(assortment.categories)
        try:
            work, lines = self._rooms.pop()
        except IndexError:
            pass
        else:
            if (len(work.staples), work.sums.shape[1]) == (need_count, category_count):
                return work, lines
        work = new_workspace(_LONGEST_MONTH_DAYS, assortment.arrays, self._behavior, category_count)
        return work, new_lines(_LONGEST_MONTH_DAYS * need_count)

    def _made_archetypes(
        self, archetype: Archetype, categories: tuple[str, ...], added_weights: tuple[tuple[str, float], ...]
    ) -> Archetypes:
        return archetypes_of([archetype], [1.0], self._behavior.trips, self._model, categories, dict(added_weights))


def _lines_with_names(lines: Lines, count: int, assortment: NamedAssortment) -> PurchaseLines:
    """The first lines, with a dictionary of the items in the order in which they are bought."""
    items = lines.items[:count].tolist()
    positions = {item: at for at, item in enumerate(dict.fromkeys(items))}
    return PurchaseLines(
        item_names=assortment.item_names.at(positions),
        item_categories=assortment.item_categories.at(positions),
        item_indices=[positions[item] for item in items],
        days=lines.days[:count].tolist(),
        quantities=lines.quantities[:count].tolist(),
        prices=lines.prices[:count].tolist(),
        savings=lines.savings[:count].tolist(),
    )
