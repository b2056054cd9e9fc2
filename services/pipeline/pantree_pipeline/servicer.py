"""The RPCs of the pipeline service."""

import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from datetime import date, datetime
from importlib.metadata import version
from typing import cast

from google.protobuf.message import Message

from pantree.pipeline.v1 import pipeline_service_pb2 as messages
from pantree.pipeline.v1 import pipeline_service_pb2_grpc as rpc
from pantree.recommendation.v1.recommendation_service_pb2 import (
    GetModelResponse,
    PlanDeliveriesResponse,
    PredictNextBasketResponse,
    ReviewSubscriptionsResponse,
)
from pantree_pipeline import convert, convert_review
from pantree_pipeline.core import household
from pantree_pipeline.core.events import Completed
from pantree_pipeline.core.health import HealthProbe
from pantree_pipeline.core.job import Job
from pantree_pipeline.core.pipeline import Pipeline
from pantree_pipeline.core.ports import StoredHistory
from pantree_pipeline.core.warnings import RecentWarnings
from pantree_pipeline.core.what_if import WhatIfJob
from pantree_runtime.cpu import run_cpu
from pantree_runtime.grpc_types import Context
from pantree_runtime.tenants import tenant_of

# Estimated time to convert and categorize the purchases of a request.
_MS_PER_BYTE = 5.0 / (16 * 1024)


def _draw_seed() -> int:
    return secrets.randbits(32)


def _utc_today() -> date:
    return convert_review.utc_now().date()


