"""The plan: costs and savings of all recommended subscriptions together, with items delivered on the same days."""

import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from pantree_domain.cadence import LADDER
from pantree_domain.money import CENT_DIGITS, ceil_to_cent, exact, exactly, floor_to_cent
from pantree_recommendation.core.candidate import Candidate
from pantree_recommendation.core.discount import DiscountTiers
from pantree_recommendation.core.offer import Offer
from pantree_recommendation.core.savings import DAYS_PER_YEAR

# After this many days all cadences of the ladder fall on the same day again.
CYCLE_DAYS = math.lcm(*(step.interval_days for step in LADDER))
# How many days of the cycle have deliveries at exactly these cadences. There are only about a dozen combinations.
_DAYS_BY_STEPS = Counter(
    tuple(step.interval_days for step in LADDER if day % step.interval_days == 0) for day in range(1, CYCLE_DAYS + 1)
)


@dataclass(frozen=True)
class Plan:
    """A year's costs and savings when all items are subscribed to and first delivered on the same day."""

    item_count: int
    annual_cost: float
    """After discounts, rounded up to a cent."""
    estimated_annual_savings: float
    """Compared with shelf prices, rounded down to a cent."""
    annual_savings_vs_paid: float | None
    """Compared with what the household paid, rounded down to a cent; None when that is unknown for any item."""
    best_discount_ratio: float
    """Share of the deliveries of items with a discount that get the largest one, 0 to 1."""


def plan_of(offers: Sequence[tuple[Candidate, Offer]], tiers: DiscountTiers, digits: int = CENT_DIGITS) -> Plan:
    """The plan for the offered items, summed exactly over the days of the ladder's cycle, then scaled to 365 days.

    Goods without a discount are delivered at the shelf price; they neither save nor count toward a discount.
    """
    with exactly():
        counts: Counter[int] = Counter()
        prices: defaultdict[int, Decimal] = defaultdict(Decimal)
        fixed_prices: defaultdict[int, Decimal] = defaultdict(Decimal)
        payments: defaultdict[int, Decimal] = defaultdict(Decimal)
        for candidate, offer in offers:
            step = offer.cadence.interval_days
            if not offer.discounted:
                fixed_prices[step] += exact(candidate.latest_unit_price) * offer.quantity
                continue
            counts[step] += 1
            prices[step] += exact(candidate.latest_unit_price) * offer.quantity
            if candidate.paid_price is not None:
                payments[step] += exact(candidate.paid_price.mean) * offer.quantity
        cost = shelf = paid = Decimal(0)
        deliveries = best = 0
        for steps, days in _DAYS_BY_STEPS.items():
            fixed = days * sum((fixed_prices[step] for step in steps if step in fixed_prices), Decimal(0))
            shelf += fixed
            cost += fixed
            paid += fixed
            delivered = [step for step in steps if step in counts]
            if not delivered:
                continue
            item_count = sum(counts[step] for step in delivered)
            tier = tiers.of(item_count)
            deliveries += days * item_count
            best += days * item_count if tier == tiers.tiers[-1] else 0
            price = days * sum(prices[step] for step in delivered)
            shelf += price
            cost += price * (1 - exact(tier.discount_ratio))
            paid += days * sum(payments[step] for step in delivered)
        paid_is_known = all(candidate.paid_price is not None or not offer.discounted for candidate, offer in offers)
        return Plan(
            item_count=len(offers),
            annual_cost=ceil_to_cent(cost * DAYS_PER_YEAR, CYCLE_DAYS, digits),
            estimated_annual_savings=floor_to_cent((shelf - cost) * DAYS_PER_YEAR, CYCLE_DAYS, digits),
            annual_savings_vs_paid=floor_to_cent((paid - cost) * DAYS_PER_YEAR, CYCLE_DAYS, digits)
            if paid_is_known
            else None,
            best_discount_ratio=best / deliveries if deliveries else 0.0,
        )
