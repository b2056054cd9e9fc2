"""Random messages to every RPC of the contract: valid ones, invalid ones, cut ones, and ones with changed bytes."""

import contextlib
import json
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from google.protobuf.message_factory import GetMessageClass

from pantree.enrichment.v1 import enrichment_service_pb2
from pantree.frequency.v1 import frequency_service_pb2
from pantree.history.v1 import history_service_pb2
from pantree.pipeline.v1 import pipeline_service_pb2
from pantree.recommendation.v1 import recommendation_service_pb2
from pantree.simulation.v1 import simulation_service_pb2
from pantree.subscription.v1 import subscription_service_pb2, webhook_service_pb2
from pantree.vector.v1 import vector_service_pb2
from pantree_domain.cadence import LADDER
from pantree_domain.limits import NO_LIMITS, FieldLimits, field_limits
from tests.history import engine_payloads

SERVICES = {
    "pipeline": [pipeline_service_pb2.DESCRIPTOR.services_by_name["PipelineService"]],
    "simulation": [simulation_service_pb2.DESCRIPTOR.services_by_name["SimulationService"]],
    "vector": [vector_service_pb2.DESCRIPTOR.services_by_name["VectorService"]],
    "frequency": [frequency_service_pb2.DESCRIPTOR.services_by_name["FrequencyService"]],
    "enrichment": [enrichment_service_pb2.DESCRIPTOR.services_by_name["EnrichmentService"]],
    "recommendation": [recommendation_service_pb2.DESCRIPTOR.services_by_name["RecommendationService"]],
    "history": [
        history_service_pb2.DESCRIPTOR.services_by_name["HistoryService"],
        subscription_service_pb2.DESCRIPTOR.services_by_name["SubscriptionService"],
        webhook_service_pb2.DESCRIPTOR.services_by_name["WebhookService"],
    ],
}
"""Services of the contract, by part."""
METHODS: list[tuple[str, Any]] = [
    (part, method) for part, services in SERVICES.items() for service in services for method in service.methods
]
"""Part and descriptor of every RPC."""
ENDLESS = frozenset({"SimulatePopulation", "StreamHistories"})
"""Methods whose responses are too many to read."""
_MAX_DEPTH = 4
_TEXTS = ["", "a", "Milk", "2026-01-01", "2199-12-31", "é" * 300, "a\nb", "\u200b", "x" * 70]
_NUMBERS = [0, 1, -1, 2, 7, 365, 20_000, 2**31 - 1, -(2**31)]
_DECIMALS = [0.0, 0.5, 1.0, -1.0, 1e6, 1e308, float("nan"), float("inf")]
# Few, so that calls meet what earlier ones have stored.
_VALID_TEXTS = ["a", "b", "Milk", "Bananas", "1"]
_DAYS = ["2025-06-01", "2025-12-31", "2026-01-01", "2026-01-31"]
_FIRST_DAY, _LAST_DAY = 20_000, 20_454
_AS_OF = "2026-01-31"
"""After all days of purchases."""
_STORED = 50
"""Orders of a customer, and customers who are merged."""
_SUBSCRIPTIONS = 10
"""Of a customer."""


class RandomCall(NamedTuple):
    """A call of an RPC."""

    part: str
    method: Any
    """Descriptor."""
    tenant: str
    data: bytes
    """The message."""


def random_calls(count: int, generator: random.Random, tenants: Sequence[str] = ("",)) -> Iterator[RandomCall]:
    """Calls of one method after another, each for one of the tenants."""
    for number in range(count):
        part, method = METHODS[number % len(METHODS)]
        message = GetMessageClass(method.input_type)()
        kind = generator.random()
        if kind < 0.5:
            _fill_valid(message, generator)
        else:
            _fill(message, generator)
        data = bytearray(message.SerializeToString())
        change = generator.random()
        if change < 0.15:
            data = data[: generator.randrange(len(data) + 1)]
        elif change < 0.3 and data:
            for _ in range(3):
                data[generator.randrange(len(data))] = generator.randrange(256)
        yield RandomCall(part, method, generator.choice(tenants), bytes(data))


