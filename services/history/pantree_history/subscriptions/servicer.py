"""The RPCs of the subscription service."""

from pantree.subscription.v1 import subscription_service_pb2 as messages
from pantree.subscription.v1 import subscription_service_pb2_grpc as rpc
from pantree_history.core.advance import ClockAdvance
from pantree_history.core.store import Household
from pantree_history.core.subscriptions.keeper import Subscriptions
from pantree_history.subscriptions import convert
from pantree_history.texts import instant_of, number_after, text_after, time_text
from pantree_runtime.grpc_types import Context
from pantree_runtime.tenants import tenant_of

DEFAULT_PAGE_SIZE = 100


class SubscriptionServicer(rpc.SubscriptionServiceServicer):
    """Keeps offers and subscriptions."""

    def __init__(self, subscriptions: Subscriptions, advance: ClockAdvance) -> None:
        self._subscriptions = subscriptions
        self._advance = advance

    async def CreateOffer(self, request: messages.CreateOfferRequest, context: Context) -> messages.CreateOfferResponse:
        household = Household(tenant_of(context), request.customer_id)
        offer = await self._subscriptions.offer(household, convert.offer_of(request), convert.call_of(request))
        return messages.CreateOfferResponse(offer=convert.offer_message(offer))

    async def ListOffers(self, request: messages.ListOffersRequest, context: Context) -> messages.ListOffersResponse:
        household, size = Household(tenant_of(context), request.customer_id), request.page_size or DEFAULT_PAGE_SIZE
        found = await self._subscriptions.offers(household, text_after(request.page_token), size + 1)
        return convert.offers_page(found, size)

    async def CreateSubscription(
        self, request: messages.CreateSubscriptionRequest, context: Context
    ) -> messages.CreateSubscriptionResponse:
        household = Household(tenant_of(context), request.customer_id)
        agreement = convert.agreement_of(request)
        return convert.create_response(await self._subscriptions.create(household, agreement, convert.call_of(request)))

    async def GetSubscription(
        self, request: messages.GetSubscriptionRequest, context: Context
    ) -> messages.GetSubscriptionResponse:
        household = Household(tenant_of(context), request.customer_id)
        view = await self._subscriptions.get(household, request.subscription_id)
        return messages.GetSubscriptionResponse(subscription=convert.subscription_message(view))

    async def ListSubscriptions(
        self, request: messages.ListSubscriptionsRequest, context: Context
    ) -> messages.ListSubscriptionsResponse:
        household, size = Household(tenant_of(context), request.customer_id), request.page_size or DEFAULT_PAGE_SIZE
        found = await self._subscriptions.all(household, text_after(request.page_token), size + 1)
        return convert.subscriptions_page(found, size)

    async def ChangeSubscription(
        self, request: messages.ChangeSubscriptionRequest, context: Context
    ) -> messages.ChangeSubscriptionResponse:
        household, lever = Household(tenant_of(context), request.customer_id), convert.lever_of(request)
        call = convert.call_of(request)
        return convert.change_response(
            await self._subscriptions.change(household, request.subscription_id, lever, call)
        )

    async def PauseSubscriptions(
        self, request: messages.PauseSubscriptionsRequest, context: Context
    ) -> messages.PauseSubscriptionsResponse:
        household, until = Household(tenant_of(context), request.customer_id), convert.day_or_none(request.until)
        return convert.pause_response(await self._subscriptions.pause_all(household, until, convert.call_of(request)))

    async def ResumeSubscriptions(
        self, request: messages.ResumeSubscriptionsRequest, context: Context
    ) -> messages.ResumeSubscriptionsResponse:
        household = Household(tenant_of(context), request.customer_id)
        return convert.resume_response(await self._subscriptions.resume_all(household, convert.call_of(request)))

    async def RecordDelivery(
        self, request: messages.RecordDeliveryRequest, context: Context
    ) -> messages.RecordDeliveryResponse:
        household, report = Household(tenant_of(context), request.customer_id), convert.report_of(request)
        call = convert.call_of(request)
        return convert.record_response(
            await self._subscriptions.change(household, request.subscription_id, report, call)
        )

    async def RecordEngineEvent(
        self, request: messages.RecordEngineEventRequest, context: Context
    ) -> messages.RecordEngineEventResponse:
        event, digest, time_zone = convert.engine_event_of(request)
        results = await self._subscriptions.mirroring.record(tenant_of(context), event, digest, time_zone)
        return convert.engine_response(results)

    async def ListDeliveries(
        self, request: messages.ListDeliveriesRequest, context: Context
    ) -> messages.ListDeliveriesResponse:
        household, size = Household(tenant_of(context), request.customer_id), request.page_size or DEFAULT_PAGE_SIZE
        first, until = number_after(request.page_token) + 1, convert.day_or_none(request.until)
        view, found = await self._subscriptions.deliveries(
            household, request.subscription_id, first, until, convert.AHEAD_DAYS
        )
        return convert.deliveries_page(view, found, size)

    async def ListEvents(self, request: messages.ListEventsRequest, context: Context) -> messages.ListEventsResponse:
        household, size = Household(tenant_of(context), request.customer_id), request.page_size or DEFAULT_PAGE_SIZE
        after = number_after(request.page_token)
        return convert.events_page(
            await self._subscriptions.events(household, request.subscription_id, after, size + 1), size
        )

    async def GetTestClock(
        self, request: messages.GetTestClockRequest, context: Context
    ) -> messages.GetTestClockResponse:
        return messages.GetTestClockResponse(now=time_text(await self._advance.now(tenant_of(context))))

    async def AdvanceTestClock(
        self, request: messages.AdvanceTestClockRequest, context: Context
    ) -> messages.AdvanceTestClockResponse:
        return convert.advance_response(await self._advance.run(tenant_of(context), instant_of(request.now, "now")))
