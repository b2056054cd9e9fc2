"""Messages of the subscription service ↔ core types."""

import hashlib
import re
from collections.abc import Iterator, Sequence
from datetime import date
from typing import Any

from pantree.subscription.v1 import subscription_service_pb2 as messages
from pantree_domain.days import calendar_day, day_number
from pantree_history.core.advance import Advanced
from pantree_history.core.subscriptions import model
from pantree_history.core.subscriptions.calendar import DeliveryOf, deliveries
from pantree_history.core.subscriptions.engines.reports import EngineEvent
from pantree_history.core.subscriptions.engines.webhooks import read_webhook
from pantree_history.core.subscriptions.keeper import Agreement, Call, Changed, View, etag_of
from pantree_history.core.subscriptions.mirroring import EngineResult
from pantree_history.core.subscriptions.model import Command, Item, Offer, RecordedEvent, Subscription
from pantree_history.core.subscriptions.schedule import Interval, Unit, start_of_day
from pantree_history.core.subscriptions.store import StoredEvents
from pantree_history.pages import fitting
from pantree_history.texts import page_token, time_text

MAX_NEXT_DELIVERIES = 6
AHEAD_DAYS = 84
# About 100 KiB each.
_EVENTS_PER_PIECE = 500
_DELIVERY_EVENT = "Delivery"
_TYPE_PREFIX = "com.pantree"

_UNITS = {
    Unit.DAY: messages.INTERVAL_UNIT_DAY,
    Unit.WEEK: messages.INTERVAL_UNIT_WEEK,
    Unit.MONTH: messages.INTERVAL_UNIT_MONTH,
}
_UNIT_OF = {number: unit for unit, number in _UNITS.items()}
_ENGINES = {one: messages.SubscriptionEngine.Value(f"SUBSCRIPTION_ENGINE_{one.name}") for one in model.Engine}
_ENGINE_OF = {number: engine for engine, number in _ENGINES.items()}


def call_of(request: Any) -> Call:
    content = type(request)()
    content.CopyFrom(request)
    content.ClearField("request_id")
    digest = hashlib.sha256(content.DESCRIPTOR.name.encode() + b"\0" + content.SerializeToString(deterministic=True))
    etag = getattr(request, "etag", "")
    return Call(request.actor, etag, request.request_id, digest.hexdigest())


def offer_of(request: messages.CreateOfferRequest) -> Offer:
    return Offer(
        offer_id="",
        household_id=request.customer_id,
        item=_item(request.item),
        quantity=request.quantity,
        interval=_interval(request.interval),
        shown_at=0,
        channel=request.channel,
        recommendation_id=request.recommendation_id,
    )


def agreement_of(request: messages.CreateSubscriptionRequest) -> Agreement:
    return Agreement(
        subscription_id=request.subscription_id,
        item=_item(request.item) if request.HasField("item") else None,
        quantity=request.quantity if request.HasField("quantity") else None,
        interval=_interval(request.interval) if request.HasField("interval") else None,
        anchor_day=_day(request.anchor_date),
        cut_off_days=request.cut_off_days,
        time_zone=request.time_zone or "UTC",
        expires_on=day_or_none(request.expires_on),
        offer_id=request.offer_id,
        recommendation_id=request.recommendation_id,
        consent=request.consent,
    )


def lever_of(request: messages.ChangeSubscriptionRequest) -> Command:
    name = request.WhichOneof("lever")
    assert name is not None  # by the rules
    lever = getattr(request, name)
    match name:
        case "skip":
            return model.Skip(lever.sequence, lever.reason)
        case "restore":
            return model.Restore(lever.sequence)
        case "move":
            return model.Move(lever.sequence, _day(lever.date))
        case "send_now":
            return model.SendNow()
        case "pause":
            return model.Pause(day_or_none(lever.until))
        case "resume":
            return model.Resume()
        case "reactivate":
            return model.Reactivate(day_or_none(lever.next_date))
        case "change_interval":
            return model.ChangeInterval(_interval(lever.interval), day_or_none(lever.next_date))
        case "change_quantity":
            return model.ChangeQuantity(lever.quantity)
        case "change_item":
            return model.ChangeItem(_item(lever.item))
        case "cancel":
            why = lever.cancellation
            return model.Cancel(day_or_none(lever.cancel_on), model.Cancellation(why.reason, why.feedback, why.comment))


