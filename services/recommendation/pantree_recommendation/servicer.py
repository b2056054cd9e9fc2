"""The RPCs of the recommendation service."""

from collections.abc import AsyncIterator, Sequence

from pantree.recommendation.v1 import recommendation_service_pb2 as messages
from pantree.recommendation.v1 import recommendation_service_pb2_grpc as rpc
from pantree_recommendation import convert, convert_review
from pantree_recommendation.core.next_basket import NextBasketModel
from pantree_recommendation.core.plan_request import plan
from pantree_recommendation.core.policy import Policy
from pantree_recommendation.core.recommender import FilteredRequest, ScoredRequest, filter_candidates, score, select
from pantree_recommendation.core.review import review
from pantree_recommendation.core.selection import Models, ModelSource
from pantree_recommendation.rules import check_request
from pantree_runtime.batches import answer_alone
from pantree_runtime.cpu import run_cpu
from pantree_runtime.errors import PantreeError
from pantree_runtime.grpc_types import Context
from pantree_runtime.validation import validate

# Measured: converting and filtering a candidate takes a third of it, selecting and explaining it two thirds.
_MS_PER_CANDIDATE = 0.025
_MS_PER_BASKET = 2.0
_MS_PER_BASKET_ITEM = 0.02
_MS_PER_PLAN = 1.0
_MS_PER_PLAN_ITEM = 0.5
_MS_PER_REVIEW = 0.2


class RecommendationServicer(rpc.RecommendationServiceServicer):
    """Answers from the evidence in the request; keeps no state."""

    def __init__(self, policy: Policy, models: ModelSource, next_basket: NextBasketModel) -> None:
        self._policy = policy
        self._models = models
        self._next_basket = next_basket

    async def Recommend(self, request: messages.RecommendRequest, context: Context) -> messages.RecommendResponse:
        """Returns the items worth a subscription, best first."""
        models = await self._models.current()
        cost_ms = _MS_PER_CANDIDATE * len(request.candidates)
        filtered = await run_cpu(cost_ms, self._filter, request, models)
        (scored,) = await score([filtered])
        return await run_cpu(cost_ms, _response, scored)

    async def RecommendBatch(
        self, request_iterator: AsyncIterator[messages.RecommendBatchRequest], context: Context
    ) -> AsyncIterator[messages.RecommendBatchResponse]:
        """Returns the same for many households; reads a batch once the responses to the last one have been sent."""
        async for request in request_iterator:
            models = await self._models.current()
            cost_ms = _MS_PER_CANDIDATE * sum(len(household.candidates) for household in request.households)
            filtered = await run_cpu(cost_ms, self._filter_batch, request, models)
            scored = await score([entry for entry in filtered if isinstance(entry, FilteredRequest)])
            for response in await run_cpu(cost_ms, _batch_responses, filtered, scored):
                yield response

    async def GetModel(self, request: messages.GetModelRequest, context: Context) -> messages.GetModelResponse:
        """Returns all models, their shares and the fallback."""
        return convert.get_model_response(await self._models.current())

    async def PlanDeliveries(
        self, request: messages.PlanDeliveriesRequest, context: Context
    ) -> messages.PlanDeliveriesResponse:
        """Returns the best plan that meets the constraints."""
        return await run_cpu(_MS_PER_PLAN + _MS_PER_PLAN_ITEM * len(request.analysis.items), self._plan, request)

    async def PredictNextBasket(
        self, request: messages.PredictNextBasketRequest, context: Context
    ) -> messages.PredictNextBasketResponse:
        """Returns the items that a household is most likely to buy next."""
        item_count = len(request.history.item_names) + len(request.assortment)
        cost_ms = _MS_PER_BASKET + _MS_PER_BASKET_ITEM * item_count
        return await run_cpu(cost_ms, self._predict, request)

    async def ReviewSubscriptions(
        self, request: messages.ReviewSubscriptionsRequest, context: Context
    ) -> messages.ReviewSubscriptionsResponse:
        """Returns what to keep and what to change."""
        return await run_cpu(_MS_PER_REVIEW * len(request.subscriptions), _reviews, request)

    def _plan(self, request: messages.PlanDeliveriesRequest) -> messages.PlanDeliveriesResponse:
        wanted = convert.plan_request(request)
        return convert.plan_response(wanted, plan(wanted, self._policy))

    def _predict(self, request: messages.PredictNextBasketRequest) -> messages.PredictNextBasketResponse:
        wanted = convert.next_basket_request(request)
        return convert.next_basket_response(self._next_basket.predict(wanted, self._policy.may_suggest))

    def _filter(self, request: messages.RecommendRequest, models: Models) -> FilteredRequest:
        return filter_candidates(convert.recommendation_request(request), self._policy, models)

    def _filter_batch(
        self, request: messages.RecommendBatchRequest, models: Models
    ) -> list[FilteredRequest | PantreeError]:
        def filtered(household: messages.RecommendRequest) -> FilteredRequest:
            validate(household, check_request)
            return self._filter(household, models)

        return [answer_alone(household, filtered) for household in request.households]


def _response(scored: ScoredRequest) -> messages.RecommendResponse:
    return convert.recommend_response(select(scored))


def _reviews(request: messages.ReviewSubscriptionsRequest) -> messages.ReviewSubscriptionsResponse:
    return convert_review.review_response(request, review(convert_review.review_request(request)))


def _batch_responses(
    filtered: Sequence[FilteredRequest | PantreeError], scored: Sequence[ScoredRequest]
) -> list[messages.RecommendBatchResponse]:
    remaining = iter(scored)
    return convert.batch_responses(
        entry if isinstance(entry, PantreeError) else answer_alone(next(remaining), select) for entry in filtered
    )
