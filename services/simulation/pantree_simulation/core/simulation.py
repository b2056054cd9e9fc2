"""Simulates a household month by month, each month only when it is asked for."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from fractions import Fraction

import numpy as np

from pantree_domain.catalog import Catalog
from pantree_domain.days import day_number
from pantree_domain.limits import MAX_QUANTITY
from pantree_domain.money import exact, floor_to_cent
from pantree_domain.purchases import PurchaseHistory
from pantree_simulation.core.assortment import HouseholdItem, draw_assortment, draw_household
from pantree_simulation.core.scenario import Scenario
from pantree_simulation.core.streams import Purpose, random_stream
from pantree_simulation.core.trips import trip_days

# How many more units than usual, when there are more: 84.51° Complete Journey, 2017.
_EXTRA_UNITS = (1, 2, 3)
_EXTRA_UNIT_SHARES = (0.72, 0.14, 0.14)

# Depth of promotions: a beta distribution with about the quantiles of 84.51° Complete Journey, 2017, where 5 % and more
# counts as a promotion (10, 25, 50, 75, 90 %: .10 .16 .25 .37 .47).
_PROMOTION_SHAPE = (2.2, 5.8)
_LEAST_PROMOTION_RATIO = 0.05


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
    purchases: PurchaseHistory
    """Lines by day; the dictionary holds only items bought in this month."""


@dataclass(frozen=True)
class _Line:
    day: int
    item: HouseholdItem
    quantity: int
    saving: float


def simulate(scenario: Scenario, catalog: Catalog) -> Iterator[SimulatedMonth]:
    """The months of a scenario in order. Each is made when it is asked for; who stops asking stops the work.

    The first basket is the first purchase as given. A scenario with more months begins with the months of one with
    fewer.

    Args:
        scenario: whom to simulate, and for how long.
        catalog: where other items come from, and the categories of items that have none.
    """
    household = draw_household(scenario)
    stocks = [
        _Stock(item, scenario, household.mean_trip_gap_days) for item in draw_assortment(scenario, household, catalog)
    ]
    trips = trip_days(
        day_number(scenario.start),
        household.mean_trip_gap_days,
        random_stream(scenario.seed, scenario.household_id, Purpose.TRIPS),
    )
    first_trip = next(trips)
    first_stocks, other_stocks = stocks[: len(scenario.items)], stocks[len(scenario.items) :]
    lines = [stock.buy_first(first_trip) for stock in first_stocks]
    for stock in other_stocks:
        stock.join(first_trip)
    trip = next(trips)
    for month in range(scenario.month_count):
        start, next_start = scenario.month_start(month), scenario.month_start(month + 1)
        while trip < day_number(next_start):
            lines += [stock.buy(trip) for stock in stocks if stock.needed_on <= trip]
            trip = next(trips)
        yield SimulatedMonth(
            number=month + 1,
            count=scenario.month_count,
            start=start,
            end=next_start - timedelta(days=1),
            purchases=_history(lines),
        )
        lines = []


class _Stock:
    """A household's stock of one item: it runs out some time after each purchase, and is filled up on the next trip."""

    def __init__(self, item: HouseholdItem, scenario: Scenario, mean_trip_gap_days: float) -> None:
        self.needed_on = 0.0
        """When it runs out, days since 1970-01-01."""
        self._item = item
        self._exact_price = exact(item.price)
        self._archetype = scenario.archetype
        self._stream = random_stream(scenario.seed, scenario.household_id, Purpose.PURCHASES, item.name)
        self._shape = item.need_variation**-2
        self._scale = item.mean_need_days(mean_trip_gap_days) / self._shape

    def buy_first(self, day: int) -> _Line:
        """The line of the first purchase, as given, without a saving."""
        self.needed_on = day + self._stream.gamma(self._shape, self._scale)
        return _Line(day, self._item, self._item.usual_quantity, 0.0)

    def join(self, day: int) -> None:
        """Lets the household have bought the item at some time before."""
        # Time left of a gamma-distributed interval that is under way: a uniform share of a length-biased one.
        self.needed_on = day + self._stream.random() * self._stream.gamma(self._shape + 1, self._scale)

    def buy(self, day: int) -> _Line:
        """A line of a receipt."""
        self.needed_on = day + self._stream.gamma(self._shape, self._scale)
        quantity = self._item.usual_quantity
        if self._stream.random() < self._archetype.multiple_units_ratio:
            quantity += int(self._stream.choice(_EXTRA_UNITS, p=_EXTRA_UNIT_SHARES))
        quantity = min(quantity, MAX_QUANTITY)
        saving = 0.0
        if self._stream.random() < self._archetype.promotion_ratio:
            depth = max(self._stream.beta(*_PROMOTION_SHAPE), _LEAST_PROMOTION_RATIO)
            saving = floor_to_cent(self._exact_price * quantity * Fraction(depth))
        return _Line(day, self._item, quantity, saving)


def _history(lines: list[_Line]) -> PurchaseHistory:
    positions = {name: at for at, name in enumerate(dict.fromkeys(line.item.name for line in lines))}
    categories = {line.item.name: line.item.category for line in lines}
    return PurchaseHistory(
        item_names=tuple(positions),
        item_categories=tuple(categories[name] for name in positions),
        item_indices=np.array([positions[line.item.name] for line in lines], dtype=np.int32),
        days=np.array([line.day for line in lines], dtype=np.int32),
        quantities=np.array([line.quantity for line in lines], dtype=np.int32),
        prices=np.array([line.item.price for line in lines], dtype=np.float64),
        savings=np.array([line.saving for line in lines], dtype=np.float64),
    )
