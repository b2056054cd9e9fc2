"""Webhooks of Recharge.

The payload is the object of its REST API below its name: `subscription`, `charge` or `order`. Recharge sends neither
the topic nor an id of the event; what happened is in the object.

Sources: Recharge's API 2021-11, "The subscription object", "The charge object", "The order object" and "Available
webhooks"; fields of 2021-01 that differ are read, too.
"""

from collections.abc import Mapping
from typing import Any

from pydantic import Field

from pantree_history.core.subscriptions.engines.reports import (
    EngineEvent,
    Id,
    OptionalId,
    OrderReport,
    OrderStatus,
    Record,
    Snapshot,
    Text,
    checked_interval,
    day_of,
    document_of,
    instant_of,
    invalid,
    item_of,
    read,
    reason_of,
)
from pantree_history.core.subscriptions.model import Cancellation, Engine, Mirror, Status
from pantree_history.core.subscriptions.schedule import Interval, Unit

_STATUSES = {
    "active": Status.ACTIVE,
    "paused": Status.PAUSED,
    "cancelled": Status.CANCELLED,
    "expired": Status.EXPIRED,
}
# Of the topics, only these say what the object does not.
_STATUS_OF_TOPIC = {"subscription/paused": Status.PAUSED, "subscription/deleted": Status.CANCELLED}
_CHARGES = {
    "queued": OrderStatus.PLANNED,
    "success": OrderStatus.PLACED,
    "skipped": OrderStatus.SKIPPED,
    "error": OrderStatus.FAILED,
}
_ORDERS = {
    "queued": OrderStatus.PLANNED,
    "success": OrderStatus.PLACED,
    "cancelled": OrderStatus.FAILED,
    "error": OrderStatus.FAILED,
}


class _ExternalId(Record):
    ecommerce: Text = ""


class _Subscription(Record):
    id: Id
    customer_id: Id
    status: Text
    product_title: Text = ""
    variant_title: Text = ""
    sku: Text = ""
    external_variant_id: _ExternalId | None = None
    shopify_variant_id: Text = ""
    quantity: int = Field(ge=1, le=10_000)
    order_interval_unit: Text
    order_interval_frequency: int
    next_charge_scheduled_at: Text = ""
    created_at: Text = ""
    updated_at: Text
    cancelled_at: Text = ""
    cancellation_reason: Text = ""
    cancellation_reason_comments: Text = ""


class _Line(Record):
    purchase_item_id: OptionalId = ""
    subscription_id: OptionalId = ""
    purchase_item_type: Text = ""
    quantity: int | None = Field(default=None, ge=1, le=10_000)


class _ChargeOfOrder(Record):
    id: OptionalId = ""


class _Order(Record):
    """A charge or an order."""

    id: Id
    status: Text
    scheduled_at: Text = ""
    updated_at: Text
    line_items: tuple[_Line, ...] = ()
    charge: _ChargeOfOrder | None = None
    charge_id: OptionalId = ""
    retry_date: Text = ""
    error_type: Text = ""


def read_webhook(topic: str, payload: Mapping[str, Any]) -> EngineEvent:
    """What a webhook of Recharge reports.

    Raises:
        InvalidInput: fields are missing or wrong.
    """
    if "subscription" in payload:
        return EngineEvent(Engine.RECHARGE, "", snapshots=(_snapshot(topic, payload["subscription"]),))
    if "charge" in payload:
        charge = read(_Order, payload["charge"], "charge")
        status = _CHARGES.get(charge.status.lower())
        # A charge that failed is tried again, unless there is no date for that.
        is_tried_again = status is OrderStatus.FAILED and bool(charge.retry_date)
        return _orders(charge, charge.id, None if is_tried_again else status, "charge")
    if "order" in payload:
        order = read(_Order, payload["order"], "order")
        charge_id = (order.charge.id if order.charge else "") or order.charge_id
        return _orders(order, charge_id, _ORDERS.get(order.status.lower()), "order")
    return EngineEvent(Engine.RECHARGE, "")


def _snapshot(topic: str, value: Any) -> Snapshot:
    found = read(_Subscription, value, "subscription")
    status = _STATUS_OF_TOPIC.get(topic) or _STATUSES.get(found.status.lower())
    if status is None:
        raise invalid("subscription.status", f"must be one of {', '.join(_STATUSES)}; is {found.status[:40]!r}")
    if found.order_interval_unit not in list(Unit):
        raise invalid("subscription.order_interval_unit", f"must be one of {', '.join(Unit)}")
    interval = Interval(Unit(found.order_interval_unit), found.order_interval_frequency)
    external_id = found.external_variant_id.ecommerce if found.external_variant_id else ""
    version = instant_of(found.updated_at, "subscription.updated_at")
    return Snapshot(
        household_id=found.customer_id,
        mirror=Mirror(Engine.RECHARGE, found.id, version, document_of(value, "subscription")),
        status=status,
        item=item_of(
            found.product_title or found.sku, external_id or found.shopify_variant_id or found.sku, found.variant_title
        ),
        quantity=found.quantity,
        interval=checked_interval(interval, "subscription.order_interval_frequency"),
        next_day=day_of(found.next_charge_scheduled_at, "subscription.next_charge_scheduled_at"),
        first_day=day_of(found.created_at, "subscription.created_at"),
        ended_on=day_of(found.cancelled_at, "subscription.cancelled_at"),
        cancellation=Cancellation(reason_of(found.cancellation_reason), "", found.cancellation_reason_comments),
    )


def _orders(order: _Order, order_id: str, status: OrderStatus | None, path: str) -> EngineEvent:
    if status is None:
        return EngineEvent(Engine.RECHARGE, "")
    version = instant_of(order.updated_at, f"{path}.updated_at")
    day = day_of(order.scheduled_at, f"{path}.scheduled_at")
    reason = (order.error_type or order.status.lower()) if status is OrderStatus.FAILED else ""
    reports = [
        OrderReport(
            status=status,
            version=version,
            external_id=line.purchase_item_id or line.subscription_id,
            order_id=order_id,
            day=day,
            quantity=line.quantity,
            reason=reason_of(reason),
        )
        for line in order.line_items
        if line.purchase_item_type != "onetime" and (line.purchase_item_id or line.subscription_id)
    ]
    return EngineEvent(Engine.RECHARGE, "", orders=tuple(reports))
