"""Costs and savings of a subscription, computed exactly and rounded once: savings down, costs up."""

import math
from dataclasses import dataclass
from decimal import Decimal

from pantree_domain.cadence import Cadence
from pantree_domain.money import CENT_DIGITS, ceil_to_cent, exact, exactly, floor_to_cent
from pantree_recommendation.core.candidate import PaidPrice

DAYS_PER_YEAR = 365
# 80 % of a normal distribution lie within this many standard deviations of the mean.
_Z_80 = 1.2816


@dataclass(frozen=True)
class SavingsVsPaid:
    """A year's savings compared with what the household has paid so far; negative when the subscription costs more."""

    expected: float
    low: float
    """Four in five years save between `low` and `high` if the household keeps paying as it has."""
    high: float
    paid_unit_price: float
    """Mean of what was paid, promotions included."""
    subscription_unit_price: float
    """Shelf price less the discount, rounded up to a cent."""
    pays_less_today: bool
    """The household already pays less than the subscription price, on average and last time."""
    supported: bool = True
    """Whether the payments support a claim of savings: none was on promotion, the last one was not below the
    subscription price, and the discount is at least what promotions usually take off the household's purchases."""

    @property
    def is_claim(self) -> bool:
        """Whether it promises a saving."""
        return self.expected > 0


def annual_savings(
    unit_price: float, quantity: int, discount_ratio: float, cadence: Cadence, digits: int = CENT_DIGITS
) -> float:
    """Price × quantity × discount × 365 / interval, rounded down to a cent: 1.99 weekly at 5 % saves 5.18.

    Args:
        unit_price: shelf price of one unit.
        quantity: units per delivery.
        discount_ratio: 0 to 1.
        cadence: delivery interval.
        digits: decimal places of the currency.
    """
    with exactly():
        saving = exact(unit_price) * exact(discount_ratio)
        return floor_to_cent(saving * (quantity * DAYS_PER_YEAR), cadence.interval_days, digits)


def annual_cost(
    unit_price: float, quantity: int, discount_ratio: float, cadence: Cadence, digits: int = CENT_DIGITS
) -> float:
    """Cost of a year's deliveries after the discount, rounded up to a cent; arguments as in `annual_savings`."""
    with exactly():
        price = _subscription_unit_price(unit_price, discount_ratio)
        return ceil_to_cent(price * (quantity * DAYS_PER_YEAR), cadence.interval_days, digits)


def savings_vs_paid(
    paid: PaidPrice,
    purchase_count: int,
    unit_price: float,
    quantity: int,
    discount_ratio: float,
    cadence: Cadence,
    digits: int = CENT_DIGITS,
) -> SavingsVsPaid:
    """A year's savings compared with the prices that were paid.

    `expected` is (mean paid price − subscription price) × units in a year. For `low` and `high`, the mean paid price
    differs by 1.28 standard deviations of its sampling error, `deviation × √(1/n + 1/N)`, for `n` purchases so far and
    `N` deliveries in a year. `purchase_count` is `n`, unless the price has its own; the other
    arguments are those of `annual_savings`.
    """
    interval_days = cadence.interval_days
    count = purchase_count if paid.purchase_count is None else paid.purchase_count
    error = paid.deviation * math.sqrt(1 / count + 1 / (DAYS_PER_YEAR / interval_days))
    with exactly():
        price, mean = _subscription_unit_price(unit_price, discount_ratio), exact(paid.mean)
        # Units of a year × the interval; the division comes last, in the rounding.
        units = quantity * DAYS_PER_YEAR
        expected = (mean - price) * units
        margin = exact(_Z_80 * error) * units
        return SavingsVsPaid(
            expected=floor_to_cent(expected, interval_days, digits),
            low=floor_to_cent(expected - margin, interval_days, digits),
            high=floor_to_cent(expected + margin, interval_days, digits),
            paid_unit_price=paid.mean,
            subscription_unit_price=ceil_to_cent(price, 1, digits),
            pays_less_today=mean < price and (paid.latest is None or exact(paid.latest) < price),
            supported=not paid.promoted
            and discount_ratio >= paid.usual_discount_ratio
            and (paid.latest is None or exact(paid.latest) >= price),
        )


def _subscription_unit_price(unit_price: float, discount_ratio: float) -> Decimal:
    """Shelf price less the discount; call it within `exactly`."""
    return exact(unit_price) * (1 - exact(discount_ratio))
