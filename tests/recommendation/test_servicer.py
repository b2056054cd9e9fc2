import asyncio
import hashlib
import json
import re
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import grpc
import pytest
from pydantic import SecretStr, ValidationError
from structlog.testing import capture_logs

from pantree.catalog.v1 import catalog_pb2
from pantree.frequency.v1.frequency_service_pb2 import (
    NEED_ACTIVE,
    NEED_ENDED,
    TREND_STABLE,
    FirstDelivery,
    ItemFrequency,
    Need,
    NeedProbability,
    PurchaseProbability,
)
from pantree.recommendation.v1 import recommendation_service_pb2 as messages
from pantree.recommendation.v1 import recommendation_service_pb2_grpc as rpc
from pantree.vector.v1 import vector_service_pb2 as vector
from pantree_domain.evidence import ModelName
from pantree_recommendation.__main__ import build
from pantree_recommendation.backends import model_artifact
from pantree_recommendation.core.calibration import Calibration
from pantree_recommendation.core.ranking import FEATURES, RankerFailure
from pantree_recommendation.core.reason import ReasonCode
from pantree_recommendation.core.selection import ModelCard, model_id
from pantree_recommendation.sagemaker.settings import ContainerSettings
from pantree_recommendation.settings import RecommendationSettings
from pantree_runtime.errors import InvalidInput
from pantree_runtime.settings import PartSettings, environment_variables
from pantree_runtime.status import translate_rpc_errors
from tests.loopback import loopback
from tests.recommendation.sagemaker_stub import Behavior, SageMakerStub, error, rank_by_confidence, reply, serving

README = Path(__file__).parents[2] / "services" / "recommendation" / "README.md"


def embedded() -> RecommendationSettings:
    return RecommendationSettings(sagemaker_endpoint="")


def on(stub: SageMakerStub, **changes: Any) -> RecommendationSettings:
    return RecommendationSettings(
        **changes,
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
    message: messages.RecommendRequest, settings: RecommendationSettings | None = None
) -> messages.RecommendResponse:
    async with loopback(await build(settings or embedded())) as channel:
        with translate_rpc_errors("recommendation"):
            return await rpc.RecommendationServiceStub(channel).Recommend(message)


async def plan(message: messages.PlanDeliveriesRequest) -> messages.PlanDeliveriesResponse:
    async with loopback(await build(embedded())) as channel:
        return await rpc.RecommendationServiceStub(channel).PlanDeliveries(message)


async def violated_fields(message: messages.RecommendRequest) -> set[str]:
    with pytest.raises(InvalidInput) as raised:
        await recommend(message)
    return {violation.field for violation in raised.value.violations}


async def test_weekly_item_gets_the_documented_offer() -> None:
    response = await recommend(request(bananas()))
    (item,) = response.recommendations
    assert (item.name, item.confidence, item.count, item.avg_interval) == ("Bananas", 85.3, 8, 7.2)
    assert (item.last_date, item.next_due_date, item.category) == ("2026-06-18", "2026-06-25", "produce")
    offer = item.subscription
    assert (offer.frequency, offer.interval_days, offer.quantity) == ("weekly", 7, 1)
    assert (offer.estimated_annual_savings, offer.discount_ratio) == (5.18, 0.05)
    assert offer.first_delivery_date == item.next_due_date  # the evidence has no other day
    assert [reason.code for reason in item.reasons] == ["BOUGHT_REGULARLY", "SAVES_MONEY"]
    assert item.reasons[1].values["estimated_annual_savings"] == 5.18
    assert (response.source, response.model.name, response.fallback_reason) == ("embedded", "embedded-heuristic", "")


async def test_request_without_candidates_gets_an_empty_response() -> None:
    response = await recommend(request(include_omitted=True))
    assert not response.recommendations
    assert not response.omitted


