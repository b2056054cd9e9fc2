"""Messages of a review ↔ core types."""

from collections.abc import Sequence
from datetime import UTC, date, datetime

from pantree.recommendation.v1 import recommendation_service_pb2 as messages
from pantree.subscription.v1 import subscription_service_pb2 as subscription
from pantree_domain.days import calendar_day, day_number
from pantree_domain.money import minor_unit_digits
from pantree_recommendation.convert import reason_message
from pantree_recommendation.core.review_evidence import ADVISED
from pantree_recommendation.core.review_state import (
    Change,
    DeliveryRecord,
    DeliveryStatus,
    Evidence,
    ItemPurchase,
    ReviewAction,
    ReviewRequest,
    SubscriptionReview,
    SubscriptionState,
    SupplyForecast,
)

_ENDED = (subscription.SUBSCRIPTION_STATUS_CANCELLED, subscription.SUBSCRIPTION_STATUS_EXPIRED)
_DAYS_PER_WEEK = 7
_CANCELLED_AS = "too_much"


def review_request(message: messages.ReviewSubscriptionsRequest) -> ReviewRequest:
    """Converts a validated request; subscriptions that are ended are left out."""
    as_of = date.fromisoformat(message.as_of)
    return ReviewRequest(
        as_of_day=day_number(as_of),
        subscriptions=tuple(_state(one, as_of) for one in message.subscriptions if one.status not in _ENDED),
        trip_days=tuple(sorted(set(message.trip_days))),
        digits=minor_unit_digits(message.currency_code),
    )


def _state(message: messages.ReviewedSubscription, as_of: date) -> SubscriptionState:
    return SubscriptionState(
        subscription_id=message.subscription_id,
        item_name=message.item.name,
        interval_days=message.interval_days,
        quantity=message.quantity,
        deliveries=tuple(
            sorted((_delivery(one, as_of) for one in message.deliveries), key=lambda one: (one.day, one.sequence))
        ),
        purchases=_purchases(message.purchases),
        is_paused=message.status == subscription.SUBSCRIPTION_STATUS_PAUSED,
        alternative_name=message.alternative.name,
        alternative_purchases=_purchases(message.alternative_purchases),
        unit_price=message.unit_price,
        item_id=message.item.item_id,
        alternative_id=message.alternative.item_id,
        end_day=day_number(date.fromisoformat(message.end_date)) if message.end_date else None,
    )


def _delivery(message: messages.ReviewedDelivery, as_of: date) -> DeliveryRecord:
    status = subscription.DeliveryStatus.Name(message.status).removeprefix("DELIVERY_STATUS_")
    day = date.fromisoformat(message.date)
    cut_off = cut_off_of(message) or _start_of(day)
    return DeliveryRecord(
        sequence=message.sequence,
        day=day_number(day),
        status=DeliveryStatus(status),
        quantity=message.quantity,
        scheduled_day=day_number(date.fromisoformat(message.scheduled_date or message.date)),
        delivered_quantity=message.delivered_quantity if message.HasField("delivered_quantity") else None,
        returned_quantity=message.returned_quantity,
        reason=message.reason,
        can_change=cut_off > _start_of(as_of),
        cut_off_at=message.cut_off_at,
    )


