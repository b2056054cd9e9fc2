"""The RPCs of the recommendation service."""

import asyncio

from pantree.recommendation.v1 import recommendation_service_pb2 as messages
from pantree.recommendation.v1 import recommendation_service_pb2_grpc as rpc
from pantree_recommendation import convert
from pantree_recommendation.core import Recommender
from pantree_runtime.grpc_types import Context


class RecommendationServicer(rpc.RecommendationServiceServicer):
    """Answers from the evidence in the request; keeps no state."""

    def __init__(self, recommender: Recommender) -> None:
        self._recommender = recommender

    async def Recommend(self, request: messages.RecommendRequest, context: Context) -> messages.RecommendResponse:
        """The items worth a subscription, best first."""
        question = await asyncio.to_thread(convert.question, request)
        answer = await self._recommender.recommend(question)
        return await asyncio.to_thread(convert.recommend_response, answer)

    async def GetModel(self, request: messages.GetModelRequest, context: Context) -> messages.GetModelResponse:
        """The model that is asked first, and the one that stands in."""
        return convert.get_model_response(self._recommender.first, self._recommender.fallback)
