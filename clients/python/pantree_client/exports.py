"""Recommendations in the shapes of subscription systems: Shopify selling plans, Recharge and Ordergroove subscriptions.

Each function returns what one call of the system takes, without credentials and without what only the shop knows, such
as the customer's address. Items are identified by `item_id`, which must be the system's own id of the variant or
product.

Sources: Shopify's Admin API, `sellingPlanGroupCreate`; Recharge's API 2021-11, `POST /subscriptions`; Ordergroove's
REST API, subscriptions.
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from pantree_client.results import Recommendation, Result
from pantree_runtime.errors import FieldViolation, InvalidInput

_VARIANT = "gid://shopify/ProductVariant/"
# Ordergroove's codes of periods.
_EVERY_PERIOD = {"day": 1, "week": 2}


def shopify_selling_plans(result: Result) -> list[dict[str, Any]]:
    """Variables of `sellingPlanGroupCreate`: one group for each cadence and discount, with the variants it is for.

    `resources` holds the items whose id is that of a Shopify variant, a number or a `gid`; other items can be added to
    the group later.
    """
    groups: dict[tuple[int, float], list[Recommendation]] = defaultdict(list)
    for item in result.recommendations:
        groups[item.interval_days, item.message.subscription.discount_ratio].append(item)
    return [_selling_plan_group(days, discount_ratio, items) for (days, discount_ratio), items in groups.items()]


def recharge_subscriptions(result: Result) -> list[dict[str, Any]]:
    """Bodies of Recharge's `POST /subscriptions`, to which `address_id` is added.

    Raises:
        InvalidInput: when an item has no id.
    """
    _check_ids(result)
    subscriptions = []
    for item in result.recommendations:
        unit, count = _interval(item.interval_days)
        subscriptions.append(
            {
                "external_variant_id": {"ecommerce": item.item_id},
                "quantity": item.quantity,
                "order_interval_unit": unit,
                "order_interval_frequency": count,
                "charge_interval_frequency": count,
                "next_charge_scheduled_at": item.first_delivery_date.isoformat(),
            }
        )
    return subscriptions


def ordergroove_subscriptions(result: Result) -> list[dict[str, Any]]:
    """Fields of Ordergroove's subscriptions, to which merchant, offer, payment and address are added.

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
    variants = [id_ for item in items if (id_ := _shopify_variant(item.item_id))]
    return {
        "input": {
            "name": f"Subscribe, every {every}" + (f", {percentage:g} % off" if percentage else ""),
            "merchantCode": f"pantree-{days}-days" + (f"-{percentage:g}-percent" if percentage else ""),
            "options": ["Delivery every"],
            "sellingPlansToCreate": [plan],
        },
        "resources": {"productVariantIds": variants},
    }


def _shopify_variant(item_id: str) -> str:
    """Shopify's global id of a variant; empty if an id is not of Shopify."""
    if item_id.startswith(_VARIANT):
        return item_id
    return f"{_VARIANT}{item_id}" if item_id.isdecimal() else ""


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
