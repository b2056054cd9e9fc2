from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pantree_domain.cadence import LADDER
from pantree_domain.catalog import Perishability
from pantree_domain.evidence import ModelName, Need, Trend
from pantree_domain.goods import load_goods_policy
from pantree_recommendation.backends.embedded import EmbeddedRanker
from pantree_recommendation.core.candidate import Candidate, PaidPrice
from pantree_recommendation.core.policy import Policy
from pantree_recommendation.core.ranking import ItemFeatures, Ranker, RankerFailure
from pantree_recommendation.core.reason import ReasonCode
from pantree_recommendation.core.recommender import (
    RecommendationRequest,
    RecommendationResult,
    filter_candidates,
    score,
    select,
)
from pantree_recommendation.core.selection import Models, Selection, Share
from tests.recommendation.evidence import AS_OF, bananas, candidates, forecast, request


class ByPrice:
    """A model on SageMaker that ranks by price."""

    model = ModelName("by-price", "")
    source = "sagemaker"

    def __init__(self) -> None:
        self.item_counts: list[int] = []

    async def scores(self, items: Sequence[ItemFeatures]) -> Sequence[float]:
        self.item_counts.append(len(items))
        return [min(1.0, item.latest_unit_price / 100) for item in items]


class Failing:
    """A model that always fails."""

    model = ModelName("failing", "")

    def __init__(self, source: str = "sagemaker") -> None:
        self.source = source

    async def scores(self, items: Sequence[ItemFeatures]) -> Sequence[float]:
        raise RankerFailure("SageMaker is down")


def models(first: Ranker, fallback: Ranker) -> Models:
    return Models({"first": first, "fallback": fallback}, Selection((Share("first", 1.0),), "fallback"))


EMBEDDED = models(EmbeddedRanker(), EmbeddedRanker())


async def recommend(
    sent: RecommendationRequest, policy: Policy | None = None, models: Models = EMBEDDED
) -> RecommendationResult:
    (scored,) = await score([filter_candidates(sent, policy or Policy(), models)])
    return select(scored)


def names(result: RecommendationResult) -> list[str]:
    return [recommendation.candidate.name for recommendation in result.recommendations]


@settings(max_examples=30)
@given(candidates())
async def test_every_candidate_is_either_recommended_or_omitted(items: list[Candidate]) -> None:
    result = await recommend(request(*items, include_omitted=True))
    omitted = [item.name for item in result.omitted]
    assert sorted(names(result) + omitted) == sorted(item.name for item in items)
    assert omitted == sorted(omitted)


@settings(max_examples=30)
@given(candidates())
async def test_recommendation_keeps_the_invariants_of_the_contract(items: list[Candidate]) -> None:
    recommendations = (await recommend(request(*items))).recommendations
    assert [(-item.score, item.candidate.name) for item in recommendations] == sorted(
        (-item.score, item.candidate.name) for item in recommendations
    )
    for item in recommendations:
        assert 0 <= item.score <= 1
        assert item.offer.cadence in LADDER
        assert item.next_due_day >= AS_OF
        assert item.first_delivery_day >= AS_OF
        assert item.offer.forecast.need is Need.ACTIVE
        assert item.offer.forecast.cadence_probability >= 0.65
        assert item.offer.cadence.interval_days >= item.offer.forecast.interval_days
        claims = {reason.code for reason in item.reasons} & {ReasonCode.SAVES_MONEY, ReasonCode.SAVES_VS_PAID}
        savings = item.offer.price.savings_vs_paid
        assert not (claims and savings is not None and savings.pays_less_today)
        assert item.reasons
        assert all(reason.text for reason in item.reasons)


@settings(max_examples=30)
@given(candidates().flatmap(lambda items: st.tuples(st.just(items), st.permutations(items))), st.integers(1, 4))
async def test_result_does_not_depend_on_the_order_of_the_candidates(
    items_and_permutation: tuple[list[Candidate], list[Candidate]], limit: int
) -> None:
    one, other = [
        await recommend(request(*items, max_recommendations=limit, include_omitted=True))
        for items in items_and_permutation
    ]
    assert one == other


@settings(max_examples=30)
@given(candidates(), st.floats(0, 100), st.floats(0, 100))
async def test_higher_threshold_recommends_a_subset_in_the_same_order(
    items: list[Candidate], one: float, other: float
) -> None:
    low, high = sorted((one, other))
    at_low, at_high = [names(await recommend(request(*items, min_confidence=threshold))) for threshold in (low, high)]
    assert at_high == [name for name in at_low if name in set(at_high)]


