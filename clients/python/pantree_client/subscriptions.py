"""Subscriptions of a customer: offers, levers and reports that are sent, and what comes back."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, Literal, get_args

from pantree.subscription.v1 import subscription_service_pb2 as messages
from pantree_client.conversion import value_of

IntervalUnit = Literal["day", "week", "month"]
ReportedStatus = Literal["locked", "sent", "delivered", "failed", "out_of_stock", "substituted", "returned"]
UNITS: tuple[IntervalUnit, ...] = get_args(IntervalUnit)
_Date = date  # for classes with a field of this name


@dataclass(frozen=True)
class SubscribedItem:
    """An item as the shop names it."""

    name: str
    """1 to 200 characters."""
    category: str = ""
    item_id: str = ""
    """The shop's own id, such as a SKU, at most 128 characters."""
    variant: str = ""
    """Variant or pack size, at most 200 characters."""

    def message(self) -> messages.SubscribedItem:
        """The item as a message of the contract."""
        return messages.SubscribedItem(**vars(self))


@dataclass(frozen=True)
class DeliveryInterval:
    """Time between two deliveries."""

    unit: IntervalUnit
    """A month is a calendar month."""
    count: int = 1
    """1 to 366."""

    def message(self) -> messages.DeliveryInterval:
        """The interval as a message of the contract."""
        unit = messages.IntervalUnit.Value(f"INTERVAL_UNIT_{self.unit.upper()}")
        return messages.DeliveryInterval(unit=unit, count=self.count)


@dataclass(frozen=True)
class OfferRequest:
    """A subscription that is shown to a customer."""

    customer_id: str
    item: SubscribedItem
    interval: DeliveryInterval
    quantity: int = 1
    """Units of a delivery, 1 to 10,000."""
    channel: str = ""
    """Where it is shown, such as `app` or `email`."""
    recommendation_id: str = ""
    """Answer that it comes from."""

    def message(self) -> messages.CreateOfferRequest:
        """The request as a message of the contract."""
        values = {**vars(self), "item": self.item.message(), "interval": self.interval.message()}
        return messages.CreateOfferRequest(**values)


@dataclass(frozen=True)
class SubscriptionRequest:
    """A subscription that begins. It accepts an offer, or names its item and interval."""

    customer_id: str
    anchor_date: date
    """Day of the first delivery, from which all others are counted."""
    item: SubscribedItem | None = None
    """That of the offer if None."""
    interval: DeliveryInterval | None = None
    """That of the offer if None."""
    quantity: int | None = None
    """Units of a delivery; that of the offer, or 1, if None."""
    offer_id: str = ""
    subscription_id: str = ""
    """Chosen by the service if empty."""
    cut_off_days: int = 0
    """Days before a delivery on which changes end; 0 for the beginning of its day."""
    time_zone: str = ""
    """IANA name, such as `Europe/Berlin`; UTC if empty."""
    expires_on: date | None = None
    recommendation_id: str = ""
    """Answer that it follows; that of the offer if empty."""
    consent: str = ""
    """Text that the customer agrees to."""

    def message(self) -> messages.CreateSubscriptionRequest:
        """The request as a message of the contract."""
        values: dict[str, Any] = {
            **vars(self),
            "anchor_date": self.anchor_date.isoformat(),
            "expires_on": _text(self.expires_on),
            "item": None if self.item is None else self.item.message(),
            "interval": None if self.interval is None else self.interval.message(),
        }
        return messages.CreateSubscriptionRequest(**values)


@dataclass(frozen=True)
class Skip:
    """Leaves out a delivery; the others keep their days."""

    sequence: int = 0
    """The delivery; 0 for the next one that can be changed."""
    reason: str = ""
    """One word for statistics, such as `too_much`."""


@dataclass(frozen=True)
class Restore:
    """Takes back the skip or the move of a delivery."""

    sequence: int


@dataclass(frozen=True)
class Move:
    """Delivers on another day; the other deliveries keep theirs."""

    date: date
    sequence: int = 0
    """The delivery; 0 for the next one that can be changed."""


@dataclass(frozen=True)
class SendNow:
    """Locks the next delivery for today."""


@dataclass(frozen=True)
class Pause:
    """Delivers nothing for a while. What is past its cut-off still arrives."""

    until: date | None = None
    """Day on which deliveries go on; None for a pause without end."""


