import re
from pathlib import Path
from typing import Any

import grpc
import pytest
from pydantic import SecretStr, ValidationError

from pantree.catalog.v1 import catalog_pb2
from pantree.frequency.v1.frequency_service_pb2 import TREND_STABLE, ItemFrequency
from pantree.recommendation.v1 import recommendation_service_pb2 as messages
from pantree.recommendation.v1 import recommendation_service_pb2_grpc as rpc
from pantree_recommendation.__main__ import build
from pantree_recommendation.core import ItemFeatures, ReasonCode
from pantree_recommendation.settings import RecommendationSettings
from pantree_runtime.errors import InvalidInput
from pantree_runtime.settings import PartSettings, environment_variables
from pantree_runtime.status import calling
from tests.loopback import loopback
from tests.recommendation.sagemaker_stub import SageMakerStub, error, serving

README = Path(__file__).parents[2] / "services" / "recommendation" / "README.md"


def embedded() -> RecommendationSettings:
    return RecommendationSettings(sagemaker_endpoint="")


def on(stub: SageMakerStub) -> RecommendationSettings:
    return RecommendationSettings(
        sagemaker_endpoint="subscribe-save",
        sagemaker_url=stub.url,
        aws_access_key_id=SecretStr("AKIDEXAMPLE"),
        aws_secret_access_key=SecretStr("not-a-real-key"),
        aws_session_token=None,
    )


def bananas(**changes: Any) -> ItemFrequency:
    return ItemFrequency(
        **{
            "name": "Bananas",
            "category": "produce",
            "purchase_count": 8,
            "mean_interval_days": 7.24,
            "consistency_ratio": 0.9,
            "recency_weight_ratio": 1.0,
            "trend": TREND_STABLE,
            "confidence": 85.34,
            "last_date": "2026-06-18",
            "next_due_date": "2026-06-25",
            "latest_unit_price": 1.99,
            "typical_quantity": 1,
            **changes,
        }
    )


def request(*items: ItemFrequency, **changes: Any) -> messages.RecommendRequest:
    candidates = [messages.Candidate(frequency=item) for item in items]
    return messages.RecommendRequest(**{"candidates": candidates, "as_of": "2026-06-20", **changes})


async def recommend(
    asked: messages.RecommendRequest, settings: RecommendationSettings | None = None
) -> messages.RecommendResponse:
    async with loopback(await build(settings or embedded())) as channel:
        with calling("recommendation"):
            return await rpc.RecommendationServiceStub(channel).Recommend(asked)


async def violated_fields(asked: messages.RecommendRequest) -> set[str]:
    with pytest.raises(InvalidInput) as raised:
        await recommend(asked)
    return {violation.field for violation in raised.value.violations}


async def test_weekly_item_gets_the_published_offer() -> None:
    response = await recommend(request(bananas()))
    (item,) = response.recommendations
    assert (item.name, item.confidence, item.count, item.avg_interval) == ("Bananas", 85.3, 8, 7.2)
    assert (item.last_date, item.next_due_date, item.category) == ("2026-06-18", "2026-06-25", "produce")
    offer = item.subscription
    assert (offer.frequency, offer.interval_days, offer.quantity) == ("weekly", 7, 1)
    assert (offer.estimated_annual_savings, offer.discount_ratio) == (5.18, 0.05)
    assert [reason.code for reason in item.reasons] == ["BOUGHT_REGULARLY", "SAVES_MONEY"]
    assert item.reasons[1].values["estimated_annual_savings"] == 5.18
    assert (response.source, response.model.name, response.fallback_reason) == ("embedded", "embedded-heuristic", "")


async def test_request_without_candidates_gets_an_empty_answer() -> None:
    response = await recommend(request(include_omitted=True))
    assert not response.recommendations
    assert not response.omitted


async def test_item_bought_once_is_left_out_with_a_reason_when_asked() -> None:
    once = ItemFrequency(
        name="Candles", purchase_count=1, last_date="2026-06-18", latest_unit_price=3.0, typical_quantity=1
    )
    response = await recommend(request(bananas(), once, include_omitted=True))
    (omitted,) = response.omitted
    assert (omitted.name, omitted.reason.code) == ("Candles", "TOO_FEW_PURCHASES")
    assert omitted.reason.values == {"purchase_count": 1, "min_purchases": 3}
    assert omitted.reason.text == "Bought on 1 of the at least 3 days that are needed to judge it."


async def test_threshold_of_the_request_goes_before_that_of_the_settings() -> None:
    settings = RecommendationSettings(min_confidence=90, sagemaker_endpoint="")
    assert not (await recommend(request(bananas()), settings)).recommendations
    assert (await recommend(request(bananas(), min_confidence=0), settings)).recommendations


async def test_discount_and_least_purchases_come_from_the_settings() -> None:
    settings = RecommendationSettings(discount_ratio=0.15, min_purchases=2, sagemaker_endpoint="")
    (item,) = (await recommend(request(bananas(purchase_count=2)), settings)).recommendations
    assert item.subscription.estimated_annual_savings == 15.56


