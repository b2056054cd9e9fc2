"""The subscriptions of the fake in `pantree_client.testing`."""

import calendar
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any, TypeVar, cast

from google.protobuf.message import Message

from pantree.subscription.v1 import subscription_service_pb2 as messages
from pantree_runtime.errors import (
    EtagMismatch,
    FieldViolation,
    InvalidInput,
    InvalidState,
    NotFound,
    RequestIdReused,
)

TODAY = date(2026, 6, 1)
"""Day until the clock is advanced; constant, so that tests are repeatable."""
NOW = f"{TODAY.isoformat()}T00:00:00.000000Z"
_DELIVERIES = 6
_UNIT_DAYS = {messages.INTERVAL_UNIT_DAY: 1, messages.INTERVAL_UNIT_WEEK: 7}
_MEAN_MONTH_DAYS = 30.437

AnswerT = TypeVar("AnswerT", bound=Message)
_Key = tuple[str, str]


class FakeSubscriptions:
    """Keeps offers and subscriptions, each with six deliveries.

    It knows no cut-offs, no time zones and no states that forbid a lever. It has request_id and etag, as the service
    has. A pause of all subscriptions leaves those alone that are paused already. Its clock is that of a test tenant.
    """

    def __init__(self) -> None:
        self.offers: dict[_Key, messages.Offer] = {}
        """By customer_id and offer_id."""
        self.subscriptions: dict[_Key, messages.CustomerSubscription] = {}
        """By customer_id and subscription_id."""
        self.events: dict[_Key, list[messages.SubscriptionEvent]] = {}
        """By customer_id and subscription_id."""
        self.pauses: dict[str, str] = {}
        """Ends of pauses of all subscriptions, empty for none, by customer_id."""
        self.now = datetime.combine(TODAY, datetime.min.time(), UTC)
        """Time of the clock."""
        self._answers: dict[_Key, tuple[bytes, Any]] = {}

    def erase(self, customer_id: str) -> None:
        """Forgets a customer."""
        for kept in (self.offers, self.subscriptions, self.events, self._answers):
            for key in [key for key in kept if key[0] == customer_id]:
                del kept[key]
        self.pauses.pop(customer_id, None)

    def move(self, source_id: str, customer_id: str) -> int:
        """Moves what a customer has to another one; the number of subscriptions."""
        count = sum(key[0] == source_id for key in self.subscriptions)
        self.pauses.pop(source_id, None)
        stored: list[dict[_Key, Any]] = [self.offers, self.subscriptions, self.events, self._answers]
        for kept in stored:
            for key in [key for key in kept if key[0] == source_id]:
                kept.setdefault((customer_id, key[1]), kept.pop(key))
        return count

    def create_offer(self, request: messages.CreateOfferRequest) -> messages.CreateOfferResponse:
        """See `Transport`."""
        return self._once(request, lambda: self._create_offer(request))

    def list_offers(self, request: messages.ListOffersRequest) -> messages.ListOffersResponse:
        """See `Transport`."""
        found = [one for (customer, _), one in sorted(self.offers.items()) if customer == request.customer_id]
        return messages.ListOffersResponse(offers=found)

    def create_subscription(self, request: messages.CreateSubscriptionRequest) -> messages.CreateSubscriptionResponse:
        """See `Transport`."""
        return self._once(request, lambda: self._create_subscription(request))

    def get_subscription(self, request: messages.GetSubscriptionRequest) -> messages.GetSubscriptionResponse:
        """See `Transport`."""
        return messages.GetSubscriptionResponse(subscription=self._subscription(request))

    def list_subscriptions(self, request: messages.ListSubscriptionsRequest) -> messages.ListSubscriptionsResponse:
        """See `Transport`."""
        found = [one for (customer, _), one in sorted(self.subscriptions.items()) if customer == request.customer_id]
        return messages.ListSubscriptionsResponse(subscriptions=found)

    def change_subscription(self, request: messages.ChangeSubscriptionRequest) -> messages.ChangeSubscriptionResponse:
        """See `Transport`."""

        def change() -> messages.ChangeSubscriptionResponse:
            one = self._subscription(request)
            _check_etag(one, request.etag)
            event = self._add_event(one, request.actor, *_change(one, request, self.now.date()))
            return messages.ChangeSubscriptionResponse(subscription=one, events=[event])

        return self._once(request, change)

    def pause_subscriptions(self, request: messages.PauseSubscriptionsRequest) -> messages.PauseSubscriptionsResponse:
        """See `Transport`."""

        def pause() -> messages.PauseSubscriptionsResponse:
            self.pauses[request.customer_id] = request.until
            return messages.PauseSubscriptionsResponse(
                changed=[
                    self._pause(one, request.actor)
                    for one in self._all(request.customer_id)
                    if one.status == messages.SUBSCRIPTION_STATUS_ACTIVE
                    or (one.household_pause and one.pause_until != request.until)
                ]
            )

        return self._once(request, pause)

    def resume_subscriptions(
        self, request: messages.ResumeSubscriptionsRequest
    ) -> messages.ResumeSubscriptionsResponse:
        """See `Transport`."""

        def resume() -> messages.ResumeSubscriptionsResponse:
            self.pauses.pop(request.customer_id, None)
            paused = [one for one in self._all(request.customer_id) if one.household_pause]
            return messages.ResumeSubscriptionsResponse(changed=[self._resume(one, request.actor) for one in paused])

        return self._once(request, resume)

    def get_test_clock(self, _request: messages.GetTestClockRequest) -> messages.GetTestClockResponse:
        """See `Transport`."""
        return messages.GetTestClockResponse(now=self._time())

    def advance_test_clock(self, request: messages.AdvanceTestClockRequest) -> messages.AdvanceTestClockResponse:
        """See `Transport`."""
        now = datetime.fromisoformat(request.now)
        now = now if now.tzinfo else now.replace(tzinfo=UTC)
        if now < self.now:
            raise InvalidInput([FieldViolation("now", "must not be before the time of the clock")])
        count = 0
        while due := min(self._due(now.date()), default=None):
            day, key = due
            self.now = max(self.now, datetime.combine(date.fromisoformat(day), datetime.min.time(), UTC))
            self._end(self.subscriptions[key], day)
            count += 1
        self.now = now
        return messages.AdvanceTestClockResponse(now=self._time(), event_count=count)

    def _due(self, today: date) -> list[tuple[str, _Key]]:
        """Days until today that end something, with the keys of their subscriptions."""
        running = (messages.SUBSCRIPTION_STATUS_ACTIVE, messages.SUBSCRIPTION_STATUS_PAUSED)
        return [
            (day, key)
            for key, one in self.subscriptions.items()
            if one.status in running
            for day in (one.pause_until, one.cancel_on, one.expires_on)
            if day and day <= today.isoformat()
        ]

    def _end(self, one: messages.CustomerSubscription, day: str) -> None:
        """Ends a pause or a subscription on its day."""
        if one.pause_until == day:
            self._resume(one, "schedule")
            return
        is_cancelled = one.cancel_on == day
        one.status = messages.SUBSCRIPTION_STATUS_CANCELLED if is_cancelled else messages.SUBSCRIPTION_STATUS_EXPIRED
        one.pause_until, one.household_pause = "", False
        data = messages.EventData(date=day, cancellation=one.cancellation if is_cancelled else None)
        self._add_event(one, "schedule", "subscription.cancelled" if is_cancelled else "subscription.expired", data)

    def _all(self, customer_id: str) -> list[messages.CustomerSubscription]:
        return [one for (customer, _), one in sorted(self.subscriptions.items()) if customer == customer_id]

    def _pause(self, one: messages.CustomerSubscription, actor: str) -> messages.ChangedSubscription:
        """Pauses a subscription with all others."""
        one.status, one.household_pause = messages.SUBSCRIPTION_STATUS_PAUSED, True
        one.pause_until = self.pauses[one.customer_id]
        data = messages.EventData(date=self.now.date().isoformat(), until=one.pause_until, household_pause=True)
        return messages.ChangedSubscription(
            subscription=one, events=[self._add_event(one, actor, "subscription.paused", data)]
        )

    def _resume(self, one: messages.CustomerSubscription, actor: str) -> messages.ChangedSubscription:
        one.status, one.pause_until, one.household_pause = messages.SUBSCRIPTION_STATUS_ACTIVE, "", False
        data = messages.EventData(date=self.now.date().isoformat())
        return messages.ChangedSubscription(
            subscription=one, events=[self._add_event(one, actor, "subscription.resumed", data)]
        )

    def _time(self) -> str:
        return self.now.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")

    def record_delivery(self, request: messages.RecordDeliveryRequest) -> messages.RecordDeliveryResponse:
        """See `Transport`."""

        def record() -> messages.RecordDeliveryResponse:
            one = self._subscription(request)
            _check_etag(one, request.etag)
            event = self._add_event(one, request.actor, *_record(one, request))
            return messages.RecordDeliveryResponse(subscription=one, events=[event])

        return self._once(request, record)

    def list_deliveries(self, request: messages.ListDeliveriesRequest) -> messages.ListDeliveriesResponse:
        """See `Transport`."""
        found = self._subscription(request).next_deliveries
        return messages.ListDeliveriesResponse(
            deliveries=[one for one in found if not request.until or one.date <= request.until]
        )

    def list_events(self, request: messages.ListEventsRequest) -> messages.ListEventsResponse:
        """See `Transport`."""
        self._subscription(request)
        return messages.ListEventsResponse(events=self.events[request.customer_id, request.subscription_id])

    def _once(self, request: Any, work: Callable[[], AnswerT]) -> AnswerT:
        """The answer to a request; that of the first one if its request_id is repeated."""
        content = type(request)()
        content.CopyFrom(request)
        content.ClearField("request_id")
        key, digest = (request.customer_id, request.request_id), content.SerializeToString(deterministic=True)
        if request.request_id and key in self._answers:
            kept, stored = self._answers[key]
            if kept != digest:
                raise RequestIdReused("this request_id was sent before with another request; send a new one")
            return cast("AnswerT", stored)
        # A copy, as later changes are made in place.
        answer = _copy(work())
        self._answers[key] = digest, answer
        return answer

    def _create_offer(self, request: messages.CreateOfferRequest) -> messages.CreateOfferResponse:
        offer = messages.Offer(
            offer_id=f"fake-offer-{len(self.offers) + 1}",
            customer_id=request.customer_id,
            item=request.item,
            quantity=request.quantity,
            interval=request.interval,
            channel=request.channel,
            recommendation_id=request.recommendation_id,
            shown_at=self._time(),
        )
        self.offers[request.customer_id, offer.offer_id] = offer
        return messages.CreateOfferResponse(offer=offer)

    def _create_subscription(self, request: messages.CreateSubscriptionRequest) -> messages.CreateSubscriptionResponse:
        offer = messages.Offer(quantity=1)
        if request.offer_id:
            offer = self.offers.get((request.customer_id, request.offer_id), offer)
            if not offer.offer_id:
                raise NotFound("there is no such offer to this customer")
            if offer.subscription_id:
                raise InvalidState(f"the offer is accepted already, by subscription {offer.subscription_id}")
        one = messages.CustomerSubscription(
            subscription_id=request.subscription_id or f"fake-subscription-{len(self.subscriptions) + 1}",
            customer_id=request.customer_id,
            status=messages.SUBSCRIPTION_STATUS_ACTIVE,
            item=request.item if request.HasField("item") else offer.item,
            quantity=request.quantity if request.HasField("quantity") else offer.quantity,
            interval=request.interval if request.HasField("interval") else offer.interval,
            anchor_date=request.anchor_date,
            cut_off_days=request.cut_off_days,
            time_zone=request.time_zone or "UTC",
            expires_on=request.expires_on,
            offer_id=offer.offer_id,
            recommendation_id=request.recommendation_id or offer.recommendation_id,
            consent=request.consent,
            created_at=self._time(),
        )
        one.next_deliveries.extend(messages.SubscriptionDelivery(sequence=number + 1) for number in range(_DELIVERIES))
        _schedule(one, 0, date.fromisoformat(one.anchor_date))
        key = one.customer_id, one.subscription_id
        self.subscriptions[key], self.events[key] = one, []
        offer.subscription_id = one.subscription_id
        data = messages.EventData(date=one.anchor_date, quantity=one.quantity, item=one.item, interval=one.interval)
        self._add_event(one, request.actor, "subscription.created", data)
        until = self.pauses.get(one.customer_id)
        if until is not None and (not until or until > self.now.date().isoformat()):
            self._pause(one, request.actor)
        return messages.CreateSubscriptionResponse(subscription=one)

    def _subscription(self, request: Any) -> messages.CustomerSubscription:
        one = self.subscriptions.get((request.customer_id, request.subscription_id))
        if one is None:
            raise NotFound("there is no such subscription of this customer")
        return one

    def _add_event(
        self, one: messages.CustomerSubscription, actor: str, kind: str, data: messages.EventData
    ) -> messages.SubscriptionEvent:
        events = self.events[one.customer_id, one.subscription_id]
        event = messages.SubscriptionEvent(
            number=len(events) + 1, type=f"com.pantree.{kind}", occurred_at=self._time(), actor=actor, data=data
        )
        events.append(event)
        one.version, one.etag, one.changed_at = event.number, f"fake-{event.number}", self._time()
        return event