@dataclass(frozen=True)
class Resume:
    """Ends a pause."""


@dataclass(frozen=True)
class Reactivate:
    """Takes back an announced cancellation, or begins an ended subscription again."""

    next_date: date | None = None
    """Day of the next delivery; the next day of the interval if None."""


@dataclass(frozen=True)
class ChangeInterval:
    """Delivers more or less often. Skipped and moved deliveries stay so."""

    interval: DeliveryInterval
    next_date: date | None = None
    """Day of the next delivery that is neither skipped nor moved; it is kept if None."""


@dataclass(frozen=True)
class ChangeQuantity:
    """Delivers another quantity."""

    quantity: int


@dataclass(frozen=True)
class ChangeItem:
    """Delivers another item."""

    item: SubscribedItem


@dataclass(frozen=True)
class Cancel:
    """Ends a subscription."""

    cancel_on: date | None = None
    """First day without deliveries; today if None."""
    reason: str = ""
    """`too_much`, `too_expensive`, `not_needed`, `quality`, `delivery`, `moved`, `other`, or any other word."""
    feedback: str = ""
    """What would have kept the customer, such as `longer_interval`."""
    comment: str = ""
    """What the customer wrote; personal data."""


Lever = (
    Skip
    | Restore
    | Move
    | SendNow
    | Pause
    | Resume
    | Reactivate
    | ChangeInterval
    | ChangeQuantity
    | ChangeItem
    | Cancel
)
"""A change of a subscription."""


@dataclass(frozen=True)
class DeliveryReport:
    """What the shop reports about a delivery."""

    sequence: int
    status: ReportedStatus
    quantity: int | None = None
    """Units that arrived, all if None; required for `returned`, where it is the units that came back."""
    item: SubscribedItem | None = None
    """The substitute; required for `substituted`."""
    reason: str = ""
    """Why it failed."""


@dataclass(frozen=True)
class Offer:
    """A subscription that was shown to a customer."""

    offer_id: str
    customer_id: str
    item: SubscribedItem
    quantity: int
    interval: DeliveryInterval
    channel: str
    recommendation_id: str
    shown_at: str
    """ISO 8601 in UTC."""
    subscription_id: str
    """Subscription that accepted it; empty if none did."""


@dataclass(frozen=True)
class SubscriptionDelivery:
    """One delivery of a subscription."""

    sequence: int
    """From 1."""
    status: str
    """`planned`, `locked`, `sent`, `delivered`, `skipped` or `failed`."""
    date: date
    scheduled_date: _Date
    """Its day by the interval; another one than `date` if it was moved."""
    cut_off_at: str
    """When changes end, ISO 8601 in UTC."""
    item: SubscribedItem
    quantity: int
    delivered_quantity: int | None
    """Units that arrived; None before."""
    returned_quantity: int
    out_of_stock: bool
    reason: str
    """Why it was skipped or failed; `paused` for a pause."""
    order_id: str
    """Id of its order in the engine of a mirrored subscription; empty when unknown."""


@dataclass(frozen=True)
class SubscriptionMirror:
    """What an engine says of a subscription that it keeps."""

    engine: str
    """`recharge`, `ordergroove` or `shopify`. The subscription is changed there."""
    external_id: str
    """Its id in the engine."""
    document: str
    """The engine's latest record, JSON; `pantree_client.exports` writes it with what is stored here."""


@dataclass(frozen=True)
class Cancellation:
    """Why a customer cancels."""

    reason: str
    feedback: str
    comment: str


@dataclass(frozen=True)
class CustomerSubscription:
    """A subscription as it is today."""

    subscription_id: str
    customer_id: str
    status: str
    """`active`, `paused`, `cancelled` or `expired`."""
    item: SubscribedItem
    quantity: int
    interval: DeliveryInterval
    interval_days: int
    """Of months, their mean length."""
    anchor_date: date
    cut_off_days: int
    time_zone: str
    pause_until: date | None
    """None if there is no pause, or one without end."""
    cancel_on: date | None
    """First day without deliveries: announced, or that of the cancellation."""
    expires_on: date | None
    cancellation: Cancellation | None
    next_deliveries: tuple[SubscriptionDelivery, ...]
    """At most 6 of the next 84 days, skipped ones included."""
    offer_id: str
    recommendation_id: str
    consent: str
    created_at: str
    """ISO 8601 in UTC."""
    changed_at: str
    """ISO 8601 in UTC."""
    version: int
    """Number of its events."""
    etag: str
    """Identifies this version for the next change."""
    household_pause: bool
    """Whether it is paused with all subscriptions of the customer."""
    mirror: SubscriptionMirror | None
    """None if it is kept by Pantree."""
    message: messages.CustomerSubscription = field(repr=False, compare=False)