class PipelineServicer(rpc.PipelineServiceServicer):
    """Runs pipelines; keeps nothing of them but counts of warnings.

    Args:
        pipeline: the stages.
        probe: checks the health of the parts.
        today: as-of date of a request without one: the day in UTC.
        draw_seed: seed of a simulation without one, 0 to 2³² − 1.
        now: the time, with a time zone.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        probe: HealthProbe,
        today: Callable[[], date] = _utc_today,
        draw_seed: Callable[[], int] = _draw_seed,
        now: Callable[[], datetime] = convert_review.utc_now,
    ) -> None:
        self._pipeline = pipeline
        self._probe = probe
        self._today = today
        self._draw_seed = draw_seed
        self._now = now
        self._version = version("pantree")
        self._warnings = RecentWarnings(household.COMPONENT)

    async def Process(self, request: messages.ProcessRequest, context: Context) -> messages.ProcessResponse:
        """Recommendations for one household."""
        return messages.ProcessResponse(result=await self._result(request.input, context))

    async def GetRecommendations(
        self, request: messages.GetRecommendationsRequest, context: Context
    ) -> messages.GetRecommendationsResponse:
        """Recommendations for the stored purchases of a customer."""
        result = await self._result(convert.recommendations_input(request), context)
        return messages.GetRecommendationsResponse(result=result)

    async def _result(self, message: messages.ProcessInput, context: Context) -> messages.ProcessResult:
        job = await self._job(message, context)
        async with aclosing(self._pipeline.run(job)) as events:
            result = [event async for event in events if isinstance(event, Completed)][-1]
        self._warnings.add(result.degradations)
        return convert.result_message(result)

    async def StreamProcess(
        self, request: messages.StreamProcessRequest, context: Context
    ) -> AsyncIterator[messages.StreamProcessResponse]:
        """Recommendations for one household, after each month of its history."""
        job = await self._job(request.input, context)
        async with aclosing(self._pipeline.run(job)) as events:
            async for event in events:
                if isinstance(event, Completed):
                    self._warnings.add(event.degradations)
                yield convert.event_message(event, job)

    async def NextBasket(self, request: messages.NextBasketRequest, context: Context) -> messages.NextBasketResponse:
        """The most probable items of a household's next basket."""
        return messages.NextBasketResponse(result=await self._basket(request.input, context))

    async def GetNextBasket(
        self, request: messages.GetNextBasketRequest, context: Context
    ) -> messages.GetNextBasketResponse:
        """The most probable items of the next basket, from the stored purchases of a customer."""
        return messages.GetNextBasketResponse(result=await self._basket(convert.basket_input(request), context))

    async def _basket(self, message: messages.NextBasketInput, context: Context) -> messages.NextBasketResult:
        stored = await self._stored_history(message, tenant_of(context))
        filled = convert.with_stored_history(message, stored, self._today())
        job = await run_cpu(filled.ByteSize() * _MS_PER_BYTE, convert.next_basket_job, filled)
        if stored is not None:
            job = job._replace(history_version=stored.version)
        response = cast(PredictNextBasketResponse, await self._pipeline.next_basket(job))
        return convert.next_basket_result(job, response)

    async def EraseCustomer(
        self, request: messages.EraseCustomerRequest, context: Context
    ) -> messages.EraseCustomerResponse:
        """Erases a customer in all parts."""
        return convert.erase_response(await self._pipeline.erase(tenant_of(context), request.customer_id))

    async def Plan(self, request: messages.PlanRequest, context: Context) -> messages.PlanResponse:
        """The deliveries planned again, with constraints."""
        message = request.input
        constraints = message.constraints if message.HasField("constraints") else None
        response = cast(PlanDeliveriesResponse, await self._pipeline.plan(message.analysis, constraints))
        return messages.PlanResponse(result=convert.plan_result(message, response))

    async def WhatIf(self, request: messages.WhatIfRequest, context: Context) -> AsyncIterator[messages.WhatIfResponse]:
        """A plan, replayed on the purchases that followed."""
        job, version = await self._what_if_job(request.input, context)
        async with aclosing(self._pipeline.what_if(job)) as events:
            async for event in events:
                for message in convert.what_if_messages(event, version):
                    yield message

    async def GetWhatIf(self, request: messages.GetWhatIfRequest, context: Context) -> messages.GetWhatIfResponse:
        """A plan, replayed on the purchases that followed, at once."""
        job, version = await self._what_if_job(request.input, context)
        async with aclosing(self._pipeline.what_if(job)) as events:
            result = convert.what_if_result([event async for event in events], version)
        return messages.GetWhatIfResponse(result=result)

    async def _what_if_job(self, message: messages.WhatIfInput, context: Context) -> tuple[WhatIfJob, str]:
        tenant_id = tenant_of(context)
        stored = None
        if message.stored_history:
            stored = await self._pipeline.stored_history(tenant_id, message.customer_id, "", "")
        filled = convert.with_stored_history(message, stored, self._today())
        job = await run_cpu(filled.ByteSize() * _MS_PER_BYTE, convert.what_if_job, filled, tenant_id)
        return job, "" if stored is None else stored.version

    async def ReviewSubscriptions(
        self, request: messages.ReviewSubscriptionsRequest, context: Context
    ) -> messages.ReviewSubscriptionsResponse:
        """What to keep and what to change about the stored subscriptions of a customer."""
        as_of = date.fromisoformat(request.as_of) if request.as_of else self._today()
        stored = await self._pipeline.stored_subscriptions(tenant_of(context), request.customer_id, as_of.isoformat())
        subscriptions, history = stored
        size = 0 if history is None else cast(Message, history.payload).ByteSize()
        wanted = await run_cpu(
            size * _MS_PER_BYTE, convert_review.review_request, subscriptions, history, as_of, self._now()
        )
        response = cast(ReviewSubscriptionsResponse, await self._pipeline.review(wanted))
        return convert_review.review_result(request.customer_id, as_of, subscriptions, history, response)

    async def GetConfig(self, request: messages.GetConfigRequest, context: Context) -> messages.GetConfigResponse:
        """The configuration of the pipeline."""
        archetypes = await self._pipeline.archetypes()
        return convert.config_response(self._probe.components, archetypes.default, self._version)

    async def GetStatus(self, request: messages.GetStatusRequest, context: Context) -> messages.GetStatusResponse:
        """The state of the whole mesh."""
        return convert.status_response(await self._probe.check(), self._version, self._warnings.latest())

    async def GetModels(self, request: messages.GetModelsRequest, context: Context) -> messages.GetModelsResponse:
        """The models that rank items."""
        return messages.GetModelsResponse(ranking=cast(GetModelResponse, await self._pipeline.models()))

    async def _job(self, message: messages.ProcessInput, context: Context) -> Job:
        """Converts a request; fetches the archetypes only when a simulation needs them."""
        archetypes = await self._pipeline.archetypes() if message.items else None
        tenant_id = tenant_of(context)
        # Drawing a seed is a system call, which most requests do not need.
        seed = message.seed if message.HasField("seed") else self._draw_seed()
        today = self._today()
        stored = await self._stored_history(message, tenant_id)
        filled = convert.with_stored_history(message, stored, today)
        given = (filled, archetypes, today, seed, tenant_id)
        job = await run_cpu(filled.ByteSize() * _MS_PER_BYTE, convert.job_of, *given)
        if stored is None:
            return job
        return job._replace(history_version=stored.version, omitted_count=stored.omitted_count)

    async def _stored_history(
        self, message: messages.ProcessInput | messages.NextBasketInput, tenant_id: str
    ) -> StoredHistory | None:
        if not message.stored_history:
            return None
        return await self._pipeline.stored_history(tenant_id, message.customer_id, message.as_of, message.as_known_on)