def _change(
    one: messages.CustomerSubscription, request: messages.ChangeSubscriptionRequest, today: date
) -> tuple[str, messages.EventData]:
    """Type and data of the event of a lever, after the change."""
    name = request.WhichOneof("lever")
    if name is None:
        raise InvalidState("a lever is required")
    lever: Any = getattr(request, name)
    match name:
        case "skip":
            delivery = _delivery(one, lever.sequence)
            delivery.status, delivery.reason = messages.DELIVERY_STATUS_SKIPPED, lever.reason
            return "delivery.skipped", messages.EventData(sequence=delivery.sequence, reason=lever.reason)
        case "restore":
            delivery = _delivery(one, lever.sequence)
            delivery.status, delivery.reason = messages.DELIVERY_STATUS_PLANNED, ""
            delivery.date = delivery.scheduled_date
            return "delivery.restored", messages.EventData(sequence=delivery.sequence)
        case "move":
            delivery = _delivery(one, lever.sequence)
            delivery.date = lever.date
            return "delivery.moved", messages.EventData(sequence=delivery.sequence, date=lever.date)
        case "send_now":
            delivery = _delivery(one, 0)
            delivery.status, delivery.date = messages.DELIVERY_STATUS_LOCKED, today.isoformat()
            return "delivery.locked", messages.EventData(sequence=delivery.sequence, date=delivery.date)
        case "pause":
            one.status, one.pause_until = messages.SUBSCRIPTION_STATUS_PAUSED, lever.until
            one.household_pause = False
            return "subscription.paused", messages.EventData(until=lever.until)
        case "resume":
            one.status, one.pause_until = messages.SUBSCRIPTION_STATUS_ACTIVE, ""
            one.household_pause = False
            return "subscription.resumed", messages.EventData()
        case "reactivate":
            one.status, one.cancel_on = messages.SUBSCRIPTION_STATUS_ACTIVE, ""
            one.ClearField("cancellation")
            if lever.next_date:
                _schedule(one, _delivery(one, 0).sequence - 1, date.fromisoformat(lever.next_date))
            return "subscription.reactivated", messages.EventData(date=lever.next_date)
        case "change_interval":
            one.interval.CopyFrom(lever.interval)
            delivery = _delivery(one, 0)
            one.anchor_date = lever.next_date or delivery.date
            _schedule(one, delivery.sequence - 1, date.fromisoformat(one.anchor_date))
            data = messages.EventData(sequence=delivery.sequence, date=one.anchor_date, interval=one.interval)
            return "subscription.interval_changed", data
        case "change_quantity":
            one.quantity = lever.quantity
            for delivery in _planned(one):
                delivery.quantity = lever.quantity
            return "subscription.quantity_changed", messages.EventData(quantity=lever.quantity)
        case "change_item":
            one.item.CopyFrom(lever.item)
            for delivery in _planned(one):
                delivery.item.CopyFrom(lever.item)
            return "subscription.item_changed", messages.EventData(item=lever.item)
        case "cancel":
            one.cancellation.CopyFrom(lever.cancellation)
            one.cancel_on = lever.cancel_on or today.isoformat()
            data = messages.EventData(date=one.cancel_on, cancellation=lever.cancellation)
            if lever.cancel_on:
                return "subscription.cancellation_scheduled", data
            one.status = messages.SUBSCRIPTION_STATUS_CANCELLED
            one.pause_until, one.household_pause = "", False
            return "subscription.cancelled", data


