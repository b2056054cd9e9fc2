"""The async client."""

import ssl
import uuid
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from datetime import date, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from pantree.history.v1 import history_service_pb2 as history
from pantree.pipeline.v1 import pipeline_service_pb2 as messages
from pantree.simulation.v1.simulation_service_pb2 import ListArchetypesRequest, ListCatalogItemsRequest
from pantree.subscription.v1 import subscription_service_pb2 as subscription_messages
from pantree.subscription.v1 import webhook_service_pb2 as webhook_messages
from pantree_client.customers import (
    CorrectedPurchases,
    Erasure,
    MergedCustomers,
    ReceiptLine,
    StoredPurchases,
    to_erasure,
    to_line,
)
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
    to_archetype,
    to_catalog_item,
    to_config,
    to_delivery_plan,
    to_event,
    to_models,
    to_next_basket,
    to_result,
    to_status,
)
from pantree_client.reviews import SubscriptionReviews, to_reviews
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
    to_change,
    to_change_request,
    to_changes,
    to_clock_advance,
    to_delivery,
    to_offer,
    to_pause_request,
    to_record_request,
    to_subscription,
    to_subscription_event,
)
from pantree_client.transports import Secret, Transport
from pantree_client.transports.mesh import MeshTransport
from pantree_client.webhooks import (
    DeadLetter,
    NewSecret,
    Webhook,
    WebhookTest,
    to_dead_letter,
    to_new_secret,
    to_replay_request,
    to_webhook,
    to_webhook_test,
)
from pantree_client.what_if import (
    WhatIf,
    WhatIfEvent,
    to_what_if,
    to_what_if_event,
)
from pantree_runtime.identity import AUTHORITY, CERTIFICATE, KEY, Identity, load_identity

DEFAULT_ADDRESS = "127.0.0.1:50051"
DEFAULT_SIMULATION_ADDRESS = "127.0.0.1:50052"
DEFAULT_HISTORY_ADDRESS = "127.0.0.1:50057"
_PAGE_SIZE = 1000
# Each has its next deliveries, and a message has at most 4 MiB.
_SUBSCRIPTIONS_PAGE_SIZE = 100