def _fill(message: Any, generator: random.Random, depth: int = 0) -> None:
    """Sets random fields to random values."""
    for field in message.DESCRIPTOR.fields:
        if generator.random() < 0.4 or depth > _MAX_DEPTH:
            continue
        count = generator.choice([1, 1, 2, 5]) if field.is_repeated else 1
        for _ in range(count):
            if field.message_type is not None:
                if field.message_type.GetOptions().map_entry:
                    continue
                inner = getattr(message, field.name)
                _fill(inner.add() if field.is_repeated else inner, generator, depth + 1)
                continue
            value: Any
            if field.cpp_type == field.CPPTYPE_STRING:
                value = generator.choice(_TEXTS)
                value = value.encode() if field.type == field.TYPE_BYTES else value
            elif field.cpp_type in (field.CPPTYPE_DOUBLE, field.CPPTYPE_FLOAT):
                value = generator.choice(_DECIMALS)
            elif field.cpp_type == field.CPPTYPE_BOOL:
                value = generator.random() < 0.5
            elif field.enum_type is not None:
                value = generator.choice([0, 1, 2, 99])
            else:
                value = generator.choice(_NUMBERS)
            with contextlib.suppress(ValueError):  # out of the field's range
                if field.is_repeated:
                    getattr(message, field.name).append(value)
                else:
                    setattr(message, field.name, value)


def _fill_valid(message: Any, generator: random.Random, depth: int = 0) -> None:
    """Sets required and some other fields to values within the bounds of the contract."""
    if message.DESCRIPTOR.full_name == "pantree.purchase.v1.PurchaseColumns":
        _fill_columns(message, generator)
        return
    chosen = {
        generator.choice(oneof.fields).name: oneof
        for oneof in message.DESCRIPTOR.oneofs
        if len(oneof.fields) > 1  # those of one field are optional fields
    }
    for field in message.DESCRIPTOR.fields:
        limits = field_limits(field.full_name)
        oneof = field.containing_oneof
        is_alternative = oneof is not None and len(oneof.fields) > 1
        if is_alternative and field.name not in chosen:
            continue
        is_needed = limits.required or limits.min_items or limits.not_blank or is_alternative
        if not is_needed and (generator.random() < 0.6 or depth > _MAX_DEPTH):
            if not (field.is_repeated or field.message_type or field.has_presence or limits.ignore_zero_value):
                setattr(message, field.name, _valid_value(field, limits, generator))
            continue
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            continue
        if field.is_repeated:
            maximum = limits.max_items if limits.max_items is not None else 3
            for _ in range(min(max(limits.min_items, generator.choice([0, 1, 2, 3])), maximum)):
                elements = getattr(message, field.name)
                if field.message_type is not None:
                    _fill_valid(elements.add(), generator, depth + 1)
                    continue
                value = _valid_value(field, limits.items or NO_LIMITS, generator)
                if not (limits.unique and value in elements):
                    elements.append(value)
        elif field.message_type is not None:
            getattr(message, field.name).SetInParent()
            _fill_valid(getattr(message, field.name), generator, depth + 1)
        else:
            setattr(message, field.name, _valid_value(field, limits, generator))
    fit = _FITS.get(message.DESCRIPTOR.name)
    if fit is not None:
        fit(message, generator)