async def test_every_wrong_field_is_named() -> None:
    wrong = bananas(
        name="",
        purchase_count=0,
        mean_interval_days=float("nan"),
        consistency_ratio=1.5,
        recency_weight_ratio=-1.0,
        confidence=101.0,
        latest_unit_price=-1.0,
        typical_quantity=0,
        last_date="2026-06-21",
        next_due_date="soon",
        trend=99,
    )
    asked = messages.RecommendRequest(
        candidates=[messages.Candidate(frequency=wrong, perishability=9, suggested_interval_days=-1)],  # type: ignore[arg-type]
        as_of="2026-06-20",
        max_recommendations=0,
        min_confidence=float("inf"),
    )
    frequency_fields = (
        "name",
        "purchase_count",
        "mean_interval_days",
        "consistency_ratio",
        "recency_weight_ratio",
        "confidence",
        "latest_unit_price",
        "typical_quantity",
        "last_date",
        "next_due_date",
        "trend",
    )
    assert await violated_fields(asked) == {
        "max_recommendations",
        "min_confidence",
        "candidates[0].perishability",
        "candidates[0].suggested_interval_days",
        *(f"candidates[0].frequency.{name}" for name in frequency_fields),
    }


async def test_missing_evidence_and_repeated_names_are_named() -> None:
    incomplete = ItemFrequency(
        name="Oats", purchase_count=2, last_date="2026-06-18", latest_unit_price=3.0, typical_quantity=1
    )
    asked = request(bananas(), bananas(), incomplete, as_of="")
    asked.candidates.add()
    assert await violated_fields(asked) == {
        "as_of",
        "candidates[1].frequency.name",
        "candidates[2].frequency.mean_interval_days",
        "candidates[2].frequency.next_due_date",
        "candidates[3].frequency",
    }


async def test_too_many_candidates_are_refused() -> None:
    asked = messages.RecommendRequest(candidates=[messages.Candidate()] * 10_001, as_of="2026-06-20")
    assert await violated_fields(asked) == {"candidates"}


async def test_perishability_and_suggestion_reach_the_answer() -> None:
    candidate = messages.Candidate(
        frequency=bananas(purchase_count=3),
        perishability=catalog_pb2.PERISHABILITY_MONTHS,
        suggested_interval_days=28,
    )
    (item,) = (await recommend(request(candidates=[candidate]))).recommendations
    assert item.subscription.frequency == "biweekly"
    assert {"CADENCE_LENGTHENED", "KEEPS_FOR_MONTHS"} <= {reason.code for reason in item.reasons}


async def test_sagemaker_ranks_when_it_is_configured() -> None:
    with serving() as stub:
        response = await recommend(request(bananas(), bananas(name="Oats", confidence=90.0)), on(stub))
    assert [(item.name, item.score) for item in response.recommendations] == [("Oats", 0.9), ("Bananas", 0.8534)]
    assert (response.source, response.model.name, response.model.version) == ("sagemaker", "subscribe-save", "")
    assert response.fallback_reason == ""


async def test_embedded_model_answers_when_sagemaker_fails() -> None:
    with serving() as stub:
        stub.behavior = error("ModelError", 424)
        response = await recommend(request(bananas()), on(stub))
    assert response.recommendations == (await recommend(request(bananas()))).recommendations
    assert (response.source, response.model.name) == ("embedded", "embedded-heuristic")
    assert "ModelError, HTTP 424" in response.fallback_reason


async def test_embedded_model_answers_within_the_deadline_when_sagemaker_hangs() -> None:
    with serving() as stub:
        stub.behavior = stub.hang
        async with loopback(await build(on(stub))) as channel:
            response = await rpc.RecommendationServiceStub(channel).Recommend(request(bananas()), timeout=1)
            stub.released.set()
    assert response.recommendations[0].name == "Bananas"
    assert response.fallback_reason == "SageMaker did not answer in the time there was"


async def test_model_is_told() -> None:
    async with loopback(await build(embedded())) as channel:
        alone = await rpc.RecommendationServiceStub(channel).GetModel(messages.GetModelRequest())
    assert (alone.source, alone.model) == ("embedded", alone.fallback)
    with serving() as stub:
        async with loopback(await build(on(stub))) as channel:
            told = await rpc.RecommendationServiceStub(channel).GetModel(messages.GetModelRequest())
        assert not stub.requests
    assert (told.source, told.model.name, told.fallback.name) == ("sagemaker", "subscribe-save", "embedded-heuristic")


async def test_unknown_date_is_invalid_argument() -> None:
    async with loopback(await build(embedded())) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await rpc.RecommendationServiceStub(channel).Recommend(messages.RecommendRequest(as_of="today"))
    assert raised.value.code() is grpc.StatusCode.INVALID_ARGUMENT


def test_half_a_pair_of_aws_keys_is_refused() -> None:
    with pytest.raises(ValidationError, match="go together"):
        RecommendationSettings(
            sagemaker_endpoint="subscribe-save", aws_access_key_id=SecretStr("x"), aws_secret_access_key=None
        )


def test_endpoint_that_is_an_address_is_refused() -> None:
    with pytest.raises(ValidationError, match="give the endpoint's name"):
        RecommendationSettings(sagemaker_endpoint="https://example.com")


def test_readme_lists_every_setting_feature_and_reason() -> None:
    listed = set(re.findall(r"^\| `([A-Za-z_]+)`", README.read_text(encoding="utf-8"), re.MULTILINE))
    shared = set(environment_variables(PartSettings))
    expected = {*environment_variables(RecommendationSettings), *ItemFeatures.__dataclass_fields__, *ReasonCode}
    assert listed - {"Recommend", "GetModel"} == {str(name) for name in expected} - shared
