"""Recommendations and subscriptions in the shapes of subscription systems: Shopify, Recharge and Ordergroove.

Each function returns what one call of the system takes, without credentials and without what only the shop knows, such
as the customer's address. Items are identified by `item_id`, and by `variant` where that is an id too; they must be the
system's own ids.

An interval of whole weeks is given in weeks, any other in days, which all three systems take. None is rounded.

Sources: Shopify's GraphQL Admin API 2026-10, `sellingPlanGroupCreate` with `SellingPlanGroupInput` and
`SellingPlanGroupResourceInput`; Recharge's API 2021-11, `POST /subscriptions`; Ordergroove's REST API, `POST
/subscriptions/iu/` ("Create in Order") and its reference of subscription fields (`every`, `every_period`).
"""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from pantree_client.results import Recommendation, Result
from pantree_client.subscriptions import CustomerSubscription
from pantree_runtime.errors import FieldViolation, InvalidInput

_VARIANT = "gid://shopify/ProductVariant/"
_PRODUCT = "gid://shopify/Product/"
# Ordergroove's codes of periods.
_EVERY_PERIOD = {"day": 1, "week": 2, "month": 3}
_YEAR_PERIOD = 4
# A text that is shorter was not cut.
_SHORTENED_CHARACTERS = 60
_MONTHS_PER_YEAR = 12
# Statuses of Shopify's contracts that are others here.
_SHOPIFY_STATUSES = {"failed": "paused", "stale": "expired"}
# Recharge's largest number of units between two orders.
_MAX_RECHARGE_FREQUENCY = 1000


def shopify_selling_plans(result: Result) -> list[dict[str, Any]]:
    """Variables of `sellingPlanGroupCreate`: one group for each cadence and discount, with what it is for.

    `resources` holds the variants and products whose id is one of Shopify, a number or a `gid`. Items with another id
    can be added to the group later; `not_of_shopify` lists them.
    """
    groups: dict[tuple[int, float], list[Recommendation]] = defaultdict(list)
    for item in result.recommendations:
        groups[item.interval_days, item.message.subscription.discount_ratio].append(item)
    return [_selling_plan_group(days, discount_ratio, items) for (days, discount_ratio), items in groups.items()]


def not_of_shopify(result: Result) -> list[Recommendation]:
    """Recommendations of items whose ids are not of Shopify, so that no selling plan names them."""
    return [item for item in result.recommendations if not any(_shopify_ids(item))]


def recharge_subscriptions(result: Result) -> list[dict[str, Any]]:
    """Bodies of Recharge's `POST /subscriptions`, to which `address_id` is added.

    `item_id` is the external id of the variant. If `variant` is an id too, a number, then it is that of the variant,
    and `item_id` that of the product.

    Raises:
        InvalidInput: when an item has no id, or an interval is longer than Recharge takes.
    """
    _check_ids(result)
    subscriptions = []
    for position, item in enumerate(result.recommendations):
        unit, count = _interval(item.interval_days)
        if count > _MAX_RECHARGE_FREQUENCY:
            description = f"must be at most {_MAX_RECHARGE_FREQUENCY:,} {unit}s for Recharge; is {count:,}"
            raise InvalidInput([FieldViolation(f"recommendations[{position}].subscription.interval_days", description)])
        subscriptions.append(
            {
                **_recharge_ids(item.item_id, item.variant),
                "quantity": item.quantity,
                "order_interval_unit": unit,
                "order_interval_frequency": count,
                "charge_interval_frequency": count,
                "next_charge_scheduled_at": item.first_delivery_date.isoformat(),
            }
        )
    return subscriptions


def ordergroove_subscriptions(result: Result) -> list[dict[str, Any]]:
    """Fields of Ordergroove's subscriptions, to which merchant, offer, order, payment and address are added.

    The first delivery is that of the order to which the subscription is added, so it has no date here.

    Raises:
        InvalidInput: when an item has no id.
    """
    _check_ids(result)
    subscriptions = []
    for item in result.recommendations:
        unit, count = _interval(item.interval_days)
        subscriptions.append(
            {
                "customer": result.customer_id,
                "product": item.item_id,
                "quantity": item.quantity,
                "every": count,
                "every_period": _EVERY_PERIOD[unit],
            }
        )
    return subscriptions