def _record(
    one: messages.CustomerSubscription, request: messages.RecordDeliveryRequest
) -> tuple[str, messages.EventData]:
    """Type and data of the event of a report, after the change."""
    delivery = _delivery(one, request.sequence)
    data = messages.EventData(sequence=delivery.sequence, quantity=request.quantity, reason=request.reason)
    match request.report:
        case messages.DELIVERY_REPORT_DELIVERED:
            delivery.status = messages.DELIVERY_STATUS_DELIVERED
            delivery.delivered_quantity = request.quantity if request.HasField("quantity") else delivery.quantity
            data.quantity = delivery.delivered_quantity
        case messages.DELIVERY_REPORT_FAILED:
            delivery.status, delivery.reason = messages.DELIVERY_STATUS_FAILED, request.reason
        case messages.DELIVERY_REPORT_OUT_OF_STOCK:
            delivery.out_of_stock = True
        case messages.DELIVERY_REPORT_SUBSTITUTED:
            delivery.item.CopyFrom(request.item)
            data.item.CopyFrom(request.item)
        case messages.DELIVERY_REPORT_RETURNED:
            delivery.returned_quantity += request.quantity
        case messages.DELIVERY_REPORT_SENT:
            delivery.status = messages.DELIVERY_STATUS_SENT
        case _:
            delivery.status = messages.DELIVERY_STATUS_LOCKED
    name = messages.DeliveryReport.Name(request.report).removeprefix("DELIVERY_REPORT_").lower()
    return f"delivery.{name}", data


