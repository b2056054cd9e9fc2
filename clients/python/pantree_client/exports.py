"""Recommendations in the shapes of subscription systems: Shopify selling plans, Recharge and Ordergroove subscriptions.

Each function returns what one call of the system takes, without credentials and without what only the shop knows, such
as the customer's address. Items are identified by `item_id`, and by `variant` where that is an id too; they must be the
system's own ids.

An interval of whole weeks is given in weeks, any other in days, which all three systems take. None is rounded.

Sources: Shopify's GraphQL Admin API 2026-10, `sellingPlanGroupCreate` with `SellingPlanGroupInput` and
`SellingPlanGroupResourceInput`; Recharge's API 2021-11, `POST /subscriptions`; Ordergroove's REST API, `POST
/subscriptions/iu/` ("Create in Order") and its reference of subscription fields (`every`, `every_period`).
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from pantree_client.results import Recommendation, Result
from pantree_runtime.errors import FieldViolation, InvalidInput

_VARIANT = "gid://shopify/ProductVariant/"
_PRODUCT = "gid://shopify/Product/"
# Ordergroove's codes of periods.
_EVERY_PERIOD = {"day": 1, "week": 2}
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
                **_recharge_ids(item),
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


def _recharge_ids(item: Recommendation) -> dict[str, dict[str, str]]:
    if _is_number(item.variant):
        return {
            "external_product_id": {"ecommerce": item.item_id},
            "external_variant_id": {"ecommerce": item.variant},
        }
    return {"external_variant_id": {"ecommerce": item.item_id}}


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