def _valid_value(field: Any, limits: FieldLimits, generator: random.Random) -> Any:
    if field.cpp_type == field.CPPTYPE_STRING:
        if field.type == field.TYPE_BYTES:
            return b"a"
        if field.name in _KNOWN_TEXTS:
            return generator.choice(_KNOWN_TEXTS[field.name])
        if limits.calendar_day or limits.forecast_day:
            return generator.choice(_DAYS)
        return "EUR" if limits.currency_code else generator.choice(_VALID_TEXTS)
    if field.enum_type is not None:
        return generator.choice([value.number for value in field.enum_type.values])
    if field.cpp_type == field.CPPTYPE_BOOL:
        return generator.random() < 0.5
    is_decimal = field.cpp_type in (field.CPPTYPE_DOUBLE, field.CPPTYPE_FLOAT)
    lowest = limits.minimum if limits.minimum is not None else limits.exclusive_minimum
    highest = limits.maximum if limits.maximum is not None else limits.exclusive_maximum
    lowest = 0 if lowest is None else lowest
    highest = max(lowest, 100 if highest is None else highest)
    # Most of all small ones, and the bounds themselves.
    value = generator.choice([lowest, highest, min(lowest + 1, highest), min(lowest + generator.random() * 9, highest)])
    if is_decimal:
        is_open = value in (limits.exclusive_minimum, limits.exclusive_maximum)
        return (lowest + highest) / 2 if is_open else float(value)
    return int(value) - (value == limits.exclusive_maximum)


def _fill_columns(columns: Any, generator: random.Random) -> None:
    """A history in columns, whose lengths agree."""
    names: Sequence[str] = generator.sample(["Milk", "Bananas", "Rice", "Cat Food"], generator.randrange(1, 5))
    lines = generator.choice([1, 3, 20])
    columns.item_names.extend(names)
    columns.item_categories.extend(generator.choice(["", "produce", "dairy"]) for _ in names)
    columns.item_indices.extend(generator.randrange(len(names)) for _ in range(lines))
    columns.days.extend(sorted(generator.randrange(_FIRST_DAY, _LAST_DAY) for _ in range(lines)))
    columns.quantities.extend(generator.choice([1, 1, 2, 10]) for _ in range(lines))
    columns.prices.extend(generator.choice([0.0, 1.5, 3.49]) for _ in range(lines))
    columns.savings.extend([0.0] * lines)


# What no bounds of the contract say


_KNOWN_TEXTS: Mapping[str, Sequence[str]] = {
    "page_token": [""],
    "since": [""],
    "resume_token": [""],
    "archetype": ["", "busy_family"],
    "time_zone": ["", "UTC", "Europe/Berlin"],
    "weight_unit": [""],
    "etag": [""],
    "offer_id": [""],
    "request_id": ["", *(f"request {number}" for number in range(5_000))],
    "as_of": [_AS_OF],
    "model": [""],
    "model_name": [""],
    "url": ["https://receiver.invalid/hook"],
    "returned_order_id": [""],
    "returned_line_id": [""],
}
"""Values by the name of the field."""


def _day(generator: random.Random, first: int, last: int) -> str:
    """A day between two numbers of days from now."""
    return (datetime.now(UTC) + timedelta(days=generator.randint(first, last))).date().isoformat()


def _fit_line(line: Any, _generator: random.Random) -> None:
    line.ClearField("weight")
    line.saving = 0.0


def _fit_append(message: Any, generator: random.Random) -> None:
    """Differing lines, some of customers who are merged later."""
    if generator.random() < 0.2:
        message.customer_id = f"merged {generator.randrange(_STORED)}"
    order = generator.randrange(_STORED)
    for number, line in enumerate(message.purchases):
        line.order_id, line.line_id = f"{message.customer_id} {order}", str(number)


def _fit_correct(message: Any, generator: random.Random) -> None:
    """Lines that may be stored."""
    message.ClearField("removed")
    order_id = f"{message.customer_id} {generator.randrange(_STORED)}"
    if not message.purchases:
        message.removed.add(order_id=order_id, line_id="0")
    for number, line in enumerate(message.purchases):
        line.order_id, line.line_id = order_id, str(number)


def _fit_merge(message: Any, generator: random.Random) -> None:
    message.merged_customer_id = f"merged {generator.randrange(_STORED)}"