class PantreeClient:
    """Async client for Pantree. Use it as an async context manager.

    A call to a part that is unavailable is retried, up to four attempts in all within its timeout. A stream is retried
    before its first event; through a gateway it also resumes after a lost connection.

    Args:
        address: `host:port` of the pipeline, `dns:///name:port` for several replicas, or the URL of a gateway, which
            returns the same results and needs `pantree-client[http]`.
        simulation_address: `host:port` of the simulation, for `archetypes`; not used with a gateway.
        history_address: `host:port` of the history, for stored purchases; not used with a gateway.
        timeout_seconds: default timeout of a call, including streams. Every method can override it.
        ssl_context: trusted authorities and client certificate for a gateway at `https://…`.
        certificates: directory with `tls.crt`, `tls.key` and `ca.crt` of this client, for a mesh with TLS or a gateway
            at `https://…`.
        tls_domain: domain of the names in the certificates of the mesh.
        api_key: API key for a gateway, or a function that returns it.
        token: bearer token for a gateway, or a function that returns the current one; it may be async, and is called
            before each request.
        transport: custom transport, used instead of an address; see `pantree_client.testing`.

    Raises:
        OSError: when the certificates cannot be read.
        ValueError: when `ssl_context` is given for an address that does not start with `https://`, when credentials are
            given for an address that is not a gateway's, or when both a key and a token are given.
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
        self.address = address
        self._timeout_seconds = timeout_seconds
        is_gateway = address.startswith(("http://", "https://"))
        if (api_key is not None or token is not None) and not (is_gateway or transport):
            raise ValueError(f"api_key and token require the URL of a gateway; the address is {address}")
        if api_key is not None and token is not None:
            raise ValueError("use either api_key or token, not both")
        if certificates is not None and address.startswith("https://"):
            ssl_context = ssl_context or _ssl_context_of(certificates)
            certificates = None
        identity = load_identity(certificates, tls_domain)
        addresses = address, simulation_address, history_address
        self._transport = transport or _transport_to(addresses, ssl_context, identity, api_key, token)
        self._is_open = False

    async def __aenter__(self) -> Self:
        await self._transport.open()
        self._is_open = True
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._is_open = False
        await self._transport.close()

    async def process(self, request: FirstPurchase | History, *, timeout_seconds: float | None = None) -> Result:
        """Returns recommendations for one household.

        Raises:
            InvalidInput: when fields are invalid. It names the first ones and the number of the others.
            ComponentUnavailable: when a required part is unavailable.
            DeadlineExceeded: when the call took too long.
        """
        return to_result(await self._opened.process(request.message(), self._seconds(timeout_seconds)))

    async def stream(
        self, request: FirstPurchase | History, *, timeout_seconds: float | None = None
    ) -> AsyncGenerator[Event]:
        """Yields one `Started`, one `MonthlyUpdate` per month as soon as it is available, and the `Result`.

        Closing the generator cancels the work in the mesh.

        Raises:
            PantreeError: as in `process`, at any point of the stream.
        """
        async with aclosing(self.stream_message(request.message(), timeout_seconds=timeout_seconds)) as events:
            async for event in events:
                yield event

    async def stream_message(
        self, message: messages.ProcessInput, *, timeout_seconds: float | None = None
    ) -> AsyncGenerator[Event]:
        """Same as `stream`, for a message of the contract."""
        async with aclosing(self._opened.stream_process(message, self._seconds(timeout_seconds))) as responses:
            async for response in responses:
                yield to_event(response)

    async def next_basket(self, request: BasketRequest, *, timeout_seconds: float | None = None) -> NextBasket:
        """Returns the items that a household is most likely to buy on its next shopping trip.

        Raises:
            PantreeError: as in `process`.
        """
        return to_next_basket(await self._opened.next_basket(request.message(), self._seconds(timeout_seconds)))

    async def recommendations(
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
        """Returns recommendations for the stored purchases of a customer.

        Args:
            customer_id: the customer.
            as_of: date of the request; today if None.
            as_known_on: leaves out what was stored or corrected after the end of this day (UTC).
            max_recommendations: 1 to 100; 20 if None.
            include_omitted: include the items that are not recommended.
            include_suggestions: include items that similar customers buy.
            timeout_seconds: timeout of the call.

        Raises:
            NotFound: when nothing is stored of the customer.
            PantreeError: as in `process`.
        """
        request = messages.GetRecommendationsRequest(
            customer_id=customer_id,
            as_of=_day(as_of),
            as_known_on=_day(as_known_on),
            max_recommendations=max_recommendations,
            include_omitted=include_omitted,
            include_suggestions=include_suggestions,
        )
        return to_result(await self._opened.get_recommendations(request, self._seconds(timeout_seconds)))

    async def customer_basket(
        self,
        customer_id: str,
        *,
        as_of: date | None = None,
        max_items: int | None = None,
        timeout_seconds: float | None = None,
    ) -> NextBasket:
        """Returns the next basket that is predicted from the stored purchases of a customer.

        Raises:
            NotFound: when nothing is stored of the customer.
            PantreeError: as in `process`.
        """
        request = messages.GetNextBasketRequest(customer_id=customer_id, as_of=_day(as_of), max_items=max_items)
        return to_next_basket(await self._opened.get_next_basket(request, self._seconds(timeout_seconds)))

    async def append_purchases(
        self,
        customer_id: str,
        purchases: Sequence[ReceiptLine],
        *,
        new_consent: bool = False,
        timeout_seconds: float | None = None,
    ) -> StoredPurchases:
        """Stores up to 1,000 lines of a customer: all, or none. It can be repeated: a line is stored once.

        Args:
            customer_id: the customer.
            purchases: the lines.
            new_consent: a customer who was erased has consented again.
            timeout_seconds: timeout of the call.

        Raises:
            AlreadyExists: when other content is stored under the ids of a line.
            CustomerErased: when the customer was erased.
            PantreeError: as in `process`.
        """
        request = history.AppendPurchasesRequest(
            customer_id=customer_id, purchases=[line.message() for line in purchases], new_consent=new_consent
        )
        answer = await self._opened.append_purchases(request, self._seconds(timeout_seconds))
        return StoredPurchases(answer.added_count, answer.duplicate_count, answer.history_version)

    async def correct_purchases(
        self,
        customer_id: str,
        purchases: Sequence[ReceiptLine] = (),
        *,
        removed: Sequence[tuple[str, str]] = (),
        timeout_seconds: float | None = None,
    ) -> CorrectedPurchases:
        """Replaces and removes stored lines of a customer: all, or none.

        Args:
            customer_id: the customer.
            purchases: replace the lines with the same order_id and line_id.
            removed: order_id and line_id of the lines to remove.
            timeout_seconds: timeout of the call.

        Raises:
            NotFound: when nothing is stored of the customer.
            PantreeError: as in `process`.
        """
        request = history.CorrectPurchasesRequest(
            customer_id=customer_id,
            purchases=[line.message() for line in purchases],
            removed=[history.LineKey(order_id=order_id, line_id=line_id) for order_id, line_id in removed],
        )
        answer = await self._opened.correct_purchases(request, self._seconds(timeout_seconds))
        return CorrectedPurchases(answer.corrected_count, answer.removed_count, answer.history_version)

    async def purchases(
        self, customer_id: str, *, as_known_on: date | None = None, timeout_seconds: float | None = None
    ) -> AsyncGenerator[ReceiptLine]:
        """Yields the stored lines of a customer, ordered by day, order and line.

        Args:
            customer_id: the customer.
            as_known_on: leaves out what was stored or corrected after the end of this day (UTC).
            timeout_seconds: timeout per page.

        Raises:
            NotFound: when nothing is stored of the customer.
            PantreeError: as in `process`.
        """
        request = history.ListPurchasesRequest(
            customer_id=customer_id, as_known_on=_day(as_known_on), page_size=_PAGE_SIZE
        )
        while True:
            page = await self._opened.list_purchases(request, self._seconds(timeout_seconds))
            for line in page.purchases:
                yield to_line(line)
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    async def export_customer(
        self, customer_id: str, *, timeout_seconds: float | None = None
    ) -> AsyncGenerator[history.ExportCustomerResponse]:
        """Yields everything that is stored about a customer, as messages of the contract.

        Raises:
            NotFound: when nothing is stored of the customer.
            PantreeError: as in `process`.
        """
        request = history.ExportCustomerRequest(customer_id=customer_id)
        async with aclosing(self._opened.export_customer(request, self._seconds(timeout_seconds))) as pieces:
            async for piece in pieces:
                yield piece

    async def merge_customers(
        self, customer_id: str, merged_customer_id: str, *, actor: str = "", timeout_seconds: float | None = None
    ) -> MergedCustomers:
        """Makes two ids of one household one customer, and returns what moved. It can be repeated, but not undone.

        Args:
            customer_id: the customer that remains.
            merged_customer_id: the id that becomes another name of it, in all calls.
            actor: who merges them, such as `support:anna`; it is kept.
            timeout_seconds: timeout of the call.

        Raises:
            NotFound: when nothing is stored of the merged customer.
            CustomerErased: when one of both was erased.
            InvalidInput: when both are one customer already, the other way round.
            PantreeError: as in `process`.
        """
        request = history.MergeCustomersRequest(
            customer_id=customer_id, merged_customer_id=merged_customer_id, actor=actor
        )
        answer = await self._opened.merge_customers(request, self._seconds(timeout_seconds))
        return MergedCustomers(
            answer.customer_id,
            answer.merged_at,
            answer.moved_line_count,
            answer.moved_offer_count,
            answer.moved_subscription_count,
            answer.history_version,
        )

    async def erase_customer(self, customer_id: str, *, timeout_seconds: float | None = None) -> Erasure:
        """Erases a customer in all parts, and returns the receipt. It can be repeated.

        Raises:
            ComponentUnavailable: when a part is unavailable; purchases are refused already, but repeat the call.
        """
        request = messages.EraseCustomerRequest(customer_id=customer_id)
        return to_erasure(await self._opened.erase_customer(request, self._seconds(timeout_seconds)))

    async def create_offer(
        self, request: OfferRequest, *, request_id: str = "", actor: str = "", timeout_seconds: float | None = None
    ) -> Offer:
        """Stores a subscription that was shown to a customer.

        Args:
            request: the offer.
            request_id: makes it safe to repeat the call later; a random one if empty, which makes only retries safe.
            actor: who causes it, such as `customer` or `support:anna`.
            timeout_seconds: timeout of the call.

        Raises:
            CustomerErased: when the customer was erased.
            RequestIdReused: when the request_id was sent before with another request.
            PantreeError: as in `process`.
        """
        message = request.message()
        message.request_id, message.actor = request_id or _random_id(), actor
        return to_offer((await self._opened.create_offer(message, self._seconds(timeout_seconds))).offer)

    async def offers(self, customer_id: str, *, timeout_seconds: float | None = None) -> AsyncGenerator[Offer]:
        """Yields the offers to a customer, ordered by offer_id. The timeout is per page.

        Raises:
            PantreeError: as in `process`.
        """
        request = subscription_messages.ListOffersRequest(customer_id=customer_id, page_size=_PAGE_SIZE)
        while True:
            page = await self._opened.list_offers(request, self._seconds(timeout_seconds))
            for offer in page.offers:
                yield to_offer(offer)
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    async def create_subscription(
        self,
        request: SubscriptionRequest,
        *,
        request_id: str = "",
        actor: str = "",
        timeout_seconds: float | None = None,
    ) -> CustomerSubscription:
        """Begins a subscription. Arguments as in `create_offer`.

        Raises:
            AlreadyExists: when there is a subscription with this subscription_id.
            NotFound: when there is no such offer to the customer.
            InvalidState: when the offer is accepted already.
            CustomerErased: when the customer was erased.
            RequestIdReused: when the request_id was sent before with another request.
            PantreeError: as in `process`.
        """
        message = request.message()
        message.request_id, message.actor = request_id or _random_id(), actor
        answer = await self._opened.create_subscription(message, self._seconds(timeout_seconds))
        return to_subscription(answer.subscription)

    async def subscription(
        self, customer_id: str, subscription_id: str, *, timeout_seconds: float | None = None
    ) -> CustomerSubscription:
        """Returns a subscription as it is today.

        Raises:
            NotFound: when the customer has no such subscription.
            PantreeError: as in `process`.
        """
        request = subscription_messages.GetSubscriptionRequest(customer_id=customer_id, subscription_id=subscription_id)
        answer = await self._opened.get_subscription(request, self._seconds(timeout_seconds))
        return to_subscription(answer.subscription)

    async def subscriptions(
        self, customer_id: str, *, timeout_seconds: float | None = None
    ) -> AsyncGenerator[CustomerSubscription]:
        """Yields the subscriptions of a customer, ended ones included. The timeout is per page.

        Raises:
            PantreeError: as in `process`.
        """
        request = subscription_messages.ListSubscriptionsRequest(
            customer_id=customer_id, page_size=_SUBSCRIPTIONS_PAGE_SIZE
        )
        while True:
            page = await self._opened.list_subscriptions(request, self._seconds(timeout_seconds))
            for one in page.subscriptions:
                yield to_subscription(one)
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    async def review_subscriptions(
        self, customer_id: str, *, as_of: date | None = None, timeout_seconds: float | None = None
    ) -> SubscriptionReviews:
        """Returns what to keep and what to change about the stored subscriptions of a customer. Nothing is changed.

        Args:
            customer_id: the customer.
            as_of: as-of date; today if None.
            timeout_seconds: as in `process`.

        Raises:
            PantreeError: as in `process`.
        """
        request = messages.ReviewSubscriptionsRequest(customer_id=customer_id, as_of=_day(as_of))
        return to_reviews(await self._opened.review_subscriptions(request, self._seconds(timeout_seconds)))

    async def change_subscription(
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
        """Uses one of the levers, such as `Skip()` or `Pause(until=date(2026, 8, 1))`.

        Args:
            customer_id: the customer.
            subscription_id: the subscription.
            lever: what changes.
            etag: that of the subscription as the caller knows it; empty to change it in any case.
            request_id: as in `create_offer`.
            actor: as in `create_offer`.
            timeout_seconds: timeout of the call.

        Raises:
            NotFound: when the customer has no such subscription.
            InvalidState: when it cannot be done, such as for a delivery after its cut-off.
            EtagMismatch: when the subscription changed since the etag.
            RequestIdReused: when the request_id was sent before with another request.
            PantreeError: as in `process`.
        """
        request = to_change_request(
            customer_id, subscription_id, lever, etag=etag, request_id=request_id or _random_id(), actor=actor
        )
        return to_change(await self._opened.change_subscription(request, self._seconds(timeout_seconds)))

    async def pause_subscriptions(
        self,
        customer_id: str,
        until: date | None = None,
        *,
        request_id: str = "",
        actor: str = "",
        timeout_seconds: float | None = None,
    ) -> tuple[SubscriptionChange, ...]:
        """Pauses all subscriptions of a customer, also those that begin later; returns those that it changed.

        What is paused alone for as long, or has ended, stays as it is.

        Args:
            customer_id: the customer.
            until: day on which deliveries go on; None for a pause until `resume_subscriptions`.
            request_id: as in `create_offer`.
            actor: as in `create_offer`.
            timeout_seconds: timeout of the call.

        Raises:
            CustomerErased: when the customer was erased and has not consented again.
            RequestIdReused: when the request_id was sent before with another request.
            PantreeError: as in `process`.
        """
        request = to_pause_request(customer_id, until, request_id=request_id or _random_id(), actor=actor)
        return to_changes(await self._opened.pause_subscriptions(request, self._seconds(timeout_seconds)))

    async def resume_subscriptions(
        self, customer_id: str, *, request_id: str = "", actor: str = "", timeout_seconds: float | None = None
    ) -> tuple[SubscriptionChange, ...]:
        """Ends what `pause_subscriptions` began, and nothing that was paused alone; returns those that it changed.

        Arguments and errors as in `pause_subscriptions`.
        """
        request = subscription_messages.ResumeSubscriptionsRequest(
            customer_id=customer_id, request_id=request_id or _random_id(), actor=actor
        )
        return to_changes(await self._opened.resume_subscriptions(request, self._seconds(timeout_seconds)))

    async def test_clock(self, *, timeout_seconds: float | None = None) -> datetime:
        """Returns the time of a test tenant, which stands still until it is advanced.

        Raises:
            InvalidState: when the tenant has no test clock.
            PantreeError: as in `process`.
        """
        request = subscription_messages.GetTestClockRequest()
        answer = await self._opened.get_test_clock(request, self._seconds(timeout_seconds))
        return datetime.fromisoformat(answer.now)

    async def advance_test_clock(self, now: datetime | date, *, timeout_seconds: float | None = None) -> ClockAdvance:
        """Sets the clock of a test tenant to a later time. What would have happened until then happens.

        Args:
            now: the new time, with a time zone; of a day, its beginning in UTC.
            timeout_seconds: timeout of the call.

        Raises:
            InvalidState: when the tenant has no test clock.
            InvalidInput: when the time is before that of the clock.
            PantreeError: as in `process`.
        """
        request = subscription_messages.AdvanceTestClockRequest(now=now.isoformat())
        return to_clock_advance(await self._opened.advance_test_clock(request, self._seconds(timeout_seconds)))

    async def record_delivery(
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
        """Stores what the shop reports about a delivery. Arguments and errors as in `change_subscription`.

        Raises:
            InvalidState: when it contradicts what is stored.
            PantreeError: as in `change_subscription`.
        """
        request = to_record_request(
            customer_id, subscription_id, report, etag=etag, request_id=request_id or _random_id(), actor=actor
        )
        return to_change(await self._opened.record_delivery(request, self._seconds(timeout_seconds)))

    async def deliveries(
        self,
        customer_id: str,
        subscription_id: str,
        *,
        until: date | None = None,
        timeout_seconds: float | None = None,
    ) -> AsyncGenerator[SubscriptionDelivery]:
        """Yields the deliveries of a subscription, past and coming ones, ordered by sequence.

        Args:
            customer_id: the customer.
            subscription_id: the subscription.
            until: last day, at most 366 days from now; 84 days from now if None.
            timeout_seconds: timeout per page.

        Raises:
            NotFound: when the customer has no such subscription.
            PantreeError: as in `process`.
        """
        request = subscription_messages.ListDeliveriesRequest(
            customer_id=customer_id, subscription_id=subscription_id, until=_day(until), page_size=_PAGE_SIZE
        )
        while True:
            page = await self._opened.list_deliveries(request, self._seconds(timeout_seconds))
            for delivery in page.deliveries:
                yield to_delivery(delivery)
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    async def subscription_events(
        self, customer_id: str, subscription_id: str, *, timeout_seconds: float | None = None
    ) -> AsyncGenerator[SubscriptionEvent]:
        """Yields the events of a subscription, ordered by number. The timeout is per page.

        Raises:
            NotFound: when the customer has no such subscription.
            PantreeError: as in `process`.
        """
        request = subscription_messages.ListEventsRequest(
            customer_id=customer_id, subscription_id=subscription_id, page_size=_PAGE_SIZE
        )
        while True:
            page = await self._opened.list_events(request, self._seconds(timeout_seconds))
            for event in page.events:
                yield to_subscription_event(event)
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    async def create_webhook(
        self, url: str, *, webhook_id: str = "", description: str = "", timeout_seconds: float | None = None
    ) -> NewSecret:
        """Begins to send the events of subscriptions to a URL, and returns the secret that verifies them.

        Args:
            url: where events are sent: `https` and a public host.
            webhook_id: its id; chosen by the service if empty.
            description: what the shop calls it.
            timeout_seconds: timeout of the call.

        Raises:
            AlreadyExists: when there is a webhook with this webhook_id; also when a retried call had succeeded.
            QuotaExceeded: when the tenant has 20.
            PantreeError: as in `process`.
        """
        request = webhook_messages.CreateWebhookRequest(url=url, webhook_id=webhook_id, description=description)
        return to_new_secret(await self._opened.create_webhook(request, self._seconds(timeout_seconds)))

    async def webhooks(self, *, timeout_seconds: float | None = None) -> AsyncGenerator[Webhook]:
        """Yields the webhooks of the tenant, ordered by id. The timeout is per page.

        Raises:
            PantreeError: as in `process`.
        """
        request = webhook_messages.ListWebhooksRequest(page_size=_PAGE_SIZE)
        while True:
            page = await self._opened.list_webhooks(request, self._seconds(timeout_seconds))
            for one in page.webhooks:
                yield to_webhook(one)
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    async def delete_webhook(self, webhook_id: str, *, timeout_seconds: float | None = None) -> None:
        """Ends a webhook, and forgets what it has not sent.

        Raises:
            NotFound: when there is no such webhook.
            PantreeError: as in `process`.
        """
        request = webhook_messages.DeleteWebhookRequest(webhook_id=webhook_id)
        await self._opened.delete_webhook(request, self._seconds(timeout_seconds))

    async def test_webhook(self, webhook_id: str, *, timeout_seconds: float | None = None) -> WebhookTest:
        """Sends a ping at once, and returns what the receiver answered.

        Raises:
            NotFound: when there is no such webhook.
            PantreeError: as in `process`.
        """
        request = webhook_messages.TestWebhookRequest(webhook_id=webhook_id)
        return to_webhook_test(await self._opened.test_webhook(request, self._seconds(timeout_seconds)))

    async def rotate_webhook_secret(
        self, webhook_id: str, *, overlap_seconds: int = 86_400, timeout_seconds: float | None = None
    ) -> NewSecret:
        """Adds a secret, and returns it.

        Args:
            webhook_id: the webhook.
            overlap_seconds: how long earlier secrets still sign, at most a week; with 0 they end at once.
            timeout_seconds: timeout of the call.

        Raises:
            NotFound: when there is no such webhook.
            PantreeError: as in `process`.
        """
        request = webhook_messages.RotateWebhookSecretRequest(webhook_id=webhook_id, overlap_seconds=overlap_seconds)
        return to_new_secret(await self._opened.rotate_webhook_secret(request, self._seconds(timeout_seconds)))

    async def replay_webhook(
        self,
        webhook_id: str,
        *,
        since: datetime | None = None,
        subscription_id: str = "",
        timeout_seconds: float | None = None,
    ) -> int:
        """Sends events again, and returns how many subscriptions and erasures then wait.

        Args:
            webhook_id: the webhook.
            since: instant from which on all events are sent again; None for what waits behind dead letters.
            subscription_id: only this one; empty for all.
            timeout_seconds: timeout of the call.

        Raises:
            NotFound: when there is no such webhook.
            ValueError: when the instant has no time zone.
            PantreeError: as in `process`.
        """
        request = to_replay_request(webhook_id, since, subscription_id)
        return (await self._opened.replay_webhook(request, self._seconds(timeout_seconds))).replayed_count

    async def dead_letters(
        self, webhook_id: str, *, timeout_seconds: float | None = None
    ) -> AsyncGenerator[DeadLetter]:
        """Yields the events that the receiver refused too often. The timeout is per page.

        Raises:
            NotFound: when there is no such webhook.
            PantreeError: as in `process`.
        """
        request = webhook_messages.ListDeadLettersRequest(webhook_id=webhook_id, page_size=_PAGE_SIZE)
        while True:
            page = await self._opened.list_dead_letters(request, self._seconds(timeout_seconds))
            for one in page.dead_letters:
                yield to_dead_letter(one)
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    async def plan(self, request: PlanRequest, *, timeout_seconds: float | None = None) -> DeliveryPlan:
        """Plans the deliveries of a household again, with constraints, from the analysis of a result.

        Raises:
            PantreeError: as in `process`.
        """
        return to_delivery_plan(await self._opened.plan(request.message(), self._seconds(timeout_seconds)))

    async def what_if(self, request: WhatIfRequest, *, timeout_seconds: float | None = None) -> WhatIf:
        """Returns what a plan of some weeks ago would have done, replayed on the purchases that really followed.

        Raises:
            PantreeError: as in `process`.
        """
        return to_what_if(await self._opened.get_what_if(request.message(), self._seconds(timeout_seconds)))

    async def stream_what_if(
        self, request: WhatIfRequest, *, timeout_seconds: float | None = None
    ) -> AsyncGenerator[WhatIfEvent]:
        """Yields the `WhatIfStarted`, one `WhatIfWeek` per week, and the `WhatIfSummary` of `what_if`.

        Raises:
            PantreeError: as in `process`, at any point of the stream.
        """
        async with aclosing(self._opened.what_if(request.message(), self._seconds(timeout_seconds))) as responses:
            async for response in responses:
                yield to_what_if_event(response)

    async def archetypes(
        self, *, page_size: int = 0, timeout_seconds: float | None = None
    ) -> AsyncGenerator[Archetype]:
        """Yields the kinds of shopper that can be simulated, in a stable order. `config` returns the default one.

        Args:
            page_size: number of archetypes to fetch per call; 0 lets the service decide.
            timeout_seconds: timeout per page.

        Raises:
            ComponentUnavailable: when the simulation is unavailable.
        """
        request = ListArchetypesRequest(page_size=page_size)
        while True:
            page = await self._opened.list_archetypes(request, self._seconds(timeout_seconds))
            for archetype in page.archetypes:
                yield to_archetype(archetype)
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    async def catalog_items(
        self, prefix: str = "", *, page_size: int = 0, timeout_seconds: float | None = None
    ) -> AsyncGenerator[CatalogItem]:
        """Yields ordinary grocery items with a word that begins with a prefix, regardless of case; all without one.

        Args:
            prefix: at most 200 characters.
            page_size: number of items to fetch per call; 0 lets the service decide.
            timeout_seconds: timeout per page.

        Raises:
            ComponentUnavailable: when the simulation is unavailable.
        """
        request = ListCatalogItemsRequest(prefix=prefix, page_size=page_size)
        while True:
            page = await self._opened.list_catalog_items(request, self._seconds(timeout_seconds))
            for item in page.items:
                yield to_catalog_item(item)
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    async def models(self, *, timeout_seconds: float | None = None) -> tuple[RankingModel, ...]:
        """Returns the models that rank items.

        Raises:
            ComponentUnavailable: when the pipeline or the recommendation service is unavailable.
        """
        return to_models(await self._opened.get_models(self._seconds(timeout_seconds)))

    async def status(self, *, timeout_seconds: float | None = None) -> Status:
        """Returns the state of the mesh and of its parts.

        Raises:
            ComponentUnavailable: when the pipeline itself is unavailable.
        """
        return to_status(await self._opened.get_status(self._seconds(timeout_seconds)))

    async def config(self, *, timeout_seconds: float | None = None) -> Config:
        """Returns the configuration of the pipeline: defaults, limits, parts, cadences.

        Raises:
            ComponentUnavailable: when the pipeline or the simulation is unavailable.
        """
        return to_config(await self._opened.get_config(self._seconds(timeout_seconds)))

    def _seconds(self, timeout_seconds: float | None) -> float:
        return self._timeout_seconds if timeout_seconds is None else timeout_seconds

    @property
    def _opened(self) -> Transport:
        if not self._is_open:
            raise RuntimeError("use the client as a context manager: async with PantreeClient(...) as client")
        return self._transport


def _day(day: date | None) -> str:
    return "" if day is None else day.isoformat()


def _random_id() -> str:
    """Id with which a call is applied once, even if it is retried."""
    return uuid.uuid4().hex


def _ssl_context_of(certificates: Path) -> ssl.SSLContext:
    """Context that trusts the authority in a directory and sends its certificate."""
    context = ssl.create_default_context(cafile=certificates / AUTHORITY)
    context.load_cert_chain(certificates / CERTIFICATE, certificates / KEY)
    return context


def _transport_to(
    addresses: tuple[str, str, str],
    ssl_context: ssl.SSLContext | None,
    identity: Identity | None,
    api_key: Secret | None,
    token: Secret | None,
) -> Transport:
    address = addresses[0]
    if ssl_context is not None and not address.startswith("https://"):
        raise ValueError(f"ssl_context requires a gateway at https://…; the address is {address}")
    if not address.startswith(("http://", "https://")):
        return MeshTransport(*addresses, identity)
    try:
        from pantree_client.transports.gateway import GatewayTransport
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"the gateway transport needs more packages: pip install 'pantree-client[http]' ({error})", name=error.name
        ) from error
    return GatewayTransport(address, ssl_context, api_key, token)
