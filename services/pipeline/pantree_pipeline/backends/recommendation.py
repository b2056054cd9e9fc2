"""The recommendation service over gRPC."""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import cast

import grpc

from pantree.enrichment.v1.enrichment_service_pb2 import EnrichedItem
from pantree.frequency.v1.frequency_service_pb2 import ItemFrequency
from pantree.pipeline.v1 import pipeline_service_pb2 as pipeline
from pantree.recommendation.v1 import recommendation_service_pb2 as messages
from pantree.recommendation.v1 import recommendation_service_pb2_grpc as rpc
from pantree.vector.v1 import vector_service_pb2 as vector
from pantree_domain.days import day_number
from pantree_domain.evidence import ModelName
from pantree_pipeline.backends.calls import translate_part_errors
from pantree_pipeline.core.job import NextBasketJob
from pantree_pipeline.core.ports import Candidate, Neighborhood, PlannedDelivery, Recommendations, Recommender
from pantree_runtime.purchase_columns import columns_of


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
        replaced: Mapping[str, str],
        currency_code: str = "",
        include_analysis: bool = False,
        constraints: object | None = None,
    ) -> Recommendations:
        request = messages.RecommendRequest(
            as_of=as_of.isoformat(),
            max_recommendations=max_recommendations,
            include_omitted=include_omitted,
            customer_id=customer_id,
            currency_code=currency_code,
            include_analysis=include_analysis,
            constraints=cast("messages.PlanConstraints | None", constraints),
            neighborhood=None if neighborhood is None else cast(vector.Neighborhood, neighborhood.payload),
            replaced_items=[messages.ReplacedItem(name=name, other_item=other) for name, other in replaced.items()],
        )
        for candidate in candidates:
            # Added in place, which copies the evidence only once.
            message = request.candidates.add(frequency=cast(ItemFrequency, candidate.evidence.payload))
            if candidate.units_per_pack > 1:
                message.units_per_pack = candidate.units_per_pack
            if candidate.other_names:
                message.other_names.extend(candidate.other_names)
            if candidate.all_year:
                message.all_year = True
            price = candidate.reference_price
            if price is not None:
                message.reference_price.shelf_unit_price = price.shelf
                message.reference_price.paid_unit_price = price.paid
                message.reference_price.paid_unit_price_deviation = price.deviation
                message.reference_price.latest_paid_unit_price = price.latest_paid
                message.reference_price.purchase_count = price.purchase_count
                message.reference_price.usual_discount_ratio = price.usual_discount_ratio
                message.reference_price.promoted = price.promoted
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

    def planned_deliveries(self, recommendations: Recommendations) -> Sequence[PlannedDelivery]:
        response = cast(messages.RecommendResponse, recommendations.payload)
        return [
            PlannedDelivery(
                day=day_number(date.fromisoformat(delivery.date)),
                name=item.name,
                quantity=item.quantity,
                price=item.price,
                savings_vs_paid=item.savings_vs_paid if item.HasField("savings_vs_paid") else None,
            )
            for delivery in response.plan.deliveries
            for item in delivery.items
        ]

    async def plan(self, analysis: object, constraints: object | None) -> messages.PlanDeliveriesResponse:
        request = messages.PlanDeliveriesRequest(
            analysis=cast(messages.PlanAnalysis, analysis),
            constraints=cast("messages.PlanConstraints | None", constraints),
        )
        with translate_part_errors("recommendation"):
            return await self._stub.PlanDeliveries(request)

    async def next_basket(self, request: NextBasketJob) -> messages.PredictNextBasketResponse:
        options = cast(pipeline.NextBasketInput, request.options)
        message = messages.PredictNextBasketRequest(
            history=columns_of(request.history),
            as_of="" if request.as_of is None else request.as_of.isoformat(),
            mode=options.mode,
            max_items=options.max_items if options.HasField("max_items") else None,
            assortment=options.assortment,
            promotions=options.promotions if options.HasField("promotions") else None,
        )
        with translate_part_errors("recommendation"):
            return await self._stub.PredictNextBasket(message)

    async def models(self) -> messages.GetModelResponse:
        with translate_part_errors("recommendation"):
            return await self._stub.GetModel(messages.GetModelRequest())

    async def review(self, request: object) -> messages.ReviewSubscriptionsResponse:
        with translate_part_errors("recommendation"):
            return await self._stub.ReviewSubscriptions(cast(messages.ReviewSubscriptionsRequest, request))
