from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from pantree_domain.cadence import LADDER, Cadence
from pantree_recommendation.core.candidate import PaidPrice
from pantree_recommendation.core.savings import annual_cost, annual_savings, savings_vs_paid

WEEKLY = LADDER[0]
CENT = Fraction(1, 100)

_prices = st.decimals(0, 10_000, places=2).map(float) | st.floats(0, 10_000)
_ratios = st.decimals(0, 1, places=3).map(float)
_cadences = st.sampled_from(LADDER)


def exact(amount: float) -> Fraction:
    """The decimal number that a float stands for."""
    return Fraction(repr(amount))


def test_savings_vs_paid_of_promotion_buyer_are_a_loss() -> None:
    savings = savings_vs_paid(PaidPrice(1.5, 0.0), 8, 1.99, 1, 0.05, WEEKLY)
    # (1.5 − 1.8905) × 365 / 7 = −20.3617…: rounded down, so that the loss is not understated.
    assert (savings.expected, savings.low, savings.high) == (-20.37, -20.37, -20.37)
    assert (savings.paid_unit_price, savings.subscription_unit_price) == (1.5, 1.90)
    assert savings.pays_less_today


def test_savings_vs_paid_of_full_price_buyer_are_those_of_the_published_formula() -> None:
    savings = savings_vs_paid(PaidPrice(1.99, 0.0), 8, 1.99, 1, 0.05, WEEKLY)
    assert savings.expected == annual_savings(1.99, 1, 0.05, WEEKLY) == 5.18
    assert not savings.pays_less_today


def test_savings_vary_more_with_prices_that_vary_and_with_fewer_purchases() -> None:
    def width(deviation: float, count: int) -> float:
        savings = savings_vs_paid(PaidPrice(1.8, deviation), count, 1.99, 1, 0.05, WEEKLY)
        return savings.high - savings.low

    assert width(0.1, 4) < width(0.2, 4)
    assert width(0.2, 20) < width(0.2, 4)


@given(_prices, _prices, _prices, st.integers(2, 400), st.integers(1, 100), _ratios, _cadences)
def test_savings_vs_paid_are_never_above_the_exact_value(
    price: float, mean: float, deviation: float, count: int, quantity: int, discount: float, cadence: Cadence
) -> None:
    savings = savings_vs_paid(PaidPrice(mean, deviation), count, price, quantity, discount, cadence)
    true = (exact(mean) - exact(price) * (1 - exact(discount))) * quantity * 365 / cadence.interval_days
    assert 0 <= true - exact(savings.expected) < CENT + Fraction(1, 10**6)  # a float of a cent is not quite a cent
    assert savings.low <= savings.expected <= savings.high
    assert savings.pays_less_today == (true < 0)


@given(_prices, st.integers(1, 100), _ratios, _cadences)
def test_cost_is_never_below_the_exact_value_and_goes_with_the_saving(
    price: float, quantity: int, discount: float, cadence: Cadence
) -> None:
    shelf = exact(price) * quantity * 365 / cadence.interval_days
    cost = exact(annual_cost(price, quantity, discount, cadence))
    assert 0 <= cost - shelf * (1 - exact(discount)) < CENT + Fraction(1, 10**6)
    assert abs(cost + exact(annual_savings(price, quantity, discount, cadence)) - shelf) < CENT + Fraction(1, 10**6)
