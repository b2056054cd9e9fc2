"""The RPCs of the recommendation service."""

import asyncio
from collections.abc import AsyncIterator

from pantree.recommendation.v1 import recommendation_service_pb2 as messages
from pantree.recommendation.v1 import recommendation_service_pb2_grpc as rpc
from pantree_recommendation import convert
from pantree_recommendation.core import MS_PER_CANDIDATE, Question, Recommender
from pantree_runtime.cpu import run_cpu
from pantree_runtime.grpc_types import Context


class RecommendationServicer(rpc.RecommendationServiceServicer):
    """Answers from the evidence in the request; keeps no state."""

    def __init__(self, recommender: Recommender) -> None:
        self._recommender = recommender

    async def Recommend(self, request: messages.RecommendRequest, context: Context) -> messages.RecommendResponse:
        """The items worth a subscription, best first."""
        cost_ms = len(request.candidates) * MS_PER_CANDIDATE
        question = await run_cpu(cost_ms, convert.question, request)
        answer = await self._recommender.recommend(question)
        return await run_cpu(cost_ms, convert.recommend_response, answer)

    async def RecommendBatch(
        self, request_iterator: AsyncIterator[messages.RecommendBatchRequest], context: Context
    ) -> AsyncIterator[messages.RecommendBatchResponse]:
        """The same for many households; a batch is read when the answers to the last one have been taken."""
        async for request in request_iterator:
            asked = await asyncio.to_thread(convert.batch, request)
            answers = await self._recommender.recommend_all([entry for entry in asked if isinstance(entry, Question)])
            for response in await asyncio.to_thread(convert.batch_responses, asked, answers):
                yield response

    async def GetModel(self, request: messages.GetModelRequest, context: Context) -> messages.GetModelResponse:
        """The models there are, which one answers whom, and which one stands in."""
        return convert.get_model_response(await self._recommender.models())
