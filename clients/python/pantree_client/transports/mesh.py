"""The transport over gRPC, directly to the services."""

import contextlib
from collections.abc import AsyncGenerator, Iterator

import grpc

from pantree.history.v1 import history_service_pb2 as history
from pantree.history.v1 import history_service_pb2_grpc as history_rpc
from pantree.pipeline.v1 import pipeline_service_pb2 as pipeline
from pantree.pipeline.v1 import pipeline_service_pb2_grpc as pipeline_rpc
from pantree.simulation.v1 import simulation_service_pb2 as simulation
from pantree.simulation.v1 import simulation_service_pb2_grpc as simulation_rpc
from pantree.subscription.v1 import subscription_service_pb2 as subscription
from pantree.subscription.v1 import subscription_service_pb2_grpc as subscription_rpc
from pantree.subscription.v1 import webhook_service_pb2 as webhook
from pantree.subscription.v1 import webhook_service_pb2_grpc as webhook_rpc
from pantree_client.requests import rename_fields
from pantree_runtime.channel import open_channel
from pantree_runtime.errors import InvalidInput
from pantree_runtime.identity import Identity
from pantree_runtime.status import translate_rpc_errors

_MAX_SECONDS = 3600.0  # every call has its own timeout


class MeshTransport:
    """Calls the pipeline, simulation, history and subscription services.

    The channels retry calls to a part that is unavailable.

    Args:
        pipeline_address: `host:port`, or `dns:///name:port` for several replicas.
        simulation_address: likewise.
        history_address: likewise.
        identity: certificate of this client; None for a mesh without TLS.
    """

    def __init__(
        self, pipeline_address: str, simulation_address: str, history_address: str, identity: Identity | None = None
    ) -> None:
        self._addresses = {
            "pipeline": pipeline_address,
            "simulation": simulation_address,
            "history": history_address,
        }
        self._identity = identity
        self._channels: list[grpc.aio.Channel] = []

    async def open(self) -> None:
        # The channels connect at the first call.
        self._channels = [
            open_channel(address, timeout_seconds=_MAX_SECONDS, part=part, identity=self._identity)
            for part, address in self._addresses.items()
        ]

    async def close(self) -> None:
        while self._channels:
            await self._channels.pop().close()

    async def process(self, request: pipeline.ProcessInput, timeout_seconds: float) -> pipeline.ProcessResult:
        with _pipeline_errors():
            answer = await self._pipeline.Process(pipeline.ProcessRequest(input=request), timeout=timeout_seconds)
        return answer.result

    async def stream_process(
        self, request: pipeline.ProcessInput, timeout_seconds: float
    ) -> AsyncGenerator[pipeline.StreamProcessResponse]:
        call = self._pipeline.StreamProcess(pipeline.StreamProcessRequest(input=request), timeout=timeout_seconds)
        try:
            with _pipeline_errors():
                async for response in call:
                    yield response
        finally:
            call.cancel()  # has no effect after the last event

    async def next_basket(self, request: pipeline.NextBasketInput, timeout_seconds: float) -> pipeline.NextBasketResult:
        message = pipeline.NextBasketRequest(input=request)
        with _pipeline_errors():
            answer = await self._pipeline.NextBasket(message, timeout=timeout_seconds)
        return answer.result

    async def get_recommendations(
        self, request: pipeline.GetRecommendationsRequest, timeout_seconds: float
    ) -> pipeline.ProcessResult:
        with _pipeline_errors():
            return (await self._pipeline.GetRecommendations(request, timeout=timeout_seconds)).result

    async def get_next_basket(
        self, request: pipeline.GetNextBasketRequest, timeout_seconds: float
    ) -> pipeline.NextBasketResult:
        with _pipeline_errors():
            return (await self._pipeline.GetNextBasket(request, timeout=timeout_seconds)).result

    async def review_subscriptions(
        self, request: pipeline.ReviewSubscriptionsRequest, timeout_seconds: float
    ) -> pipeline.SubscriptionReviews:
        with _pipeline_errors():
            return (await self._pipeline.ReviewSubscriptions(request, timeout=timeout_seconds)).result

    async def erase_customer(
        self, request: pipeline.EraseCustomerRequest, timeout_seconds: float
    ) -> pipeline.EraseCustomerResponse:
        with _pipeline_errors():
            return await self._pipeline.EraseCustomer(request, timeout=timeout_seconds)

    async def append_purchases(
        self, request: history.AppendPurchasesRequest, timeout_seconds: float
    ) -> history.AppendPurchasesResponse:
        with translate_rpc_errors("history"):
            return await self._history.AppendPurchases(request, timeout=timeout_seconds)

    async def correct_purchases(
        self, request: history.CorrectPurchasesRequest, timeout_seconds: float
    ) -> history.CorrectPurchasesResponse:
        with translate_rpc_errors("history"):
            return await self._history.CorrectPurchases(request, timeout=timeout_seconds)

    async def merge_customers(
        self, request: history.MergeCustomersRequest, timeout_seconds: float
    ) -> history.MergeCustomersResponse:
        with translate_rpc_errors("history"):
            return await self._history.MergeCustomers(request, timeout=timeout_seconds)

    async def list_purchases(
        self, request: history.ListPurchasesRequest, timeout_seconds: float
    ) -> history.ListPurchasesResponse:
        with translate_rpc_errors("history"):
            return await self._history.ListPurchases(request, timeout=timeout_seconds)

    async def export_customer(
        self, request: history.ExportCustomerRequest, timeout_seconds: float
    ) -> AsyncGenerator[history.ExportCustomerResponse]:
        call = self._history.ExportCustomer(request, timeout=timeout_seconds)
        try:
            with translate_rpc_errors("history"):
                async for piece in call:
                    yield piece
        finally:
            call.cancel()  # has no effect after the last piece

    async def create_offer(
        self, request: subscription.CreateOfferRequest, timeout_seconds: float
    ) -> subscription.CreateOfferResponse:
        with translate_rpc_errors("history"):
            return await self._subscriptions.CreateOffer(request, timeout=timeout_seconds)

    async def list_offers(
        self, request: subscription.ListOffersRequest, timeout_seconds: float
    ) -> subscription.ListOffersResponse:
        with translate_rpc_errors("history"):
            return await self._subscriptions.ListOffers(request, timeout=timeout_seconds)

    async def create_subscription(
        self, request: subscription.CreateSubscriptionRequest, timeout_seconds: float
    ) -> subscription.CreateSubscriptionResponse:
        with translate_rpc_errors("history"):
            return await self._subscriptions.CreateSubscription(request, timeout=timeout_seconds)

    async def get_subscription(
        self, request: subscription.GetSubscriptionRequest, timeout_seconds: float
    ) -> subscription.GetSubscriptionResponse:
        with translate_rpc_errors("history"):
            return await self._subscriptions.GetSubscription(request, timeout=timeout_seconds)

    async def list_subscriptions(
        self, request: subscription.ListSubscriptionsRequest, timeout_seconds: float
    ) -> subscription.ListSubscriptionsResponse:
        with translate_rpc_errors("history"):
            return await self._subscriptions.ListSubscriptions(request, timeout=timeout_seconds)

    async def change_subscription(
        self, request: subscription.ChangeSubscriptionRequest, timeout_seconds: float
    ) -> subscription.ChangeSubscriptionResponse:
        with translate_rpc_errors("history"):
            return await self._subscriptions.ChangeSubscription(request, timeout=timeout_seconds)

    async def pause_subscriptions(
        self, request: subscription.PauseSubscriptionsRequest, timeout_seconds: float
    ) -> subscription.PauseSubscriptionsResponse:
        with translate_rpc_errors("history"):
            return await self._subscriptions.PauseSubscriptions(request, timeout=timeout_seconds)

    async def resume_subscriptions(
        self, request: subscription.ResumeSubscriptionsRequest, timeout_seconds: float
    ) -> subscription.ResumeSubscriptionsResponse:
        with translate_rpc_errors("history"):
            return await self._subscriptions.ResumeSubscriptions(request, timeout=timeout_seconds)

    async def get_test_clock(
        self, request: subscription.GetTestClockRequest, timeout_seconds: float
    ) -> subscription.GetTestClockResponse:
        with translate_rpc_errors("history"):
            return await self._subscriptions.GetTestClock(request, timeout=timeout_seconds)

    async def advance_test_clock(
        self, request: subscription.AdvanceTestClockRequest, timeout_seconds: float
    ) -> subscription.AdvanceTestClockResponse:
        with translate_rpc_errors("history"):
            return await self._subscriptions.AdvanceTestClock(request, timeout=timeout_seconds)

    async def record_delivery(
        self, request: subscription.RecordDeliveryRequest, timeout_seconds: float
    ) -> subscription.RecordDeliveryResponse:
        with translate_rpc_errors("history"):
            return await self._subscriptions.RecordDelivery(request, timeout=timeout_seconds)

    async def list_deliveries(
        self, request: subscription.ListDeliveriesRequest, timeout_seconds: float
    ) -> subscription.ListDeliveriesResponse:
        with translate_rpc_errors("history"):
            return await self._subscriptions.ListDeliveries(request, timeout=timeout_seconds)

    async def list_events(
        self, request: subscription.ListEventsRequest, timeout_seconds: float
    ) -> subscription.ListEventsResponse:
        with translate_rpc_errors("history"):
            return await self._subscriptions.ListEvents(request, timeout=timeout_seconds)

    async def create_webhook(
        self, request: webhook.CreateWebhookRequest, timeout_seconds: float
    ) -> webhook.CreateWebhookResponse:
        with translate_rpc_errors("history"):
            return await self._webhooks.CreateWebhook(request, timeout=timeout_seconds)

    async def list_webhooks(
        self, request: webhook.ListWebhooksRequest, timeout_seconds: float
    ) -> webhook.ListWebhooksResponse:
        with translate_rpc_errors("history"):
            return await self._webhooks.ListWebhooks(request, timeout=timeout_seconds)

    async def delete_webhook(
        self, request: webhook.DeleteWebhookRequest, timeout_seconds: float
    ) -> webhook.DeleteWebhookResponse:
        with translate_rpc_errors("history"):
            return await self._webhooks.DeleteWebhook(request, timeout=timeout_seconds)

    async def test_webhook(
        self, request: webhook.TestWebhookRequest, timeout_seconds: float
    ) -> webhook.TestWebhookResponse:
        with translate_rpc_errors("history"):
            return await self._webhooks.TestWebhook(request, timeout=timeout_seconds)

    async def rotate_webhook_secret(
        self, request: webhook.RotateWebhookSecretRequest, timeout_seconds: float
    ) -> webhook.RotateWebhookSecretResponse:
        with translate_rpc_errors("history"):
            return await self._webhooks.RotateWebhookSecret(request, timeout=timeout_seconds)

    async def replay_webhook(
        self, request: webhook.ReplayWebhookRequest, timeout_seconds: float
    ) -> webhook.ReplayWebhookResponse:
        with translate_rpc_errors("history"):
            return await self._webhooks.ReplayWebhook(request, timeout=timeout_seconds)

    async def list_dead_letters(
        self, request: webhook.ListDeadLettersRequest, timeout_seconds: float
    ) -> webhook.ListDeadLettersResponse:
        with translate_rpc_errors("history"):
            return await self._webhooks.ListDeadLetters(request, timeout=timeout_seconds)

    async def plan(self, request: pipeline.PlanInput, timeout_seconds: float) -> pipeline.PlanResult:
        with _pipeline_errors():
            answer = await self._pipeline.Plan(pipeline.PlanRequest(input=request), timeout=timeout_seconds)
        return answer.result

    async def what_if(
        self, request: pipeline.WhatIfInput, timeout_seconds: float
    ) -> AsyncGenerator[pipeline.WhatIfResponse]:
        call = self._pipeline.WhatIf(pipeline.WhatIfRequest(input=request), timeout=timeout_seconds)
        try:
            with _pipeline_errors():
                async for response in call:
                    yield response
        finally:
            call.cancel()  # has no effect after the last event

    async def get_what_if(self, request: pipeline.WhatIfInput, timeout_seconds: float) -> pipeline.WhatIfResult:
        with _pipeline_errors():
            answer = await self._pipeline.GetWhatIf(pipeline.GetWhatIfRequest(input=request), timeout=timeout_seconds)
        return answer.result

    async def get_config(self, timeout_seconds: float) -> pipeline.GetConfigResponse:
        with _pipeline_errors():
            return await self._pipeline.GetConfig(pipeline.GetConfigRequest(), timeout=timeout_seconds)

    async def get_status(self, timeout_seconds: float) -> pipeline.GetStatusResponse:
        with _pipeline_errors():
            return await self._pipeline.GetStatus(pipeline.GetStatusRequest(), timeout=timeout_seconds)

    async def list_archetypes(
        self, request: simulation.ListArchetypesRequest, timeout_seconds: float
    ) -> simulation.ListArchetypesResponse:
        with translate_rpc_errors("simulation"):
            stub: simulation_rpc.SimulationServiceAsyncStub = simulation_rpc.SimulationServiceStub(self._channels[1])
            return await stub.ListArchetypes(request, timeout=timeout_seconds)

    async def list_catalog_items(
        self, request: simulation.ListCatalogItemsRequest, timeout_seconds: float
    ) -> simulation.ListCatalogItemsResponse:
        with translate_rpc_errors("simulation"):
            stub: simulation_rpc.SimulationServiceAsyncStub = simulation_rpc.SimulationServiceStub(self._channels[1])
            return await stub.ListCatalogItems(request, timeout=timeout_seconds)

    async def get_models(self, timeout_seconds: float) -> pipeline.GetModelsResponse:
        with _pipeline_errors():
            return await self._pipeline.GetModels(pipeline.GetModelsRequest(), timeout=timeout_seconds)

    @property
    def _history(self) -> "history_rpc.HistoryServiceAsyncStub":
        return history_rpc.HistoryServiceStub(self._channels[2])

    @property
    def _subscriptions(self) -> "subscription_rpc.SubscriptionServiceAsyncStub":
        return subscription_rpc.SubscriptionServiceStub(self._channels[2])  # served by the history part

    @property
    def _webhooks(self) -> "webhook_rpc.WebhookServiceAsyncStub":
        return webhook_rpc.WebhookServiceStub(self._channels[2])  # served by the history part

    @property
    def _pipeline(self) -> "pipeline_rpc.PipelineServiceAsyncStub":
        return pipeline_rpc.PipelineServiceStub(self._channels[0])


@contextlib.contextmanager
def _pipeline_errors() -> Iterator[None]:
    """Translates gRPC errors, with paths in the input instead of the request around it."""
    try:
        with translate_rpc_errors("pipeline"):
            yield
    except InvalidInput as error:
        raise rename_fields(error, lambda field: field.removeprefix("input.")) from error