def report_of(request: messages.RecordDeliveryRequest) -> Command:
    sequence = request.sequence
    match request.report:
        case messages.DELIVERY_REPORT_LOCKED:
            return model.RecordLocked(sequence)
        case messages.DELIVERY_REPORT_SENT:
            return model.RecordSent(sequence)
        case messages.DELIVERY_REPORT_DELIVERED:
            return model.RecordDelivered(sequence, request.quantity if request.HasField("quantity") else None)
        case messages.DELIVERY_REPORT_FAILED:
            return model.RecordFailed(sequence, request.reason)
        case messages.DELIVERY_REPORT_OUT_OF_STOCK:
            return model.RecordOutOfStock(sequence)
        case messages.DELIVERY_REPORT_SUBSTITUTED:
            return model.RecordSubstituted(sequence, _item(request.item))
        case _:
            return model.RecordReturned(sequence, request.quantity)


def engine_event_of(request: messages.RecordEngineEventRequest) -> tuple[EngineEvent, str, str]:
    """The event, the hash of its payload, and the time zone."""
    event = read_webhook(_ENGINE_OF[request.engine], request.topic, request.event_id, request.payload)
    digest = hashlib.sha256(request.payload.encode()).hexdigest()
    return event, digest, request.time_zone or "UTC"


def day_or_none(text: str) -> int | None:
    return _day(text) if text else None


def offers_page(offers: Sequence[Offer], size: int) -> messages.ListOffersResponse:
    """A page of offers, from one more than its size, if there are that many."""
    page = fitting(list(map(offer_message, offers[:size])))
    more = len(offers) > len(page)
    return messages.ListOffersResponse(offers=page, next_page_token=page_token(page[-1].offer_id) if more else "")


def subscriptions_page(views: Sequence[View], size: int) -> messages.ListSubscriptionsResponse:
    """A page of subscriptions, from one more than its size, if there are that many."""
    page = fitting(list(map(subscription_message, views[:size])))
    more = len(views) > len(page)
    return messages.ListSubscriptionsResponse(
        subscriptions=page, next_page_token=page_token(page[-1].subscription_id) if more else ""
    )


def deliveries_page(view: View, found: Sequence[DeliveryOf], size: int) -> messages.ListDeliveriesResponse:
    page = fitting([_delivery_message(view.subscription, one) for one in found[:size]])
    more = len(found) > len(page)
    return messages.ListDeliveriesResponse(
        deliveries=page, next_page_token=page_token(page[-1].sequence) if more else ""
    )


def events_page(events: Sequence[RecordedEvent], size: int) -> messages.ListEventsResponse:
    """A page of events, from one more than its size, if there are that many."""
    page = fitting(list(map(event_message, events[:size])))
    more = len(events) > len(page)
    return messages.ListEventsResponse(events=page, next_page_token=page_token(page[-1].number) if more else "")


def create_response(changed: Changed) -> messages.CreateSubscriptionResponse:
    return messages.CreateSubscriptionResponse(subscription=subscription_message(changed.view))


def change_response(changed: Changed) -> messages.ChangeSubscriptionResponse:
    return messages.ChangeSubscriptionResponse(
        subscription=subscription_message(changed.view), events=list(map(event_message, changed.events))
    )


def record_response(changed: Changed) -> messages.RecordDeliveryResponse:
    return messages.RecordDeliveryResponse(
        subscription=subscription_message(changed.view), events=list(map(event_message, changed.events))
    )


