"""What is known about a household's subscriptions, and what a review advises. Days are counted from 1970-01-01."""

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from pantree_recommendation.core.reason import Reason

FORECAST_DAYS = 84
"""Days of the effect of an advice: twelve weeks."""


class DeliveryStatus(StrEnum):
    """How far a delivery has come."""

    PLANNED = "PLANNED"
    LOCKED = "LOCKED"
    SENT = "SENT"
    DELIVERED = "DELIVERED"
    SKIPPED = "SKIPPED"
    FAILED = "FAILED"


class ReviewAction(StrEnum):
    """What a review advises."""

    KEEP = "KEEP"
    LENGTHEN = "LENGTHEN"
    SHORTEN = "SHORTEN"
    CHANGE_QUANTITY = "CHANGE_QUANTITY"
    SKIP_NEXT = "SKIP_NEXT"
    PAUSE = "PAUSE"
    SWAP = "SWAP"
    STOP = "STOP"


class DeliveryRecord(NamedTuple):
    """A delivery, past or coming."""

    sequence: int
    day: int
    status: DeliveryStatus
    quantity: int
    """Units ordered."""
    scheduled_day: int
    """Its day by the interval; differs if it was moved."""
    delivered_quantity: int | None = None
    """Units that arrived; None before, or for all of them."""
    returned_quantity: int = 0
    reason: str = ""
    """Why it was skipped or failed."""
    can_change: bool = False
    """Whether it has not reached its cut-off."""
    cut_off_at: str = ""
    """When changes end, ISO 8601 in UTC."""

    @property
    def is_open(self) -> bool:
        """Whether it is planned and can still be changed."""
        return self.can_change and self.status is DeliveryStatus.PLANNED


class ItemPurchase(NamedTuple):
    """What a household bought of an item on a day, in the shop."""

    day: int
    quantity: float


@dataclass(frozen=True)
class SubscriptionState:
    """A subscription that delivers or is paused."""

    subscription_id: str
    item_name: str
    interval_days: int
    quantity: int
    deliveries: tuple[DeliveryRecord, ...]
    """By day: past ones and at least the next one."""
    purchases: tuple[ItemPurchase, ...] = ()
    """Of the item, by day. A delivery may be among them, on its own day."""
    is_paused: bool = False
    alternative_name: str = ""
    """Item that the household buys instead, as its purchases show; empty for none."""
    alternative_purchases: tuple[ItemPurchase, ...] = ()
    unit_price: float = 0.0
    """What a delivered unit costs; 0 when unknown."""
    item_id: str = ""
    """Empty when unknown."""
    alternative_id: str = ""
    """The alternative's; empty when unknown."""
    end_day: int | None = None
    """First day without deliveries, of an announced cancellation or as it expires; None if it goes on."""


@dataclass(frozen=True)
class ReviewRequest:
    """The subscriptions of a household."""

    as_of_day: int
    subscriptions: tuple[SubscriptionState, ...]
    trip_days: tuple[int, ...] = ()
    """Days on which the household bought anything, ascending; empty when unknown."""
    digits: int = 2
    """Decimal places of amounts."""


@dataclass(frozen=True)
class Evidence:
    """What happened under the present interval and quantity."""

    first_day: int | None
    """Day of the first delivery that counts; None if there is none yet."""
    delivered_count: int
    silent_count: int
    """Of the latest deliveries in a row, those that were followed by the next one with nothing bought or returned."""
    skipped_count: int
    """Deliveries that the household skipped for no other reason than having enough."""
    skipped_in_a_row: int
    returned_count: int
    """Deliveries of which units came back."""
    top_up_count: int
    """Deliveries after which the household bought more, late in the interval."""
    bought_anyway_count: int
    """Deliveries after which the household bought more, early in the interval."""
    failed_count: int
    purchase_count: int
    """Purchases in the shop."""
    purchased_units: float
    delivered_units: float
    use_per_day: float | None
    """Units that the household uses in a day; None when unknown."""
    earlier_use_per_day: float | None
    """The same before the first delivery."""
    supply_per_day: float | None
    """Units that deliveries and purchases brought in a day since the first delivery that counts; None when unknown."""
    units_on_hand: float | None
    """Units at home, as far as deliveries, purchases and use tell."""
    skip_reasons: tuple[tuple[str, int], ...] = ()
    """Reasons of all skips with their numbers, by name."""


class SupplyForecast(NamedTuple):
    """What a subscription brings in the next twelve weeks."""

    delivered_units: int
    early_delivery_count: int | None
    """Deliveries that come while the household has enough for more than a quarter of the interval; None if unknown."""
    stockout_count: int | None
    """Times without the item for more than a quarter of the interval; None if unknown."""
    cost: float | None
    """None when the price is unknown."""


class Change(NamedTuple):
    """What to change; only what the action needs is there."""

    interval_days: int | None = None
    quantity: int | None = None
    item_name: str = ""
    pause_until: int | None = None


@dataclass(frozen=True)
class SubscriptionReview:
    """The advice for a subscription."""

    subscription: SubscriptionState
    action: ReviewAction
    reasons: tuple[Reason, ...]
    """Most important first; at least one."""
    evidence: Evidence
    change: Change
    now: SupplyForecast
    """If nothing changes."""
    after: SupplyForecast
    """If the advice is followed."""
    before: DeliveryRecord | None
    """The delivery before whose cut-off the advice must be followed; None if nothing is to be done."""