def _fit_erasure(message: Any, generator: random.Random) -> None:
    """Mostly of somebody else, since nothing can be stored about erased customers."""
    if generator.random() < 0.98:
        message.customer_id = f"erased {generator.randrange(100)}"


def _fit_price(message: Any, _generator: random.Random) -> None:
    message.saving = 0.0


def _fit_source(message: Any, generator: random.Random) -> None:
    """One source of purchases."""
    names = message.DESCRIPTOR.fields_by_name
    sources = [one for one in ("items", "history", "history_columns", "stored_history") if one in names]
    chosen = generator.choice(sources)
    for name in sources:
        if name != chosen:
            message.ClearField(name)
    for name in ("archetype", "simulation_months", "seed") if chosen != "items" else ():
        if name in names:
            message.ClearField(name)
    if chosen == "stored_history":
        message.stored_history = True
    elif "as_known_on" in names:
        message.ClearField("as_known_on")
    if chosen == "items":
        for number in range(generator.choice([1, 3])):
            message.items.add(name=f"Item {number}", price=2.5)
    elif chosen == "history" and not message.history:
        message.history.add(name="Milk", date="2025-12-31", price=1.5)
    elif chosen == "history_columns":
        message.history_columns.Clear()
        _fill_columns(message.history_columns, generator)


def _fit_changes(message: Any, _generator: random.Random) -> None:
    del message.item_names[:]
    message.item_names.extend(message.history.purchases.item_names[:1])


def _fit_analysis(message: Any, _generator: random.Random) -> None:
    message.ClearField("item_types")


def _fit_neighborhood(message: Any, _generator: random.Random) -> None:
    """Counts of parts of a whole."""
    message.neighbor_count = 100
    for number, item in enumerate(message.items):
        item.name = f"item {number}"
        item.buyer_count, item.regular_buyer_count = 50, 20
        if item.HasField("associated_item"):
            item.associated_item.buyer_count, item.associated_item.regular_count = 10, 5


def _fit_import(message: Any, generator: random.Random) -> None:
    for field in message.DESCRIPTOR.fields:
        if field.is_repeated:
            message.ClearField(field.name)
    rows = generator.choice([1, 3, 20])
    message.customer_ids.extend(["a", "b"])
    message.item_names.extend(["Milk", "Rice"])
    message.customer_indices.extend(generator.randrange(2) for _ in range(rows))
    message.item_indices.extend(generator.randrange(2) for _ in range(rows))
    message.order_ids.extend(f"import {generator.randrange(1000)}" for _ in range(rows))
    message.line_ids.extend(map(str, range(rows)))
    message.days.extend(generator.randrange(_FIRST_DAY, _LAST_DAY) for _ in range(rows))
    message.quantities.extend([1] * rows)


def _fit_interval(message: Any, generator: random.Random) -> None:
    message.unit = generator.choice([1, 2, 3])


def _fit_subscription(message: Any, generator: random.Random) -> None:
    """What no offer says."""
    message.item.name = "Milk"
    message.interval.unit, message.interval.count = 2, 1
    message.subscription_id = f"{message.customer_id} {generator.randrange(_SUBSCRIPTIONS)}"
    message.anchor_date = _day(generator, 2, 30)
    if message.expires_on:
        message.expires_on = _day(generator, 31, 300)


def _fit_to_subscription(message: Any, generator: random.Random) -> None:
    """One of those that `_fit_subscription` names, and days to come."""
    message.subscription_id = f"{message.customer_id} {generator.randrange(_SUBSCRIPTIONS)}"
    if message.DESCRIPTOR.name == "RecordDeliveryRequest":
        message.sequence = generator.choice([1, 1, 2, 3])
        message.report = generator.choice([1, 2, 3, 4, 5])
        message.ClearField("item")
        message.ClearField("quantity")


def _fit_days_to_come(message: Any, generator: random.Random) -> None:
    for name in ("until", "next_date", "cancel_on", "date"):
        if name in message.DESCRIPTOR.fields_by_name and getattr(message, name):
            setattr(message, name, _day(generator, 2, 60))


