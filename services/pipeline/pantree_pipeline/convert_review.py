"""Messages of a review: what is stored of a customer → the request of the recommendation service → the result."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple, cast

from pantree.pipeline.v1 import pipeline_service_pb2 as messages
from pantree.purchase.v1.purchase_pb2 import PurchaseColumns
from pantree.recommendation.v1 import recommendation_service_pb2 as recommendation
from pantree.subscription.v1 import subscription_service_pb2 as subscription
from pantree_domain.days import day_number
from pantree_domain.item_key import item_key
from pantree_domain.purchases import PurchaseHistory
from pantree_pipeline.convert import identified, with_categories
from pantree_pipeline.core.household import Household, prepare
from pantree_pipeline.core.identity import ItemIdentity
from pantree_pipeline.core.ports import StoredHistory, StoredSubscription
from pantree_pipeline.core.review import PurchasedUnits, packs_of, purchases_of, without_deliveries
from pantree_pipeline.core.what_if import packs_in
from pantree_runtime.validation import LAST_DAY

# Older deliveries and trips say nothing about today.
_PAST_DAYS = 400
_FUTURE_DAYS = 84
_NOT_ARRIVED = (subscription.DELIVERY_STATUS_SKIPPED, subscription.DELIVERY_STATUS_FAILED)


def review_request(
    stored: Sequence[StoredSubscription], history: StoredHistory | None, as_of: date, now: datetime
) -> recommendation.ReviewSubscriptionsRequest:
    """The request that reviews subscriptions.

    Args:
        stored: the subscriptions of a customer.
        history: the stored purchases; None if there are none.
        as_of: as-of date.
        now: with a time zone; deliveries whose cut-off is over are locked, whatever the as-of date.
    """
    request = recommendation.ReviewSubscriptionsRequest(as_of=as_of.isoformat())
    bought: PurchaseHistory | None = None
    named: Mapping[str, ItemIdentity] = {}
    if history is not None and cast(PurchaseColumns, history.payload).days:
        columns = cast(PurchaseColumns, history.payload)
        bought, named = identified(messages.NextBasketInput(history_columns=columns))
        bought = with_categories(bought)
        first_trip = day_number(as_of) - _PAST_DAYS
        request.trip_days.extend(day for day in bought.trip_days.tolist() if day >= first_trip)
        request.currency_code = history.currency_code
    household = None if bought is None else prepare(bought, as_of)
    arrived = [] if bought is None else list(_arrived(stored, bought, named, as_of, now))
    for one in stored:
        message = cast(subscription.CustomerSubscription, one.payload)
        state = request.subscriptions.add(
            subscription_id=message.subscription_id,
            item=message.item,
            status=message.status,
            quantity=message.quantity,
            interval_days=message.interval_days,
            end_date=min(filter(None, [message.cancel_on, message.expires_on]), default=""),
            deliveries=_deliveries(
                cast(Iterable[subscription.SubscriptionDelivery], one.deliveries), message, as_of, now
            ),
        )
        if bought is not None and household is not None:
            others = [other for other in arrived if not other.is_of(message)]
            _add_purchases(state, bought, household, named, others)
    return request


class _Arrived(NamedTuple):
    """A delivery that may be among the purchases."""

    subscription_id: str
    key: tuple[str, str]
    """Of its item."""
    name: str
    """Of its item in the history."""
    units: PurchasedUnits

    def is_of(self, message: subscription.CustomerSubscription) -> bool:
        """Whether it is among the deliveries with which a subscription is reviewed."""
        return (self.subscription_id, self.key) == (message.subscription_id, _key(message.item))


def _arrived(
    stored: Sequence[StoredSubscription],
    history: PurchaseHistory,
    named: Mapping[str, ItemIdentity],
    as_of: date,
    now: datetime,
) -> Iterator[_Arrived]:
    """Deliveries of all subscriptions that have come or are on their way. Of what was not reported, all units count."""
    names: dict[tuple[str, ...], str | None] = {}
    for one in stored:
        subscription_id = cast(subscription.CustomerSubscription, one.payload).subscription_id
        for delivery in cast(Iterable[subscription.SubscriptionDelivery], one.deliveries):
            item, day = delivery.item, date.fromisoformat(delivery.date)
            if delivery.status in _NOT_ARRIVED or (day > as_of and not _is_placed(delivery, now)):
                continue
            content = (item.item_id, item.name, item.variant)
            if content not in names:
                names[content] = _name_in(history, item, named)
            name = names[content]
            if name is None:
                continue
            units = delivery.delivered_quantity if delivery.HasField("delivered_quantity") else delivery.quantity
            yield _Arrived(subscription_id, _key(item), name, PurchasedUnits(day_number(day), units))


def _deliveries(
    found: Iterable[subscription.SubscriptionDelivery],
    message: subscription.CustomerSubscription,
    as_of: date,
    now: datetime,
) -> list[recommendation.ReviewedDelivery]:
    """The deliveries of the subscribed item around the as-of date; earlier items and substitutes are left out."""
    first, last = as_of - timedelta(days=_PAST_DAYS), min(as_of + timedelta(days=_FUTURE_DAYS), LAST_DAY)
    result = []
    for one in found:
        if not first <= date.fromisoformat(one.date) <= last or _key(one.item) != _key(message.item):
            continue
        is_locked = one.status == subscription.DELIVERY_STATUS_PLANNED and _is_placed(one, now)
        result.append(
            recommendation.ReviewedDelivery(
                sequence=one.sequence,
                status=subscription.DELIVERY_STATUS_LOCKED if is_locked else one.status,
                date=one.date,
                scheduled_date=one.scheduled_date,
                cut_off_at=one.cut_off_at,
                quantity=one.quantity,
                delivered_quantity=one.delivered_quantity if one.HasField("delivered_quantity") else None,
                returned_quantity=one.returned_quantity,
                reason=one.reason,
            )
        )
    return result


def _is_placed(delivery: subscription.SubscriptionDelivery, now: datetime) -> bool:
    """Whether it can no longer be changed."""
    is_open = delivery.status == subscription.DELIVERY_STATUS_PLANNED
    return not is_open or datetime.fromisoformat(delivery.cut_off_at) <= now


def _key(item: subscription.SubscribedItem) -> tuple[str, str]:
    return item.item_id or item_key(item.name), item_key(item.variant)


def _add_purchases(
    state: recommendation.ReviewedSubscription,
    history: PurchaseHistory,
    household: Household,
    named: Mapping[str, ItemIdentity],
    others: Sequence[_Arrived],
) -> None:
    """Adds what was bought in the shop.

    Args:
        state: what is completed.
        history: the household's.
        household: the household.
        named: identities of items by their names in the history.
        others: deliveries of other subscriptions and of other items, which shops list among purchases, too.
    """
    name = _name_in(history, state.item, named)
    if name is None:
        return

    def bought(purchases: Sequence[PurchasedUnits], item: str) -> Iterator[recommendation.ReviewedPurchase]:
        names = packs_of(household, item)
        delivered = [
            one.units._replace(units=one.units.units * packs_in(one.name, item)) for one in others if one.name in names
        ]
        for one in without_deliveries(purchases, delivered):
            yield recommendation.ReviewedPurchase(day=one.day, quantity=one.units)

    found = purchases_of(history, household, name)
    state.purchases.extend(bought(found.purchases, name))
    state.unit_price = found.unit_price
    if found.alternative:
        identity = named.get(found.alternative, ItemIdentity(found.alternative))
        state.alternative.name, state.alternative.item_id, state.alternative.variant = identity
        state.alternative_purchases.extend(bought(found.alternative_purchases, found.alternative))


def _name_in(
    history: PurchaseHistory, item: subscription.SubscribedItem, named: Mapping[str, ItemIdentity]
) -> str | None:
    """The name that a history has for a subscribed item: by its id and variant, else by its name and variant."""
    variant = item_key(item.variant)
    if item.item_id:
        for name, identity in named.items():
            if identity.item_id == item.item_id and item_key(identity.variant) == variant:
                return name
    wanted = item_key(item.name)
    for name in history.item_names:
        identity = named.get(name, ItemIdentity(name))
        if item_key(identity.name) == wanted and (not variant or item_key(identity.variant) == variant):
            return name
    return None


def review_result(
    customer_id: str,
    as_of: date,
    stored: Sequence[StoredSubscription],
    history: StoredHistory | None,
    response: recommendation.ReviewSubscriptionsResponse,
) -> messages.ReviewSubscriptionsResponse:
    """Converts the advice; what follows it gets the customer and the etag of the subscription as it was read.

    A subscription that an engine keeps is changed there, so nothing that could be sent follows the advice.
    """
    result = messages.SubscriptionReviews(
        customer_id=customer_id,
        as_of=as_of.isoformat(),
        currency_code="" if history is None else history.currency_code,
        reviews=response.reviews,
        history_version="" if history is None else history.version,
    )
    found = [cast(subscription.CustomerSubscription, one.payload) for one in stored]
    by_id = {one.subscription_id: one for one in found}
    for review in result.reviews:
        reviewed = by_id[review.subscription_id]
        if reviewed.HasField("mirror"):
            review.engine = reviewed.mirror.engine
            review.ClearField("change")
        if review.HasField("change"):
            review.change.customer_id, review.change.etag = customer_id, reviewed.etag
    return messages.ReviewSubscriptionsResponse(result=result)


def utc_now() -> datetime:
    """The time, with a time zone."""
    return datetime.now(UTC)
