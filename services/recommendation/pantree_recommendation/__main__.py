"""Composition root of the recommendation service: `python -m pantree_recommendation [--demo]`."""

import asyncio
import functools
from typing import TYPE_CHECKING

import numpy as np

from pantree.recommendation.v1 import recommendation_service_pb2_grpc as rpc
from pantree.recommendation.v1.recommendation_service_pb2 import RecommendBatchResponse, RecommendResponse
from pantree_domain.goods import load_goods_policy
from pantree_domain.purchases import PurchaseHistory
from pantree_recommendation.backends import basket_files
from pantree_recommendation.backends.discount_file import BUNDLED, load_discounts
from pantree_recommendation.backends.model_artifact import InvalidModel
from pantree_recommendation.backends.model_files import ModelFiles
from pantree_recommendation.core.next_basket import NextBasketModel, NextBasketRequest
from pantree_recommendation.core.plan import PlanItem, PlanOption
from pantree_recommendation.core.planner import plan_deliveries
from pantree_recommendation.core.policy import Policy
from pantree_recommendation.core.ranking import FEATURES
from pantree_recommendation.core.selection import ModelCard
from pantree_recommendation.demo import demo
from pantree_recommendation.rules import RULES
from pantree_recommendation.servicer import RecommendationServicer
from pantree_recommendation.settings import RecommendationSettings
from pantree_runtime import background_compilation, telemetry
from pantree_runtime.dependencies import Dependency
from pantree_runtime.server import BULK_COST, Program, ServiceSpec

if TYPE_CHECKING:
    from pantree_recommendation.backends.sagemaker import SageMakerRanker

NAME = "recommendation"


async def build(settings: RecommendationSettings) -> ServiceSpec:
    """The recommendation service.

    Raises:
        OSError: when a model, the AWS configuration, or the file of the selection, the discounts or the goods is
            invalid.
    """
    policy = Policy(
        min_cadence_probability=settings.min_cadence_probability,
        min_confidence=settings.min_confidence,
        min_purchases=settings.min_purchases,
        tiers=await asyncio.to_thread(load_discounts, settings.discounts_file or BUNDLED),
        excluded_categories=frozenset(
            name.strip().casefold() for name in settings.excluded_categories.split(",") if name.strip()
        ),
        max_category_ratio=settings.max_category_ratio,
        max_more_expensive_ratio=settings.max_more_expensive_ratio,
        promotional_prices=settings.promotional_prices,
        goods=await asyncio.to_thread(load_goods_policy, settings.goods_file, settings.opted_in),
    )
    sagemaker = await asyncio.to_thread(_sagemaker, settings) if settings.sagemaker_endpoint else None
    next_basket = await asyncio.to_thread(_next_basket, settings)
    servicer = RecommendationServicer(policy, await asyncio.to_thread(_models, settings, sagemaker), next_basket)

    def call_all() -> None:
        next_basket.predict(NextBasketRequest(_WARM_UP))
        plan_deliveries([_WARM_UP_ITEM], policy.plan_policy)

    async def close() -> None:
        if sagemaker is not None:
            await sagemaker.close()

    return ServiceSpec(
        name=NAME,
        services={
            "pantree.recommendation.v1.RecommendationService": lambda server: (
                rpc.add_RecommendationServiceServicer_to_server(servicer, server)
            )
        },
        warm_up=lambda: asyncio.to_thread(background_compilation.finish, call_all),
        compile_in_background=(
            (lambda: background_compilation.compile_in_background(NAME, call_all))
            if background_compilation.is_needed()
            else None
        ),
        close=close,
        dependencies=[] if sagemaker is None else [Dependency("sagemaker", sagemaker.check)],
        costs={"RecommendBatch": BULK_COST},
        rules=RULES,
        counts={"Recommend": _count, "RecommendBatch": _count_batch},
    )


def _next_basket(settings: RecommendationSettings) -> NextBasketModel:
    if settings.next_basket_dir is None:
        return _bundled_next_basket()
    try:
        return basket_files.load(settings.next_basket_dir).model()
    except (InvalidModel, ValueError) as error:
        raise OSError(f"next-basket model: {error}") from error


@functools.cache
def _bundled_next_basket() -> NextBasketModel:
    """The bundled model; it never changes, so one is enough for all services of a process."""
    return basket_files.load().model()


_WARM_UP = PurchaseHistory(
    item_names=("warm-up",),
    item_categories=("warm-up",),
    item_indices=np.zeros(3, np.int32),
    days=np.array([0, 7, 14], np.int32),
    quantities=np.ones(3, np.int32),
    prices=np.ones(3),
    savings=np.zeros(3),
)


_WARM_UP_ITEM = PlanItem("warm-up", (PlanOption(7, 1),), 1, 1.0)


def _count(response: RecommendResponse) -> None:
    labels = telemetry.RECOMMENDATIONS.labels(response.source, response.model.name)
    labels.inc(len(response.recommendations))


def _count_batch(response: RecommendBatchResponse) -> None:
    for household in response.households:
        if household.HasField("result"):
            _count(household.result)


def _models(settings: RecommendationSettings, sagemaker: "SageMakerRanker | None") -> ModelFiles:
    return ModelFiles(
        remote=sagemaker,
        remote_card=ModelCard(
            features=FEATURES,
            target_variant=settings.sagemaker_variant,
            inference_component=settings.sagemaker_inference_component,
        ),
        models_dir=settings.models_dir,
        selection_file=settings.selection_file,
        reload_seconds=settings.selection_reload_seconds,
    )


def _sagemaker(settings: RecommendationSettings) -> "SageMakerRanker":
    # boto3 loads slowly and is needed only here.
    from pantree_recommendation.backends.endpoint import AwsConnection, BotoEndpoint
    from pantree_recommendation.backends.sagemaker import SageMakerRanker

    connection = AwsConnection(**settings.aws_connection)
    return SageMakerRanker(
        BotoEndpoint(
            connection.client("sagemaker-runtime", settings.sagemaker_url),
            settings.sagemaker_endpoint,
            target_variant=settings.sagemaker_variant,
            inference_component=settings.sagemaker_inference_component,
        ),
        timeout_seconds=settings.sagemaker_timeout_seconds,
        max_calls=settings.sagemaker_max_calls,
        total_max_attempts=settings.sagemaker_total_max_attempts,
        body_format=settings.sagemaker_content_type,
        cool_down_seconds=settings.sagemaker_cool_down_seconds,
        failure_threshold=settings.sagemaker_failures_to_open,
    )


PROGRAM = Program(NAME, RecommendationSettings, build, demo)

if __name__ == "__main__":
    PROGRAM.main()
