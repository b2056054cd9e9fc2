"""Each bound in the contract is checked: a message at the bound is valid, one just outside is not, and is named.

The messages are made from the descriptors, so that a new bound is tested without a new test. The library protovalidate
reads the same options and must agree.
"""

import functools
import math
from collections.abc import Iterator
from importlib import resources
from typing import Any

import protovalidate
import pytest
from google.api import field_behavior_pb2
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

# Their descriptors are in the default pool once they are imported.
from pantree.enrichment.v1 import enrichment_service_pb2
from pantree.frequency.v1 import frequency_service_pb2
from pantree.history.v1 import history_service_pb2
from pantree.pipeline.v1 import pipeline_service_pb2
from pantree.recommendation.v1 import recommendation_service_pb2
from pantree.simulation.v1 import simulation_service_pb2
from pantree.subscription.v1 import subscription_service_pb2
from pantree.vector.v1 import vector_service_pb2
from pantree_domain.limits import NO_LIMITS, FieldLimits, field_limits, message_limits
from pantree_runtime.errors import InvalidInput
from pantree_runtime.validation import validate

SERVICES = [
    service
    for module in (
        enrichment_service_pb2, frequency_service_pb2, history_service_pb2, pipeline_service_pb2,
        recommendation_service_pb2, simulation_service_pb2, subscription_service_pb2, vector_service_pb2,
    )
    for service in module.DESCRIPTOR.services_by_name.values()
]  # fmt: skip
FLOATS = (FieldDescriptor.CPPTYPE_DOUBLE, FieldDescriptor.CPPTYPE_FLOAT)


def nested_types(message: Descriptor, found: dict[str, Descriptor]) -> dict[str, Descriptor]:
    """A type and the types of all messages in it, by name."""
    if message.full_name not in found:
        found[message.full_name] = message
        for field in message.fields:
            if field.message_type is not None:
                nested_types(field.message_type, found)
    return found


@functools.cache
def request_types() -> dict[str, Descriptor]:
    found: dict[str, Descriptor] = {}
    for service in SERVICES:
        for method in service.methods:
            nested_types(method.input_type, found)
    return found


def limited_fields() -> Iterator[FieldDescriptor]:
    for message in request_types().values():
        for name in message_limits(message.full_name):
            yield message.fields_by_name[name]


FIELDS = {field.full_name: field for field in limited_fields()}


def owner(field: FieldDescriptor) -> Descriptor:
    assert field.containing_type is not None
    return field.containing_type


def new(message: Descriptor) -> Any:
    return message_factory.GetMessageClass(message)()


def valid(message: Descriptor) -> Any:
    """The smallest valid message of a type."""
    made = new(message)
    for field in message.fields:
        limits = field_limits(field.full_name)
        if field.is_repeated:
            for _ in range(limits.min_items):
                append(made, field, limits)
        elif field.message_type is not None:
            if limits.required:
                getattr(made, field.name).CopyFrom(valid(field.message_type))
                getattr(made, field.name).SetInParent()
        elif limits.required or not (field.has_presence or limits.ignore_zero_value):
            setattr(made, field.name, valid_values(field, limits)[0])
    return made


def append(message: Any, field: FieldDescriptor, limits: FieldLimits) -> None:
    elements = getattr(message, field.name)
    if field.message_type is not None:
        elements.add().CopyFrom(valid(field.message_type))
    elif field.cpp_type == FieldDescriptor.CPPTYPE_STRING:
        elements.append(f"{len(elements)}")
    else:
        elements.append(valid_values(field, limits.items or NO_LIMITS)[0])


def valid_values(field: FieldDescriptor, limits: FieldLimits) -> list[Any]:
    """Values of a field at its bounds."""
    if field.cpp_type == FieldDescriptor.CPPTYPE_STRING:
        if limits.calendar_day:
            return ["1970-01-01", "2199-12-31", "2024-02-29"]
        if limits.forecast_day:
            return ["1970-01-01", "9999-12-31", "2400-02-29"]
        if limits.currency_code:
            return ["EUR", "JPY"]
        invisible = [] if limits.no_invisible_characters else ["\u200b"]
        texts = ["x", "Kaffee\u00a0Röstung", *invisible, *(["", " "] if not limits.not_blank else [])]
        if limits.max_length is None:
            return texts
        return [*(text for text in texts if len(text) <= limits.max_length), "é" * limits.max_length]
    if field.enum_type is not None:
        return [value.number for value in field.enum_type.values]
    if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
        return [True]
    values = [limit for limit in (limits.minimum, limits.maximum) if limit is not None]
    if field.cpp_type not in FLOATS:
        values += [limits.exclusive_maximum - 1] if limits.exclusive_maximum is not None else []
        return [int(value) for value in values] or [1]
    if limits.exclusive_minimum is not None:
        values.append(math.nextafter(limits.exclusive_minimum, math.inf))
    if limits.exclusive_maximum is not None:
        values.append(math.nextafter(limits.exclusive_maximum, -math.inf))
    return values or [1.0]


