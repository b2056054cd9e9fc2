"""Fake services behind the gateway, with configurable answers."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import grpc

from pantree.pipeline.v1 import pipeline_service_pb2 as messages
from pantree.pipeline.v1 import pipeline_service_pb2_grpc as rpc
from pantree.recommendation.v1.recommendation_service_pb2 import (
    GetModelResponse,
    PredictedItem,
    Recommendation,
    Subscription,
)
from pantree.simulation.v1 import simulation_service_pb2
from pantree.simulation.v1 import simulation_service_pb2_grpc as simulation_rpc
from pantree_runtime.grpc_types import Context
from pantree_runtime.server import ServiceSpec

_AS_OF = "2026-11-23"


class PipelineServicer(rpc.PipelineServiceServicer):
    """Recommends the first item of each request, and records the requests."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Resets its configuration and its record."""
        self.requests: list[messages.ProcessInput] = []
        self.seconds_left: float | None = None
        self.before_answer: Callable[[Context], Awaitable[None]] | None = None
        """Called before the answer, and in a stream after each month; it may fail or wait."""
        self.months_may_go_on = asyncio.Event()
        self.months_may_go_on.set()
        self.stream_ended = asyncio.Event()
        self.month_count = 0
        """Number of months in a stream; 0 for the number in the request."""
        self.months_sent = 0
        self.metadata: dict[str, str | bytes] = {}
        self.initial_metadata: tuple[tuple[str, str], ...] = ()
        self.warnings: list[messages.Warning] = []
        self.month_display = "May 2026"
        self.started = messages.Started()
        self.state = messages.GetStatusResponse(state=messages.COMPONENT_STATE_SERVING)

    async def Process(self, request: messages.ProcessRequest, context: Context) -> messages.ProcessResponse:
        self.requests.append(request.input)
        self.seconds_left = context.time_remaining()
        self.metadata = dict(context.invocation_metadata() or ())
        if self.initial_metadata:
            await context.send_initial_metadata(self.initial_metadata)
        if self.before_answer is not None:
            await self.before_answer(context)
        result = _result(request.input)
        result.warnings.extend(self.warnings)
        return messages.ProcessResponse(result=result)

    async def Plan(self, request: messages.PlanRequest, context: Context) -> messages.PlanResponse:
        analysis = request.input.analysis
        return messages.PlanResponse(
            result=messages.PlanResult(customer_id=request.input.customer_id, as_of=analysis.as_of)
        )

    async def WhatIf(self, request: messages.WhatIfRequest, context: Context) -> AsyncIterator[messages.WhatIfResponse]:
        result = _what_if(request.input)
        yield messages.WhatIfResponse(started=result.started)
        for week in result.weeks:
            yield messages.WhatIfResponse(week=week)
        yield messages.WhatIfResponse(completed=result.summary)

    async def GetWhatIf(self, request: messages.GetWhatIfRequest, context: Context) -> messages.GetWhatIfResponse:
        return messages.GetWhatIfResponse(result=_what_if(request.input))

    async def NextBasket(self, request: messages.NextBasketRequest, context: Context) -> messages.NextBasketResponse:
        item = PredictedItem(name="Bananas", probability=0.5)
        result = messages.NextBasketResult(
            customer_id=request.input.customer_id, items=[item], as_of=request.input.as_of
        )
        return messages.NextBasketResponse(result=result)

    async def GetRecommendations(
        self, request: messages.GetRecommendationsRequest, context: Context
    ) -> messages.GetRecommendationsResponse:
        return messages.GetRecommendationsResponse(result=messages.ProcessResult(customer_id=request.customer_id))

    async def GetNextBasket(
        self, request: messages.GetNextBasketRequest, context: Context
    ) -> messages.GetNextBasketResponse:
        return messages.GetNextBasketResponse(result=messages.NextBasketResult(customer_id=request.customer_id))

    async def ReviewSubscriptions(
        self, request: messages.ReviewSubscriptionsRequest, context: Context
    ) -> messages.ReviewSubscriptionsResponse:
        result = messages.SubscriptionReviews(customer_id=request.customer_id)
        return messages.ReviewSubscriptionsResponse(result=result)

    async def EraseCustomer(
        self, request: messages.EraseCustomerRequest, context: Context
    ) -> messages.EraseCustomerResponse:
        return messages.EraseCustomerResponse(ledger_entry_id=request.customer_id)

    async def StreamProcess(
        self, request: messages.StreamProcessRequest, context: Context
    ) -> AsyncIterator[messages.StreamProcessResponse]:
        self.requests.append(request.input)
        self.seconds_left = context.time_remaining()
        count = self.month_count or request.input.simulation_months or 6
        try:
            started = messages.Started(as_of=_AS_OF, month_count=count)
            started.MergeFrom(self.started)
            yield messages.StreamProcessResponse(started=started)
            for number in range(1, count + 1):
                yield messages.StreamProcessResponse(
                    monthly_update=messages.MonthlyUpdate(
                        month_display=self.month_display,
                        month_number=number,
                        month_count=count,
                        progress=100 * number / count,
                    )
                )
                self.months_sent += 1
                if self.before_answer is not None:
                    await self.before_answer(context)
                await self.months_may_go_on.wait()
            yield messages.StreamProcessResponse(completed=_result(request.input))
        finally:
            self.stream_ended.set()

    async def GetConfig(self, request: messages.GetConfigRequest, context: Context) -> messages.GetConfigResponse:
        return messages.GetConfigResponse(default_archetype="health_conscious", max_items=100)

    async def GetStatus(self, request: messages.GetStatusRequest, context: Context) -> messages.GetStatusResponse:
        return self.state

    async def GetModels(self, request: messages.GetModelsRequest, context: Context) -> messages.GetModelsResponse:
        return messages.GetModelsResponse(ranking=GetModelResponse(source="embedded"))


