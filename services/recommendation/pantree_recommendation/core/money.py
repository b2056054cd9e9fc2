"""What a subscription costs and saves, computed exactly and rounded once: a saving down, a cost up."""

import math
from dataclasses import dataclass
from decimal import Decimal

from pantree_domain.cadence import Cadence
from pantree_domain.money import ceil_to_cent, exact, exactly, floor_to_cent
from pantree_recommendation.core.candidate import PaidPrice

_DAYS_PER_YEAR = 365
# Four in five years lie within this many standard deviations of the mean, of a normal distribution.
_INTERVAL_DEVIATIONS = 1.2816


@dataclass(frozen=True)
class SavingsVsPaid:
    """What a subscription would save in a year against what this household really paid so far."""

    expected: float
    """Below 0 when the subscription costs more."""
    low: float
    """Four in five years bring at least `low` and at most `high`, if the household went on paying as it did."""
    high: float
    paid_unit_price: float
    """Mean of what was paid, promotions included."""
    subscription_unit_price: float
    """Shelf price less the discount, rounded up to a cent."""
    pays_less_today: bool
    """The household pays less than the subscription would ask."""


def annual_savings(unit_price: float, quantity: int, discount_ratio: float, cadence: Cadence) -> float:
    """Price × quantity × discount × 365 / interval, computed exactly and rounded down to a cent.

    1.99 weekly at 5 % gives 5.18.

    Args:
        unit_price: shelf price of one unit.
        quantity: units per delivery.
        discount_ratio: 0 to 1.
        cadence: how often it is delivered.
    """
    with exactly():
        saving = exact(unit_price) * exact(discount_ratio)
        return floor_to_cent(saving * (quantity * _DAYS_PER_YEAR), cadence.interval_days)


def subscription_unit_price(unit_price: float, discount_ratio: float) -> Decimal:
    """Shelf price less the discount; to be called within `exactly`."""
    return exact(unit_price) * (1 - exact(discount_ratio))


def annual_cost(unit_price: float, quantity: int, discount_ratio: float, cadence: Cadence) -> float:
    """What the deliveries of a year cost after the discount, rounded up to a cent.

    Args:
        unit_price: shelf price of one unit.
        quantity: units per delivery.
        discount_ratio: 0 to 1.
        cadence: how often it is delivered.
    """
    with exactly():
        price = subscription_unit_price(unit_price, discount_ratio)
        return ceil_to_cent(price * (quantity * _DAYS_PER_YEAR), cadence.interval_days)


def savings_vs_paid(
    paid: PaidPrice, purchase_count: int, unit_price: float, quantity: int, discount_ratio: float, cadence: Cadence
) -> SavingsVsPaid:
    """What a subscription saves against the prices that were really paid.

    `expected` is (mean paid price − subscription's price) × units in a year. A year's mean price differs from the mean
    so far by what chance did to the `n` purchases behind it, and by what it will do to the `N` of the year: a standard
    deviation of `deviation × √(1/n + 1/N)`. `low` and `high` are 1.28 of them, on all units, from `expected`.

    Args:
        paid: what was paid for a unit.
        purchase_count: purchases behind it, at least 2.
        unit_price: shelf price of one unit.
        quantity: units per delivery.
        discount_ratio: 0 to 1.
        cadence: how often it is delivered.
    """
    interval_days = cadence.interval_days
    purchases = _DAYS_PER_YEAR / interval_days
    error = paid.deviation * math.sqrt(1 / purchase_count + 1 / purchases)
    with exactly():
        price, mean = subscription_unit_price(unit_price, discount_ratio), exact(paid.mean)
        # What is delivered in a year, times the interval.
        units = quantity * _DAYS_PER_YEAR
        expected = (mean - price) * units
        margin = exact(_INTERVAL_DEVIATIONS * error) * units
        return SavingsVsPaid(
            expected=floor_to_cent(expected, interval_days),
            low=floor_to_cent(expected - margin, interval_days),
            high=floor_to_cent(expected + margin, interval_days),
            paid_unit_price=paid.mean,
            subscription_unit_price=ceil_to_cent(price),
            pays_less_today=mean < price,
        )
