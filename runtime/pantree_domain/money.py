"""Rounds money. Sums are rounded to the smallest unit of their currency only once, at the end.

A cent stands for that unit here: a yen, a hundredth of a euro, a thousandth of a Kuwaiti dinar.
"""

import math
from contextlib import AbstractContextManager
from decimal import ROUND_HALF_UP, Context, Decimal, Inexact, localcontext

CENT_DIGITS = 2
"""Decimal places of most currencies, and of amounts without a currency."""

# Currencies with other decimal places (ISO 4217, list one).
_DIGITS = {
    **dict.fromkeys(("BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX", "UYI", "VND"), 0),
    **dict.fromkeys(("VUV", "XAF", "XOF", "XPF"), 0),
    **dict.fromkeys(("BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"), 3),
    **dict.fromkeys(("CLF", "UYW"), 4),
}
# From this amount on, neighboring floats are at least a cent apart.
_FIRST_WITHOUT_CENTS = 2.0**46
# The product of two floats has at most about 650 decimal places.
_EXACT = Context(prec=2_000, traps=[Inexact])


def minor_unit_digits(currency_code: str) -> int:
    """Decimal places of a currency by its ISO 4217 code: 0 for JPY, 3 for KWD, 2 for most and for an empty code."""
    return _DIGITS.get(currency_code, CENT_DIGITS)


def round_to_cent(amount: float, digits: int = CENT_DIGITS) -> float:
    """The amount rounded to cents, half away from zero in its shortest decimal form: 0.125 becomes 0.13."""
    if abs(amount) >= _FIRST_WITHOUT_CENTS:
        return amount
    return float(Decimal(repr(amount)).quantize(Decimal(1).scaleb(-digits), ROUND_HALF_UP)) or 0.0  # never -0.0


def exactly() -> AbstractContextManager[object]:
    """Context of exact decimal arithmetic, which raises on an inexact result."""
    return localcontext(_EXACT)


def exact(amount: float) -> Decimal:
    """The shortest decimal form of a float: 1.99 becomes 1.99, not its binary value."""
    return Decimal(repr(amount))


def floor_to_cent(amount: Decimal, divisor: int = 1, digits: int = CENT_DIGITS) -> float:
    """Quotient rounded down to cents, so that a saving is never overstated.

    Args:
        amount: dividend.
        divisor: at least 1. Passed separately, since many quotients have no exact decimal form.
        digits: decimal places of the currency.
    """
    # Rounding down before dividing by a whole number does not change the rounded quotient.
    units = int(10**digits)
    return math.floor(_EXACT.multiply(amount, units)) // divisor / units


def ceil_to_cent(amount: Decimal, divisor: int = 1, digits: int = CENT_DIGITS) -> float:
    """Quotient rounded up to cents, so that a cost is never understated. See `floor_to_cent`."""
    units = int(10**digits)
    return -(-math.ceil(_EXACT.multiply(amount, units)) // divisor) / units