async def test_item_bought_once_is_omitted_with_a_reason() -> None:
    once = ItemFrequency(
        name="Candles", purchase_count=1, last_date="2026-06-18", latest_unit_price=3.0, typical_quantity=1
    )
    response = await recommend(request(bananas(), once, include_omitted=True))
    (omitted,) = response.omitted
    assert (omitted.name, omitted.reason.code) == ("Candles", "TOO_FEW_PURCHASES")
    assert omitted.reason.values == {"purchase_count": 1, "min_purchases": 3}
    assert omitted.reason.text == "Bought once so far; we need 3 purchases."


async def test_threshold_of_the_request_overrides_the_settings() -> None:
    settings = RecommendationSettings(min_confidence=90, sagemaker_endpoint="")
    assert not (await recommend(request(bananas()), settings)).recommendations
    strict = RecommendationSettings(min_cadence_probability=0.9, sagemaker_endpoint="")
    assert not (await recommend(request(bananas()), strict)).recommendations
    assert (await recommend(request(bananas(), min_confidence=0), settings)).recommendations


async def test_discount_and_min_purchases_come_from_the_settings(tmp_path: Path) -> None:
    discounts = tmp_path / "discounts.toml"
    discounts.write_text("[[tier]]\nmin_items_per_delivery = 1\ndiscount_ratio = 0.15\n", encoding="utf-8")
    settings = RecommendationSettings(discounts_file=discounts, min_purchases=2, sagemaker_endpoint="")
    (item,) = (await recommend(request(bananas(purchase_count=2)), settings)).recommendations
    assert item.subscription.estimated_annual_savings == 15.56


def with_forecast(**changes: Any) -> ItemFrequency:
    expected = {
        "recommended_interval_days": 14,
        "cadence_probability": 0.8,
        "stockout_probability": 0.3,
        "overstock_ratio": 0.4,
        "need": NEED_ACTIVE,
        "need_probabilities": [NeedProbability(need=NEED_ACTIVE, probability=0.9)],
        "mean_paid_unit_price": 1.95,
        "paid_unit_price_deviation": 0.1,
        "first_delivery": FirstDelivery(date="2026-07-04", stockout_probability=0.2, overstock_ratio=0.3),
    }
    return bananas(**{**expected, **changes})


async def test_forecast_and_paid_price_reach_the_response() -> None:
    response = await recommend(request(with_forecast()))
    (item,) = response.recommendations
    offer = item.subscription
    assert (offer.interval_days, item.cadence_probability) == (14, 0.8)
    assert offer.first_delivery_date == "2026-07-04"
    assert [tier.min_items_per_delivery for tier in offer.tiers] == [1, 5]
    assert offer.tiers[0].annual_cost == offer.annual_cost == response.plan.annual_cost == 49.29
    assert offer.savings_vs_paid.expected_annual_savings == response.plan.annual_savings_vs_paid == 1.55
    assert offer.savings_vs_paid.low_annual_savings < 1.55 < offer.savings_vs_paid.high_annual_savings
    assert not offer.savings_vs_paid.pays_less_today
    assert offer.tiers[1].savings_vs_paid.expected_annual_savings > 1.55


async def test_plan_of_the_analysis_is_the_plan_of_the_answer() -> None:
    named = [with_forecast(name=f"Item {number}", mean_paid_unit_price=1.9 - 0.1 * number) for number in range(3)]
    answer = await recommend(request(*named, include_analysis=True, include_omitted=True))
    again = await plan(messages.PlanDeliveriesRequest(analysis=answer.analysis))
    assert again.plan == answer.plan
    assert {one.name: one.subscription.annual_cost for one in again.subscriptions} == {
        one.name: one.subscription.annual_cost for one in answer.recommendations
    }
    assert [item.name for item in again.left_out] == [item.name for item in answer.omitted]
    first_dates = {one.name: one.subscription.first_delivery_date for one in answer.recommendations}
    for delivery in reversed(answer.plan.deliveries):
        for item in delivery.items:
            assert delivery.date >= first_dates[item.name]
    without = messages.PlanConstraints(excluded_items=["Item 0"])
    (left_out, *_) = (
        await plan(messages.PlanDeliveriesRequest(analysis=answer.analysis, constraints=without))
    ).left_out
    assert (left_out.name, left_out.reason.code) == ("Item 0", "EXCLUDED_BY_HOUSEHOLD")


