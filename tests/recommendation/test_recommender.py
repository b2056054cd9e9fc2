from collections.abc import Sequence
from datetime import date

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pantree_domain.cadence import LADDER
from pantree_domain.catalog import Perishability
from pantree_recommendation.backends.embedded import EmbeddedRanker
from pantree_recommendation.core import (
    Answer,
    Candidate,
    FixedModels,
    ItemFeatures,
    ModelName,
    Need,
    PaidPrice,
    Policy,
    Question,
    RankerFailure,
    ReasonCode,
    Recommender,
    Trend,
)
from tests.recommendation.evidence import AS_OF, bananas, candidates, forecast, question


class ByPrice:
    """A model on SageMaker that ranks by price."""

    model = ModelName("by-price", "")
    source = "sagemaker"

    async def scores(self, items: Sequence[ItemFeatures]) -> Sequence[float]:
        return [min(1.0, item.latest_unit_price / 100) for item in items]


class OutOfOrder(ByPrice):
    async def scores(self, items: Sequence[ItemFeatures]) -> Sequence[float]:
        raise RankerFailure("SageMaker is out of order")


async def recommend(asked: Question) -> Answer:
    return await Recommender(Policy(), FixedModels(EmbeddedRanker())).recommend(asked)


def names(given_answer: Answer) -> list[str]:
    return [recommendation.candidate.name for recommendation in given_answer.recommendations]


@settings(max_examples=30)
@given(candidates())
async def test_every_candidate_is_either_recommended_or_left_out(items: list[Candidate]) -> None:
    given_answer = await recommend(question(*items, include_omitted=True))
    omitted = [item.name for item in given_answer.omitted]
    assert sorted(names(given_answer) + omitted) == sorted(item.name for item in items)
    assert omitted == sorted(omitted)


@settings(max_examples=30)
@given(candidates())
async def test_recommendation_keeps_what_the_contract_promises(items: list[Candidate]) -> None:
    recommendations = (await recommend(question(*items))).recommendations
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
        honest = item.offer.price.savings_vs_paid
        assert not (claims and honest is not None and honest.pays_less_today)
        assert item.reasons
        assert all(reason.text for reason in item.reasons)


@settings(max_examples=30)
@given(candidates().flatmap(lambda items: st.tuples(st.just(items), st.permutations(items))), st.integers(1, 4))
async def test_answer_is_the_same_for_every_order_of_the_candidates(
    items_and_permutation: tuple[list[Candidate], list[Candidate]], limit: int
) -> None:
    one, other = [
        await recommend(question(*items, max_recommendations=limit, include_omitted=True))
        for items in items_and_permutation
    ]
    assert one == other


@settings(max_examples=30)
@given(candidates(), st.floats(0, 100), st.floats(0, 100))
async def test_higher_threshold_recommends_a_subset_in_the_same_order(
    items: list[Candidate], one: float, other: float
) -> None:
    low, high = sorted((one, other))
    at_low, at_high = [names(await recommend(question(*items, min_confidence=threshold))) for threshold in (low, high)]
    assert at_high == [name for name in at_low if name in set(at_high)]


async def test_items_of_equal_score_are_ordered_by_name() -> None:
    given_answer = await recommend(question(bananas(name="Pears"), bananas(name="Apples")))
    assert names(given_answer) == ["Apples", "Pears"]


async def test_items_beyond_the_limit_are_left_out_with_their_place() -> None:
    items = [bananas(name=name) for name in "cab"]
    given_answer = await recommend(question(*items, max_recommendations=1, include_omitted=True))
    assert names(given_answer) == ["a"]
    assert [(item.name, item.reason.code, item.reason.values["place"]) for item in given_answer.omitted] == [
        ("b", ReasonCode.OUTRANKED, 2),
        ("c", ReasonCode.OUTRANKED, 3),
    ]


async def test_omitted_items_are_kept_back_unless_asked_for() -> None:
    assert (await recommend(question(bananas(confidence=1.0)))).omitted == ()


async def test_no_more_than_half_of_what_is_asked_for_comes_from_one_category() -> None:
    items = [bananas(name=name, confidence=90.0) for name in "abc"]
    pantry = bananas(name="d", category="pantry", confidence=70.0)
    unknown = [bananas(name=name, category="", confidence=66.0) for name in "ef"]
    given_answer = await recommend(question(*items, pantry, *unknown, max_recommendations=4, include_omitted=True))
    assert names(given_answer) == ["a", "b", "d", "e"]
    assert [(item.name, item.reason.code) for item in given_answer.omitted] == [
        ("c", ReasonCode.CATEGORY_FULL),
        ("f", ReasonCode.OUTRANKED),
    ]
    assert given_answer.omitted[0].reason.values == {"place": 3, "max_of_category": 2}


async def test_forecast_and_paid_price_give_their_reasons() -> None:
    item = bananas(forecast=forecast(), paid_price=PaidPrice(1.95, 0.1))
    (recommendation,) = (await recommend(question(item))).recommendations
    assert [reason.code for reason in recommendation.reasons] == [
        "BOUGHT_REGULARLY",
        "LIKELY_BOUGHT_AGAIN",
        "CADENCE_BY_RISK",
        "SAVES_VS_PAID",
    ]
    assert recommendation.reasons[1].values == {"cadence_probability": 0.8, "days": 10}
    assert recommendation.reasons[1].text == "Bought again within 10 days with a probability of 80%."