def _fit_clock(message: Any, generator: random.Random) -> None:
    moment = datetime.now(UTC) + timedelta(minutes=generator.randrange(100_000))
    message.now = moment.isoformat()


_PAYLOADS: Sequence[tuple[int, Callable[[], Any]]] = (
    (1, lambda: {"subscription": engine_payloads.recharge()}),
    (1, lambda: {"charge": engine_payloads.recharge_charge()}),
    (2, engine_payloads.ordergroove),
    (2, lambda: engine_payloads.ordergroove_item("item.create", 1_780_300_000)),
    (2, lambda: engine_payloads.ordergroove_order("order.create", 1_780_300_000, "2026-06-12")),
    (3, engine_payloads.shopify),
    (3, engine_payloads.shopify_object),
)
"""Engine, and a payload of its webhooks."""
_JSON_VALUES: Sequence[Any] = [
    None,
    True,
    0,
    -1,
    10**30,
    1.5,
    "",
    "a",
    "\x00",
    "\ud800",
    "2026-06-12",
    "9999-12-31",
    "0001-01-01",
    [],
    {},
]


def _fit_engine_event(message: Any, generator: random.Random) -> None:
    """A payload as the engine documents it; every second one with a wrong value somewhere."""
    message.engine, make = generator.choice(_PAYLOADS)
    message.topic = "subscription_contracts/update" if message.engine == 3 else ""
    payload = make()
    if generator.random() < 0.5:
        inner = payload
        while (found := [one for one in inner.values() if isinstance(one, dict) and one]) and generator.random() < 0.8:
            inner = generator.choice(found)
        inner[generator.choice(list(inner))] = generator.choice(_JSON_VALUES)
    message.payload = json.dumps(payload)


def _fit_frequency(message: Any, generator: random.Random) -> None:
    """Evidence on an item whose fields agree."""
    message.name = f"item {generator.randrange(10**6)}"
    message.purchase_count, message.mean_interval_days = 3, 7.0
    message.last_date, message.next_due_date = "2025-06-01", "2025-06-08"
    message.recommended_interval_days = generator.choice([0, *(step.interval_days for step in LADDER)])
    message.need = generator.choice([1, 2, 3])
    message.ClearField("delivery_options")


_FITS: Mapping[str, Callable[[Any, random.Random], None]] = {
    "PurchaseLine": _fit_line,
    "Purchase": _fit_price,
    **dict.fromkeys(("EraseCustomerRequest", "DeleteCustomerRequest"), _fit_erasure),
    **dict.fromkeys(("ProcessInput", "NextBasketInput", "WhatIfInput"), _fit_source),
    "FindCadenceChangesRequest": _fit_changes,
    "AnalyzeHistoryRequest": _fit_analysis,
    "Neighborhood": _fit_neighborhood,
    "AppendPurchasesRequest": _fit_append,
    "CorrectPurchasesRequest": _fit_correct,
    "ImportPurchasesRequest": _fit_import,
    "MergeCustomersRequest": _fit_merge,
    "DeliveryInterval": _fit_interval,
    "CreateSubscriptionRequest": _fit_subscription,
    **dict.fromkeys(
        (
            "ChangeSubscriptionRequest",
            "GetSubscriptionRequest",
            "ListDeliveriesRequest",
            "ListEventsRequest",
            "RecordDeliveryRequest",
        ),
        _fit_to_subscription,
    ),
    **dict.fromkeys(
        (
            "CancelSubscription",
            "ChangeInterval",
            "MoveDelivery",
            "PauseSubscription",
            "PauseSubscriptionsRequest",
            "ReactivateSubscription",
        ),
        _fit_days_to_come,
    ),
    "AdvanceTestClockRequest": _fit_clock,
    "RecordEngineEventRequest": _fit_engine_event,
    "ItemFrequency": _fit_frequency,
}
"""Make the fields of a message with random valid values agree, by the name of the message."""