@dataclass(frozen=True)
class SubscriptionEvent:
    """Something that happened to a subscription."""

    number: int
    """From 1, without gaps."""
    type: str
    """Such as `com.pantree.delivery.skipped`."""
    occurred_at: str
    """ISO 8601 in UTC."""
    actor: str
    """Who caused it; `schedule` if a day came."""
    message: messages.SubscriptionEvent = field(repr=False, compare=False)
    """Its `data` says what changed."""


@dataclass(frozen=True)
class SubscriptionChange:
    """A subscription after a change."""

    subscription: CustomerSubscription
    events: tuple[SubscriptionEvent, ...]
    """Those of this call; empty if it changed nothing."""


@dataclass(frozen=True)
class ClockAdvance:
    """The clock of a test tenant after it was advanced, and what happened on the way."""

    now: datetime
    event_count: int
    """Events of subscriptions."""
    removed_line_count: int
    """Lines of purchases that are no longer kept, in all revisions."""


def to_pause_request(
    customer_id: str, until: date | None, *, request_id: str, actor: str
) -> messages.PauseSubscriptionsRequest:
    """Converts a pause of all subscriptions."""
    return messages.PauseSubscriptionsRequest(
        customer_id=customer_id, until=_text(until), request_id=request_id, actor=actor
    )


def to_changes(
    message: messages.PauseSubscriptionsResponse | messages.ResumeSubscriptionsResponse,
) -> tuple[SubscriptionChange, ...]:
    """Converts the answer to a change of all subscriptions."""
    found: Sequence[messages.ChangedSubscription] = message.changed
    return tuple(map(to_change, found))


def to_clock_advance(message: messages.AdvanceTestClockResponse) -> ClockAdvance:
    """Converts the answer to an advance of a clock."""
    return ClockAdvance(datetime.fromisoformat(message.now), message.event_count, message.removed_line_count)


def to_change_request(
    customer_id: str, subscription_id: str, lever: Lever, *, etag: str, request_id: str, actor: str
) -> messages.ChangeSubscriptionRequest:
    """Converts a lever."""
    request = messages.ChangeSubscriptionRequest(
        customer_id=customer_id, subscription_id=subscription_id, etag=etag, request_id=request_id, actor=actor
    )
    match lever:
        case Skip():
            request.skip.CopyFrom(messages.SkipDelivery(**vars(lever)))
        case Restore():
            request.restore.CopyFrom(messages.RestoreDelivery(**vars(lever)))
        case Move():
            request.move.CopyFrom(messages.MoveDelivery(sequence=lever.sequence, date=lever.date.isoformat()))
        case SendNow():
            request.send_now.SetInParent()
        case Pause():
            request.pause.CopyFrom(messages.PauseSubscription(until=_text(lever.until)))
        case Resume():
            request.resume.SetInParent()
        case Reactivate():
            request.reactivate.CopyFrom(messages.ReactivateSubscription(next_date=_text(lever.next_date)))
        case ChangeInterval():
            change = messages.ChangeInterval(interval=lever.interval.message(), next_date=_text(lever.next_date))
            request.change_interval.CopyFrom(change)
        case ChangeQuantity():
            request.change_quantity.CopyFrom(messages.ChangeQuantity(quantity=lever.quantity))
        case ChangeItem():
            request.change_item.CopyFrom(messages.ChangeItem(item=lever.item.message()))
        case Cancel():
            why = messages.Cancellation(reason=lever.reason, feedback=lever.feedback, comment=lever.comment)
            cancel = messages.CancelSubscription(cancel_on=_text(lever.cancel_on), cancellation=why)
            request.cancel.CopyFrom(cancel)
    return request


