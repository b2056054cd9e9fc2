"""State of a subscription, the commands that change it, and the events that record what changed.

All are frozen. Days are in days since 1970-01-01, in the shop's time zone.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from pantree_history.core.subscriptions.schedule import Interval, Segment, local_day


class Status(StrEnum):
    """Status of a subscription."""

    ACTIVE = "active"
    PAUSED = "paused"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


class Engine(StrEnum):
    """A system that keeps subscriptions and reports them."""

    RECHARGE = "recharge"
    ORDERGROOVE = "ordergroove"
    SHOPIFY = "shopify"


class DeliveryStatus(StrEnum):
    """Status of a delivery."""

    PLANNED = "planned"
    LOCKED = "locked"
    SENT = "sent"
    DELIVERED = "delivered"
    SKIPPED = "skipped"
    FAILED = "failed"


@dataclass(frozen=True)
class Item:
    """What is delivered, as the shop names it."""

    name: str
    category: str = ""
    item_id: str = ""
    variant: str = ""


@dataclass(frozen=True)
class Mirror:
    """What an engine says of a subscription that it keeps."""

    engine: Engine
    external_id: str
    """Its id in the engine."""
    version: int
    """Orders the records of the engine: microseconds since 1970-01-01, or the number of a revision."""
    document: str
    """The latest record, JSON."""


@dataclass(frozen=True)
class Cancellation:
    """Why a household cancels, in its own words."""

    reason: str = ""
    feedback: str = ""
    comment: str = ""


@dataclass(frozen=True)
class Delivery:
    """What differs from the schedule, or happened, for one delivery."""

    sequence: int
    status: DeliveryStatus = DeliveryStatus.PLANNED
    moved_to: int | None = None
    """Day that replaces that of the schedule."""
    item: Item | None = None
    """What is delivered, once that is fixed; None for what the subscription has for it."""
    quantity: int | None = None
    """Units ordered, once they are fixed; None for what the subscription has for it."""
    delivered_quantity: int | None = None
    """Units that arrived."""
    returned_quantity: int = 0
    is_out_of_stock: bool = False
    reason: str = ""
    """Why it was skipped or failed."""
    order_id: str = ""
    """Id of its order in the engine of a mirrored subscription."""
    order_version: int = 0
    """Orders the reports about it: microseconds since 1970-01-01."""


class EarlierItem(NamedTuple):
    """The item of deliveries before a change of it."""

    before_sequence: int
    value: Item


class EarlierQuantity(NamedTuple):
    """The quantity of deliveries before a change of it."""

    before_sequence: int
    value: int


@dataclass(frozen=True)
class Terms:
    """What was agreed when a subscription began."""

    item: Item
    quantity: int
    interval: Interval
    anchor_day: int
    """Day of the first delivery."""
    cut_off_days: int = 0
    """A delivery can be changed until its day begins, or this many days earlier."""
    time_zone: str = "UTC"
    expires_on: int | None = None
    """First day without deliveries; None if there is none."""
    offer_id: str = ""
    recommendation_id: str = ""
    consent: str = ""
    """Text that the household agreed to."""
    mirror: Mirror | None = None
    """The engine that keeps it; None if it is kept here."""


@dataclass(frozen=True)
class Subscription:
    """A subscription."""

    subscription_id: str
    household_id: str
    terms: Terms
    item: Item
    quantity: int
    segments: tuple[Segment, ...]
    created_at: int
    changed_at: int
    """Microseconds since 1970-01-01 in UTC, as `created_at`."""
    version: int = 1
    """Number of its events."""
    status: Status = Status.ACTIVE
    expires_on: int | None = None
    paused_on: int | None = None
    pause_until: int | None = None
    """Day on which it resumes; None for a pause without end."""
    household_pause: bool = False
    """Whether its pause is that of the household."""
    alone_until: int | None = None
    """End of its pause of its own, which that of the household outlasts; None if it had none."""
    cancel_on: int | None = None
    """First day without deliveries: announced, or that of the cancellation."""
    cancellation: Cancellation | None = None
    deliveries: Mapping[int, Delivery] = field(default_factory=dict)
    """By sequence: those that differ from the schedule."""
    mirror: Mirror | None = None
    """What its engine says of it; None if it is kept here."""
    earlier_items: tuple[EarlierItem, ...] = ()
    """Of deliveries that were past their cut-off when the item was changed, ascending."""
    earlier_quantities: tuple[EarlierQuantity, ...] = ()
    """Of deliveries that were past their cut-off when the quantity was changed, ascending."""

    @property
    def segment(self) -> Segment:
        """The current part of the schedule."""
        return self.segments[-1]

    def delivery(self, sequence: int) -> Delivery:
        """A delivery, which may be one of the schedule."""
        return self.deliveries.get(sequence) or Delivery(sequence)

    def scheduled_day(self, sequence: int) -> int:
        """Day of a delivery by the schedule."""
        return next(one for one in reversed(self.segments) if one.first_sequence <= sequence).day(sequence)

    def day(self, sequence: int) -> int:
        """Day of a delivery."""
        moved_to = self.delivery(sequence).moved_to
        return self.scheduled_day(sequence) if moved_to is None else moved_to

    def item_of(self, sequence: int) -> Item:
        """Item of a delivery."""
        earlier = next((one.value for one in self.earlier_items if sequence < one.before_sequence), self.item)
        return self.delivery(sequence).item or earlier

    def quantity_of(self, sequence: int) -> int:
        """Units ordered for a delivery."""
        earlier = next((one.value for one in self.earlier_quantities if sequence < one.before_sequence), self.quantity)
        return self.delivery(sequence).quantity or earlier


# Commands: what callers ask for. A sequence of 0 is the next delivery that can be changed.


@dataclass(frozen=True)
class Skip:
    """Leave out a delivery."""

    sequence: int = 0
    reason: str = ""


@dataclass(frozen=True)
class Restore:
    """Undo the skip or the move of a delivery."""

    sequence: int


@dataclass(frozen=True)
class Move:
    """Deliver on another day; later deliveries keep theirs."""

    sequence: int
    day: int


@dataclass(frozen=True)
class SendNow:
    """Send the next delivery today; later ones keep their days."""


@dataclass(frozen=True)
class Pause:
    """Deliver nothing until a day; None for no end."""

    until: int | None = None


@dataclass(frozen=True)
class Resume:
    """End a pause."""


@dataclass(frozen=True)
class PauseHousehold:
    """Pause it with all others of the household; None for no end."""

    until: int | None = None


@dataclass(frozen=True)
class ResumeHousehold:
    """End the pause of the household."""


@dataclass(frozen=True)
class Reactivate:
    """Take back a cancellation, or begin again after one; None for the next day of the schedule."""

    next_day: int | None = None


@dataclass(frozen=True)
class ChangeInterval:
    """Deliver more or less often; the next delivery keeps its day unless another is given."""

    interval: Interval
    next_day: int | None = None


@dataclass(frozen=True)
class ChangeQuantity:
    """Deliver other quantities from the next delivery on."""

    quantity: int


@dataclass(frozen=True)
class ChangeItem:
    """Deliver another item from the next delivery on."""

    item: Item


@dataclass(frozen=True)
class Cancel:
    """Deliver nothing from a day on; None for today."""

    on: int | None
    cancellation: Cancellation


@dataclass(frozen=True)
class RecordLocked:
    """The order of a delivery is placed and cannot be changed any more."""

    sequence: int


@dataclass(frozen=True)
class RecordSent:
    """A delivery left the shop."""

    sequence: int


@dataclass(frozen=True)
class RecordDelivered:
    """A delivery arrived; None for the ordered quantity."""

    sequence: int
    quantity: int | None = None


@dataclass(frozen=True)
class RecordFailed:
    """A delivery did not arrive."""

    sequence: int
    reason: str = ""


@dataclass(frozen=True)
class RecordOutOfStock:
    """The item of a delivery is out of stock."""

    sequence: int


@dataclass(frozen=True)
class RecordSubstituted:
    """A delivery has another item."""

    sequence: int
    item: Item


@dataclass(frozen=True)
class RecordReturned:
    """Units of a delivery came back."""

    sequence: int
    quantity: int


Lever = (
    Skip
    | Restore
    | Move
    | SendNow
    | Pause
    | Resume
    | PauseHousehold
    | ResumeHousehold
    | Reactivate
    | ChangeInterval
    | ChangeQuantity
    | ChangeItem
    | Cancel
)
Report = (
    RecordLocked | RecordSent | RecordDelivered | RecordFailed | RecordOutOfStock | RecordSubstituted | RecordReturned
)
Command = Lever | Report


# Events: what happened. Names are those of the events that receivers get.


@dataclass(frozen=True)
class Created:
    """A subscription began."""

    terms: Terms


@dataclass(frozen=True)
class DeliverySkipped:
    """A delivery is left out."""

    sequence: int
    reason: str = ""


@dataclass(frozen=True)
class DeliveryRestored:
    """A delivery is again as the schedule says."""

    sequence: int


@dataclass(frozen=True)
class DeliveryMoved:
    """A delivery is on another day."""

    sequence: int
    day: int


@dataclass(frozen=True)
class Paused:
    """A pause began, or has another end."""

    on: int
    until: int | None
    household: bool = False
    """Whether it is the pause of the household."""
    alone_until: int | None = None
    """End of its pause of its own, which that of the household outlasts; None if it had none."""


@dataclass(frozen=True)
class Resumed:
    """A pause ended; deliveries on days within it are skipped."""

    on: int
    skipped: tuple[int, ...] = ()


@dataclass(frozen=True)
class Reactivated:
    """A cancellation was taken back, or deliveries begin again."""

    segment: Segment | None
    """Where deliveries begin again; None if they had not ended."""


@dataclass(frozen=True)
class IntervalChanged:
    """The interval is another one."""

    segment: Segment


@dataclass(frozen=True)
class QuantityChanged:
    """The quantity is another one."""

    quantity: int
    first_sequence: int = 0
    """First delivery for which it holds; 0 for all that are not fixed, as in events that were stored without it."""
    kept: tuple[int, ...] = ()
    """Later deliveries for which it does not hold: those that were moved or passed before the first one."""


@dataclass(frozen=True)
class ItemChanged:
    """The item is another one."""

    item: Item
    first_sequence: int = 0
    """First delivery for which it holds; 0 for all that are not fixed, as in events that were stored without it."""
    kept: tuple[int, ...] = ()
    """Later deliveries for which it does not hold: those that were moved or passed before the first one."""


@dataclass(frozen=True)
class CancellationScheduled:
    """It will be cancelled on a later day."""

    on: int
    cancellation: Cancellation


@dataclass(frozen=True)
class Cancelled:
    """It is cancelled."""

    on: int
    cancellation: Cancellation
    skipped: tuple[int, ...] = ()
    """Deliveries that a pause prevented before."""


@dataclass(frozen=True)
class Expired:
    """Its last day is over."""

    on: int
    skipped: tuple[int, ...] = ()
    """Deliveries that a pause prevented before."""


@dataclass(frozen=True)
class DeliveryLocked:
    """The order of a delivery is placed."""

    sequence: int
    day: int
    item: Item
    quantity: int


@dataclass(frozen=True)
class DeliverySent:
    """A delivery left the shop."""

    sequence: int


@dataclass(frozen=True)
class DeliveryDelivered:
    """A delivery arrived, in whole or in part."""

    sequence: int
    quantity: int


@dataclass(frozen=True)
class DeliveryFailed:
    """A delivery did not arrive."""

    sequence: int
    reason: str = ""


@dataclass(frozen=True)
class DeliveryOutOfStock:
    """The item of a delivery is out of stock."""

    sequence: int


@dataclass(frozen=True)
class DeliverySubstituted:
    """A delivery has another item."""

    sequence: int
    item: Item


@dataclass(frozen=True)
class DeliveryReturned:
    """Units of a delivery came back."""

    sequence: int
    quantity: int


@dataclass(frozen=True)
class DeliveryOrdered:
    """The engine has an order, or a new report about it, for a delivery."""

    sequence: int
    order_id: str
    version: int = 0
    """Orders the reports about it: microseconds since 1970-01-01."""


@dataclass(frozen=True)
class Mirrored:
    """The engine has a new record of the subscription."""

    mirror: Mirror


Event = (
    Created
    | DeliverySkipped
    | DeliveryRestored
    | DeliveryMoved
    | Paused
    | Resumed
    | Reactivated
    | IntervalChanged
    | QuantityChanged
    | ItemChanged
    | CancellationScheduled
    | Cancelled
    | Expired
    | DeliveryLocked
    | DeliverySent
    | DeliveryDelivered
    | DeliveryFailed
    | DeliveryOutOfStock
    | DeliverySubstituted
    | DeliveryReturned
    | DeliveryOrdered
    | Mirrored
)


@dataclass(frozen=True)
class HouseholdPause:
    """A pause of all subscriptions of a household."""

    paused_at: int
    """Microseconds since 1970-01-01 in UTC."""
    until: int | None
    """First day on which deliveries take place again; None for no end."""

    def joined_by(self, time_zone: str, today: int) -> Paused | None:
        """What pauses a subscription that begins today; None if the pause has ended."""
        if self.until is not None and self.until <= today:
            return None
        return Paused(local_day(self.paused_at, time_zone), self.until, household=True)


@dataclass(frozen=True)
class RecordedEvent:
    """An event with its place in the life of a subscription."""

    number: int
    """Counts the events of the subscription from 1, without gaps."""
    occurred_at: int
    """Microseconds since 1970-01-01 in UTC."""
    actor: str
    event: Event


@dataclass(frozen=True)
class Offer:
    """A subscription that was offered to a household."""

    offer_id: str
    household_id: str
    item: Item
    quantity: int
    interval: Interval
    shown_at: int
    """Microseconds since 1970-01-01 in UTC."""
    channel: str = ""
    recommendation_id: str = ""
    subscription_id: str = ""
    """The subscription that accepted it; empty if none did."""
