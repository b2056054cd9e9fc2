"""Recommendations as the subscription systems document them."""

import json
import os
import subprocess
import sys

import pytest
from google.protobuf import json_format

from pantree.pipeline.v1 import pipeline_service_pb2 as messages
from pantree.recommendation.v1.recommendation_service_pb2 import Recommendation, Subscription
from pantree.subscription.v1.subscription_service_pb2 import CustomerSubscription as SubscriptionMessage
from pantree_client import CustomerSubscription, InvalidInput, Result
from pantree_client.exports import (
    not_of_shopify,
    ordergroove_subscription,
    ordergroove_subscriptions,
    recharge_subscription,
    recharge_subscriptions,
    shopify_contract,
    shopify_selling_plans,
)
from pantree_client.results import to_result
from pantree_client.subscriptions import to_subscription


def answer(*items: tuple[str, str, int, int, float]) -> messages.ProcessResult:
    """Answer with items (name, id, interval, quantity, discount)."""
    return messages.ProcessResult(
        customer_id="c1",
        as_of="2026-11-26",
        recommendations=messages.RecommendationSet(
            recommendations=[
                Recommendation(
                    name=name,
                    item_id=item_id,
                    next_due_date="2026-12-03",
                    subscription=Subscription(
                        interval_days=days,
                        quantity=quantity,
                        discount_ratio=discount,
                        first_delivery_date="2026-12-03",
                    ),
                )
                for name, item_id, days, quantity, discount in items
            ]
        ),
    )


def result(*items: tuple[str, str, int, int, float]) -> Result:
    return to_result(answer(*items))


def with_variant(variant: str, item_id: str = "9") -> Result:
    """Answer with one item that has a variant."""
    message = answer(("Milk", item_id, 10, 1, 0.05))
    message.recommendations.recommendations[0].variant = variant
    return to_result(message)


def test_shopify_gets_a_group_for_each_cadence_and_discount() -> None:
    weekly, monthly, plain = shopify_selling_plans(
        result(
            ("Milk", "41", 7, 1, 0.05),
            ("Coffee", "gid://shopify/ProductVariant/42", 28, 2, 0.05),
            ("Bread", "SKU-7", 7, 1, 0.05),
            ("Wine", "43", 7, 1, 0.0),
        )
    )
    (plan,) = weekly["input"]["sellingPlansToCreate"]
    assert plan == {
        "name": "Delivery every week",
        "options": ["week"],
        "category": "SUBSCRIPTION",
        "billingPolicy": {"recurring": {"interval": "WEEK", "intervalCount": 1}},
        "deliveryPolicy": {"recurring": {"interval": "WEEK", "intervalCount": 1}},
        "pricingPolicies": [{"fixed": {"adjustmentType": "PERCENTAGE", "adjustmentValue": {"percentage": 5.0}}}],
    }
    assert weekly["resources"] == {"productVariantIds": ["gid://shopify/ProductVariant/41"], "productIds": []}
    assert monthly["input"]["sellingPlansToCreate"][0]["deliveryPolicy"]["recurring"]["intervalCount"] == 4
    assert monthly["resources"]["productVariantIds"] == ["gid://shopify/ProductVariant/42"]
    assert plain["input"]["sellingPlansToCreate"][0]["pricingPolicies"] == []
    assert len({group["input"]["merchantCode"] for group in (weekly, monthly, plain)}) == 3


def test_recharge_and_ordergroove_get_subscriptions() -> None:
    found = result(("Milk", "41", 14, 2, 0.05), ("Filter", "9", 10, 1, 0.05))
    assert recharge_subscriptions(found)[0] == {
        "external_variant_id": {"ecommerce": "41"},
        "quantity": 2,
        "order_interval_unit": "week",
        "order_interval_frequency": 2,
        "charge_interval_frequency": 2,
        "next_charge_scheduled_at": "2026-12-03",
    }
    assert recharge_subscriptions(found)[1]["order_interval_unit"] == "day"
    assert ordergroove_subscriptions(found)[0] == {
        "customer": "c1", "product": "41", "quantity": 2, "every": 2, "every_period": 2,
    }  # fmt: skip
    assert ordergroove_subscriptions(found)[1] | {"every": 10, "every_period": 1} == ordergroove_subscriptions(found)[1]


