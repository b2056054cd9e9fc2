from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pantree_domain.cadence import LADDER
from pantree_recommendation.core.candidate import Candidate
from pantree_recommendation.core.discount import DEFAULT_TIERS, DiscountTier
from pantree_recommendation.core.offer import offer_of
from pantree_recommendation.core.savings import annual_savings
from tests.recommendation.evidence import bananas, candidate, forecast

WEEKLY = LADDER[0]


def test_savings_of_bananas_are_those_of_the_published_formula() -> None:
    assert annual_savings(1.99, 1, 0.05, WEEKLY) == 5.18


@pytest.mark.parametrize(
    ("price", "quantity", "discount_ratio", "expected"), [(0.0, 1, 0.05, 0.0), (7.0, 2, 0.1, 73.0), (1.99, 1, 0.0, 0.0)]
)
def test_savings_of_free_and_round_cases(price: float, quantity: int, discount_ratio: float, expected: float) -> None:
    assert annual_savings(price, quantity, discount_ratio, WEEKLY) == expected


@given(
    price=st.decimals(0, 1_000_000, places=2),
    quantity=st.integers(1, 10_000),
    discount=st.decimals(0, 1, places=3),
    cadence=st.sampled_from(LADDER),
)
def test_savings_are_less_than_a_cent_below_the_exact_value_and_never_above(
    price: object, quantity: int, discount: object, cadence: object
) -> None:
    assert cadence in LADDER
    exact = Fraction(str(price)) * quantity * Fraction(str(discount)) * 365 / cadence.interval_days
    savings = Fraction(repr(annual_savings(float(str(price)), quantity, float(str(discount)), cadence)))
    assert 0 <= exact - savings < Fraction(1, 100)


@given(candidate().filter(lambda item: item.mean_interval_days is not None))
def test_cadence_is_on_the_ladder_and_never_shorter_than_purchases_support(item: Candidate) -> None:
    offer = offer_of(item, DEFAULT_TIERS)
    assert offer.cadence in LADDER
    assert offer.cadence.interval_days >= offer.supported_cadence.interval_days
    if item.forecast is not None:
        assert offer.supported_cadence.interval_days == item.forecast.interval_days
    else:
        plain = bananas(mean_interval_days=item.mean_interval_days)
        assert offer.supported_cadence == offer_of(plain, DEFAULT_TIERS).cadence


def test_cadence_of_the_forecast_overrides_the_mean_interval() -> None:
    assert offer_of(bananas(forecast=forecast(interval_days=42)), DEFAULT_TIERS).cadence.interval_days == 42


def test_each_tier_has_its_own_price() -> None:
    alone, in_a_large_delivery = offer_of(bananas(), DEFAULT_TIERS).prices
    assert (alone.tier, in_a_large_delivery.tier) == (DiscountTier(1, 0.05), DiscountTier(5, 0.15))
    assert (alone.estimated_annual_savings, in_a_large_delivery.estimated_annual_savings) == (5.18, 15.56)
    # 1.99 × .95 × 365 / 7 = 98.576…, and × .85 = 88.199…
    assert (alone.annual_cost, in_a_large_delivery.annual_cost) == (98.58, 88.2)
    assert alone.savings_vs_paid is None


def test_cadence_with_thin_evidence_and_a_longer_suggestion_is_one_step_longer() -> None:
    offer = offer_of(bananas(purchase_count=3, suggested_interval_days=84), DEFAULT_TIERS)
    assert (offer.supported_cadence.interval_days, offer.cadence.interval_days) == (7, 14)


def test_cadence_with_much_evidence_ignores_a_longer_suggestion() -> None:
    assert offer_of(bananas(purchase_count=8, suggested_interval_days=84), DEFAULT_TIERS).cadence == WEEKLY


def test_cadence_with_a_shorter_suggestion_is_unchanged() -> None:
    item = bananas(purchase_count=3, mean_interval_days=28.0, suggested_interval_days=7)
    assert offer_of(item, DEFAULT_TIERS).cadence.frequency == "monthly"


def test_cadence_with_a_suggestion_of_the_same_step_is_unchanged() -> None:
    assert offer_of(bananas(purchase_count=3, suggested_interval_days=9), DEFAULT_TIERS).cadence == WEEKLY


def test_cadence_on_the_last_step_is_unchanged() -> None:
    item = bananas(purchase_count=3, mean_interval_days=180.0, suggested_interval_days=365)
    assert offer_of(item, DEFAULT_TIERS).cadence.frequency == "every_24_weeks"


@pytest.mark.parametrize(
    ("units", "units_per_pack", "interval_days", "expected"),
    [(3, 2, 7, (14, 3)), (3, 3, 28, (28, 1)), (1, 6, 7, (42, 1)), (2, 1, 7, (7, 2)), (6, 4, 56, (112, 3))],
)
def test_packs_of_the_usual_size_supply_what_all_sizes_did(
    units: int, units_per_pack: int, interval_days: int, expected: tuple[int, int]
) -> None:
    item = bananas(
        typical_quantity=units, units_per_pack=units_per_pack, forecast=forecast(interval_days=interval_days)
    )
    offer = offer_of(item, DEFAULT_TIERS)
    assert (offer.cadence.interval_days, offer.quantity) == expected


def test_candidate_without_an_interval_is_rejected() -> None:
    with pytest.raises(ValueError, match="no interval"):
        offer_of(bananas(mean_interval_days=None), DEFAULT_TIERS)