async def test_items_of_equal_score_are_ordered_by_name() -> None:
    result = await recommend(request(bananas(name="Pears"), bananas(name="Apples")))
    assert names(result) == ["Apples", "Pears"]


async def test_items_beyond_the_limit_are_omitted_with_their_rank() -> None:
    items = [bananas(name=name) for name in "cab"]
    result = await recommend(request(*items, max_recommendations=1, include_omitted=True))
    assert names(result) == ["a"]
    assert [(item.name, item.reason.code, item.reason.values["place"]) for item in result.omitted] == [
        ("b", ReasonCode.OUTRANKED, 2),
        ("c", ReasonCode.OUTRANKED, 3),
    ]


async def test_omitted_items_are_returned_only_on_request() -> None:
    assert (await recommend(request(bananas(confidence=1.0)))).omitted == ()


async def test_category_limit_is_half_of_the_requested_recommendations() -> None:
    items = [bananas(name=name, confidence=90.0) for name in "abc"]
    pantry = bananas(name="d", category="pantry", confidence=70.0)
    unknown = [bananas(name=name, category="", confidence=66.0) for name in "ef"]
    result = await recommend(request(*items, pantry, *unknown, max_recommendations=4, include_omitted=True))
    assert names(result) == ["a", "b", "d", "e"]
    assert [(item.name, item.reason.code) for item in result.omitted] == [
        ("c", ReasonCode.CATEGORY_FULL),
        ("f", ReasonCode.OUTRANKED),
    ]
    assert result.omitted[0].reason.values == {"place": 3, "max_of_category": 2}


async def test_forecast_and_paid_price_have_reasons() -> None:
    item = bananas(forecast=forecast(), paid_price=PaidPrice(1.95, 0.1))
    (recommendation,) = (await recommend(request(item))).recommendations
    assert [reason.code for reason in recommendation.reasons] == [
        "BOUGHT_REGULARLY",
        "LIKELY_BOUGHT_AGAIN",
        "CADENCE_BY_RISK",
        "SAVES_VS_PAID",
    ]
    assert recommendation.reasons[1].values == {"cadence_probability": 0.8, "days": 10}
    assert recommendation.reasons[1].text == "You are likely to need it again within 10 days."


async def test_household_that_pays_less_gets_no_savings_reason() -> None:
    item = bananas(forecast=forecast(), paid_price=PaidPrice(1.79, 0.1))
    (recommendation,) = (await recommend(request(item))).recommendations
    savings = recommendation.offer.price.savings_vs_paid
    assert savings is not None
    assert savings.pays_less_today
    assert not {"SAVES_MONEY", "SAVES_VS_PAID"} & {reason.code for reason in recommendation.reasons}


async def test_saving_that_the_last_payment_does_not_support_is_no_reason() -> None:
    item = bananas(forecast=forecast(), paid_price=PaidPrice(1.95, 0.1, latest=1.5, purchase_count=8))
    (recommendation,) = (await recommend(request(item))).recommendations
    savings = recommendation.offer.price.savings_vs_paid
    assert savings is not None
    assert (savings.pays_less_today, savings.supported) == (False, False)
    assert not {"SAVES_MONEY", "SAVES_VS_PAID"} & {reason.code for reason in recommendation.reasons}


@pytest.mark.parametrize(
    ("changes", "supported"),
    [({}, True), ({"promoted": True}, False), ({"usual_discount_ratio": 0.13}, False)],
)
async def test_saving_that_promotions_may_take_away_is_no_claim(changes: dict[str, Any], supported: bool) -> None:
    item = bananas(forecast=forecast(), paid_price=PaidPrice(1.99, 0.0, 1.99, 8)._replace(**changes))
    (recommendation,) = (await recommend(request(item))).recommendations
    codes = {reason.code for reason in recommendation.reasons}
    assert (ReasonCode.SAVES_VS_PAID in codes) is supported


async def test_replaced_item_is_omitted_with_what_took_its_place() -> None:
    result = await recommend(request(bananas(), include_omitted=True, replaced={"Plantains": "Bananas"}))
    (omitted,) = result.omitted
    assert (omitted.name, omitted.reason.text) == ("Plantains", "You now buy Bananas instead.")


async def test_plan_covers_all_recommendations() -> None:
    items = [bananas(name=name, category=name) for name in "abcdefg"]
    result = await recommend(request(*items, max_recommendations=5))
    assert result.plan.item_count == 5
    assert result.plan.estimated_annual_savings > 5 * 5.18


async def test_overdue_item_is_due_on_the_as_of_date() -> None:
    (item,) = (await recommend(request(bananas(next_due_day=date(2026, 6, 17))))).recommendations
    assert item.next_due_day == AS_OF
    (due,) = [reason for reason in item.reasons if reason.code is ReasonCode.DUE_NOW]
    assert due.values == {"overdue_days": 3}