def engine_response(results: Sequence[EngineResult]) -> messages.RecordEngineEventResponse:
    return messages.RecordEngineEventResponse(
        results=[
            messages.EngineEventResult(
                customer_id=one.household_id,
                subscription_id=one.subscription_id,
                outcome=messages.EngineEventOutcome.Value(f"ENGINE_EVENT_OUTCOME_{one.outcome.name}"),
                events=list(map(event_message, one.events)),
            )
            for one in results
        ]
    )


def pause_response(changed: Sequence[Changed]) -> messages.PauseSubscriptionsResponse:
    return messages.PauseSubscriptionsResponse(changed=list(map(_changed_message, changed)))


def pause_message(pause: model.HouseholdPause) -> messages.HouseholdPause:
    return messages.HouseholdPause(paused_at=time_text(pause.paused_at), until=_day_text(pause.until))


def resume_response(changed: Sequence[Changed]) -> messages.ResumeSubscriptionsResponse:
    return messages.ResumeSubscriptionsResponse(changed=list(map(_changed_message, changed)))


def advance_response(advanced: Advanced) -> messages.AdvanceTestClockResponse:
    return messages.AdvanceTestClockResponse(
        now=time_text(advanced.now),
        event_count=advanced.event_count,
        removed_line_count=advanced.removed_line_count,
    )


def _changed_message(changed: Changed) -> messages.ChangedSubscription:
    return messages.ChangedSubscription(
        subscription=subscription_message(changed.view), events=list(map(event_message, changed.events))
    )


def offer_message(offer: Offer) -> messages.Offer:
    return messages.Offer(
        offer_id=offer.offer_id,
        customer_id=offer.household_id,
        item=_item_message(offer.item),
        quantity=offer.quantity,
        interval=_interval_message(offer.interval),
        channel=offer.channel,
        recommendation_id=offer.recommendation_id,
        shown_at=time_text(offer.shown_at),
        subscription_id=offer.subscription_id,
    )


def subscription_message(view: View) -> messages.CustomerSubscription:
    state, terms = view.subscription, view.subscription.terms
    coming = [one for one in deliveries(state, view.today + AHEAD_DAYS) if one.day >= view.today]
    coming.sort(key=lambda one: (one.day, one.delivery.sequence))
    return messages.CustomerSubscription(
        subscription_id=state.subscription_id,
        customer_id=state.household_id,
        status=messages.SubscriptionStatus.Value(f"SUBSCRIPTION_STATUS_{state.status.name}"),
        item=_item_message(state.item),
        quantity=state.quantity,
        interval=_interval_message(state.segment.interval),
        interval_days=state.segment.interval.days,
        anchor_date=_day_text(state.segment.anchor_day),
        cut_off_days=terms.cut_off_days,
        time_zone=terms.time_zone,
        pause_until=_day_text(state.pause_until),
        cancel_on=_day_text(state.cancel_on),
        expires_on=_day_text(state.expires_on),
        cancellation=None if state.cancellation is None else _cancellation_message(state.cancellation),
        next_deliveries=[_delivery_message(state, one) for one in coming[:MAX_NEXT_DELIVERIES]],
        offer_id=terms.offer_id,
        recommendation_id=terms.recommendation_id,
        consent=terms.consent,
        created_at=time_text(state.created_at),
        changed_at=time_text(state.changed_at),
        version=state.version,
        etag=etag_of(state),
        household_pause=state.household_pause,
        mirror=None if state.mirror is None else _mirror_message(state.mirror, document=state.mirror.document),
    )


def stored_messages(view: View, stored: StoredEvents) -> Iterator[messages.StoredSubscription]:
    """A subscription and all its events, in pieces that fit into a message."""
    for first in range(0, len(stored.events), _EVENTS_PER_PIECE):
        yield messages.StoredSubscription(
            subscription=subscription_message(view),
            events=list(map(event_message, stored.events[first : first + _EVENTS_PER_PIECE])),
        )


