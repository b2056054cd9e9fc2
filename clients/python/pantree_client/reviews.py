"""What a review advises about the subscriptions of a customer."""

from dataclasses import dataclass, field
from datetime import date

from pantree.pipeline.v1 import pipeline_service_pb2 as pipeline
from pantree.recommendation.v1 import recommendation_service_pb2 as messages
from pantree.subscription.v1.subscription_service_pb2 import SubscriptionEngine
from pantree_client.conversion import value_of
from pantree_client.subscriptions import Lever, SubscribedItem, to_item, to_lever


@dataclass(frozen=True)
class SupplyForecast:
    """What a subscription brings in the next 84 days."""

    delivered_units: int
    early_delivery_count: int | None
    """Deliveries that come long before they are needed; None if the use is unknown."""
    stockout_count: int | None
    """Times without the item, unless it is bought in the shop; None if the use is unknown."""
    cost: float | None
    """None if the price is unknown."""


@dataclass(frozen=True)
class SubscriptionReview:
    """The advice for a subscription."""

    subscription_id: str
    item: SubscribedItem
    action: str
    """`keep`, `lengthen`, `shorten`, `change_quantity`, `skip_next`, `pause`, `swap` or `stop`."""
    reasons: tuple[str, ...]
    """Text for people, most important first."""
    now: SupplyForecast
    """If nothing changes."""
    after: SupplyForecast
    """If the advice is followed."""
    lever: Lever | None
    """For `change_subscription`, with `etag`; None to keep the subscription, and if an engine keeps it."""
    etag: str
    """Of the subscription as it was reviewed; empty without a lever."""
    sequence: int
    """The next delivery that can be changed; 0 to keep the subscription."""
    next_date: date | None
    """Its day."""
    cut_off_at: str
    """When changes of it end, ISO 8601 in UTC."""
    days_left: int
    """Days until then."""
    engine: str
    """System that keeps the subscription, and in which it is changed: `recharge`, `ordergroove` or `shopify`; empty for
    one that is kept by Pantree."""
    message: messages.SubscriptionReview = field(repr=False, compare=False)
    """Its `evidence` says what the advice is based on."""


@dataclass(frozen=True)
class SubscriptionReviews:
    """The advice for the subscriptions of a customer."""

    customer_id: str
    as_of: date
    currency_code: str
    """Empty when unknown."""
    reviews: tuple[SubscriptionReview, ...]
    """Of those that are not ended, by id."""
    history_version: str
    """Version of the stored purchases; empty when none are stored."""
    message: pipeline.SubscriptionReviews = field(repr=False, compare=False)


def to_reviews(message: pipeline.SubscriptionReviews) -> SubscriptionReviews:
    """Converts the advice."""
    return value_of(SubscriptionReviews, message, reviews=tuple(map(_to_review, message.reviews)))


def _to_review(message: messages.SubscriptionReview) -> SubscriptionReview:
    urgency = message.urgency
    return value_of(
        SubscriptionReview,
        message,
        urgency,
        item=to_item(message.item),
        action=messages.ReviewAction.Name(message.action).removeprefix("REVIEW_ACTION_").lower(),
        reasons=tuple(reason.text for reason in message.reasons),
        now=_to_forecast(message.now),
        after=_to_forecast(message.after),
        lever=to_lever(message.change) if message.HasField("change") else None,
        etag=message.change.etag,
        engine=SubscriptionEngine.Name(message.engine).removeprefix("SUBSCRIPTION_ENGINE_").lower()
        if message.engine
        else "",
        next_date=date.fromisoformat(urgency.date) if urgency.date else None,
    )


def _to_forecast(message: messages.SupplyForecast) -> SupplyForecast:
    has = message.HasField
    return SupplyForecast(
        delivered_units=message.delivered_units,
        early_delivery_count=message.early_delivery_count if has("early_delivery_count") else None,
        stockout_count=message.stockout_count if has("stockout_count") else None,
        cost=message.cost if has("cost") else None,
    )
