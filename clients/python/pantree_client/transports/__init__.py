"""Transports: `mesh` over gRPC, `gateway` over REST and WebSocket, and the fake in `pantree_client.testing`.

All use the messages of the contract and raise the errors in `pantree_runtime.errors`. An invalid field is named by its
path in the input, such as `items[0].price`.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Protocol

from pantree.history.v1 import history_service_pb2 as history
from pantree.pipeline.v1 import pipeline_service_pb2 as pipeline
from pantree.simulation.v1 import simulation_service_pb2 as simulation
from pantree.subscription.v1 import subscription_service_pb2 as subscription
from pantree.subscription.v1 import webhook_service_pb2 as webhook

Secret = str | Callable[[], str | Awaitable[str]]
"""An API key or a token, or a function that returns the current one; it is called before each request."""


class Transport(Protocol):
    """The public calls of the contract."""

    async def open(self) -> None:
        """Prepares for calls; runs in their event loop."""

    async def close(self) -> None:
        """Releases all resources and ends the calls in flight."""

    async def process(self, request: pipeline.ProcessInput, timeout_seconds: float) -> pipeline.ProcessResult:
        """Calls `PipelineService.Process`."""

    def stream_process(
        self, request: pipeline.ProcessInput, timeout_seconds: float
    ) -> AsyncGenerator[pipeline.StreamProcessResponse]:
        """Calls `PipelineService.StreamProcess`. Closing the generator cancels the work."""

    async def next_basket(self, request: pipeline.NextBasketInput, timeout_seconds: float) -> pipeline.NextBasketResult:
        """Calls `PipelineService.NextBasket`."""

    async def get_recommendations(
        self, request: pipeline.GetRecommendationsRequest, timeout_seconds: float
    ) -> pipeline.ProcessResult:
        """Calls `PipelineService.GetRecommendations`."""

    async def get_next_basket(
        self, request: pipeline.GetNextBasketRequest, timeout_seconds: float
    ) -> pipeline.NextBasketResult:
        """Calls `PipelineService.GetNextBasket`."""

    async def review_subscriptions(
        self, request: pipeline.ReviewSubscriptionsRequest, timeout_seconds: float
    ) -> pipeline.SubscriptionReviews:
        """Calls `PipelineService.ReviewSubscriptions`."""

    async def erase_customer(
        self, request: pipeline.EraseCustomerRequest, timeout_seconds: float
    ) -> pipeline.EraseCustomerResponse:
        """Calls `PipelineService.EraseCustomer`."""

    async def append_purchases(
        self, request: history.AppendPurchasesRequest, timeout_seconds: float
    ) -> history.AppendPurchasesResponse:
        """Calls `HistoryService.AppendPurchases`."""

    async def correct_purchases(
        self, request: history.CorrectPurchasesRequest, timeout_seconds: float
    ) -> history.CorrectPurchasesResponse:
        """Calls `HistoryService.CorrectPurchases`."""

    async def merge_customers(
        self, request: history.MergeCustomersRequest, timeout_seconds: float
    ) -> history.MergeCustomersResponse:
        """Calls `HistoryService.MergeCustomers`."""

    async def list_purchases(
        self, request: history.ListPurchasesRequest, timeout_seconds: float
    ) -> history.ListPurchasesResponse:
        """Calls `HistoryService.ListPurchases`."""

    def export_customer(
        self, request: history.ExportCustomerRequest, timeout_seconds: float
    ) -> AsyncGenerator[history.ExportCustomerResponse]:
        """Calls `HistoryService.ExportCustomer`."""

    async def create_offer(
        self, request: subscription.CreateOfferRequest, timeout_seconds: float
    ) -> subscription.CreateOfferResponse:
        """Calls `SubscriptionService.CreateOffer`."""

    async def list_offers(
        self, request: subscription.ListOffersRequest, timeout_seconds: float
    ) -> subscription.ListOffersResponse:
        """Calls `SubscriptionService.ListOffers`."""

    async def create_subscription(
        self, request: subscription.CreateSubscriptionRequest, timeout_seconds: float
    ) -> subscription.CreateSubscriptionResponse:
        """Calls `SubscriptionService.CreateSubscription`."""

    async def get_subscription(
        self, request: subscription.GetSubscriptionRequest, timeout_seconds: float
    ) -> subscription.GetSubscriptionResponse:
        """Calls `SubscriptionService.GetSubscription`."""

    async def list_subscriptions(
        self, request: subscription.ListSubscriptionsRequest, timeout_seconds: float
    ) -> subscription.ListSubscriptionsResponse:
        """Calls `SubscriptionService.ListSubscriptions`."""

    async def change_subscription(
        self, request: subscription.ChangeSubscriptionRequest, timeout_seconds: float
    ) -> subscription.ChangeSubscriptionResponse:
        """Calls `SubscriptionService.ChangeSubscription`."""

    async def pause_subscriptions(
        self, request: subscription.PauseSubscriptionsRequest, timeout_seconds: float
    ) -> subscription.PauseSubscriptionsResponse:
        """Calls `SubscriptionService.PauseSubscriptions`."""

    async def resume_subscriptions(
        self, request: subscription.ResumeSubscriptionsRequest, timeout_seconds: float
    ) -> subscription.ResumeSubscriptionsResponse:
        """Calls `SubscriptionService.ResumeSubscriptions`."""

    async def get_test_clock(
        self, request: subscription.GetTestClockRequest, timeout_seconds: float
    ) -> subscription.GetTestClockResponse:
        """Calls `SubscriptionService.GetTestClock`."""

    async def advance_test_clock(
        self, request: subscription.AdvanceTestClockRequest, timeout_seconds: float
    ) -> subscription.AdvanceTestClockResponse:
        """Calls `SubscriptionService.AdvanceTestClock`."""

    async def record_delivery(
        self, request: subscription.RecordDeliveryRequest, timeout_seconds: float
    ) -> subscription.RecordDeliveryResponse:
        """Calls `SubscriptionService.RecordDelivery`."""

    async def list_deliveries(
        self, request: subscription.ListDeliveriesRequest, timeout_seconds: float
    ) -> subscription.ListDeliveriesResponse:
        """Calls `SubscriptionService.ListDeliveries`."""

    async def list_events(
        self, request: subscription.ListEventsRequest, timeout_seconds: float
    ) -> subscription.ListEventsResponse:
        """Calls `SubscriptionService.ListEvents`."""

    async def create_webhook(
        self, request: webhook.CreateWebhookRequest, timeout_seconds: float
    ) -> webhook.CreateWebhookResponse:
        """Calls `WebhookService.CreateWebhook`."""

    async def list_webhooks(
        self, request: webhook.ListWebhooksRequest, timeout_seconds: float
    ) -> webhook.ListWebhooksResponse:
        """Calls `WebhookService.ListWebhooks`."""

    async def delete_webhook(
        self, request: webhook.DeleteWebhookRequest, timeout_seconds: float
    ) -> webhook.DeleteWebhookResponse:
        """Calls `WebhookService.DeleteWebhook`."""

    async def test_webhook(
        self, request: webhook.TestWebhookRequest, timeout_seconds: float
    ) -> webhook.TestWebhookResponse:
        """Calls `WebhookService.TestWebhook`."""

    async def rotate_webhook_secret(
        self, request: webhook.RotateWebhookSecretRequest, timeout_seconds: float
    ) -> webhook.RotateWebhookSecretResponse:
        """Calls `WebhookService.RotateWebhookSecret`."""

    async def replay_webhook(
        self, request: webhook.ReplayWebhookRequest, timeout_seconds: float
    ) -> webhook.ReplayWebhookResponse:
        """Calls `WebhookService.ReplayWebhook`."""

    async def list_dead_letters(
        self, request: webhook.ListDeadLettersRequest, timeout_seconds: float
    ) -> webhook.ListDeadLettersResponse:
        """Calls `WebhookService.ListDeadLetters`."""

    async def plan(self, request: pipeline.PlanInput, timeout_seconds: float) -> pipeline.PlanResult:
        """Calls `PipelineService.Plan`."""

    def what_if(self, request: pipeline.WhatIfInput, timeout_seconds: float) -> AsyncGenerator[pipeline.WhatIfResponse]:
        """Calls `PipelineService.WhatIf`. Closing the generator cancels the work."""

    async def get_what_if(self, request: pipeline.WhatIfInput, timeout_seconds: float) -> pipeline.WhatIfResult:
        """Calls `PipelineService.GetWhatIf`."""

    async def get_config(self, timeout_seconds: float) -> pipeline.GetConfigResponse:
        """Calls `PipelineService.GetConfig`."""

    async def get_status(self, timeout_seconds: float) -> pipeline.GetStatusResponse:
        """Calls `PipelineService.GetStatus`."""

    async def list_archetypes(
        self, request: simulation.ListArchetypesRequest, timeout_seconds: float
    ) -> simulation.ListArchetypesResponse:
        """Calls `SimulationService.ListArchetypes`."""

    async def list_catalog_items(
        self, request: simulation.ListCatalogItemsRequest, timeout_seconds: float
    ) -> simulation.ListCatalogItemsResponse:
        """Calls `SimulationService.ListCatalogItems`."""

    async def get_models(self, timeout_seconds: float) -> pipeline.GetModelsResponse:
        """Calls `PipelineService.GetModels`."""