async def test_first_delivery_is_the_day_of_the_forecast_or_near_it() -> None:
    chosen = date(2026, 7, 4)
    items = [
        bananas(name="chosen", forecast=forecast(first_delivery_day=chosen)),
        bananas(name="past", forecast=forecast(first_delivery_day=date(2026, 6, 1))),
        bananas(name="unknown", forecast=forecast()),
        bananas(name="without forecast"),
    ]
    best = {
        "chosen": chosen,
        "past": AS_OF + timedelta(days=1),
        "unknown": bananas().next_due_day,
        "without forecast": bananas().next_due_day,
    }
    for item in items:
        (alone,) = (await recommend(request(item))).recommendations
        assert alone.first_delivery_day == best[item.name]
    # Together they share a day of the week, and a weekly item moves by three days at most.
    together = {
        one.candidate.name: one.first_delivery_day for one in (await recommend(request(*items))).recommendations
    }
    assert len({day.weekday() for day in together.values()}) == 1
    assert all(abs((day - (best[name] or day)).days) <= 3 for name, day in together.items() if name != "past")


async def test_all_reasons_that_apply_are_returned_in_order() -> None:
    item = bananas(
        purchase_count=4,
        suggested_interval_days=28,
        next_due_day=AS_OF,
        trend=Trend.ACCELERATING,
        perishability=Perishability.MONTHS,
    )
    (recommendation,) = (await recommend(request(item))).recommendations
    assert [reason.code for reason in recommendation.reasons] == [
        "BOUGHT_REGULARLY",
        "DUE_NOW",
        "CADENCE_LENGTHENED",
        "SAVES_MONEY",
        "BOUGHT_MORE_OFTEN",
        "KEEPS_FOR_MONTHS",
    ]


async def test_irregular_free_item_is_neither_regular_nor_a_saving() -> None:
    item = bananas(consistency_ratio=0.6, latest_unit_price=0.0, confidence=100.0)
    (recommendation,) = (await recommend(request(item))).recommendations
    assert [reason.code for reason in recommendation.reasons] == ["BOUGHT_REPEATEDLY"]


async def test_selected_model_ranks() -> None:
    expensive = bananas(name="Expensive", confidence=65.0, latest_unit_price=50.0)
    sent = request(bananas(name="Cheap", confidence=90.0), expensive)
    result = await recommend(sent, models=models(ByPrice(), EmbeddedRanker()))
    assert names(result) == ["Expensive", "Cheap"]
    assert (result.model.name, result.source, result.fallback_reason) == ("by-price", "sagemaker", "")


async def test_fallback_answers_with_a_reason_when_the_selected_model_fails() -> None:
    sent = request(bananas(), bananas(name="Oats", confidence=70.0))
    result = await recommend(sent, models=models(Failing(), EmbeddedRanker()))
    assert result.recommendations == (await recommend(sent)).recommendations
    assert (result.model.name, result.source) == ("embedded-heuristic", "embedded")
    assert result.fallback_reason == RankerFailure.reason


async def test_failure_of_the_fallback_is_an_error() -> None:
    failing = Failing(source="embedded")
    with pytest.raises(RankerFailure):
        await recommend(request(bananas()), models=models(failing, failing))


async def test_items_of_several_requests_are_scored_in_one_call_per_model() -> None:
    by_price = ByPrice()
    both = models(by_price, EmbeddedRanker())
    sent = [
        request(bananas(), bananas(name="Oats")),
        request(),
        request(bananas(), model="fallback"),
        request(bananas(name="Milk", latest_unit_price=5.0)),
    ]
    scored = await score([filter_candidates(entry, Policy(), both) for entry in sent])
    assert by_price.item_counts == [3]
    assert [select(entry) for entry in scored] == [await recommend(entry, models=both) for entry in sent]


async def test_empty_result_has_near_misses_without_a_request_for_them() -> None:
    items = [
        bananas(name="Eggs", purchase_count=2),
        bananas(name="Milk", forecast=forecast(cadence_probability=0.5)),
        bananas(name="Bread", forecast=forecast(cadence_probability=0.55)),
        bananas(name="Tea", forecast=forecast(need=Need.ENDED)),
    ]
    result = await recommend(request(*items))
    assert (result.recommendations, result.omitted) == ((), ())
    assert [(item.name, item.reason.code) for item in result.near_misses] == [
        ("Bread", ReasonCode.LOW_PROBABILITY),
        ("Milk", ReasonCode.LOW_PROBABILITY),
        ("Eggs", ReasonCode.TOO_FEW_PURCHASES),
    ]


