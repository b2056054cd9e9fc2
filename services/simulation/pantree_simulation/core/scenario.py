"""The input of a simulation."""

from datetime import date
from typing import NamedTuple

from pantree_domain.months import add_months
from pantree_simulation.core.archetypes import Archetype


class FirstItem(NamedTuple):
    """An item of the household's first purchase."""

    name: str
    price: float
    """Shelf price of one unit."""
    quantity: int
    """Units, at least 1."""
    category: str
    """The retailer's category; empty to derive it from the name."""


class Scenario(NamedTuple):
    """The household to simulate, and for how long."""

    household_id: str
    archetype: Archetype
    items: tuple[FirstItem, ...]
    """The first purchase; names are distinct."""
    start: date
    """Day of the first purchase."""
    month_count: int
    """Months to simulate, at least 1."""
    seed: int

    def month_start(self, month: int) -> date:
        """First day of a month, counted from 0. That of `month_count` is the first day after the simulation."""
        return add_months(self.start, month)