def test_variants_and_products_have_their_own_ids() -> None:
    (recharge,) = recharge_subscriptions(with_variant("41"))
    assert recharge["external_product_id"] == {"ecommerce": "9"}
    assert recharge["external_variant_id"] == {"ecommerce": "41"}
    assert "external_product_id" not in recharge_subscriptions(with_variant("1 l"))[0]
    (group,) = shopify_selling_plans(with_variant("41"))
    assert group["resources"] == {"productVariantIds": ["gid://shopify/ProductVariant/41"], "productIds": []}
    (plan,) = group["input"]["sellingPlansToCreate"]
    assert plan["deliveryPolicy"] == {"recurring": {"interval": "DAY", "intervalCount": 10}}
    (group,) = shopify_selling_plans(with_variant("1 l", "gid://shopify/Product/9"))
    assert group["resources"] == {"productVariantIds": [], "productIds": ["gid://shopify/Product/9"]}
    assert [item.name for item in not_of_shopify(with_variant("1 l", "SKU-7"))] == ["Milk"]


def test_interval_that_recharge_does_not_take_is_refused() -> None:
    with pytest.raises(InvalidInput, match=r"at most 1,000 days for Recharge; is 1,003"):
        recharge_subscriptions(result(("Milk", "41", 1003, 1, 0.05)))


def test_items_without_an_id_are_named() -> None:
    for export in (recharge_subscriptions, ordergroove_subscriptions):
        with pytest.raises(InvalidInput, match=r"recommendations\[0\]\.item_id: is missing for 'Milk'"):
            export(result(("Milk", "", 7, 1, 0.05)))


def test_command_line_names_items_that_no_selling_plan_has() -> None:
    text = json.dumps(json_format.MessageToDict(answer(("Milk", "SKU-7", 7, 1, 0.05))))
    run = subprocess.run(
        [sys.executable, "-m", "pantree_cli", "export", "-", "--format", "shopify"],
        input=text, capture_output=True, text=True, env=dict(os.environ),
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    assert run.stderr == "warning: Milk: no plan names it, because its item_id 'SKU-7' is not of Shopify\n"


@pytest.mark.parametrize(("text", "code"), [("answers", 0), ("[1]\n", 2)])
def test_command_line_exports_one_line_for_each_household(text: str, code: int) -> None:
    if text == "answers":
        text = "".join(json.dumps(json_format.MessageToDict(answer(("Milk", "41", 7, 1, 0.05)))) + "\n" for _ in "ab")
    run = subprocess.run(
        [sys.executable, "-m", "pantree_cli", "export", "-", "--format", "ordergroove"],
        input=text, capture_output=True, text=True, env=dict(os.environ),
    )  # fmt: skip
    assert run.returncode == code, run.stderr
    if code:
        assert "line 1: must be an answer" in run.stderr
    else:
        assert [len(json.loads(line)) for line in run.stdout.splitlines()] == [1, 1]


def subscription(**fields: object) -> CustomerSubscription:
    """A subscription that Pantree keeps."""
    content: dict[str, object] = {
        "subscription_id": "s-1", "customer_id": "c1", "status": "SUBSCRIPTION_STATUS_ACTIVE", "quantity": 2,
        "item": {"name": "Milk", "item_id": "41"}, "interval": {"unit": "INTERVAL_UNIT_MONTH", "count": 1},
        "anchor_date": "2026-12-03", "next_deliveries": [
            {"sequence": 1, "status": "DELIVERY_STATUS_LOCKED", "date": "2026-12-03", "scheduled_date": "2026-12-03"},
            {"sequence": 2, "status": "DELIVERY_STATUS_PLANNED", "date": "2027-01-03", "scheduled_date": "2027-01-03"},
        ], **fields,
    }  # fmt: skip
    return to_subscription(json_format.ParseDict(content, SubscriptionMessage()))


def test_subscription_of_pantree_becomes_what_creates_it() -> None:
    assert recharge_subscription(subscription()) == {
        "external_variant_id": {"ecommerce": "41"}, "quantity": 2, "order_interval_unit": "month",
        "order_interval_frequency": 1, "charge_interval_frequency": 1, "next_charge_scheduled_at": "2027-01-03",
    }  # fmt: skip
    assert ordergroove_subscription(subscription()) == {
        "customer": "c1", "product": "41", "quantity": 2, "every": 1, "every_period": 3,
    }  # fmt: skip
    for export in (recharge_subscription, ordergroove_subscription):
        with pytest.raises(InvalidInput, match="is paused; only an active"):
            export(subscription(status="SUBSCRIPTION_STATUS_PAUSED"))
        with pytest.raises(InvalidInput, match="is missing for 'Milk'"):
            export(subscription(item={"name": "Milk"}))
    with pytest.raises(InvalidInput, match="is not a contract of Shopify"):
        shopify_contract(subscription())


def test_command_line_exports_subscriptions() -> None:
    text = json.dumps(json_format.MessageToDict(subscription().message, preserving_proto_field_name=True))
    run = subprocess.run(
        [sys.executable, "-m", "pantree_cli", "export", "-", "--format", "recharge"],
        input=text, capture_output=True, text=True, env=dict(os.environ),
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    assert json.loads(run.stdout) == recharge_subscription(subscription())
