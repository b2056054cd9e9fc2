"""What a subscription costs and saves, computed exactly and rounded once: a saving down, a cost up."""

import math
from dataclasses import dataclass
from fractions import Fraction

from pantree_domain.cadence import Cadence
from pantree_domain.money import ceil_to_cent, exact, floor_to_cent
from pantree_recommendation.core.candidate import PaidPrice

_DAYS_PER_YEAR = 365
# Four in five years lie within this many standard deviations of the mean, of a normal distribution.
_INTERVAL_DEVIATIONS = 1.2816


@dataclass(frozen=True)
class HonestSavings:
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
    already_pays_less: bool
    """The household pays less than the subscription would ask."""


def annual_units(quantity: int, cadence: Cadence) -> Fraction:
    """Units that are delivered in a year."""
    return Fraction(quantity * _DAYS_PER_YEAR, cadence.interval_days)


def annual_savings(unit_price: float, quantity: int, discount_ratio: float, cadence: Cadence) -> float:
    """Price × quantity × discount × 365 / interval, computed exactly and rounded down to a cent.

    1.99 weekly at 5 % gives 5.18.

    Args:
        unit_price: shelf price of one unit.
        quantity: units per delivery.
        discount_ratio: 0 to 1.
        cadence: how often it is delivered.
    """
    return floor_to_cent(exact(unit_price) * exact(discount_ratio) * annual_units(quantity, cadence))


def subscription_unit_price(unit_price: float, discount_ratio: float) -> Fraction:
    """Shelf price less the discount, exactly."""
    return exact(unit_price) * (1 - exact(discount_ratio))


def annual_cost(unit_price: float, quantity: int, discount_ratio: float, cadence: Cadence) -> float:
    """What the deliveries of a year cost after the discount, rounded up to a cent.

    Args:
        unit_price: shelf price of one unit.
        quantity: units per delivery.
        discount_ratio: 0 to 1.
        cadence: how often it is delivered.
    """
    return ceil_to_cent(subscription_unit_price(unit_price, discount_ratio) * annual_units(quantity, cadence))


def honest_savings(
    paid: PaidPrice, purchase_count: int, unit_price: float, quantity: int, discount_ratio: float, cadence: Cadence
) -> HonestSavings:
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
    price = subscription_unit_price(unit_price, discount_ratio)
    units = annual_units(quantity, cadence)
    expected = (exact(paid.mean) - price) * units
    purchases = _DAYS_PER_YEAR / cadence.interval_days
    error = paid.deviation * math.sqrt(1 / purchase_count + 1 / purchases)
    margin = exact(_INTERVAL_DEVIATIONS * error) * units
    return HonestSavings(
        expected=floor_to_cent(expected),
        low=floor_to_cent(expected - margin),
        high=floor_to_cent(expected + margin),
        paid_unit_price=paid.mean,
        subscription_unit_price=ceil_to_cent(price),
        already_pays_less=exact(paid.mean) < price,
    )
