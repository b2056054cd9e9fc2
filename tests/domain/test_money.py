import math
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pantree_domain.money import ceil_to_cent, exact, exactly, floor_to_cent, minor_unit_digits, round_to_cent

amounts = st.floats(min_value=-1e9, max_value=1e9, allow_nan=False)


def test_round_to_cent_uses_the_decimal_form() -> None:
    # In binary, 0.125 and 1.005 are slightly below their decimal form, which people see.
    assert (round_to_cent(0.125), round_to_cent(1.005), round_to_cent(-0.125)) == (0.13, 1.01, -0.13)


def test_round_to_cent_never_returns_a_negative_zero() -> None:
    assert str(round_to_cent(-0.001)) == "0.0"


def test_floor_to_cent_of_the_original_example_is_5_18() -> None:
    assert floor_to_cent(exact(1.99) * exact(0.05) * 365, 7) == 5.18


@given(amounts)
def test_round_to_cent_changes_by_half_a_cent_or_less(amount: float) -> None:
    assert abs(Fraction(exact(round_to_cent(amount))) - Fraction(exact(amount))) <= Fraction(1, 200)


@given(amounts, amounts, st.integers(1, 1_000))
def test_cents_of_a_quotient_are_the_nearest_below_and_above_it(price: float, ratio: float, divisor: int) -> None:
    with exactly():
        product = exact(price) * exact(ratio)
    assert Fraction(product) == Fraction(repr(price)) * Fraction(repr(ratio))
    cents = Fraction(product) * 100 / divisor
    assert floor_to_cent(product, divisor) == math.floor(cents) / 100
    assert ceil_to_cent(product, divisor) == math.ceil(cents) / 100


@pytest.mark.parametrize(("code", "digits"), [("", 2), ("EUR", 2), ("JPY", 0), ("KWD", 3), ("CLF", 4)])
def test_digits_of_a_currency(code: str, digits: int) -> None:
    assert minor_unit_digits(code) == digits


def test_amounts_are_rounded_to_the_digits_of_their_currency() -> None:
    assert round_to_cent(298.5, 0) == 299.0
    assert round_to_cent(1.2345, 3) == 1.235
    assert floor_to_cent(Decimal("1299.9"), 1, 0) == 1299.0
    assert ceil_to_cent(Decimal("1.2341"), 1, 3) == 1.235
