"""Money as people count it: sums are rounded to cents once, at the end."""

import math
from fractions import Fraction

_CENTS = 100


def round_to_cent(amount: float) -> float:
    """The amount rounded to cents, half away from zero by its shortest decimal form: 0.125 gives 0.13."""
    cents = Fraction(repr(amount)) * _CENTS
    rounded = math.floor(abs(cents) + Fraction(1, 2))
    return math.copysign(rounded, amount) / _CENTS if rounded else 0.0


def floor_to_cent(amount: Fraction) -> float:
    """The amount rounded down to cents, computed exactly, so that a saving is never overstated."""
    return math.floor(amount * _CENTS) / _CENTS


def ceil_to_cent(amount: Fraction) -> float:
    """The amount rounded up to cents, computed exactly, so that a cost is never understated."""
    return math.ceil(amount * _CENTS) / _CENTS


def exact(amount: float) -> Fraction:
    """The decimal number that a float stands for: 1.99 gives 199/100, not its binary neighbour."""
    return Fraction(repr(amount))
