"""Payloads of webhooks, written from the fields that the engines document."""

import json
from typing import Any


def recharge(**fields: Any) -> dict[str, Any]:
    """A subscription of Recharge, API 2021-11."""
    return {
        "id": 27363808,
        "address_id": 48563471,
        "customer_id": 43845860,
        "analytics_data": {"utm_params": []},
        "cancellation_reason": None,
        "cancellation_reason_comments": None,
        "cancelled_at": None,
        "charge_interval_frequency": 2,
        "created_at": "2026-05-20T10:30:51",
        "expire_after_specific_number_of_charges": None,
        "external_product_id": {"ecommerce": "1255183683"},
        "external_variant_id": {"ecommerce": "3844924611"},
        "has_queued_charges": True,
        "is_prepaid": False,
        "is_skippable": True,
        "is_swappable": False,
        "max_retries_reached": False,
        "next_charge_scheduled_at": "2026-06-12",
        "order_day_of_month": None,
        "order_day_of_week": None,
        "order_interval_frequency": 2,
        "order_interval_unit": "week",
        "presentment_currency": "USD",
        "price": "12.00",
        "product_title": "Sumatra Coffee",
        "properties": [{"name": "grind", "value": "drip"}],
        "quantity": 2,
        "sku": "COF-1",
        "sku_override": False,
        "status": "active",
        "updated_at": "2026-06-01T10:00:00",
        "variant_title": "500 g",
        **fields,
    }


def recharge_charge(**fields: Any) -> dict[str, Any]:
    """A charge of Recharge for that subscription, API 2021-11."""
    line = {
        "purchase_item_id": 27363808,
        "purchase_item_type": "subscription",
        "external_variant_id": {"ecommerce": "3844924611"},
        "quantity": 2,
        "title": "Sumatra Coffee",
        "unit_price": "12.00",
    }
    return {
        "id": 377749210,
        "address_id": 48563471,
        "customer": {"id": 43845860},
        "line_items": [line, {"purchase_item_id": 99, "purchase_item_type": "onetime", "quantity": 1}],
        "scheduled_at": "2026-06-12",
        "status": "queued",
        "total_price": "24.00",
        "updated_at": "2026-06-01T11:00:00",
        **fields,
    }


def ordergroove(kind: str = "subscription.create", created: int = 1_780_300_000, **fields: Any) -> dict[str, Any]:
    """An event of a subscription of Ordergroove."""
    return {
        "id": f"event-{kind}-{created}",
        "type": kind,
        "created": created,
        "data": {
            "object": {
                "type": "subscription",
                "merchant": "aaaa1111bbbb2222cccc",
                "public_id": "zzzz9999yyyy8888xxxx",
                "customer": "h183738",
                "product": "SKUabc",
                "components": [{"product": "product_1"}, {"product": "product_2"}],
                "extra_data": {"some": "extra"},
                "quantity": 1,
                "price": None,
                "frequency_days": 14,
                "reminder_days": 10,
                "every": 2,
                "every_period": 2,
                "every_period_display": "Weeks",
                "cancelled": None,
                "cancel_reason": "",
                "cancel_reason_code": None,
                "session_id": "aaaa1111bbbb2222cccc.450125.1299622365",
                "merchant_order_id": "12345678",
                "live": True,
                "external_id": None,
                "created": 1_780_000_000,
                "start_date": "2026-06-01",
                "offer": "a748aa648ac811e8af3bbc764e106cf4",
                "payment": "070001bc02fd11e99542bc764e1043b0",
                "shipping_address": "66c25cd0564011e9abc5bc764e107990",
                "updated": 1_780_300_000,
                **fields,
            }
        },
    }


def ordergroove_item(kind: str, created: int) -> dict[str, Any]:
    """An event of an item of an order of Ordergroove."""
    item = {
        "type": "item",
        "merchant": "aaaa1111bbbb2222cccc",
        "public_id": "iiii",
        "customer": "h183738",
        "product": "SKUabc",
        "order": "oooo",
        "subscription": "zzzz9999yyyy8888xxxx",
        "quantity": 1,
    }
    return {"id": f"event-{kind}-{created}", "type": kind, "created": created, "data": {"object": item}}


def ordergroove_order(kind: str, created: int, place: str) -> dict[str, Any]:
    """An event of an order of Ordergroove."""
    order = {
        "type": "order",
        "merchant": "aaaa1111bbbb2222cccc",
        "public_id": "oooo",
        "customer": "h183738",
        "place": place,
        "status": 1,
        "status_display": "Unsent",
        "total": "25.00",
        "tries": 0,
    }
    return {"id": f"event-{kind}-{created}", "type": kind, "created": created, "data": {"object": order}}


def shopify(**fields: Any) -> dict[str, Any]:
    """A webhook about a subscription contract of Shopify."""
    return {
        "admin_graphql_api_id": "gid://shopify/SubscriptionContract/10746691881",
        "id": 10746691881,
        "billing_policy": {"interval": "month", "interval_count": 1, "min_cycles": None, "max_cycles": None},
        "currency_code": "USD",
        "customer_id": 6735677391145,
        "admin_graphql_api_customer_id": "gid://shopify/Customer/6735677391145",
        "delivery_policy": {"interval": "month", "interval_count": 1},
        "status": "active",
        "admin_graphql_api_origin_order_id": "gid://shopify/Order/5237087142185",
        "origin_order_id": 5237087142185,
        "revision_id": "376707318057",
        "created_at": "2026-05-31T21:33:28.401Z",
        "updated_at": "2026-05-31T21:33:28.401Z",
        **fields,
    }


def shopify_object(**fields: Any) -> dict[str, Any]:
    """The same contract as an object of the GraphQL Admin API."""
    return {
        "id": "gid://shopify/SubscriptionContract/10746691881",
        "customer": {"id": "gid://shopify/Customer/6735677391145"},
        "status": "ACTIVE",
        "revisionId": "376707318060",
        "createdAt": "2026-05-31T21:33:28Z",
        "updatedAt": "2026-06-01T09:00:00Z",
        "nextBillingDate": "2026-06-30T00:00:00Z",
        "billingPolicy": {"interval": "MONTH", "intervalCount": 1},
        "deliveryPolicy": {"interval": "MONTH", "intervalCount": 1},
        "lines": {
            "nodes": [
                {
                    "title": "Sumatra Coffee",
                    "variantTitle": "500 g",
                    "variantId": "gid://shopify/ProductVariant/3844924611",
                    "sku": "COF-1",
                    "quantity": 3,
                }
            ]
        },
        **fields,
    }


def text(payload: Any) -> str:
    """A payload as a body."""
    return json.dumps(payload)
