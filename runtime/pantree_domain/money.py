"""Rounds money. Sums are rounded to cents only once, at the end."""

import math
from contextlib import AbstractContextManager
from decimal import ROUND_HALF_UP, Context, Decimal, Inexact, localcontext

_CENTS = 100
_CENT = Decimal("0.01")
# From this amount on, neighboring floats are at least a cent apart.
_FIRST_WITHOUT_CENTS = 2.0**46
# The product of two floats has at most about 650 decimal places.
_EXACT = Context(prec=2_000, traps=[Inexact])


def round_to_cent(amount: float) -> float:
    """The amount rounded to cents, half away from zero in its shortest decimal form: 0.125 becomes 0.13."""
    if abs(amount) >= _FIRST_WITHOUT_CENTS:
        return amount
    return float(Decimal(repr(amount)).quantize(_CENT, ROUND_HALF_UP)) or 0.0  # never -0.0


def exactly() -> AbstractContextManager[object]:
    """Context of exact decimal arithmetic, which raises on an inexact result."""
    return localcontext(_EXACT)


def exact(amount: float) -> Decimal:
    """The shortest decimal form of a float: 1.99 becomes 1.99, not its binary value."""
    return Decimal(repr(amount))


def floor_to_cent(amount: Decimal, divisor: int = 1) -> float:
    """Quotient rounded down to cents, so that a saving is never overstated.

    Args:
        amount: dividend.
        divisor: at least 1. Passed separately, since many quotients have no exact decimal form.
    """
    # Rounding down before dividing by a whole number does not change the rounded quotient.
    return math.floor(_EXACT.multiply(amount, _CENTS)) // divisor / _CENTS


def ceil_to_cent(amount: Decimal, divisor: int = 1) -> float:
    """Quotient rounded up to cents, so that a cost is never understated. See `floor_to_cent`."""
    return -(-math.ceil(_EXACT.multiply(amount, _CENTS)) // divisor) / _CENTS
