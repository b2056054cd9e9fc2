from collections.abc import Sequence
from typing import Any

import pytest

from pantree_recommendation.core.candidate import Candidate, PaidPrice
from pantree_recommendation.core.discount import DEFAULT_TIERS
from pantree_recommendation.core.offer import offer_of
from pantree_recommendation.core.plan import Plan, plan_of
from tests.recommendation.evidence import bananas, forecast


def plan(items: Sequence[Candidate]) -> Plan:
    return plan_of([(item, offer_of(item, DEFAULT_TIERS)) for item in items], DEFAULT_TIERS)


def weekly(name: str, price: float, **changes: Any) -> Candidate:
    return bananas(name=name, latest_unit_price=price, **changes)


def test_empty_plan_costs_nothing() -> None:
    assert plan([]) == Plan(0, 0.0, 0.0, 0.0, 0.0)


def test_plan_of_few_items_is_the_sum_of_their_offers() -> None:
    item = weekly("Bananas", 7.0)
    offer = offer_of(item, DEFAULT_TIERS)
    together = plan([item])
    assert together.annual_cost == offer.price.annual_cost == 346.75  # 7 × .95 × 365 / 7
    assert together.estimated_annual_savings == offer.price.estimated_annual_savings == 18.25
    assert (together.best_discount_ratio, together.annual_savings_vs_paid) == (0.0, None)


def test_five_items_on_one_day_get_the_larger_discount() -> None:
    together = plan([weekly(str(number), 7.0) for number in range(5)])
    assert together.annual_cost == 5 * 365 * 0.85
    assert together.estimated_annual_savings == pytest.approx(5 * 365 * 0.15)
    assert together.best_discount_ratio == 1.0


def test_discount_of_a_day_depends_on_its_items() -> None:
    items = [weekly(str(number), 7.0, forecast=forecast(interval_days=7)) for number in range(4)]
    items.append(weekly("4", 7.0, forecast=forecast(interval_days=14)))
    together = plan(items)
    # Every other week five items at .85, in between four at .95.
    assert together.annual_cost == pytest.approx(365 / 14 * (5 * 7 * 0.85 + 4 * 7 * 0.95), abs=0.01)
    assert together.best_discount_ratio == pytest.approx(5 / 9)


def test_savings_vs_paid_are_absent_when_any_paid_price_is_unknown() -> None:
    known = weekly("known", 7.0, paid_price=PaidPrice(6.0, 0.5))
    assert plan([known]).annual_savings_vs_paid == -33.9  # (6 − 6.65) × 365 / 7
    assert plan([known, weekly("unknown", 7.0)]).annual_savings_vs_paid is None
