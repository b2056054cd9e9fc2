import pytest
from hypothesis import given
from hypothesis import strategies as st

from pantree_domain.household.prices import MAX_PURCHASES, PaidLine, ReferencePrice, reference_price


def price_of(
    prices: list[float],
    savings: list[float] | None = None,
    quantities: list[int] | None = None,
    usual_discount_ratio: float = 0.0,
) -> ReferencePrice:
    """Reference price of weekly purchases, latest last."""
    count = len(prices)
    columns = (quantities or [1] * count, prices, savings or [0.0] * count)
    lines = [PaidLine(7 * week, *line) for week, line in enumerate(zip(*columns, strict=True))]
    found = reference_price(lines, usual_discount_ratio)
    assert found is not None
    return found


def test_new_shelf_price_is_the_reference_as_soon_as_it_was_paid_twice() -> None:
    assert price_of([3.99] * 18 + [5.59] * 8).paid == 5.59
    assert price_of([3.99] * 18 + [5.59] * 2).paid == pytest.approx(5.59)


def test_shelf_price_paid_once_claims_no_more_than_was_paid_before() -> None:
    found = price_of([3.99] * 18 + [5.59])
    assert found.shelf == 5.59
    assert found.paid < 4.6
    assert found.latest_paid == 5.59


def test_promotion_of_the_last_weeks_is_the_reference() -> None:
    found = price_of([7.99] * 26, [0.0] * 18 + [1.44] * 8, usual_discount_ratio=1.44 / 7.99)
    assert found.paid == pytest.approx(6.55)
    assert found.promoted


def test_one_receipt_at_half_price_does_not_count() -> None:
    assert price_of([5.99] * 26, [0.0] * 24 + [3.0, 0.0]).paid == pytest.approx(5.99)


@pytest.mark.parametrize("at", [-1, -2, -5])
def test_one_heavy_pack_does_not_count(at: int) -> None:
    prices = [6.0, 5.8, 6.3, 6.1] * 6
    prices[at] = 24.4
    found = price_of(prices)
    assert 5.8 <= found.shelf <= 6.3
    assert 5.8 <= found.paid <= 6.3


def test_half_of_the_purchases_on_promotion_count_by_half() -> None:
    assert price_of([4.0] * 8, [0.0, 1.0] * 4, usual_discount_ratio=0.125).paid == pytest.approx(3.5)


def test_usual_discount_counts_as_two_purchases() -> None:
    assert price_of([4.0] * 8, usual_discount_ratio=0.25).paid == pytest.approx(4.0 * (1 - 0.25 * 2 / 10))


def test_lines_of_one_day_are_one_purchase() -> None:
    found = reference_price([PaidLine(3, 1, 2.0, 0.0), PaidLine(3, 3, 2.0, 4.0), PaidLine(10, 2, 2.0, 0.0)])
    assert found is not None
    assert found.purchase_count == 2
    assert found.paid == pytest.approx((1.0 + 2.0 + 2 * 2.0) / 4)


def test_item_that_was_always_free_has_no_price() -> None:
    assert reference_price([PaidLine(day, 1, 0.0, 0.0) for day in range(3)]) is None


amounts = st.decimals("0.05", 500, places=2).map(float)


@given(st.lists(st.tuples(amounts, st.floats(0, 1), st.integers(1, 9)), min_size=1, max_size=20))
def test_reference_lies_among_the_payments(lines: list[tuple[float, float, int]]) -> None:
    prices = [price for price, _, _ in lines]
    quantities = [quantity for _, _, quantity in lines]
    savings = [price * share * quantity for price, share, quantity in lines]
    found = price_of(prices, savings, quantities)
    paid = [price * (1 - share) for price, share, _ in lines]
    assert min(paid) - 1e-6 <= found.paid <= max(prices) + 1e-6
    assert min(prices) - 1e-6 <= found.shelf <= max(prices) + 1e-6
    assert 1 <= found.purchase_count <= MAX_PURCHASES