async def test_limits_of_the_household_are_in_the_answer() -> None:
    answer = await recommend(request(with_forecast(), include_analysis=True))
    (item,) = answer.recommendations
    assert not item.subscription.HasField("max_unit_price")
    assert not answer.plan.HasField("budget_per_month")
    limit_between = item.subscription.unit_price * 0.9  # between the prices at 5 % and at 15 %
    for limit in (item.subscription.unit_price, limit_between):
        limits = messages.PlanConstraints(
            price_limits=[messages.PriceLimit(name=item.name, max_unit_price=limit)], budget_per_month=50.0
        )
        again = await plan(messages.PlanDeliveriesRequest(analysis=answer.analysis, constraints=limits))
        assert again.plan.budget_per_month == 50.0
        if limit == limit_between:
            (left_out,) = again.left_out
            assert left_out.reason.code == "ABOVE_PRICE_LIMIT"
            # The price that is shown is above the limit that is shown.
            assert left_out.reason.values["subscription_unit_price"] > left_out.reason.values["max_unit_price"] == limit
        else:
            assert [one.subscription.max_unit_price for one in again.subscriptions] == [limit]
            assert again.plan.max_month_cost == pytest.approx(2 * item.subscription.next_charge)


# What ITEM_FREQUENCY_VIEW_BASIC leaves out.
FIELDS_OF_FULL_VIEW: dict[str, Any] = {
    "median_interval_days": 7.0,
    "standard_deviation_days": 0.8,
    "coefficient_of_variation": 0.11,
    "trend_slope_days": 0.1,
    "trend_p_value": 0.4,
    "first_date": "2026-04-28",
    "total_quantity": 9,
    "total_spend": 17.55,
    "mean_unit_price": 1.99,
    "purchase_probabilities": [PurchaseProbability(horizon_days=7, probability=0.6)],
    "expected_days": 6.5,
    "median_days": 6.0,
    "need_probabilities": [
        NeedProbability(need=NEED_ACTIVE, probability=0.9),
        NeedProbability(need=NEED_ENDED, probability=0.1),
    ],
}


@pytest.mark.parametrize("need", [NEED_ACTIVE, NEED_ENDED])
async def test_basic_view_of_the_evidence_gets_the_same_response_as_the_full_one(need: Need) -> None:
    of_need = [entry for entry in FIELDS_OF_FULL_VIEW["need_probabilities"] if entry.need == need]
    full = with_forecast(**FIELDS_OF_FULL_VIEW, need=need)
    basic = with_forecast(need=need, need_probabilities=of_need)
    from_full, from_basic = [await recommend(request(item, include_omitted=True)) for item in (full, basic)]
    assert from_full == from_basic


async def test_ended_need_is_omitted_at_any_threshold() -> None:
    ended = with_forecast(need=NEED_ENDED)
    response = await recommend(request(ended, include_omitted=True, min_cadence_probability=0))
    assert [item.reason.code for item in response.omitted] == ["NEED_ENDED"]


async def test_probability_below_the_threshold_of_the_request_is_omitted() -> None:
    response = await recommend(request(with_forecast(), include_omitted=True, min_cadence_probability=0.81))
    assert [item.reason.code for item in response.omitted] == ["LOW_PROBABILITY"]