def cut_off_of(message: messages.ReviewedDelivery) -> datetime | None:
    """When changes end; None when the message does not say, or says it wrong."""
    try:
        found = datetime.fromisoformat(message.cut_off_at)
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _start_of(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def _purchases(found: Sequence[messages.ReviewedPurchase]) -> tuple[ItemPurchase, ...]:
    return tuple(sorted(ItemPurchase(one.day, one.quantity) for one in found))


def review_response(
    request: messages.ReviewSubscriptionsRequest, reviews: Sequence[SubscriptionReview]
) -> messages.ReviewSubscriptionsResponse:
    """Converts the advice."""
    of_id = {one.subscription_id: one for one in request.subscriptions}
    as_of = date.fromisoformat(request.as_of)
    return messages.ReviewSubscriptionsResponse(
        reviews=[_review(one, of_id[one.subscription.subscription_id], as_of) for one in reviews]
    )


def _review(
    review: SubscriptionReview, state: messages.ReviewedSubscription, as_of: date
) -> messages.SubscriptionReview:
    message = messages.SubscriptionReview(
        subscription_id=state.subscription_id,
        item=state.item,
        action=messages.ReviewAction.Value(f"REVIEW_ACTION_{review.action}"),
        reasons=[reason_message(reason) for reason in review.reasons],
        evidence=_evidence(review.evidence),
        now=_forecast(review.now),
        after=_forecast(review.after),
    )
    if review.before is not None:
        message.urgency.CopyFrom(_urgency(review.before, as_of))
        message.change.CopyFrom(_change(review.action, review.change, review.before, state))
    return message


def _evidence(evidence: Evidence) -> messages.ReviewEvidence:
    return messages.ReviewEvidence(
        first_date="" if evidence.first_day is None else calendar_day(evidence.first_day).isoformat(),
        delivered_count=evidence.delivered_count,
        silent_count=evidence.silent_count,
        skipped_count=evidence.skipped_count,
        skipped_in_a_row=evidence.skipped_in_a_row,
        returned_count=evidence.returned_count,
        top_up_count=evidence.top_up_count,
        bought_anyway_count=evidence.bought_anyway_count,
        failed_count=evidence.failed_count,
        purchase_count=evidence.purchase_count,
        purchased_units=evidence.purchased_units,
        delivered_units=evidence.delivered_units,
        use_per_day=evidence.use_per_day,
        earlier_use_per_day=evidence.earlier_use_per_day,
        units_on_hand=evidence.units_on_hand,
        skip_reasons=dict(evidence.skip_reasons),
    )


def _forecast(forecast: SupplyForecast) -> messages.SupplyForecast:
    return messages.SupplyForecast(**forecast._asdict())


def _urgency(delivery: DeliveryRecord, as_of: date) -> messages.ReviewUrgency:
    last = date.fromisoformat(delivery.cut_off_at[:10]) if delivery.cut_off_at else calendar_day(delivery.day)
    return messages.ReviewUrgency(
        sequence=delivery.sequence,
        date=calendar_day(delivery.day).isoformat(),
        cut_off_at=delivery.cut_off_at,
        days_left=max(0, (last - as_of).days),
    )


def _change(
    action: ReviewAction, change: Change, before: DeliveryRecord, state: messages.ReviewedSubscription
) -> subscription.ChangeSubscriptionRequest:
    """The request that follows an advice."""
    message = subscription.ChangeSubscriptionRequest(subscription_id=state.subscription_id)
    match action:
        case ReviewAction.SKIP_NEXT:
            message.skip.sequence, message.skip.reason = before.sequence, ADVISED
        case ReviewAction.PAUSE if change.pause_until is not None:
            message.pause.until = calendar_day(change.pause_until).isoformat()
        case ReviewAction.SWAP:
            message.change_item.item.CopyFrom(state.alternative)
        case ReviewAction.CHANGE_QUANTITY if change.quantity is not None:
            message.change_quantity.quantity = change.quantity
        case ReviewAction.STOP:
            message.cancel.cancellation.reason = _CANCELLED_AS
        case _ if change.interval_days is not None:
            message.change_interval.interval.CopyFrom(_interval(change.interval_days))
    return message


def _interval(days: int) -> subscription.DeliveryInterval:
    weeks, rest = divmod(days, _DAYS_PER_WEEK)
    if rest:
        return subscription.DeliveryInterval(unit=subscription.INTERVAL_UNIT_DAY, count=days)
    return subscription.DeliveryInterval(unit=subscription.INTERVAL_UNIT_WEEK, count=weeks)
