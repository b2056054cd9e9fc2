"""The client for programs without an event loop."""

import asyncio
import ssl
import threading
from collections.abc import AsyncGenerator, Coroutine, Generator, Sequence
from datetime import date, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from pantree.history.v1.history_service_pb2 import ExportCustomerResponse
from pantree_client.client import DEFAULT_ADDRESS, DEFAULT_HISTORY_ADDRESS, DEFAULT_SIMULATION_ADDRESS, PantreeClient
from pantree_client.customers import CorrectedPurchases, Erasure, MergedCustomers, ReceiptLine, StoredPurchases
from pantree_client.requests import BasketRequest, FirstPurchase, History, PlanRequest, WhatIfRequest
from pantree_client.results import (
    Archetype,
    CatalogItem,
    Config,
    DeliveryPlan,
    Event,
    NextBasket,
    RankingModel,
    Result,
    Status,
)
from pantree_client.reviews import SubscriptionReviews
from pantree_client.subscriptions import (
    ClockAdvance,
    CustomerSubscription,
    DeliveryReport,
    Lever,
    Offer,
    OfferRequest,
    SubscriptionChange,
    SubscriptionDelivery,
    SubscriptionEvent,
    SubscriptionRequest,
)
from pantree_client.transports import Secret, Transport
from pantree_client.webhooks import DeadLetter, NewSecret, Webhook, WebhookTest
from pantree_client.what_if import (
    WhatIf,
    WhatIfEvent,
)

Value = TypeVar("Value")