def _planned(one: messages.CustomerSubscription) -> list[messages.SubscriptionDelivery]:
    return [delivery for delivery in one.next_deliveries if delivery.status == messages.DELIVERY_STATUS_PLANNED]


def _delivery(one: messages.CustomerSubscription, sequence: int) -> messages.SubscriptionDelivery:
    """A delivery; 0 is the next one that is planned."""
    if sequence == 0 and (planned := _planned(one)):
        return planned[0]
    if 1 <= sequence <= len(one.next_deliveries):
        return one.next_deliveries[sequence - 1]
    raise InvalidState("there is no such delivery")


def _schedule(one: messages.CustomerSubscription, first: int, anchor: date) -> None:
    """Sets the days of the deliveries from a position on, unless they were skipped or moved."""
    is_monthly = one.interval.unit == messages.INTERVAL_UNIT_MONTH
    unit_days = _UNIT_DAYS.get(one.interval.unit, _MEAN_MONTH_DAYS)
    one.interval_days = round(one.interval.count * unit_days)
    for number, delivery in enumerate(one.next_deliveries[first:]):
        units = number * one.interval.count
        day = _after_months(anchor, units) if is_monthly else anchor + timedelta(days=units * unit_days)
        is_moved = delivery.date != delivery.scheduled_date
        delivery.scheduled_date = day.isoformat()
        if not delivery.status:
            delivery.status, delivery.quantity = messages.DELIVERY_STATUS_PLANNED, one.quantity
            delivery.item.CopyFrom(one.item)
        if not is_moved:
            delivery.date = delivery.scheduled_date
        cut_off = date.fromisoformat(delivery.date) - timedelta(days=one.cut_off_days)
        delivery.cut_off_at = f"{cut_off.isoformat()}T00:00:00.000000Z"


def _after_months(anchor: date, months: int) -> date:
    year, month = divmod(anchor.year * 12 + anchor.month - 1 + months, 12)
    return date(year, month + 1, min(anchor.day, calendar.monthrange(year, month + 1)[1]))


def _check_etag(one: messages.CustomerSubscription, etag: str) -> None:
    if etag and etag != one.etag:
        raise EtagMismatch("the subscription changed since this etag; read it again")


def _copy(message: AnswerT) -> AnswerT:
    copy = type(message)()
    copy.CopyFrom(message)
    return copy
