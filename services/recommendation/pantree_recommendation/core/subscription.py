"""The subscriptions and the calendar of a plan, in money. Amounts are rounded once, and sums add up to a cent."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from pantree_domain.cadence import LADDER, Cadence
from pantree_domain.money import ceil_to_cent, exact, exactly, floor_to_cent, round_to_cent
from pantree_recommendation.core.discount import DiscountTier
from pantree_recommendation.core.offer import Price
from pantree_recommendation.core.plan import (
    CALENDAR_DAYS,
    MONTH_DAYS,
    NO_CONSTRAINTS,
    PlanConstraints,
    PlannedDeliveries,
    PlannedItem,
    PlanPolicy,
)
from pantree_recommendation.core.planner import YEAR_DAYS
from pantree_recommendation.core.savings import annual_cost, annual_savings, savings_vs_paid

# Less than this of what was paid is no difference.
SAME_RATIO = 0.02

_CADENCE_BY_DAYS = {step.interval_days: step for step in LADDER}


class Value(StrEnum):
    """What a subscription is worth, compared with what the household paid."""

    SAVES = "SAVES"
    SAME = "SAME"
    CONVENIENCE = "CONVENIENCE"
    UNKNOWN = ""


# Best first.
VALUE_ORDER: Mapping[Value, int] = {Value.SAVES: 0, Value.SAME: 1, Value.UNKNOWN: 1, Value.CONVENIENCE: 2}


@dataclass(frozen=True)
class Subscription:
    """A subscription of a plan."""

    planned: PlannedItem
    cadence: Cadence
    price: Price
    """At the mean discount of its deliveries."""
    value: Value
    annual_shelf_cost: float
    """At shelf prices, rounded down to a cent."""
    annual_paid: float | None
    """At the prices that the household paid, rounded down to a cent; None when unknown."""
    next_charge: float
    """Price of the first delivery."""
    digits: int
    max_unit_price: float | None = None
    """The household's price limit; None without one."""

    @property
    def annual_savings(self) -> float | None:
        """Compared with what the household paid, at the plan's discount; negative when it costs more."""
        if self.annual_paid is None:
            return None
        return round_to_cent(self.annual_paid - self.price.annual_cost, self.digits)


class DeliveredItem(NamedTuple):
    """An item of a box."""

    name: str
    quantity: int
    price: float
    savings_vs_paid: float | None


@dataclass(frozen=True)
class Delivery:
    """A box."""

    day: int
    """Days after the as-of date."""
    items: tuple[DeliveredItem, ...]
    """By name."""
    discount_ratio: float
    price: float
    savings_vs_paid: float | None
    """None when a paid price is unknown."""


@dataclass(frozen=True)
class Plan:
    """The calendar of a plan, and the amounts of a year."""

    item_count: int
    annual_cost: float
    estimated_annual_savings: float
    """Compared with shelf prices."""
    annual_paid: float | None
    """At the prices that the household paid; None when one is unknown."""
    annual_savings_vs_paid: float | None
    """`annual_paid` less `annual_cost`."""
    best_discount_ratio: float
    """Share of the deliveries of items with a discount that get the largest one, 0 to 1."""
    boxes_per_month: float
    """Mean number of boxes in 28 days."""
    deliveries: tuple[Delivery, ...]
    """Of the calendar, earliest first."""
    objective: float
    max_month_cost: float
    """Of the boxes of the most expensive 28 days in a row, in a year."""
    budget: float | None
    """The household's budget of 28 days; None without one."""


def subscription_of(
    planned: PlannedItem, policy: PlanPolicy, digits: int, constraints: PlanConstraints = NO_CONSTRAINTS
) -> Subscription:
    """The terms of a planned item."""
    item, option = planned.item, planned.option
    cadence = _CADENCE_BY_DAYS[option.interval_days]
    ratio = planned.mean_discount_ratio
    charged = policy.charged_unit_price(item)
    terms = (charged, option.quantity, ratio, cadence, digits)
    comparison = None
    if item.paid is not None and item.discounted:
        comparison = savings_vs_paid(item.paid, item.paid.purchase_count or 1, *terms)
    cost = annual_cost(*terms)
    units = option.quantity * YEAR_DAYS
    with exactly():
        shelf = floor_to_cent(exact(item.unit_price) * units, option.interval_days, digits)
    paid = None
    if not item.discounted:
        paid = cost  # there is nothing to compare
    elif comparison is not None:
        paid = round_to_cent(cost + comparison.expected, digits)
    price = Price(
        tier=DiscountTier(1, ratio),
        annual_cost=cost,
        estimated_annual_savings=annual_savings(item.unit_price, option.quantity, ratio, cadence, digits),
        savings_vs_paid=comparison,
    )
    supported = comparison is not None and comparison.supported
    first_ratio = planned.discount_ratios[0] if item.discounted else 0.0
    return Subscription(
        planned=planned,
        cadence=cadence,
        price=price,
        value=_value_of(cost, paid, supported) if item.unit_price else Value.UNKNOWN,
        annual_shelf_cost=shelf,
        annual_paid=paid if item.unit_price else None,
        next_charge=_charge(planned, policy, first_ratio, digits),
        digits=digits,
        max_unit_price=constraints.max_unit_prices.get(item.name),
    )


