"""All recommended subscriptions together: which items come on the same days, and what that costs and saves."""

import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from pantree_domain.cadence import LADDER
from pantree_domain.money import ceil_to_cent, exact, exactly, floor_to_cent
from pantree_recommendation.core.candidate import Candidate
from pantree_recommendation.core.discount import DiscountTiers
from pantree_recommendation.core.offer import Offer

# After so many days all cadences of the ladder come together again.
CYCLE_DAYS = math.lcm(*(step.interval_days for step in LADDER))
_DAYS_PER_YEAR = 365
# How many days of the cycle have deliveries of exactly these steps: a dozen kinds of days, not each day by itself.
_DAYS_BY_STEPS = Counter(
    tuple(step.interval_days for step in LADDER if day % step.interval_days == 0) for day in range(1, CYCLE_DAYS + 1)
)


@dataclass(frozen=True)
class Plan:
    """What a year costs and saves when all items are subscribed to and first come on the same day."""

    item_count: int
    annual_cost: float
    """After discounts, rounded up to a cent."""
    estimated_annual_savings: float
    """Against shelf prices, rounded down to a cent."""
    annual_savings_vs_paid: float | None
    """Against what the household paid, rounded down to a cent; None when that is not known of every item."""
    best_discount_ratio: float
    """Share of item deliveries that get the largest discount, 0 to 1."""


def plan_of(offers: Sequence[tuple[Candidate, Offer]], tiers: DiscountTiers) -> Plan:
    """The year's plan of some offers, exactly: through the days of the ladder's cycle, then scaled to 365 days.

    Args:
        offers: items with their offers.
        tiers: discounts by the number of items on a day.
    """
    with exactly():
        return _plan_of(offers, tiers)


def _plan_of(offers: Sequence[tuple[Candidate, Offer]], tiers: DiscountTiers) -> Plan:
    counts: Counter[int] = Counter()
    prices: defaultdict[int, Decimal] = defaultdict(Decimal)
    payments: defaultdict[int, Decimal] = defaultdict(Decimal)
    for candidate, offer in offers:
        step = offer.cadence.interval_days
        counts[step] += 1
        prices[step] += exact(candidate.latest_unit_price) * offer.quantity
        if candidate.paid_price is not None:
            payments[step] += exact(candidate.paid_price.mean) * offer.quantity
    cost = shelf = paid = Decimal(0)
    deliveries = best = 0
    known = all(candidate.paid_price is not None for candidate, _ in offers)
    for steps, days in _DAYS_BY_STEPS.items():
        coming_steps = [step for step in steps if step in counts]
        if not coming_steps:
            continue
        coming = sum(counts[step] for step in coming_steps)
        tier = tiers.of(coming)
        deliveries += days * coming
        best += days * coming if tier == tiers.tiers[-1] else 0
        price = days * sum(prices[step] for step in coming_steps)
        shelf += price
        cost += price * (1 - exact(tier.discount_ratio))
        paid += days * sum(payments[step] for step in coming_steps)
    return Plan(
        item_count=len(offers),
        annual_cost=ceil_to_cent(cost * _DAYS_PER_YEAR, CYCLE_DAYS),
        estimated_annual_savings=floor_to_cent((shelf - cost) * _DAYS_PER_YEAR, CYCLE_DAYS),
        annual_savings_vs_paid=floor_to_cent((paid - cost) * _DAYS_PER_YEAR, CYCLE_DAYS) if known else None,
        best_discount_ratio=best / deliveries if deliveries else 0.0,
    )