def _delivery_message(state: Subscription, one: DeliveryOf) -> messages.SubscriptionDelivery:
    delivery, terms = one.delivery, state.terms
    return messages.SubscriptionDelivery(
        sequence=delivery.sequence,
        status=messages.DeliveryStatus.Value(f"DELIVERY_STATUS_{delivery.status.name}"),
        date=_day_text(one.day),
        scheduled_date=_day_text(one.scheduled_day),
        cut_off_at=time_text(start_of_day(one.day - terms.cut_off_days, terms.time_zone)),
        item=_item_message(state.item_of(delivery.sequence)),
        quantity=state.quantity_of(delivery.sequence),
        delivered_quantity=delivery.delivered_quantity,
        returned_quantity=delivery.returned_quantity,
        out_of_stock=delivery.is_out_of_stock,
        reason=delivery.reason,
        order_id=delivery.order_id,
    )


def event_message(recorded: RecordedEvent) -> messages.SubscriptionEvent:
    return messages.SubscriptionEvent(
        number=recorded.number,
        type=type_of(type(recorded.event).__name__),
        occurred_at=time_text(recorded.occurred_at),
        actor=recorded.actor,
        data=_data_of(recorded.event),
    )


def type_of(name: str) -> str:
    subject = "delivery" if name.startswith(_DELIVERY_EVENT) else "subscription"
    words = re.sub(r"(?<!^)(?=[A-Z])", "_", name.removeprefix(_DELIVERY_EVENT)).lower()
    return f"{_TYPE_PREFIX}.{subject}.{words}"


def _data_of(event: model.Event) -> messages.EventData:
    if isinstance(event, model.Created):
        terms = event.terms
        return messages.EventData(
            date=_day_text(terms.anchor_day),
            quantity=terms.quantity,
            item=_item_message(terms.item),
            interval=_interval_message(terms.interval),
            offer_id=terms.offer_id,
            recommendation_id=terms.recommendation_id,
            mirror=None if terms.mirror is None else _mirror_message(terms.mirror),
        )
    if isinstance(event, model.Mirrored):
        return messages.EventData(mirror=_mirror_message(event.mirror))
    if isinstance(event, model.IntervalChanged | model.Reactivated):
        segment = event.segment
        if segment is None:
            return messages.EventData()
        first = segment.first_sequence
        interval = _interval_message(segment.interval)
        return messages.EventData(sequence=first, date=_day_text(segment.day(first)), interval=interval)
    values = vars(event)
    data = messages.EventData(
        sequence=values.get("sequence", values.get("first_sequence", 0)),
        date=_day_text(values.get("day", values.get("on"))),
        until=_day_text(values.get("until")),
        skipped_sequences=values.get("skipped"),
        quantity=values.get("quantity", 0),
        reason=values.get("reason", ""),
        household_pause=values.get("household", False),
        order_id=values.get("order_id", ""),
    )
    if "item" in values:
        data.item.CopyFrom(_item_message(values["item"]))
    if "cancellation" in values:
        data.cancellation.CopyFrom(_cancellation_message(values["cancellation"]))
    return data


def _item(message: messages.SubscribedItem) -> Item:
    return Item(message.name, message.category, message.item_id, message.variant)


def _item_message(item: Item) -> messages.SubscribedItem:
    return messages.SubscribedItem(**vars(item))


def _interval(message: messages.DeliveryInterval) -> Interval:
    return Interval(_UNIT_OF[message.unit], message.count)


def _interval_message(interval: Interval) -> messages.DeliveryInterval:
    return messages.DeliveryInterval(unit=_UNITS[interval.unit], count=interval.count)


def _mirror_message(mirror: model.Mirror, document: str = "") -> messages.SubscriptionMirror:
    return messages.SubscriptionMirror(
        engine=_ENGINES[mirror.engine], external_id=mirror.external_id, document=document
    )


def _cancellation_message(cancellation: model.Cancellation) -> messages.Cancellation:
    return messages.Cancellation(**vars(cancellation))


def _day(text: str) -> int:
    return day_number(date.fromisoformat(text))


def _day_text(day: int | None) -> str:
    return "" if day is None else calendar_day(day).isoformat()