async def test_items_bought_too_rarely_are_ordered_by_purchases_and_last_day() -> None:
    """Their order does not depend on forecasts, which frequency leaves out in its basic view."""
    likely, unlikely = (forecast(cadence_probability=probability) for probability in (0.9, 0.1))
    once: dict[str, Any] = {"purchase_count": 1, "mean_interval_days": None}
    items = [
        bananas(name="Eggs", forecast=likely, last_day=date(2024, 9, 1), **once),
        bananas(name="Milk", forecast=unlikely, last_day=date(2024, 10, 1), **once),
        bananas(name="Bread", forecast=unlikely, last_day=date(2024, 9, 1), **once),
        bananas(name="Tea", forecast=unlikely, purchase_count=2),
    ]
    result = await recommend(request(*items))
    assert [item.name for item in result.near_misses] == ["Tea", "Milk", "Bread"]
    without = await recommend(request(*(one._replace(forecast=None) for one in items)))
    assert without.near_misses == result.near_misses


async def test_near_misses_accompany_recommendations() -> None:
    result = await recommend(request(bananas(), bananas(name="Eggs", purchase_count=2)))
    assert [item.name for item in result.near_misses] == ["Eggs"]


async def test_goods_that_are_not_offered_are_omitted_with_their_reason() -> None:
    names = ("Marlboro Gold", "Barefoot Moscato", "Zigareten", "Bottle Deposit")
    items = [bananas(name=name, category="", forecast=forecast()) for name in names]
    result = await recommend(request(*items, include_omitted=True))
    assert result.recommendations == ()
    assert result.near_misses == ()
    assert {item.name: (item.reason.code, item.reason.goods_type) for item in result.omitted} == {
        "Marlboro Gold": (ReasonCode.GOODS_NEVER_OFFERED, "tobacco"),
        "Barefoot Moscato": (ReasonCode.GOODS_OPT_IN, "alcohol"),
        "Zigareten": (ReasonCode.GOODS_UNCERTAIN, "tobacco"),
        "Bottle Deposit": (ReasonCode.GOODS_NEVER_OFFERED, "deposits"),
    }
    assert all("{" not in item.reason.text for item in result.omitted)


async def test_goods_of_a_retailer_that_opted_in_have_no_discount() -> None:
    policy = Policy(goods=load_goods_policy(opted_in=frozenset({"alcohol"})))
    item = bananas(name="Barefoot Moscato", forecast=forecast(), paid_price=PaidPrice(9.0, 0.0), latest_unit_price=8.0)
    result = await recommend(request(item), policy)
    (recommendation,) = result.recommendations
    assert [price.tier.discount_ratio for price in recommendation.offer.prices] == [0.0, 0.0]
    assert [price.savings_vs_paid for price in recommendation.offer.prices] == [None, None]
    assert ReasonCode.SHELF_PRICE_ONLY in {reason.code for reason in recommendation.reasons}
    assert result.plan.estimated_annual_savings == 0.0
    assert result.plan.annual_savings_vs_paid == 0.0


async def test_formula_is_offered_without_a_discount_and_does_not_lift_others_to_a_higher_one() -> None:
    names = ("Bananas", "Eggs", "Butter", "Oats")
    others = [bananas(name=name, category=name, forecast=forecast()) for name in names]
    formula = bananas(name="Similac Advance", category="baby", forecast=forecast())
    result = await recommend(request(*others, formula))
    assert len(result.recommendations) == 5
    assert result.plan.best_discount_ratio == 0.0


async def test_line_at_price_zero_is_no_offer_next_to_other_prices() -> None:
    sample = bananas(name="Granola", latest_unit_price=0.0, forecast=forecast())
    alone = await recommend(request(sample))
    assert [item.candidate.name for item in alone.recommendations] == ["Granola"]
    result = await recommend(request(sample, bananas(forecast=forecast()), include_omitted=True))
    assert [(item.name, item.reason.code) for item in result.omitted] == [("Granola", ReasonCode.NO_PRICE)]


async def test_item_of_an_excluded_category_is_no_near_miss() -> None:
    result = await recommend(request(bananas()), Policy(excluded_categories=frozenset({"produce"})))
    assert result.near_misses == ()


async def test_threshold_of_the_request_applies_to_regular_items_too() -> None:
    regular = bananas(forecast=forecast(cadence_probability=0.5, regularity_ratio=0.8))
    assert names(await recommend(request(bananas(forecast=forecast(cadence_probability=0.5))))) == []
    assert names(await recommend(request(regular))) == ["Bananas"]
    assert names(await recommend(request(regular, min_cadence_probability=0.65))) == []