async def test_invalid_forecast_is_reported() -> None:
    wrong = with_forecast(
        recommended_interval_days=10,
        cadence_probability=1.1,
        stockout_probability=-0.1,
        overstock_ratio=float("nan"),
        mean_paid_unit_price=-1.0,
        paid_unit_price_deviation=float("inf"),
        first_delivery=FirstDelivery(date="soon"),
    )
    unknown = with_forecast(name="Oats", need=99, need_probabilities=[])
    assert await violated_fields(request(wrong, unknown, min_cadence_probability=2)) == {
        "min_cadence_probability",
        "candidates[0].frequency.recommended_interval_days",
        "candidates[0].frequency.cadence_probability",
        "candidates[0].frequency.stockout_probability",
        "candidates[0].frequency.overstock_ratio",
        "candidates[0].frequency.first_delivery.date",
        "candidates[0].frequency.mean_paid_unit_price",
        "candidates[0].frequency.paid_unit_price_deviation",
        "candidates[1].frequency.need",
    }


async def test_every_invalid_field_is_reported() -> None:
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
    message = messages.RecommendRequest(
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
    assert await violated_fields(message) == {
        "max_recommendations",
        "min_confidence",
        "candidates[0].perishability",
        "candidates[0].suggested_interval_days",
        *(f"candidates[0].frequency.{name}" for name in frequency_fields),
    }


async def test_missing_evidence_and_repeated_names_are_reported() -> None:
    incomplete = ItemFrequency(
        name="Oats", purchase_count=2, last_date="2026-06-18", latest_unit_price=3.0, typical_quantity=1
    )
    message = request(bananas(), bananas(), incomplete, as_of="")
    message.candidates.add()
    assert await violated_fields(message) == {
        "as_of",
        "candidates[1].frequency.name",
        "candidates[2].frequency.mean_interval_days",
        "candidates[2].frequency.next_due_date",
        "candidates[3].frequency",
    }


async def test_too_many_candidates_are_rejected() -> None:
    message = messages.RecommendRequest(candidates=[messages.Candidate()] * 10_001, as_of="2026-06-20")
    assert await violated_fields(message) == {"candidates"}


async def test_perishability_and_suggested_interval_reach_the_response() -> None:
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
    assert response.fallback_reason == RankerFailure.reason


def never(stub: SageMakerStub) -> Behavior:
    return stub.hang


def cut_off(stub: SageMakerStub) -> Behavior:
    def write(handler: BaseHTTPRequestHandler, body: bytes) -> None:
        reply(b'{"predictions": [0.8', headers={"Content-Length": "1000"})(handler, body)
        handler.close_connection = True

    return write


@pytest.mark.parametrize(
    ("behavior", "expected", "attempts"),
    [
        (lambda _: error("ValidationError", 400), "(ValidationError, HTTP 400)", 1),
        (lambda _: error("ModelError", 424), "(ModelError, HTTP 424)", 1),
        (lambda _: error("ModelNotReadyException", 429), "(ModelNotReadyException, HTTP 429)", 1),
        (lambda _: error("InternalFailure", 500), "(InternalFailure, HTTP 500)", 2),
        (lambda _: error("ServiceUnavailable", 503), "(ServiceUnavailable, HTTP 503)", 2),
        (lambda _: error("InternalDependencyException", 530), "(InternalDependencyException, HTTP 530)", 1),
        (never, "it took too long", 1),
        (cut_off, "its response was cut off", 1),
        (lambda _: reply(b"[]"), 'no list of "predictions"', 1),
    ],
)
async def test_embedded_model_answers_with_a_reason_after_each_failure(
    behavior: Callable[[SageMakerStub], Behavior], expected: str, attempts: int
) -> None:
    with serving() as stub, capture_logs() as logs:
        stub.behavior = behavior(stub)
        read_timeout_seconds = 1.5 if behavior is never else 10
        response = await recommend(request(bananas()), on(stub, sagemaker_read_timeout_seconds=read_timeout_seconds))
        stub.released.set()
        assert len(stub.requests) == attempts
    assert response.fallback_reason == RankerFailure.reason
    assert expected in str(logs)
    assert (response.source, response.model.name) == ("embedded", "embedded-heuristic")
    assert response.recommendations == (await recommend(request(bananas()))).recommendations


async def test_slow_response_of_sagemaker_in_time_is_used() -> None:
    def slow(handler: BaseHTTPRequestHandler, body: bytes) -> None:
        stub.released.wait(0.3)
        rank_by_confidence(handler, body)

    with serving() as stub:
        stub.behavior = slow
        response = await recommend(request(bananas()), on(stub))
        assert len(stub.requests) == 1
    assert (response.source, response.fallback_reason) == ("sagemaker", "")


async def test_household_of_seven_megabytes_is_ranked_in_two_requests() -> None:
    quoted = '"' * 190
    items = [
        bananas(name=f"{quoted} {number}", category=f"aisle {number % 2}", confidence=70 + number / 500)
        for number in range(9_900)
    ]
    message = request(*items)
    assert message.ByteSize() < 4 << 20  # gRPC's limit; JSON needs two bytes per quotation mark
    patient = {"sagemaker_read_timeout_seconds": 60, "sagemaker_timeout_seconds": 100}
    with serving() as stub:
        response = await recommend(message, on(stub, **patient))
        sizes = [len(body) for _, _, body in stub.requests]
    assert sum(sizes) > 7_000_000
    assert len(sizes) == 2
    assert max(sizes) <= 6_291_456
    assert (response.source, len(response.recommendations)) == ("sagemaker", 20)
    assert response.recommendations[0].name.endswith(" 9899")


async def test_embedded_model_answers_within_the_deadline_when_sagemaker_hangs() -> None:
    with serving() as stub:
        stub.behavior = stub.hang
        async with loopback(await build(on(stub))) as channel:
            response = await rpc.RecommendationServiceStub(channel).Recommend(request(bananas()), timeout=1)
            stub.released.set()
    assert response.recommendations[0].name == "Bananas"
    assert response.fallback_reason == RankerFailure.reason


CALIBRATED_ID = model_id(model_artifact.load(model_artifact.CALIBRATED_MODEL_DIR).model)


async def get_model(settings: RecommendationSettings) -> messages.GetModelResponse:
    async with loopback(await build(settings)) as channel:
        return await rpc.RecommendationServiceStub(channel).GetModel(messages.GetModelRequest())


async def test_bundled_models_are_listed() -> None:
    alone = await get_model(embedded())
    assert (alone.source, alone.model) == ("embedded", alone.fallback)
    calibrated, default = alone.models
    assert (calibrated.id, calibrated.share_ratio, calibrated.is_fallback) == (CALIBRATED_ID, 0.0, False)
    assert calibrated.metrics["log_loss"] < calibrated.metrics["uncalibrated_log_loss"]
    assert calibrated.training_data.startswith("84.51 Complete Journey")
    assert (default.id, default.share_ratio, default.is_fallback) == ("embedded-heuristic/2", 1.0, True)
    assert default.training_data.startswith("None")
    assert tuple(default.features) == FEATURES
    assert (
        default.checksum
        == hashlib.sha256((model_artifact.DEFAULT_MODEL_DIR / "manifest.json").read_bytes()).hexdigest()
    )


async def test_endpoint_is_listed_without_a_call() -> None:
    with serving() as stub:
        response = await get_model(on(stub, sagemaker_variant="B"))
        assert not stub.requests
    assert (response.source, response.model.name, response.fallback.name) == (
        "sagemaker",
        "subscribe-save",
        "embedded-heuristic",
    )
    details = {entry.id: entry for entry in response.models}
    assert set(details) == {"embedded-heuristic/2", CALIBRATED_ID, "sagemaker"}
    assert (details["sagemaker"].target_variant, details["sagemaker"].share_ratio) == ("B", 1.0)
    assert details["embedded-heuristic/2"].is_fallback


async def test_calibrated_model_answers_on_request() -> None:
    default, calibrated = [await recommend(request(bananas(), model=model)) for model in ("", CALIBRATED_ID)]
    assert (calibrated.source, f"{calibrated.model.name}/{calibrated.model.version}") == ("embedded", CALIBRATED_ID)
    assert 0 < calibrated.recommendations[0].score != default.recommendations[0].score


async def test_request_may_choose_the_model() -> None:
    with serving() as stub:
        settings = on(stub)
        chosen = await recommend(request(bananas(), model="embedded-heuristic/2"), settings)
        assert not stub.requests
        default = await recommend(request(bananas()), settings)
    assert (chosen.source, chosen.fallback_reason, default.source) == ("embedded", "", "sagemaker")


async def test_unknown_model_is_rejected_with_the_known_ones() -> None:
    with pytest.raises(InvalidInput) as raised:
        await recommend(request(bananas(), model="best/7"))
    (violation,) = raised.value.violations
    assert violation.field == "model"
    assert violation.description == f"must be one of {CALIBRATED_ID}, embedded-heuristic/2, or empty; is 'best/7'"


def second_version(directory: Path) -> Path:
    """A directory of models with `calibrated/2`, which halves the log odds of the evidence."""
    card = ModelCard(FEATURES, "test rows", {"roc_auc": 0.7})
    calibrated = model_artifact.ModelArtifact(ModelName("calibrated", "2"), Calibration(0.0, 0.5), card)
    model_artifact.save(calibrated, directory / "calibrated-2")
    return directory


async def test_two_versions_share_the_customers(tmp_path: Path) -> None:
    selection = tmp_path / "selection.json"
    shares = [{"model": "embedded-heuristic/2", "ratio": 0.5}, {"model": "calibrated/2", "ratio": 0.5}]
    selection.write_text(json.dumps({"experiment": "trust", "shares": shares}))
    settings = RecommendationSettings(
        sagemaker_endpoint="", models_dir=second_version(tmp_path), selection_file=selection
    )
    async with loopback(await build(settings)) as channel:
        stub = rpc.RecommendationServiceStub(channel)
        listed = await stub.GetModel(messages.GetModelRequest())
        answers = {
            customer: [await stub.Recommend(request(bananas(), customer_id=customer)) for _ in range(2)]
            for customer in (f"customer-{number}" for number in range(20))
        }
    assert listed.experiment == "trust"
    assert {entry.id: entry.share_ratio for entry in listed.models} == {
        "embedded-heuristic/2": 0.5,
        "calibrated/2": 0.5,
        CALIBRATED_ID: 0.0,
    }
    assert {entry.id: dict(entry.metrics) for entry in listed.models}["calibrated/2"] == {"roc_auc": 0.7}
    assert {first.model.name for first, _ in answers.values()} == {"embedded-heuristic", "calibrated"}
    assert all(first == second for first, second in answers.values())
    scores = {first.model.name: first.recommendations[0].score for first, _ in answers.values()}
    assert scores["calibrated"] < scores["embedded-heuristic"]


async def test_model_is_rolled_out_and_back_without_a_restart(tmp_path: Path) -> None:
    selection = tmp_path / "selection.json"

    def select(model: str) -> None:
        selection.write_text(json.dumps({"shares": [{"model": model, "ratio": 1}]}))

    select("embedded-heuristic/2")
    settings = RecommendationSettings(
        sagemaker_endpoint="", models_dir=tmp_path, selection_file=selection, selection_reload_seconds=0
    )
    async with loopback(await build(settings)) as channel:
        stub = rpc.RecommendationServiceStub(channel)

        async def answering() -> str:
            return (await stub.Recommend(request(bananas()))).model.name

        assert await answering() == "embedded-heuristic"
        second_version(tmp_path)  # arrives after the start
        select("calibrated/2")
        assert await answering() == "calibrated"
        selection.write_text("{")
        assert await answering() == "calibrated"
        assert (await stub.GetModel(messages.GetModelRequest())).selection_error
        select("nobody/9")
        assert await answering() == "calibrated"
        error = (await stub.GetModel(messages.GetModelRequest())).selection_error
        assert error == f"there is no model nobody/9; use one of calibrated/2, {CALIBRATED_ID}, embedded-heuristic/2"
        select("embedded-heuristic/2")
        assert await answering() == "embedded-heuristic"
        assert not (await stub.GetModel(messages.GetModelRequest())).selection_error


async def batch_answers(
    *batches: list[messages.RecommendRequest], settings: RecommendationSettings | None = None
) -> list[messages.HouseholdRecommendation]:
    async with loopback(await build(settings or embedded())) as channel:
        requests = [messages.RecommendBatchRequest(households=batch) for batch in batches]
        call = rpc.RecommendationServiceStub(channel).RecommendBatch(iter(requests))
        return [household async for response in call for household in response.households]


def households(count: int) -> list[messages.RecommendRequest]:
    return [
        request(
            *(
                bananas(name=f"Item {item}", confidence=40.0 + (7 * household + 11 * item) % 60)
                for item in range(household % 5)
            ),
            include_omitted=True,
            customer_id=f"customer-{household}",
        )
        for household in range(count)
    ]


async def test_batch_returns_the_same_as_single_requests() -> None:
    message = households(60)
    answers = await batch_answers(message[:25], message[25:])
    async with loopback(await build(embedded())) as channel:
        stub = rpc.RecommendationServiceStub(channel)
        assert [answer.result for answer in answers] == [await stub.Recommend(household) for household in message]


async def test_batch_calls_sagemaker_once_per_message() -> None:
    message = households(20)
    with serving() as stub:
        answers = await batch_answers(message, settings=on(stub))
        assert len(stub.requests) == 1
        async with loopback(await build(on(stub))) as channel:
            online = [await rpc.RecommendationServiceStub(channel).Recommend(household) for household in message]
    assert [answer.result for answer in answers] == online
    assert {answer.result.source for answer in answers} == {"sagemaker"}


async def test_invalid_household_is_an_error_and_the_others_are_answered() -> None:
    message = households(4)
    message[1].as_of = "soon"
    message[2].model = "best/7"
    first, second, third, fourth = await batch_answers(message)
    assert first.WhichOneof("outcome") == fourth.WhichOneof("outcome") == "result"
    assert (second.error.code, second.error.message.startswith("as_of: ")) == (3, True)
    assert (third.error.code, third.error.message.startswith("model: ")) == (3, True)


async def test_batch_that_is_too_large_is_rejected() -> None:
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await batch_answers([messages.RecommendRequest()] * 1_001)
    assert raised.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_large_responses_are_split_below_the_limit() -> None:
    message = [
        request(*(bananas(name=f"{'x' * 150} {item}", confidence=1.0) for item in range(400)), include_omitted=True)
        for _ in range(20)
    ]
    async with loopback(await build(embedded())) as channel:
        requests = [messages.RecommendBatchRequest(households=message)]
        call = rpc.RecommendationServiceStub(channel).RecommendBatch(iter(requests))
        sizes = [(response.ByteSize(), len(response.households)) async for response in call]
    assert len(sizes) > 1
    assert sum(count for _, count in sizes) == 20
    assert all(size < 2 << 20 for size, _ in sizes)


async def test_batch_is_read_no_faster_than_its_responses() -> None:
    # About 1 MiB of responses per message: transport buffers hold some of them, not all.
    message = request(
        *(bananas(name=f"{'x' * 150} {item}", confidence=1.0) for item in range(2_500)), include_omitted=True
    )
    written = 0

    async with loopback(await build(embedded())) as channel:
        call = rpc.RecommendationServiceStub(channel).RecommendBatch()

        async def write() -> None:
            nonlocal written
            for _ in range(16):
                await call.write(messages.RecommendBatchRequest(households=[message]))
                written += 1
            await call.done_writing()

        writing = asyncio.create_task(write())
        settled = -1
        while settled != written:  # until the stream stalls
            settled = written
            await asyncio.sleep(0.5)
        assert settled < 16
        answers = sum([len(response.households) async for response in call])
        await writing
    assert answers == written == 16


async def test_unknown_date_is_invalid_argument() -> None:
    async with loopback(await build(embedded())) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await rpc.RecommendationServiceStub(channel).Recommend(messages.RecommendRequest(as_of="today"))
    assert raised.value.code() is grpc.StatusCode.INVALID_ARGUMENT


def test_half_a_pair_of_aws_keys_is_rejected() -> None:
    with pytest.raises(ValidationError, match="set both"):
        RecommendationSettings(
            sagemaker_endpoint="subscribe-save", aws_access_key_id=SecretStr("x"), aws_secret_access_key=None
        )


def test_endpoint_that_is_a_url_is_rejected() -> None:
    with pytest.raises(ValidationError, match="must be the endpoint's name"):
        RecommendationSettings(sagemaker_endpoint="https://example.com")


def test_readme_lists_every_setting_feature_and_reason() -> None:
    listed = set(re.findall(r"^\| `([A-Za-z_]+)`", README.read_text(encoding="utf-8"), re.MULTILINE))
    shared = set(environment_variables(PartSettings))
    expected = {
        *environment_variables(RecommendationSettings),
        *environment_variables(ContainerSettings),
        *FEATURES,
        *ReasonCode,
        *(method.name for method in messages.DESCRIPTOR.services_by_name["RecommendationService"].methods),
    }
    assert listed == {str(name) for name in expected} - shared


def neighborhood(**changes: Any) -> vector.Neighborhood:
    item: dict[str, Any] = {
        "name": "Eggs",
        "category": "dairy",
        "buyer_count": 30,
        "regular_buyer_count": 25,
        "low_interval_days": 7.04,
        "median_interval_days": 9,
        "high_interval_days": 14.26,
        "own_day_count": 1,
        "associated_item": vector.Association(name="Bananas", buyer_count=20, regular_count=15),
    }
    return vector.Neighborhood(neighbor_count=50, items=[vector.NeighborItem(**{**item, **changes})])


async def test_suggestions_are_separate_and_name_their_source() -> None:
    response = await recommend(request(bananas(), neighborhood=neighborhood()))
    assert [item.name for item in response.recommendations] == ["Bananas"]
    (suggestion,) = response.suggestions
    assert (suggestion.name, suggestion.category, suggestion.count) == ("Eggs", "dairy", 1)
    assert suggestion.source == "similar_customers"
    assert (suggestion.low_interval_days, suggestion.high_interval_days) == (7.0, 14.3)
    assert [reason.code for reason in suggestion.reasons] == ["KEPT_BY_SIMILAR_CUSTOMERS", "BOUGHT_TOGETHER"]
    assert suggestion.reasons[1].other_item == "Bananas"
    assert dict(suggestion.reasons[0].values) == {
        "neighbor_count": 50,
        "buyer_count": 30,
        "regular_buyer_count": 25,
        "purchase_count": 1,
    }


async def test_request_without_a_neighborhood_gets_no_suggestions() -> None:
    assert not (await recommend(request(bananas()))).suggestions


async def test_neighborhood_does_not_change_recommendations() -> None:
    alone = await recommend(request(bananas(), include_omitted=True))
    response = await recommend(request(bananas(), include_omitted=True, neighborhood=neighborhood()))
    response.ClearField("suggestions")
    assert response == alone


async def test_invalid_neighborhoods_are_reported() -> None:
    wrong = neighborhood(name="", buyer_count=51, regular_buyer_count=52, low_interval_days=-1)
    assert await violated_fields(request(neighborhood=wrong, max_suggestions=21)) == {
        "max_suggestions",
        "neighborhood.items[0].name",
        "neighborhood.items[0].buyer_count",
        "neighborhood.items[0].regular_buyer_count",
        "neighborhood.items[0].low_interval_days",
    }
    twice = neighborhood()
    twice.items.append(twice.items[0])
    assert await violated_fields(request(neighborhood=twice)) == {"neighborhood.items[1].name"}