def to_lever(request: messages.ChangeSubscriptionRequest) -> Lever | None:
    """Converts the lever of a request, as a review advises it; None for any other."""
    match request.WhichOneof("lever"):
        case "skip":
            return Skip(request.skip.sequence, request.skip.reason)
        case "pause":
            return Pause(_to_day(request.pause.until))
        case "change_interval":
            change = request.change_interval
            return ChangeInterval(_to_interval(change.interval), _to_day(change.next_date))
        case "change_quantity":
            return ChangeQuantity(request.change_quantity.quantity)
        case "change_item":
            return ChangeItem(to_item(request.change_item.item))
        case "cancel":
            why = request.cancel.cancellation
            return Cancel(_to_day(request.cancel.cancel_on), why.reason, why.feedback, why.comment)
        case _:
            return None


def to_record_request(
    customer_id: str, subscription_id: str, report: DeliveryReport, *, etag: str, request_id: str, actor: str
) -> messages.RecordDeliveryRequest:
    """Converts a report."""
    return messages.RecordDeliveryRequest(
        customer_id=customer_id,
        subscription_id=subscription_id,
        etag=etag,
        request_id=request_id,
        actor=actor,
        sequence=report.sequence,
        report=messages.DeliveryReport.Value(f"DELIVERY_REPORT_{report.status.upper()}"),
        quantity=report.quantity,
        item=None if report.item is None else report.item.message(),
        reason=report.reason,
    )


def to_offer(message: messages.Offer) -> Offer:
    """Converts an offer."""
    return value_of(Offer, message, item=to_item(message.item), interval=_to_interval(message.interval))


def to_subscription(message: messages.CustomerSubscription) -> CustomerSubscription:
    """Converts a subscription."""
    why = message.cancellation
    has_reason = message.HasField("cancellation")
    return value_of(
        CustomerSubscription,
        message,
        status=_name(messages.SubscriptionStatus, message.status, "SUBSCRIPTION_STATUS_"),
        item=to_item(message.item),
        interval=_to_interval(message.interval),
        pause_until=_to_day(message.pause_until),
        cancel_on=_to_day(message.cancel_on),
        expires_on=_to_day(message.expires_on),
        cancellation=Cancellation(why.reason, why.feedback, why.comment) if has_reason else None,
        next_deliveries=tuple(map(to_delivery, message.next_deliveries)),
        mirror=_to_mirror(message.mirror) if message.HasField("mirror") else None,
    )


def to_delivery(message: messages.SubscriptionDelivery) -> SubscriptionDelivery:
    """Converts a delivery."""
    return value_of(
        SubscriptionDelivery,
        message,
        status=_name(messages.DeliveryStatus, message.status, "DELIVERY_STATUS_"),
        item=to_item(message.item),
        delivered_quantity=message.delivered_quantity if message.HasField("delivered_quantity") else None,
    )


def to_subscription_event(message: messages.SubscriptionEvent) -> SubscriptionEvent:
    """Converts an event."""
    return SubscriptionEvent(message.number, message.type, message.occurred_at, message.actor, message)


def to_change(
    message: messages.ChangeSubscriptionResponse | messages.RecordDeliveryResponse | messages.ChangedSubscription,
) -> SubscriptionChange:
    """Converts the answer to a change or a report."""
    events: Sequence[messages.SubscriptionEvent] = message.events
    return SubscriptionChange(to_subscription(message.subscription), tuple(map(to_subscription_event, events)))


def to_item(message: messages.SubscribedItem) -> SubscribedItem:
    """Converts an item."""
    return SubscribedItem(message.name, message.category, message.item_id, message.variant)


def _to_mirror(message: messages.SubscriptionMirror) -> SubscriptionMirror:
    engine = _name(messages.SubscriptionEngine, message.engine, "SUBSCRIPTION_ENGINE_")
    return SubscriptionMirror(engine, message.external_id, message.document)


def _to_interval(message: messages.DeliveryInterval) -> DeliveryInterval:
    unit: Any = _name(messages.IntervalUnit, message.unit, "INTERVAL_UNIT_")
    return DeliveryInterval(unit, message.count)


def _name(kind: Any, number: int, prefix: str) -> str:
    name: str = kind.Name(number)
    return name.removeprefix(prefix).lower()


def _to_day(text: str) -> date | None:
    return date.fromisoformat(text) if text else None


def _text(day: date | None) -> str:
    return "" if day is None else day.isoformat()