def invalid_values(field: FieldDescriptor, limits: FieldLimits) -> list[Any]:
    """Values of a field just outside its bounds."""
    values: list[Any] = []
    if limits.calendar_day:
        values += [
            "1969-12-31",
            "2200-01-01",
            "2026-02-29",
            "2100-02-29",
            "2026-5-22",
            "20260522",
            "2026-W21-5",
            "x" * 99,
        ]
        values += [] if limits.ignore_zero_value else [""]
    if limits.forecast_day:
        values += ["1969-12-31", "10000-01-01", "2300-02-29", "2026-02-30", "2026-5-22"]
    if limits.currency_code:
        values += ["eur", "EU", "EURO", "€", "E R"]
    if limits.max_length is not None:
        values.append("é" * (limits.max_length + 1))
    if limits.not_blank:
        values += ["", " ", "\u00a0", "\u3000\u2003"]
    if limits.no_control_characters:
        values += ["a\nb", "\x00", "a\x1f", "\x7f", "a\x85b", "\x9f"]
    if limits.no_invisible_characters:
        values += ["a\nb", "\x9f", "a\u200bb", "\ufeff", "a\u202eb", "\u00ad", "a\u2066"]
    if limits.defined_only:
        values += [-1, 999]
    is_float = field.cpp_type in FLOATS
    if limits.minimum is not None:
        values.append(math.nextafter(limits.minimum, -math.inf) if is_float else int(limits.minimum) - 1)
    if limits.maximum is not None:
        values.append(math.nextafter(limits.maximum, math.inf) if is_float else int(limits.maximum) + 1)
    if limits.exclusive_minimum is not None:
        values.append(limits.exclusive_minimum)
    if limits.exclusive_maximum is not None:
        values.append(limits.exclusive_maximum)
    if is_float and (limits.finite or (limits.minimum is not None and limits.maximum is not None)):
        values += [math.nan, math.inf, -math.inf]
    return values


@functools.cache
def library() -> tuple[protovalidate.Validator, descriptor_pool.DescriptorPool]:
    image = descriptor_pb2.FileDescriptorSet.FromString(
        resources.files("pantree").joinpath("contract.binpb").read_bytes()
    )
    pool = descriptor_pool.DescriptorPool()
    for file in image.file:
        pool.AddSerializedFile(file.SerializeToString())
    return protovalidate.Validator(), pool


def library_accepts(message: Message) -> bool:
    """What protovalidate says; Unicode white space is the one thing that it sees differently."""
    validator, pool = library()
    twin = message_factory.GetMessageClass(pool.FindMessageTypeByName(message.DESCRIPTOR.full_name))
    return not validator.collect_violations(twin.FromString(message.SerializeToString()), fail_fast=True)


def violations(message: Message) -> dict[str, str]:
    try:
        validate(message)
    except InvalidInput as error:
        found = {violation.field: violation.description for violation in error.violations}
        assert not library_accepts(message), found
        return found
    assert library_accepts(message), message
    return {}


@pytest.mark.parametrize("name", sorted(request_types()))
def test_smallest_valid_message_is_accepted(name: str) -> None:
    assert violations(valid(request_types()[name])) == {}


@pytest.mark.parametrize(
    "name", [name for name, field in FIELDS.items() if not field.is_repeated and field.message_type is None]
)
def test_value_at_a_bound_is_accepted_and_refused_outside(name: str) -> None:
    field, limits = FIELDS[name], field_limits(name)
    for value in valid_values(field, limits):
        message = valid(owner(field))
        setattr(message, field.name, value)
        assert violations(message) == {}
    for value in invalid_values(field, limits):
        message = valid(owner(field))
        setattr(message, field.name, value)
        assert list(violations(message)) == [field.name], value
    if limits.required:
        message = valid(owner(field))
        message.ClearField(field.name)
        assert violations(message) == {field.name: "is required"}


