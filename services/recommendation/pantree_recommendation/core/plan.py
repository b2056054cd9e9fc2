"""What a plan is made of: items with their options, a household's constraints, a retailer's policy, and the result."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from pantree_domain.cadence import LADDER
from pantree_recommendation.core.candidate import PaidPrice
from pantree_recommendation.core.discount import DEFAULT_TIERS, DiscountTiers

CALENDAR_DAYS = 84
MONTH_DAYS = 28

SLOT_DAYS = math.gcd(*(step.interval_days for step in LADDER))
"""Days in a slot: all intervals of the ladder are multiples of it."""


@dataclass(frozen=True)
class PlanCosts:
    """What a household would pay to avoid inconveniences, as shares of the value of the goods."""

    early_ratio: float = 0.05
    """Of a delivery that is early by a whole interval."""
    late_ratio: float = 0.15
    """Of a delivery that is late by a whole interval."""
    regular_factor: float = 2.0
    """How much more both cost for items with a rhythm of their own."""
    stockout_ratio: float = 0.3
    """Of an option that always runs out, compared with one that never does."""
    overstock_ratio: float = 0.1
    """Of an option whose deliveries are all early, compared with one that has none."""
    other_interval_ratio: float = 0.02
    """Of twice or half the best interval."""
    other_interval_ratio_of_regular: float = 0.1
    """The same for items with a rhythm of their own: who buys coffee every week wants it every week, not half as many
    boxes; the discount of a larger box may still be worth it."""
    shop_ratio: float = 1.0
    """Of buying goods in the shop instead."""
    box_ratio: float = 0.15
    """Of a box, as a share of the median value of a delivery of one item."""


DEFAULT_PLAN_COSTS = PlanCosts()


class PlanOption(NamedTuple):
    """A way to deliver an item."""

    interval_days: int
    """A multiple of `SLOT_DAYS`."""
    quantity: int
    """Units of a delivery."""
    supply_ratio: float = 1.0
    """Units delivered over units used."""
    stockout_probability: float = 0.0
    overstock_ratio: float = 0.0
    units_on_hand: float = 0.0
    """Units at home on average; 0 when unknown."""


class PlanItem(NamedTuple):
    """An item that can be in a plan."""

    name: str
    options: tuple[PlanOption, ...]
    """Best first; at least one."""
    best_first_day: int
    """Best day of the first delivery, in days after the as-of date."""
    unit_price: float
    """Shelf price; 0 when unknown."""
    paid: PaidPrice | None = None
    """What the household paid for a unit; None when unknown."""
    discounted: bool = True
    """Whether it gets discounts and counts toward them."""
    regular: bool = False
    """Whether it has a rhythm of its own."""
    last_day: int | None = None
    """Last possible day of a delivery; None for all year."""


@dataclass(frozen=True)
class PlanConstraints:
    """What a household demands of its plan."""

    weekdays: frozenset[int] = frozenset()
    """Days of the week with deliveries, 1 (Monday) to 7; empty for all."""
    max_boxes: int | None = None
    """In any 28 days in a row."""
    budget: float | None = None
    """Of any 28 days in a row."""
    required: frozenset[str] = frozenset()
    excluded: frozenset[str] = frozenset()
    min_annual_savings: float | None = None
    notice_days: int = 0
    max_unit_prices: Mapping[str, float] = field(default_factory=dict)
    """By name of the item."""


NO_CONSTRAINTS = PlanConstraints()


@dataclass(frozen=True)
class PlanPolicy:
    """What the retailer demands of plans."""

    tiers: DiscountTiers = DEFAULT_TIERS
    max_more_expensive_ratio: float = 0.1
    """Items that cost more than this share above what was paid are left out, unless they are required."""
    promotional_prices: bool = False
    """Whether discounts are taken off the price of the day, promotions included, instead of the shelf price."""
    costs: PlanCosts = DEFAULT_PLAN_COSTS

    def charged_unit_price(self, item: PlanItem) -> float:
        """The price of a unit before the discount.

        With promotional prices, the expected one on a day that the household did not choose: half of what its own
        choice of days saves.
        """
        if not self.promotional_prices or item.paid is None:
            return item.unit_price
        return min(item.unit_price, (item.unit_price + item.paid.mean) / 2)


class LeftOutCode(StrEnum):
    """Why an item is not in a plan."""

    EXCLUDED_BY_HOUSEHOLD = "EXCLUDED_BY_HOUSEHOLD"
    MORE_EXPENSIVE = "MORE_EXPENSIVE"
    ABOVE_PRICE_LIMIT = "ABOVE_PRICE_LIMIT"
    OVER_BUDGET = "OVER_BUDGET"
    TOO_MANY_BOXES = "TOO_MANY_BOXES"
    SAVES_TOO_LITTLE = "SAVES_TOO_LITTLE"
    NO_DELIVERY_DAY = "NO_DELIVERY_DAY"
    NOT_WORTH_A_BOX = "NOT_WORTH_A_BOX"


class PlannedItem(NamedTuple):
    """An item with its deliveries of a year."""

    item: PlanItem
    option: PlanOption
    days: tuple[int, ...]
    """Days of its deliveries within a year, after the as-of date; at least the first one."""
    discount_ratios: tuple[float, ...]
    """Parallel to the days."""

    @property
    def mean_discount_ratio(self) -> float:
        """Over its deliveries, rounded down to four decimals, so that no price is understated."""
        mean = math.fsum(self.discount_ratios) / len(self.discount_ratios)
        return math.floor(mean * 10_000 + 1e-6) / 10_000


class Binding(NamedTuple):
    """A constraint that cannot be met."""

    constraint: str
    """Name of its field in the contract."""
    fitting_value: float | None = None
    """Nearest value that can be met."""
    items: tuple[str, ...] = ()
    """The items concerned."""


@dataclass(frozen=True)
class PlannedDeliveries:
    """A plan."""

    items: tuple[PlannedItem, ...]
    """In the order of the request."""
    left_out: Mapping[str, LeftOutCode]
    """By name."""
    objective: float
    bindings: tuple[Binding, ...] = ()
    """Constraints that cannot be met; then the plan is empty."""