async def test_household_that_pays_less_is_told_so_and_promised_nothing() -> None:
    item = bananas(forecast=forecast(), paid_price=PaidPrice(1.49, 0.1))
    (recommendation,) = (await recommend(question(item))).recommendations
    (reason,) = [reason for reason in recommendation.reasons if reason.code is ReasonCode.PAYS_LESS_TODAY]
    assert reason.text == (
        "You already pay less: 1.49 a unit on average, promotions included, where the subscription asks 1.90."
    )
    assert not {"SAVES_MONEY", "SAVES_VS_PAID"} & {reason.code for reason in recommendation.reasons}


async def test_plan_tells_all_recommendations_together() -> None:
    items = [bananas(name=name, category=name) for name in "abcdefg"]
    given_answer = await recommend(question(*items, max_recommendations=5))
    assert given_answer.plan.item_count == 5
    assert given_answer.plan.estimated_annual_savings > 5 * 5.18


async def test_overdue_item_is_due_on_the_day_of_the_question() -> None:
    (item,) = (await recommend(question(bananas(next_due_day=date(2026, 6, 17))))).recommendations
    assert item.next_due_day == AS_OF
    (due,) = [reason for reason in item.reasons if reason.code is ReasonCode.DUE_NOW]
    assert due.values == {"overdue_days": 3}


async def test_first_delivery_is_the_day_that_the_evidence_chose() -> None:
    chosen = date(2026, 7, 4)
    items = [
        bananas(name="chosen", forecast=forecast(first_delivery_day=chosen)),
        bananas(name="past", forecast=forecast(first_delivery_day=date(2026, 6, 1))),
        bananas(name="unknown", forecast=forecast()),
        bananas(name="without forecast"),
    ]
    answer = await recommend(question(*items))
    assert {item.candidate.name: item.first_delivery_day for item in answer.recommendations} == {
        "chosen": chosen,
        "past": AS_OF,
        "unknown": bananas().next_due_day,
        "without forecast": bananas().next_due_day,
    }


async def test_reasons_begin_with_regularity_and_name_all_that_applies() -> None:
    item = bananas(
        purchase_count=4,
        suggested_interval_days=28,
        next_due_day=AS_OF,
        trend=Trend.ACCELERATING,
        perishability=Perishability.MONTHS,
    )
    (recommendation,) = (await recommend(question(item))).recommendations
    assert [reason.code for reason in recommendation.reasons] == [
        "BOUGHT_REGULARLY",
        "DUE_NOW",
        "CADENCE_LENGTHENED",
        "SAVES_MONEY",
        "BOUGHT_MORE_OFTEN",
        "KEEPS_FOR_MONTHS",
    ]


async def test_irregular_free_item_is_called_neither_regular_nor_a_saving() -> None:
    item = bananas(consistency_ratio=0.6, latest_unit_price=0.0, confidence=100.0)
    (recommendation,) = (await recommend(question(item))).recommendations
    assert [reason.code for reason in recommendation.reasons] == ["BOUGHT_REPEATEDLY"]


async def test_remote_model_ranks_when_there_is_one() -> None:
    recommender = Recommender(Policy(), FixedModels(EmbeddedRanker(), ByPrice()))
    given_answer = await recommender.recommend(
        question(bananas(name="Cheap", confidence=90.0), bananas(name="Dear", confidence=65.0, latest_unit_price=50.0))
    )
    assert names(given_answer) == ["Dear", "Cheap"]
    assert (given_answer.model.name, given_answer.source, given_answer.fallback_reason) == ("by-price", "sagemaker", "")


async def test_embedded_model_stands_in_and_says_so_when_the_remote_one_fails() -> None:
    asked = question(bananas(), bananas(name="Oats", confidence=70.0))
    given_answer = await Recommender(Policy(), FixedModels(EmbeddedRanker(), OutOfOrder())).recommend(asked)
    assert given_answer.recommendations == (await recommend(asked)).recommendations
    assert (given_answer.model.name, given_answer.source) == ("embedded-heuristic", "embedded")
    assert given_answer.fallback_reason == "SageMaker is out of order"


class EmbeddedOutOfOrder(OutOfOrder):
    source = "embedded"


async def test_failure_of_the_only_model_is_no_empty_answer() -> None:
    with pytest.raises(RankerFailure):
        await Recommender(Policy(), FixedModels(EmbeddedOutOfOrder())).recommend(question(bananas()))


async def test_empty_answer_tells_what_came_closest_though_nobody_asked() -> None:
    items = [
        bananas(name="Eggs", purchase_count=2),
        bananas(name="Milk", forecast=forecast(cadence_probability=0.5)),
        bananas(name="Bread", forecast=forecast(cadence_probability=0.55)),
        bananas(name="Tea", forecast=forecast(need=Need.ENDED)),
    ]
    given_answer = await recommend(question(*items))
    assert (given_answer.recommendations, given_answer.omitted) == ((), ())
    assert [(item.name, item.reason.code) for item in given_answer.near_misses] == [
        ("Bread", ReasonCode.LOW_PROBABILITY),
        ("Milk", ReasonCode.LOW_PROBABILITY),
        ("Eggs", ReasonCode.TOO_FEW_PURCHASES),
    ]


async def test_answer_with_a_recommendation_has_no_closest_items() -> None:
    given_answer = await recommend(question(bananas(), bananas(name="Eggs", purchase_count=2)))
    assert given_answer.near_misses == ()


async def test_what_the_shop_excludes_came_no_way_at_all() -> None:
    policy = Policy(excluded_categories=frozenset({"produce"}))
    given_answer = await Recommender(policy, FixedModels(EmbeddedRanker())).recommend(question(bananas()))
    assert given_answer.near_misses == ()


async def test_threshold_that_a_question_names_holds_for_regular_items_too() -> None:
    regular = bananas(forecast=forecast(cadence_probability=0.62))
    assert names(await recommend(question(regular))) == ["Bananas"]
    assert names(await recommend(question(regular, min_cadence_probability=0.65))) == []
