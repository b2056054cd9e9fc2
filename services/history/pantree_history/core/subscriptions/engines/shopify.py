"""Webhooks of Shopify about subscription contracts.

They say neither what a contract delivers nor when the next order is due. An app that has read the contract can send the
object `SubscriptionContract` of the GraphQL Admin API instead, with `lines` and `nextBillingDate`: names are the same
but for their case, so both are read alike.

Sources: Shopify's webhook topics `subscription_contracts/*`, `subscription_billing_attempts/*` and
`subscription_billing_cycles/*`, and the object `SubscriptionContract` of the GraphQL Admin API 2026-10.
"""

import re
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
from pantree_history.core.subscriptions.model import Engine, Item, Mirror, Status
from pantree_history.core.subscriptions.schedule import Interval, Unit

_MONTHS_PER_YEAR = 12
_UNITS = {
    "day": (Unit.DAY, 1),
    "week": (Unit.WEEK, 1),
    "month": (Unit.MONTH, 1),
    "year": (Unit.MONTH, _MONTHS_PER_YEAR),
}
_STATUSES = {
    "active": Status.ACTIVE,
    "paused": Status.PAUSED,
    # Its payment failed: nothing is delivered until the contract is active again.
    "failed": Status.PAUSED,
    "cancelled": Status.CANCELLED,
    "expired": Status.EXPIRED,
    "stale": Status.EXPIRED,
}
_ATTEMPTS = {
    "subscription_billing_attempts/success": OrderStatus.PLACED,
    "subscription_billing_attempts/failure": OrderStatus.FAILED,
}
_CYCLES = {
    "subscription_billing_cycles/skip": OrderStatus.SKIPPED,
    "subscription_billing_cycles/unskip": OrderStatus.PLANNED,
}
_WORD = re.compile(r"(?<=[a-z0-9])([A-Z])")


class _Policy(Record):
    interval: Text
    interval_count: int


class _Customer(Record):
    id: Id


class _Line(Record):
    title: Text = ""
    variant_title: Text = ""
    variant_id: OptionalId = ""
    sku: Text = ""
    quantity: int = Field(ge=1, le=10_000)


class _Lines(Record):
    nodes: tuple[_Line, ...] = ()


class _Contract(Record):
    id: Id
    customer_id: OptionalId = ""
    customer: _Customer | None = None
    status: Text
    delivery_policy: _Policy
    revision_id: Text = ""
    next_billing_date: Text = ""
    created_at: Text = ""
    updated_at: Text = ""
    lines: _Lines | None = None


class _Attempt(Record):
    subscription_contract_id: Id
    order_id: OptionalId = ""
    error_code: Text = ""
    created_at: Text = ""
    updated_at: Text = ""


class _Cycle(Record):
    subscription_contract_id: Id
    billing_attempt_expected_date: Text


def read_webhook(topic: str, payload: Mapping[str, Any]) -> EngineEvent:
    """What a webhook of Shopify reports.

    Raises:
        InvalidInput: the topic is missing, or fields are missing or wrong.
    """
    known = EngineEvent(Engine.SHOPIFY, "")
    if not topic:
        raise invalid("", "needs a topic, which Shopify sends in the header X-Shopify-Topic")
    if topic.startswith("subscription_contracts/"):
        return known._replace(snapshots=(_snapshot(payload),))
    if topic in _ATTEMPTS:
        attempt = read(_Attempt, payload, "")
        report = OrderReport(
            status=_ATTEMPTS[topic],
            version=instant_of(attempt.updated_at, "updated_at") if attempt.updated_at else 0,
            external_id=_number(attempt.subscription_contract_id),
            order_id=_number(attempt.order_id),
            day=day_of(attempt.created_at, "created_at"),
            reason=reason_of(attempt.error_code),
        )
        return known._replace(orders=(report,))
    if topic in _CYCLES:
        cycle = read(_Cycle, payload, "")
        day = day_of(cycle.billing_attempt_expected_date, "billing_attempt_expected_date")
        report = OrderReport(_CYCLES[topic], 0, external_id=_number(cycle.subscription_contract_id), day=day)
        return known._replace(orders=(report,))
    return known


def _snapshot(payload: Mapping[str, Any]) -> Snapshot:
    found = read(_Contract, _with_snake_names(payload), "")
    status = _STATUSES.get(found.status.lower())
    if status is None:
        raise invalid("status", f"must be one of {', '.join(_STATUSES)}; is {found.status[:40]!r}")
    policy = found.delivery_policy
    if policy.interval.lower() not in _UNITS:
        raise invalid("delivery_policy.interval", f"must be one of {', '.join(_UNITS)}")
    unit, factor = _UNITS[policy.interval.lower()]
    customer_id = found.customer_id or (found.customer.id if found.customer else "")
    if not customer_id:
        raise invalid("customer_id", "is required")
    lines = found.lines.nodes if found.lines else ()
    if len(lines) > 1:
        raise invalid("lines", f"must have one item, as a subscription has here; has {len(lines)}")
    if found.revision_id and not _number(found.revision_id).isdecimal():
        raise invalid("revision_id", "must be a number")
    return Snapshot(
        household_id=_number(customer_id),
        mirror=Mirror(
            Engine.SHOPIFY,
            _number(found.id),
            int(_number(found.revision_id)) if found.revision_id else 0,
            document_of(payload, ""),
        ),
        status=status,
        item=_item(lines[0]) if lines else None,
        quantity=lines[0].quantity if lines else None,
        interval=checked_interval(Interval(unit, policy.interval_count * factor), "delivery_policy.interval_count"),
        next_day=day_of(found.next_billing_date, "next_billing_date"),
        first_day=day_of(found.created_at, "created_at"),
        ended_on=None,
    )


def _item(line: _Line) -> Item | None:
    item_id = _number(line.variant_id) or line.sku
    return item_of(line.title or item_id, item_id, line.variant_title)


def _number(text: str) -> str:
    """The number at the end of a global id, such as `gid://shopify/SubscriptionContract/1`; other texts as they are."""
    return text.rpartition("/")[2] if text.startswith("gid://") else text


def _with_snake_names(value: Any) -> Any:
    """A JSON value whose names are in snake case, as those of webhooks."""
    if isinstance(value, Mapping):
        return {_WORD.sub(r"_\1", name).lower(): _with_snake_names(one) for name, one in value.items()}
    return [_with_snake_names(one) for one in value] if isinstance(value, list) else value