@pytest.mark.parametrize("name", [name for name, field in FIELDS.items() if field_limits(name).required])
def test_required_field_must_be_present(name: str) -> None:
    message = valid(owner(FIELDS[name]))
    message.ClearField(FIELDS[name].name)
    assert violations(message)[FIELDS[name].name] == "is required"


LISTS = [name for name, field in FIELDS.items() if field.is_repeated]


@pytest.mark.parametrize("name", LISTS)
def test_length_of_a_list_is_bounded(name: str) -> None:
    field, limits = FIELDS[name], field_limits(name)
    assert limits.max_items is not None
    message = valid(owner(field))
    while len(getattr(message, field.name)) < limits.max_items:
        append(message, field, limits)
    assert violations(message) == {}
    append(message, field, limits)
    assert f" {limits.max_items:,} elements; has {limits.max_items + 1:,}" in violations(message)[field.name]
    if limits.min_items:
        message.ClearField(field.name)
        assert "; has 0" in violations(message)[field.name]


@pytest.mark.parametrize("count", [1, 100], ids=["short", "long enough for numpy"])
@pytest.mark.parametrize("name", [name for name in LISTS if FIELDS[name].message_type is None])
def test_wrong_element_of_a_list_is_named(name: str, count: int) -> None:
    field, limits = FIELDS[name], field_limits(name)
    items = limits.items or NO_LIMITS
    for value in invalid_values(field, items):
        message = valid(owner(field))
        elements = getattr(message, field.name)
        while len(elements) < min(count, limits.max_items or count):
            append(message, field, limits)
        elements[-1] = value
        assert list(violations(message)) == [f"{field.name}[{len(elements) - 1}]"]
    if limits.unique:
        message = valid(owner(field))
        message.ClearField(field.name)
        getattr(message, field.name).extend(["a", "b", "a"])
        assert list(violations(message)) == [f"{field.name}[2]"]


def test_nested_fields_are_named_by_their_path() -> None:
    request = pipeline_service_pb2.ProcessRequest()
    request.input.customer_id = "c"
    request.input.items.add(name="Milk", price=1)
    request.input.items.add(name=" ", price=-1, quantity=0)
    assert violations(request) == {
        "input.items[1].name": "must not be blank",
        "input.items[1].price": "must be a number from 0 to 1,000,000; is -1",
        "input.items[1].quantity": "must be a whole number from 1 to 10,000; is 0",
    }


def test_elements_that_get_errors_of_their_own_are_left_to_the_service() -> None:
    batch = frequency_service_pb2.AnalyzeHistoriesRequest(households=[frequency_service_pb2.HouseholdHistory()])
    assert violations(batch) == {}
    assert violations(batch.households[0]).keys() == {"purchases", "as_of"}


def test_every_list_in_a_request_has_a_largest_length() -> None:
    unbounded = [
        field.full_name
        for message in request_types().values()
        for field in message.fields
        if field.is_repeated and field_limits(field.full_name).max_items is None
    ]
    assert not unbounded


# A required enum that has no bound for that, so that a rule of its part requires it, with a test of its own.
REQUIRED_BY_A_RULE = {
    "pantree.recommendation.v1.ReviewedDelivery.status",
    "pantree.recommendation.v1.ReviewedSubscription.status",
    "pantree.subscription.v1.DeliveryInterval.unit",
    "pantree.subscription.v1.RecordDeliveryRequest.report",
    "pantree.subscription.v1.RecordEngineEventRequest.engine",
}


def test_every_required_field_has_a_bound_that_requires_it() -> None:
    required = [
        field
        for message in request_types().values()
        for field in message.fields
        if field_behavior_pb2.REQUIRED in field.GetOptions().Extensions[field_behavior_pb2.field_behavior]
    ]
    assert required
    assert {field.full_name for field in required if not is_missed(field)} == REQUIRED_BY_A_RULE


def is_missed(field: FieldDescriptor) -> bool:
    """Whether a message without the field is invalid because of it."""
    message = valid(owner(field))
    message.ClearField(field.name)
    return field.name in violations(message)