def raising(error: Exception) -> Callable[[Context], Awaitable[None]]:
    """For `before_answer`: raises an error."""

    async def fail(_context: Context) -> None:
        raise error

    return fail


def aborting(code: str, message: str) -> Callable[[Context], Awaitable[None]]:
    """For `before_answer`: ends the call with a status without details, as other servers do."""

    async def fail(context: Context) -> None:
        await context.abort(grpc.StatusCode[code], message)

    return fail


class SimulationServicer(simulation_rpc.SimulationServiceServicer):
    """Lists one archetype."""

    def __init__(self) -> None:
        self.requests: list[simulation_service_pb2.ListArchetypesRequest] = []

    async def ListArchetypes(
        self, request: simulation_service_pb2.ListArchetypesRequest, context: Context
    ) -> simulation_service_pb2.ListArchetypesResponse:
        self.requests.append(request)
        archetype = simulation_service_pb2.Archetype(id="health_conscious", mean_trip_gap_days=8)
        return simulation_service_pb2.ListArchetypesResponse(
            archetypes=[archetype], default_archetype="health_conscious"
        )

    async def ListCatalogItems(
        self, request: simulation_service_pb2.ListCatalogItemsRequest, context: Context
    ) -> simulation_service_pb2.ListCatalogItemsResponse:
        item = simulation_service_pb2.CatalogItem(name="Bananas", category="produce", usual_price=1.89)
        return simulation_service_pb2.ListCatalogItemsResponse(items=[item])

    async def StreamPurchases(
        self, request: simulation_service_pb2.StreamPurchasesRequest, context: Context
    ) -> AsyncIterator[simulation_service_pb2.StreamPurchasesResponse]:
        months: list[simulation_service_pb2.StreamPurchasesResponse] = []
        for month in months:
            yield month

    async def SimulatePopulation(
        self, request: simulation_service_pb2.SimulatePopulationRequest, context: Context
    ) -> AsyncIterator[simulation_service_pb2.SimulatePopulationResponse]:
        batches: list[simulation_service_pb2.SimulatePopulationResponse] = []
        for batch in batches:
            yield batch


def pipeline_part(servicer: PipelineServicer) -> ServiceSpec:
    """The servicer behind the real interceptors."""
    return ServiceSpec(
        name="pipeline",
        services={
            "pantree.pipeline.v1.PipelineService": lambda server: rpc.add_PipelineServiceServicer_to_server(
                servicer, server
            )
        },
    )


def simulation_part(servicer: SimulationServicer) -> ServiceSpec:
    """The servicer behind the real interceptors."""
    return ServiceSpec(
        name="simulation",
        services={
            "pantree.simulation.v1.SimulationService": lambda server: (
                simulation_rpc.add_SimulationServiceServicer_to_server(servicer, server)
            )
        },
    )


def _what_if(given: messages.WhatIfInput) -> messages.WhatIfResult:
    """A replay of the requested number of weeks without deliveries."""
    count = given.week_count or 2
    return messages.WhatIfResult(
        started=messages.WhatIfStarted(customer_id=given.customer_id, as_of="2026-09-01", week_count=count),
        weeks=[messages.WhatIfWeek(week_number=number) for number in range(1, count + 1)],
        summary=messages.WhatIfSummary(replay_id="1"),
    )


def _result(request: messages.ProcessInput) -> messages.ProcessResult:
    names = [item.name for item in request.items][:1]
    return messages.ProcessResult(
        customer_id=request.customer_id,
        as_of=_AS_OF,
        recommendations=messages.RecommendationSet(
            recommendations=[
                Recommendation(name=name, next_due_date=_AS_OF, subscription=Subscription(first_delivery_date=_AS_OF))
                for name in names
            ]
        ),
    )