def recharge_subscription(one: CustomerSubscription) -> dict[str, Any]:
    """A subscription of Recharge.

    Of one that Recharge keeps: its object, as Recharge reported it, with what has changed since. Of any other: the body
    of `POST /subscriptions`, to which `address_id` is added; without `next_charge_scheduled_at` if no delivery is
    planned within 84 days.

    Raises:
        InvalidInput: when a subscription is to be created that is not active, or whose item has no id.
    """
    known = _document(one, "recharge")
    if known is None:
        _check_can_be_created(one, "Recharge")
        day = _next_day(one)
        return {
            **_recharge_ids(one.item.item_id, one.item.variant),
            "quantity": one.quantity,
            "order_interval_unit": one.interval.unit,
            "order_interval_frequency": one.interval.count,
            "charge_interval_frequency": one.interval.count,
            **({} if day is None else {"next_charge_scheduled_at": day.isoformat()}),
        }
    _put(known, "quantity", one.quantity)
    _put(known, "status", one.status)
    _put(known, "order_interval_unit", one.interval.unit)
    _put(known, "order_interval_frequency", one.interval.count)
    _put_text(known, "product_title", one.item.name)
    _put_text(known, "variant_title", one.item.variant)
    day = _next_day(one)
    if one.status == "active" and day is not None:
        _put(known, "next_charge_scheduled_at", day)
    if one.cancellation is not None:
        _put_text(known, "cancellation_reason", one.cancellation.reason)
        _put_text(known, "cancellation_reason_comments", one.cancellation.comment)
    external_id = (known.get("external_variant_id") or {}).get("ecommerce")
    if one.item.item_id not in map(_text, (external_id, known.get("shopify_variant_id"), known.get("sku"))):
        known["external_variant_id"] = {"ecommerce": one.item.item_id}
    return known


def ordergroove_subscription(one: CustomerSubscription) -> dict[str, Any]:
    """A subscription of Ordergroove.

    Of one that Ordergroove keeps: its object, as Ordergroove reported it, with what has changed since. Of any other:
    the fields of a new subscription, to which merchant, offer, order, payment and address are added.

    Raises:
        InvalidInput: when a subscription is to be created that is not active, or whose item has no id.
    """
    known = _document(one, "ordergroove")
    period = _EVERY_PERIOD[one.interval.unit]
    if known is None:
        _check_can_be_created(one, "Ordergroove")
        return {
            "customer": one.customer_id,
            "product": one.item.item_id,
            "quantity": one.quantity,
            "every": one.interval.count,
            "every_period": period,
        }
    _put(known, "product", one.item.item_id)
    _put(known, "quantity", one.quantity)
    _put(known, "live", one.status in ("active", "paused"))
    years = known.get("every_period") == _YEAR_PERIOD
    count = one.interval.count
    if not (years and period == _EVERY_PERIOD["month"] and known.get("every", 0) * _MONTHS_PER_YEAR == count):
        _put(known, "every", count)
        _put(known, "every_period", period)
    if one.cancellation is not None:
        why = one.cancellation
        if known.get("cancel_reason") not in (why.comment, f"{why.reason}|{why.comment}"):
            known["cancel_reason"] = f"{why.reason}|{why.comment}"
    return known


def shopify_contract(one: CustomerSubscription) -> dict[str, Any]:
    """A subscription contract of Shopify, as Shopify reported it, with what has changed since.

    Raises:
        InvalidInput: when it is not of Shopify. New contracts need prices and means of payment; `shopify_selling_plans`
            offers the intervals, and a customer's order creates the contract.
    """
    known = _document(one, "shopify")
    if known is None:
        description = "is not a contract of Shopify; an order with a selling plan creates one"
        raise InvalidInput([FieldViolation("subscription_id", description)])
    status = _text(known.get("status")).lower()
    if _SHOPIFY_STATUSES.get(status, status) != one.status:
        known["status"] = one.status.upper() if _text(known.get("status")).isupper() else one.status
    for name, count_name in (("delivery_policy", "interval_count"), ("deliveryPolicy", "intervalCount")):
        policy = known.get(name)
        if not isinstance(policy, dict):
            continue
        is_upper = _text(policy.get("interval")).isupper()
        years = _text(policy.get("interval")).lower() == "year"
        months = policy.get(count_name, 0) * _MONTHS_PER_YEAR
        if not (years and one.interval.unit == "month" and months == one.interval.count):
            unit = str(one.interval.unit)
            _put(policy, "interval", unit.upper() if is_upper else unit)
            _put(policy, count_name, one.interval.count)
    day = _next_day(one)
    for name in ("next_billing_date", "nextBillingDate"):
        if known.get(name) and one.status == "active" and day is not None:
            _put(known, name, day)
    lines = (known.get("lines") or {}).get("nodes") or []
    for line in lines:
        _put(line, "quantity", one.quantity)
    return known


