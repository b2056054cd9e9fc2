"""Random messages to every RPC of the contract: valid ones, invalid ones, cut ones, and ones with changed bytes."""

import contextlib
import random
from collections.abc import Iterator, Sequence
from typing import Any

from google.protobuf.message_factory import GetMessageClass

from pantree.enrichment.v1 import enrichment_service_pb2
from pantree.frequency.v1 import frequency_service_pb2
from pantree.history.v1 import history_service_pb2
from pantree.pipeline.v1 import pipeline_service_pb2
from pantree.recommendation.v1 import recommendation_service_pb2
from pantree.simulation.v1 import simulation_service_pb2
from pantree.subscription.v1 import subscription_service_pb2, webhook_service_pb2
from pantree.vector.v1 import vector_service_pb2
from pantree_domain.limits import NO_LIMITS, FieldLimits, field_limits

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


def random_calls(count: int, generator: random.Random) -> Iterator[tuple[str, Any, bytes]]:
    """Part, method and message of calls, of one method after another."""
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
        yield part, method, bytes(data)


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


def _valid_value(field: Any, limits: FieldLimits, generator: random.Random) -> Any:
    if field.cpp_type == field.CPPTYPE_STRING:
        if field.type == field.TYPE_BYTES:
            return b"a"
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