def _value_of(cost: float, paid: float | None, supported: bool) -> Value:
    if paid is None:
        return Value.UNKNOWN
    if cost > paid * (1 + SAME_RATIO):
        return Value.CONVENIENCE
    return Value.SAVES if supported and cost < paid * (1 - SAME_RATIO) else Value.SAME


def _charge(planned: PlannedItem, policy: PlanPolicy, discount_ratio: float, digits: int) -> float:
    with exactly():
        price = exact(policy.charged_unit_price(planned.item)) * (1 - exact(discount_ratio))
        return ceil_to_cent(price * planned.option.quantity, 1, digits)


def plan_of(
    subscriptions: Sequence[Subscription],
    deliveries: PlannedDeliveries,
    policy: PlanPolicy,
    digits: int,
    budget: float | None = None,
) -> Plan:
    """The calendar of some subscriptions, and the amounts of a year."""
    costs = sum(one.price.annual_cost for one in subscriptions)
    paid = None
    if all(one.annual_paid is not None for one in subscriptions):
        paid = round_to_cent(sum(one.annual_paid or 0.0 for one in subscriptions), digits)
    cost = round_to_cent(costs, digits)
    savings = sum(max(0.0, one.annual_shelf_cost - one.price.annual_cost) for one in subscriptions)
    # An item has few distinct discounts, and many deliveries.
    charges = [
        {ratio: _charge(one.planned, policy, ratio, digits) for ratio in set(one.planned.discount_ratios)}
        for one in subscriptions
    ]
    largest = policy.tiers.tiers[-1].discount_ratio
    ratios = [ratio for one in subscriptions if one.planned.item.discounted for ratio in one.planned.discount_ratios]
    days = {day for one in subscriptions for day in one.planned.days if day <= YEAR_DAYS}
    return Plan(
        item_count=len(subscriptions),
        annual_cost=cost,
        estimated_annual_savings=round_to_cent(savings, digits),
        annual_paid=paid,
        annual_savings_vs_paid=None if paid is None else round_to_cent(paid - cost, digits),
        best_discount_ratio=sum(ratio >= largest for ratio in ratios) / len(ratios) if ratios else 0.0,
        boxes_per_month=round(len(days) * MONTH_DAYS / YEAR_DAYS, 2),
        deliveries=_calendar(subscriptions, charges, digits),
        objective=round(float(deliveries.objective), 4),
        max_month_cost=_max_month_cost(subscriptions, charges, digits),
        budget=budget,
    )


def _max_month_cost(
    subscriptions: Sequence[Subscription], charges: Sequence[Mapping[float, float]], digits: int
) -> float:
    """Price of the most expensive 28 days, from the price of a delivery of each subscription by discount."""
    costs: defaultdict[int, float] = defaultdict(float)
    for one, charge in zip(subscriptions, charges, strict=True):
        for day, ratio in zip(one.planned.days, one.planned.discount_ratios, strict=True):
            costs[day] += charge[ratio]
    days = sorted(costs)
    highest, first, month = 0.0, 0, 0.0
    for day in days:
        month += costs[day]
        while days[first] <= day - MONTH_DAYS:
            month -= costs[days[first]]
            first += 1
        highest = max(highest, month)
    return round_to_cent(highest, digits)


def _calendar(
    subscriptions: Sequence[Subscription], charges: Sequence[Mapping[float, float]], digits: int
) -> tuple[Delivery, ...]:
    """The boxes, from the price of a delivery of each subscription by discount."""
    by_day: defaultdict[int, list[DeliveredItem]] = defaultdict(list)
    ratio_of: dict[int, float] = {}
    for one, charge in zip(subscriptions, charges, strict=True):
        planned = one.planned
        quantity, item = planned.option.quantity, planned.item
        entries: dict[float, DeliveredItem] = {}
        for day, ratio in zip(planned.days, planned.discount_ratios, strict=True):
            if day > CALENDAR_DAYS:
                break
            entry = entries.get(ratio)
            if entry is None:
                price = charge[ratio]
                saving = None
                if one.annual_paid is not None and not item.discounted:
                    saving = 0.0
                elif one.annual_paid is not None and item.paid is not None:
                    with exactly():
                        paid = floor_to_cent(exact(item.paid.mean) * quantity, 1, digits)
                    saving = round_to_cent(paid - price, digits)
                entry = entries[ratio] = DeliveredItem(item.name, quantity, price, saving)
            by_day[day].append(entry)
            ratio_of[day] = max(ratio, ratio_of.get(day, 0.0))
    deliveries = []
    for day in sorted(by_day):
        items = tuple(sorted(by_day[day]))
        known = all(item.savings_vs_paid is not None for item in items)
        deliveries.append(
            Delivery(
                day=day,
                items=items,
                discount_ratio=ratio_of[day],
                price=round_to_cent(sum(item.price for item in items), digits),
                savings_vs_paid=round_to_cent(sum(item.savings_vs_paid or 0.0 for item in items), digits)
                if known
                else None,
            )
        )
    return tuple(deliveries)