def _document(one: CustomerSubscription, engine: str) -> dict[str, Any] | None:
    """What an engine reported of a subscription; None if it does not keep it."""
    if one.mirror is None or one.mirror.engine != engine:
        return None
    document: dict[str, Any] = json.loads(one.mirror.document)
    return document


def _put(known: dict[str, Any], key: str, value: Any) -> None:
    """Sets a value, unless the known one means the same: a number as text, another case, a time on the same day."""
    if isinstance(value, date):
        value = value.isoformat()
        if _text(known.get(key))[: len(value)] == value:
            return
    if _text(known.get(key)).casefold() != _text(value).casefold():
        known[key] = value


def _put_text(known: dict[str, Any], key: str, value: str) -> None:
    """Sets a text, unless the known one is the same but for what our contract does not take."""
    text = " ".join(_text(known.get(key)).split())
    ours = " ".join(value.split())
    if text != ours and not (len(value) >= _SHORTENED_CHARACTERS and text.startswith(ours)):
        known[key] = value


def _text(value: Any) -> str:
    return "" if value is None else str(value)


def _next_day(one: CustomerSubscription) -> date | None:
    """Day of the next delivery that is planned; None if there is none within 84 days."""
    return next((delivery.date for delivery in one.next_deliveries if delivery.status == "planned"), None)


def _check_can_be_created(one: CustomerSubscription, system: str) -> None:
    if one.status != "active":
        description = f"is {one.status}; only an active subscription can be created in {system}"
        raise InvalidInput([FieldViolation("status", description)])
    if not one.item.item_id:
        raise InvalidInput([FieldViolation("item.item_id", f"is missing for {one.item.name!r}")])


def _interval(days: int) -> tuple[str, int]:
    """Unit and number of an interval: weeks if they are whole."""
    return ("week", days // 7) if days % 7 == 0 else ("day", days)


def _selling_plan_group(days: int, discount_ratio: float, items: Sequence[Recommendation]) -> dict[str, Any]:
    unit, count = _interval(days)
    every = f"{count} {unit}s" if count > 1 else unit
    recurring = {"recurring": {"interval": unit.upper(), "intervalCount": count}}
    percentage = round(100 * discount_ratio, 4)
    plan = {
        "name": f"Delivery every {every}",
        "options": [every],
        "category": "SUBSCRIPTION",
        "billingPolicy": recurring,
        "deliveryPolicy": recurring,
        "pricingPolicies": [{"fixed": {"adjustmentType": "PERCENTAGE", "adjustmentValue": {"percentage": percentage}}}]
        if percentage
        else [],
    }
    variants, products = zip(*map(_shopify_ids, items), strict=True)
    return {
        "input": {
            "name": f"Subscribe, every {every}" + (f", {percentage:g} % off" if percentage else ""),
            "merchantCode": f"pantree-{days}-days" + (f"-{percentage:g}-percent" if percentage else ""),
            "options": ["Delivery every"],
            "sellingPlansToCreate": [plan],
        },
        "resources": {
            "productVariantIds": [one for one in variants if one],
            "productIds": [one for one in products if one],
        },
    }


def _shopify_ids(item: Recommendation) -> tuple[str, str]:
    """Shopify's global ids of the variant and of the product to which a plan applies; at most one is not empty.

    A number alone is that of a variant, as in Recharge and in Shopify's exports of orders.
    """
    for one in (item.variant, item.item_id):
        if one.startswith(_VARIANT):
            return one, ""
        if _is_number(one):
            return f"{_VARIANT}{one}", ""
    return "", item.item_id if item.item_id.startswith(_PRODUCT) else ""


def _recharge_ids(item_id: str, variant: str) -> Mapping[str, Mapping[str, str]]:
    if _is_number(variant):
        return {"external_product_id": {"ecommerce": item_id}, "external_variant_id": {"ecommerce": variant}}
    return {"external_variant_id": {"ecommerce": item_id}}


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal()


def _check_ids(result: Result) -> None:
    violations = [
        FieldViolation(
            f"recommendations[{position}].item_id", f"is missing for {item.name!r}; send it with the purchases"
        )
        for position, item in enumerate(result.recommendations)
        if not item.item_id
    ]
    if violations:
        raise InvalidInput(violations)
