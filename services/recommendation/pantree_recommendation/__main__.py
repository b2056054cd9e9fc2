"""Composition root of the recommendation service: `python -m pantree_recommendation [--demo]`."""

import asyncio
from typing import TYPE_CHECKING

from pydantic import SecretStr

from pantree.recommendation.v1 import recommendation_service_pb2_grpc as rpc
from pantree.recommendation.v1.recommendation_service_pb2 import RecommendResponse
from pantree_recommendation.backends.discounts import SHIPPED, load_discounts
from pantree_recommendation.backends.embedded import EmbeddedRanker
from pantree_recommendation.core import Policy, Recommender
from pantree_recommendation.demo import demo
from pantree_recommendation.servicer import RecommendationServicer
from pantree_recommendation.settings import RecommendationSettings
from pantree_runtime import telemetry
from pantree_runtime.server import COST_OF_BULK, Part, Program

if TYPE_CHECKING:
    from pantree_recommendation.backends.sagemaker import SageMakerRanker

NAME = "recommendation"


async def build(settings: RecommendationSettings) -> Part:
    """The service, ready to be served.

    Raises:
        OSError: when the file of discounts is wrong, or SageMaker is configured and the AWS configuration of this
            machine is wrong.
    """
    policy = Policy(
        min_cadence_probability=settings.min_cadence_probability,
        min_confidence=settings.min_confidence,
        min_purchases=settings.min_purchases,
        tiers=await asyncio.to_thread(load_discounts, settings.discounts_file or SHIPPED),
        excluded_categories=frozenset(
            name.strip().casefold() for name in settings.excluded_categories.split(",") if name.strip()
        ),
        max_category_ratio=settings.max_category_ratio,
    )
    sagemaker = await asyncio.to_thread(_sagemaker, settings) if settings.sagemaker_endpoint else None
    servicer = RecommendationServicer(Recommender(policy, EmbeddedRanker(), sagemaker))

    async def close() -> None:
        if sagemaker is not None:
            await sagemaker.close()

    return Part(
        name=NAME,
        services={
            "pantree.recommendation.v1.RecommendationService": lambda server: (
                rpc.add_RecommendationServiceServicer_to_server(servicer, server)
            )
        },
        close=close,
        costs={"RecommendBatch": COST_OF_BULK},
        counts={"Recommend": _count},
    )


def _count(response: RecommendResponse) -> None:
    labels = telemetry.RECOMMENDATIONS.labels(response.source, response.model.name)
    labels.inc(len(response.recommendations))


def _sagemaker(settings: RecommendationSettings) -> "SageMakerRanker":
    # Imported here: boto3 is slow to load, and not needed otherwise.
    from pantree_recommendation.backends.sagemaker import SageMakerRanker, open_client

    client = open_client(
        region=settings.aws_region,
        url=settings.sagemaker_url,
        access_key_id=_plain(settings.aws_access_key_id),
        secret_access_key=_plain(settings.aws_secret_access_key),
        session_token=_plain(settings.aws_session_token),
        total_max_attempts=settings.sagemaker_total_max_attempts,
        connect_timeout_seconds=settings.sagemaker_connect_timeout_seconds,
        read_timeout_seconds=settings.sagemaker_read_timeout_seconds,
        max_calls=settings.sagemaker_max_calls,
    )
    return SageMakerRanker(
        client,
        settings.sagemaker_endpoint,
        timeout_seconds=settings.sagemaker_timeout_seconds,
        max_calls=settings.sagemaker_max_calls,
    )


def _plain(secret: SecretStr | None) -> str | None:
    """The secret itself; None when there is none or an empty one, as a line without a value in `.env` gives."""
    return secret.get_secret_value() if secret else None


PROGRAM = Program(NAME, RecommendationSettings, build, demo)

if __name__ == "__main__":
    PROGRAM.main()