class SyncPantreeClient:
    """Blocking client for Pantree: a `PantreeClient` whose event loop runs in a thread.

    Use it as a context manager. Several threads may share it. Arguments and errors are those of `PantreeClient`.
    """

    def __init__(
        self,
        address: str = DEFAULT_ADDRESS,
        *,
        simulation_address: str = DEFAULT_SIMULATION_ADDRESS,
        history_address: str = DEFAULT_HISTORY_ADDRESS,
        timeout_seconds: float = 60.0,
        ssl_context: ssl.SSLContext | None = None,
        certificates: Path | None = None,
        tls_domain: str = "pantree.internal",
        api_key: Secret | None = None,
        token: Secret | None = None,
        transport: Transport | None = None,
    ) -> None:
        self._client = PantreeClient(
            address,
            simulation_address=simulation_address,
            history_address=history_address,
            timeout_seconds=timeout_seconds,
            ssl_context=ssl_context,
            certificates=certificates,
            tls_domain=tls_domain,
            api_key=api_key,
            token=token,
            transport=transport,
        )
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        self._loop = asyncio.new_event_loop()
        # A daemon thread does not keep a program alive that forgets to close the client.
        self._thread = threading.Thread(target=self._loop.run_forever, name="pantree-client", daemon=True)
        self._thread.start()
        try:
            self._wait_for(self._client.__aenter__())
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            self._wait_for(self._client.__aexit__(kind, error, traceback))
        finally:
            self._stop()

    def process(self, request: FirstPurchase | History, *, timeout_seconds: float | None = None) -> Result:
        """See `PantreeClient.process`."""
        return self._wait_for(self._client.process(request, timeout_seconds=timeout_seconds))

    def stream(self, request: FirstPurchase | History, *, timeout_seconds: float | None = None) -> Generator[Event]:
        """See `PantreeClient.stream`. Closing the generator cancels the work in the mesh."""
        return self._iterate(self._client.stream(request, timeout_seconds=timeout_seconds))

    def plan(self, request: PlanRequest, *, timeout_seconds: float | None = None) -> DeliveryPlan:
        """See `PantreeClient.plan`."""
        return self._wait_for(self._client.plan(request, timeout_seconds=timeout_seconds))

    def what_if(self, request: WhatIfRequest, *, timeout_seconds: float | None = None) -> WhatIf:
        """See `PantreeClient.what_if`."""
        return self._wait_for(self._client.what_if(request, timeout_seconds=timeout_seconds))

    def stream_what_if(self, request: WhatIfRequest, *, timeout_seconds: float | None = None) -> Generator[WhatIfEvent]:
        """See `PantreeClient.stream_what_if`. Closing the generator cancels the work in the mesh."""
        return self._iterate(self._client.stream_what_if(request, timeout_seconds=timeout_seconds))

    def next_basket(self, request: BasketRequest, *, timeout_seconds: float | None = None) -> NextBasket:
        """See `PantreeClient.next_basket`."""
        return self._wait_for(self._client.next_basket(request, timeout_seconds=timeout_seconds))

    def recommendations(
        self,
        customer_id: str,
        *,
        as_of: date | None = None,
        as_known_on: date | None = None,
        max_recommendations: int | None = None,
        include_omitted: bool = False,
        include_suggestions: bool = False,
        timeout_seconds: float | None = None,
    ) -> Result:
        """See `PantreeClient.recommendations`."""
        call = self._client.recommendations(
            customer_id,
            as_of=as_of,
            as_known_on=as_known_on,
            max_recommendations=max_recommendations,
            include_omitted=include_omitted,
            include_suggestions=include_suggestions,
            timeout_seconds=timeout_seconds,
        )
        return self._wait_for(call)

    def customer_basket(
        self,
        customer_id: str,
        *,
        as_of: date | None = None,
        max_items: int | None = None,
        timeout_seconds: float | None = None,
    ) -> NextBasket:
        """See `PantreeClient.customer_basket`."""
        call = self._client.customer_basket(
            customer_id, as_of=as_of, max_items=max_items, timeout_seconds=timeout_seconds
        )
        return self._wait_for(call)

    def append_purchases(
        self,
        customer_id: str,
        purchases: Sequence[ReceiptLine],
        *,
        new_consent: bool = False,
        timeout_seconds: float | None = None,
    ) -> StoredPurchases:
        """See `PantreeClient.append_purchases`."""
        call = self._client.append_purchases(
            customer_id, purchases, new_consent=new_consent, timeout_seconds=timeout_seconds
        )
        return self._wait_for(call)

    def correct_purchases(
        self,
        customer_id: str,
        purchases: Sequence[ReceiptLine] = (),
        *,
        removed: Sequence[tuple[str, str]] = (),
        timeout_seconds: float | None = None,
    ) -> CorrectedPurchases:
        """See `PantreeClient.correct_purchases`."""
        call = self._client.correct_purchases(customer_id, purchases, removed=removed, timeout_seconds=timeout_seconds)
        return self._wait_for(call)

    def purchases(
        self, customer_id: str, *, as_known_on: date | None = None, timeout_seconds: float | None = None
    ) -> Generator[ReceiptLine]:
        """See `PantreeClient.purchases`."""
        lines = self._client.purchases(customer_id, as_known_on=as_known_on, timeout_seconds=timeout_seconds)
        return self._iterate(lines)

    def export_customer(
        self, customer_id: str, *, timeout_seconds: float | None = None
    ) -> Generator[ExportCustomerResponse]:
        """See `PantreeClient.export_customer`."""
        return self._iterate(self._client.export_customer(customer_id, timeout_seconds=timeout_seconds))

    def merge_customers(
        self, customer_id: str, merged_customer_id: str, *, actor: str = "", timeout_seconds: float | None = None
    ) -> MergedCustomers:
        """See `PantreeClient.merge_customers`."""
        return self._wait_for(
            self._client.merge_customers(customer_id, merged_customer_id, actor=actor, timeout_seconds=timeout_seconds)
        )

    def erase_customer(self, customer_id: str, *, timeout_seconds: float | None = None) -> Erasure:
        """See `PantreeClient.erase_customer`."""
        return self._wait_for(self._client.erase_customer(customer_id, timeout_seconds=timeout_seconds))

    def create_offer(
        self, request: OfferRequest, *, request_id: str = "", actor: str = "", timeout_seconds: float | None = None
    ) -> Offer:
        """See `PantreeClient.create_offer`."""
        call = self._client.create_offer(request, request_id=request_id, actor=actor, timeout_seconds=timeout_seconds)
        return self._wait_for(call)

    def offers(self, customer_id: str, *, timeout_seconds: float | None = None) -> Generator[Offer]:
        """See `PantreeClient.offers`."""
        return self._iterate(self._client.offers(customer_id, timeout_seconds=timeout_seconds))

    def create_subscription(
        self,
        request: SubscriptionRequest,
        *,
        request_id: str = "",
        actor: str = "",
        timeout_seconds: float | None = None,
    ) -> CustomerSubscription:
        """See `PantreeClient.create_subscription`."""
        call = self._client.create_subscription(
            request, request_id=request_id, actor=actor, timeout_seconds=timeout_seconds
        )
        return self._wait_for(call)

    def subscription(
        self, customer_id: str, subscription_id: str, *, timeout_seconds: float | None = None
    ) -> CustomerSubscription:
        """See `PantreeClient.subscription`."""
        call = self._client.subscription(customer_id, subscription_id, timeout_seconds=timeout_seconds)
        return self._wait_for(call)

    def subscriptions(
        self, customer_id: str, *, timeout_seconds: float | None = None
    ) -> Generator[CustomerSubscription]:
        """See `PantreeClient.subscriptions`."""
        return self._iterate(self._client.subscriptions(customer_id, timeout_seconds=timeout_seconds))

    def review_subscriptions(
        self, customer_id: str, *, as_of: date | None = None, timeout_seconds: float | None = None
    ) -> SubscriptionReviews:
        """See `PantreeClient.review_subscriptions`."""
        call = self._client.review_subscriptions(customer_id, as_of=as_of, timeout_seconds=timeout_seconds)
        return self._wait_for(call)

    def change_subscription(
        self,
        customer_id: str,
        subscription_id: str,
        lever: Lever,
        *,
        etag: str = "",
        request_id: str = "",
        actor: str = "",
        timeout_seconds: float | None = None,
    ) -> SubscriptionChange:
        """See `PantreeClient.change_subscription`."""
        call = self._client.change_subscription(
            customer_id,
            subscription_id,
            lever,
            etag=etag,
            request_id=request_id,
            actor=actor,
            timeout_seconds=timeout_seconds,
        )
        return self._wait_for(call)

    def pause_subscriptions(
        self,
        customer_id: str,
        until: date | None = None,
        *,
        request_id: str = "",
        actor: str = "",
        timeout_seconds: float | None = None,
    ) -> tuple[SubscriptionChange, ...]:
        """See `PantreeClient.pause_subscriptions`."""
        call = self._client.pause_subscriptions(
            customer_id, until, request_id=request_id, actor=actor, timeout_seconds=timeout_seconds
        )
        return self._wait_for(call)

    def resume_subscriptions(
        self, customer_id: str, *, request_id: str = "", actor: str = "", timeout_seconds: float | None = None
    ) -> tuple[SubscriptionChange, ...]:
        """See `PantreeClient.resume_subscriptions`."""
        call = self._client.resume_subscriptions(
            customer_id, request_id=request_id, actor=actor, timeout_seconds=timeout_seconds
        )
        return self._wait_for(call)

    def test_clock(self, *, timeout_seconds: float | None = None) -> datetime:
        """See `PantreeClient.test_clock`."""
        return self._wait_for(self._client.test_clock(timeout_seconds=timeout_seconds))

    def advance_test_clock(self, now: datetime | date, *, timeout_seconds: float | None = None) -> ClockAdvance:
        """See `PantreeClient.advance_test_clock`."""
        return self._wait_for(self._client.advance_test_clock(now, timeout_seconds=timeout_seconds))

    def record_delivery(
        self,
        customer_id: str,
        subscription_id: str,
        report: DeliveryReport,
        *,
        etag: str = "",
        request_id: str = "",
        actor: str = "",
        timeout_seconds: float | None = None,
    ) -> SubscriptionChange:
        """See `PantreeClient.record_delivery`."""
        call = self._client.record_delivery(
            customer_id,
            subscription_id,
            report,
            etag=etag,
            request_id=request_id,
            actor=actor,
            timeout_seconds=timeout_seconds,
        )
        return self._wait_for(call)

    def deliveries(
        self,
        customer_id: str,
        subscription_id: str,
        *,
        until: date | None = None,
        timeout_seconds: float | None = None,
    ) -> Generator[SubscriptionDelivery]:
        """See `PantreeClient.deliveries`."""
        found = self._client.deliveries(customer_id, subscription_id, until=until, timeout_seconds=timeout_seconds)
        return self._iterate(found)

    def subscription_events(
        self, customer_id: str, subscription_id: str, *, timeout_seconds: float | None = None
    ) -> Generator[SubscriptionEvent]:
        """See `PantreeClient.subscription_events`."""
        events = self._client.subscription_events(customer_id, subscription_id, timeout_seconds=timeout_seconds)
        return self._iterate(events)

    def create_webhook(
        self, url: str, *, webhook_id: str = "", description: str = "", timeout_seconds: float | None = None
    ) -> NewSecret:
        """See `PantreeClient.create_webhook`."""
        call = self._client.create_webhook(
            url, webhook_id=webhook_id, description=description, timeout_seconds=timeout_seconds
        )
        return self._wait_for(call)

    def webhooks(self, *, timeout_seconds: float | None = None) -> Generator[Webhook]:
        """See `PantreeClient.webhooks`."""
        return self._iterate(self._client.webhooks(timeout_seconds=timeout_seconds))

    def delete_webhook(self, webhook_id: str, *, timeout_seconds: float | None = None) -> None:
        """See `PantreeClient.delete_webhook`."""
        self._wait_for(self._client.delete_webhook(webhook_id, timeout_seconds=timeout_seconds))

    def test_webhook(self, webhook_id: str, *, timeout_seconds: float | None = None) -> WebhookTest:
        """See `PantreeClient.test_webhook`."""
        return self._wait_for(self._client.test_webhook(webhook_id, timeout_seconds=timeout_seconds))

    def rotate_webhook_secret(
        self, webhook_id: str, *, overlap_seconds: int = 86_400, timeout_seconds: float | None = None
    ) -> NewSecret:
        """See `PantreeClient.rotate_webhook_secret`."""
        call = self._client.rotate_webhook_secret(
            webhook_id, overlap_seconds=overlap_seconds, timeout_seconds=timeout_seconds
        )
        return self._wait_for(call)

    def replay_webhook(
        self,
        webhook_id: str,
        *,
        since: datetime | None = None,
        subscription_id: str = "",
        timeout_seconds: float | None = None,
    ) -> int:
        """See `PantreeClient.replay_webhook`."""
        call = self._client.replay_webhook(
            webhook_id, since=since, subscription_id=subscription_id, timeout_seconds=timeout_seconds
        )
        return self._wait_for(call)

    def dead_letters(self, webhook_id: str, *, timeout_seconds: float | None = None) -> Generator[DeadLetter]:
        """See `PantreeClient.dead_letters`."""
        return self._iterate(self._client.dead_letters(webhook_id, timeout_seconds=timeout_seconds))

    def archetypes(self, *, page_size: int = 0, timeout_seconds: float | None = None) -> Generator[Archetype]:
        """See `PantreeClient.archetypes`."""
        return self._iterate(self._client.archetypes(page_size=page_size, timeout_seconds=timeout_seconds))

    def catalog_items(
        self, prefix: str = "", *, page_size: int = 0, timeout_seconds: float | None = None
    ) -> Generator[CatalogItem]:
        """See `PantreeClient.catalog_items`."""
        items = self._client.catalog_items(prefix, page_size=page_size, timeout_seconds=timeout_seconds)
        return self._iterate(items)

    def models(self, *, timeout_seconds: float | None = None) -> tuple[RankingModel, ...]:
        """See `PantreeClient.models`."""
        return self._wait_for(self._client.models(timeout_seconds=timeout_seconds))

    def status(self, *, timeout_seconds: float | None = None) -> Status:
        """See `PantreeClient.status`."""
        return self._wait_for(self._client.status(timeout_seconds=timeout_seconds))

    def config(self, *, timeout_seconds: float | None = None) -> Config:
        """See `PantreeClient.config`."""
        return self._wait_for(self._client.config(timeout_seconds=timeout_seconds))

    def _wait_for(self, work: Coroutine[Any, Any, Value]) -> Value:
        if self._loop is None:
            work.close()
            raise RuntimeError("use the client as a context manager: with SyncPantreeClient(...) as client")
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()  # Ctrl-C ends the work, not only the waiting
            raise

    def _iterate(self, values: AsyncGenerator[Value]) -> Generator[Value]:
        async def next_value() -> Value | None:
            return await anext(values, None)

        async def close() -> None:
            await values.aclose()

        try:
            while (value := self._wait_for(next_value())) is not None:
                yield value
        finally:
            if self._loop is not None:  # the client may be closed before the generator
                self._wait_for(close())

    def _stop(self) -> None:
        assert self._loop is not None
        assert self._thread is not None
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._loop = self._thread = None
