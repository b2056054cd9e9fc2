"""The recommendation service over gRPC."""

from collections.abc import Sequence
from datetime import date
from typing import cast

import grpc

from pantree.enrichment.v1.enrichment_service_pb2 import EnrichedItem
from pantree.frequency.v1.frequency_service_pb2 import ItemFrequency
from pantree.recommendation.v1 import recommendation_service_pb2 as messages
from pantree.recommendation.v1 import recommendation_service_pb2_grpc as rpc
from pantree.vector.v1 import vector_service_pb2 as vector
from pantree_domain.evidence import ModelName
from pantree_pipeline.backends.calls import translate_part_errors
from pantree_pipeline.core.ports import Candidate, Neighborhood, Recommendations, Recommender


class GrpcRecommender(Recommender):
    """Calls the recommendation service. The payload is a `RecommendResponse` message."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = rpc.RecommendationServiceStub(channel)

    async def recommend(
        self,
        customer_id: str,
        candidates: Sequence[Candidate],
        as_of: date,
        max_recommendations: int | None,
        include_omitted: bool,
        neighborhood: Neighborhood | None,
        currency_code: str = "",
    ) -> Recommendations:
        request = messages.RecommendRequest(
            as_of=as_of.isoformat(),
            max_recommendations=max_recommendations,
            include_omitted=include_omitted,
            customer_id=customer_id,
            currency_code=currency_code,
            neighborhood=None if neighborhood is None else cast(vector.Neighborhood, neighborhood.payload),
        )
        for candidate in candidates:
            # Added in place, which copies the evidence only once.
            message = request.candidates.add(frequency=cast(ItemFrequency, candidate.evidence.payload))
            if candidate.enrichment is not None:
                enriched = cast(EnrichedItem, candidate.enrichment.payload)
                message.perishability = enriched.perishability
                message.suggested_interval_days = enriched.suggested_interval_days
        with translate_part_errors("recommendation"):
            response = await self._stub.Recommend(request)
        return Recommendations(
            payload=response,
            names=tuple(recommendation.name for recommendation in response.recommendations),
            model=ModelName(response.model.name, response.model.version),
            source=response.source,
            fallback_reason=response.fallback_reason,
        )
