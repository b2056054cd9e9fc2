"""Webhooks of Ordergroove: `{"id", "type", "created", "data": {"object"}, "snapshot"}`.

A subscription has no date of its next order. Its schedule is counted from `start_date`, and its orders, which
`item.create` connects with it, say their days.

Sources: Ordergroove's reference, "Subscription Events", "Order Events", "Item Events" and "Event Payloads"; periods 1
to 4 are days, weeks, months and years.
"""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from pantree_history.core.lines import MICROSECONDS
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
    invalid,
    item_of,
    read,
    reason_of,
)
from pantree_history.core.subscriptions.model import Cancellation, Engine, Mirror, Status
from pantree_history.core.subscriptions.schedule import Interval, Unit, local_day

_MONTHS_PER_YEAR = 12
# In the year 5138.
_MAX_SECONDS = 10**11
_UNITS = {1: (Unit.DAY, 1), 2: (Unit.WEEK, 1), 3: (Unit.MONTH, 1), 4: (Unit.MONTH, _MONTHS_PER_YEAR)}
_ORDERS = {
    "order.create": OrderStatus.PLANNED,
    "order.change_next_order_date": OrderStatus.PLANNED,
    "order.send_now": OrderStatus.PLANNED,
    "order.skip_order": OrderStatus.SKIPPED,
    "order.success": OrderStatus.PLACED,
    "order.cancel": OrderStatus.FAILED,
    "order.reject": OrderStatus.FAILED,
}
_ITEMS = {
    "item.create": OrderStatus.NAMED,
    "item.item_subscribe": OrderStatus.NAMED,
    "item.successfully_placed": OrderStatus.PLACED,
    "item.out_of_stock": OrderStatus.OUT_OF_STOCK,
}


def _moment(value: Any) -> Any:
    """A Unix time as text, as the fields of times are numbers in events and texts elsewhere."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else ("" if value is None else value)


class _Data(Record):
    object: dict[str, Any]


class _Snapshot(Record):
    items: tuple[dict[str, Any], ...] = ()


class _Event(Record):
    id: Id
    type: Text
    created: int = Field(ge=0, le=_MAX_SECONDS)
    data: _Data
    snapshot: _Snapshot | None = None


class _Subscription(Record):
    public_id: Id
    customer: Id
    product: Text = ""
    quantity: int = Field(ge=1, le=10_000)
    every: int
    every_period: int
    live: bool
    start_date: Text = ""
    cancelled: Annotated[str, BeforeValidator(_moment)] = ""
    cancel_reason: Text = ""
    cancel_reason_code: Text = ""


class _Order(Record):
    public_id: Id
    customer: Id
    place: Text = ""


class _Item(Record):
    customer: OptionalId = ""
    order: OptionalId = ""
    subscription: OptionalId = ""
    quantity: int | None = Field(default=None, ge=1, le=10_000)


def read_webhook(_topic: str, payload: Mapping[str, Any]) -> EngineEvent:
    """What a webhook of Ordergroove reports.

    Raises:
        InvalidInput: fields are missing or wrong.
    """
    event = read(_Event, payload, "")
    known = EngineEvent(Engine.ORDERGROOVE, event.id)
    if event.type.startswith("subscription."):
        return known._replace(snapshots=(_subscription(event),))
    if event.type in _ORDERS:
        return known._replace(orders=_order_reports(event))
    if event.type in _ITEMS:
        item = read(_Item, event.data.object, "data.object")
        if not item.subscription:
            return known
        status = _ITEMS[event.type]
        return known._replace(
            orders=(
                OrderReport(
                    status=status,
                    version=event.created * MICROSECONDS,
                    external_id=item.subscription,
                    household_id=item.customer,
                    order_id=item.order,
                    # An order is placed on its day.
                    day=local_day(event.created * MICROSECONDS, "UTC") if status is OrderStatus.PLACED else None,
                    quantity=item.quantity,
                ),
            )
        )
    return known


def _subscription(event: _Event) -> Snapshot:
    value = event.data.object
    found = read(_Subscription, value, "data.object")
    if found.every_period not in _UNITS:
        raise invalid("data.object.every_period", f"must be one of {', '.join(map(str, _UNITS))}")
    unit, factor = _UNITS[found.every_period]
    ended_on = None
    if not found.live and found.cancelled:
        ended_on = (
            local_day(min(int(found.cancelled[:20]), _MAX_SECONDS) * MICROSECONDS, "UTC")
            if found.cancelled.isdecimal()
            else day_of(found.cancelled, "data.object.cancelled")
        )
    return Snapshot(
        household_id=found.customer,
        mirror=Mirror(
            Engine.ORDERGROOVE, found.public_id, event.created * MICROSECONDS, document_of(value, "data.object")
        ),
        status=Status.ACTIVE if found.live else Status.CANCELLED,
        item=item_of(found.product, found.product),
        quantity=found.quantity,
        interval=checked_interval(Interval(unit, found.every * factor), "data.object.every"),
        next_day=None,
        first_day=day_of(found.start_date, "data.object.start_date"),
        ended_on=ended_on,
        cancellation=_cancellation(found),
    )


def _cancellation(found: _Subscription) -> Cancellation:
    """`cancel_reason` is the code, a bar and the details: `4|Overstocked`."""
    code, bar, details = found.cancel_reason.partition("|")
    if not bar:
        code, details = found.cancel_reason_code, found.cancel_reason
    return Cancellation(reason=reason_of(code), comment=details)


def _order_reports(event: _Event) -> tuple[OrderReport, ...]:
    order = read(_Order, event.data.object, "data.object")
    status = _ORDERS[event.type]
    report = OrderReport(
        status=status,
        version=event.created * MICROSECONDS,
        household_id=order.customer,
        order_id=order.public_id,
        day=day_of(order.place, "data.object.place"),
        reason=event.type.removeprefix("order.") if status is OrderStatus.FAILED else "",
    )
    # With the items of the order, which a shop may add to its webhooks, its subscriptions are known.
    items = [read(_Item, one, f"snapshot.items.{at}") for at, one in enumerate(_items(event))]
    named = [one for one in items if one.subscription and one.order in ("", order.public_id)]
    if not named:
        return (report,)
    return tuple(report._replace(external_id=one.subscription, quantity=one.quantity) for one in named)


def _items(event: _Event) -> tuple[dict[str, Any], ...]:
    return event.snapshot.items if event.snapshot else ()
