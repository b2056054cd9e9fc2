"""Money as people count it: sums are rounded to cents once, at the end."""

import math
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction

_CENTS = 100
_CENT = Decimal("0.01")
# From here on neighbouring floats are a cent apart or more.
_FIRST_WITHOUT_CENTS = 2.0**46


def round_to_cent(amount: float) -> float:
    """The amount rounded to cents, half away from zero by its shortest decimal form: 0.125 gives 0.13."""
    if abs(amount) >= _FIRST_WITHOUT_CENTS:
        return amount
    return float(Decimal(repr(amount)).quantize(_CENT, ROUND_HALF_UP)) or 0.0  # never -0.0


def floor_to_cent(amount: Fraction) -> float:
    """The amount rounded down to cents, computed exactly, so that a saving is never overstated."""
    return math.floor(amount * _CENTS) / _CENTS


def ceil_to_cent(amount: Fraction) -> float:
    """The amount rounded up to cents, computed exactly, so that a cost is never understated."""
    return math.ceil(amount * _CENTS) / _CENTS


def exact(amount: float) -> Fraction:
    """The decimal number that a float stands for: 1.99 gives 199/100, not its binary neighbour."""
    return Fraction(repr(amount))
