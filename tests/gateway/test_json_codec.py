import json
from typing import Any

import orjson
import pytest
from google.protobuf import json_format, struct_pb2
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pantree.pipeline.v1 import pipeline_service_pb2 as pipeline
from pantree.simulation.v1 import simulation_service_pb2 as simulation
from pantree_gateway.transcoding.json_codec import JsonCodec, parse_json
from pantree_runtime.errors import InvalidInput
from pantree_runtime.validation import Violations
from tests.gateway.random_messages import messages
from tests.gateway.sample import Everything

CODEC = JsonCodec()
KINDS = [
    pipeline.ProcessRequest,
    pipeline.ProcessResponse,
    pipeline.StreamProcessResponse,
    pipeline.GetConfigResponse,
    pipeline.GetStatusResponse,
    simulation.ListArchetypesResponse,
    Everything,
]
no_deadline = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])


def random_messages(*, finite: bool) -> st.SearchStrategy[Any]:
    return st.sampled_from(KINDS).flatmap(lambda kind: messages(kind.DESCRIPTOR, finite=finite))


def written_by_json_format(message: Any) -> Any:
    return json_format.MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )


def read(kind: Any, value: Any, codec: JsonCodec = CODEC) -> Any:
    message = kind()
    violations = Violations()
    codec.read(message, value, violations)
    violations.raise_if_any()
    return message


def violations_of(kind: Any, value: Any, codec: JsonCodec = CODEC) -> dict[str, str]:
    with pytest.raises(InvalidInput) as raised:
        read(kind, value, codec)
    return {violation.field: violation.description for violation in raised.value.violations}


@no_deadline
@given(random_messages(finite=False))
def test_messages_are_written_as_json_format_writes_them(message: Any) -> None:
    assert CODEC.write(message) == written_by_json_format(message)


@no_deadline
@given(random_messages(finite=True))
def test_written_messages_are_read_back(message: Any) -> None:
    text = orjson.dumps(CODEC.write(message))
    read_by_json_format = json_format.Parse(text, type(message)())
    assert read(type(message), parse_json(text)) == read_by_json_format


@no_deadline
@given(random_messages(finite=True))
def test_lower_camel_case_names_are_read(message: Any) -> None:
    assert read(type(message), json_format.MessageToDict(message)) == json_format.ParseDict(
        json_format.MessageToDict(message), type(message)()
    )


@pytest.mark.parametrize(
    "number", [3.4028234663852886e38, -3.4028234663852886e38, 1.17549435e-38, 1e-45, 0.1, 16777216.0]
)
def test_float_of_32_bits_is_written_as_json_format_writes_it_and_read_back(number: float) -> None:
    message = Everything(a_float=number)
    assert CODEC.write(message) == written_by_json_format(message)
    assert read(Everything, CODEC.write(message)) == message


def test_number_beyond_a_float_of_32_bits_is_rejected() -> None:
    assert list(violations_of(Everything, {"a_float": 3.5e38})) == ["a_float"]


def test_fields_are_written_in_the_order_of_the_contract() -> None:
    names = [field.name for field in pipeline.MonthlyUpdate.DESCRIPTOR.fields]
    assert list(CODEC.write(pipeline.MonthlyUpdate())) == names


def test_every_wrong_field_is_named() -> None:
    violations = violations_of(
        pipeline.ProcessInput,
        {
            "customer_id": 5,
            "items": [{"name": "Bananas", "price": "abc"}, {"price": True, "quantity": 1.5}, "milk"],
            "simulation_months": 2**31,
            "seed": -1,
            "include_omitted": "yes",
            "history": {"name": "Bananas"},
            "archetyp": "busy_family",
        },
    )
    assert violations["customer_id"] == "must be a string; is 5"
    assert violations["items[0].price"] == 'must be a number; is "abc"'
    assert violations["items[1].price"] == "must be a number; is true"
    assert violations["items[1].quantity"] == "must be a whole number; is 1.5"
    assert violations["items[2]"] == 'must be an object; is "milk"'
    assert "2,147,483,647" in violations["simulation_months"]
    assert "0 to 4,294,967,295" in violations["seed"]
    assert violations["include_omitted"] == 'must be true or false; is "yes"'
    assert violations["history"] == "must be a list; is an object"
    assert "unknown" in violations["archetyp"]
    assert "archetype" in violations["archetyp"]
    assert len(violations) == 10


@pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity", "1e400", '"NaN"', "1" + "0" * 400])
def test_number_that_is_not_finite_is_rejected_with_its_path(text: str) -> None:
    value = parse_json(f'{{"items": [{{"name": "Bananas", "price": {text}}}]}}')
    (field,) = violations_of(pipeline.ProcessInput, value)
    assert field == "items[0].price"


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"quantity": 2**31}, "quantity"),
        ({"quantity": True}, "quantity"),
        ({"price": "abc"}, "price"),
        ({"price": float("nan")}, "price"),
        ({"price": float("inf")}, "price"),
        ({"name": 7}, "name"),
        ({"name": "x" * 65_537}, "name"),
        ({"name": "\ud800"}, "name"),
        ({"nam": "Bananas"}, "nam"),
    ],
)
def test_invalid_row_among_valid_ones_is_named(wrong: dict[str, Any], field: str) -> None:
    valid = {"name": "Bananas", "date": "2026-05-22", "quantity": 1, "price": 1.99}
    violations = violations_of(pipeline.ProcessInput, {"history": [valid, {**valid, **wrong}, valid]})
    assert list(violations) == [f"history[1].{field}"]


def test_unusual_but_valid_rows_are_read() -> None:
    rows = [
        {"name": "Bananas", "price": 1.99},
        {"name": "Crème", "quantity": 2.0, "price": 2},
        {"name": "Milk", "price": "3.5", "quantity": None},
    ]
    read_rows = read(pipeline.ProcessInput, {"history": rows}).history
    assert [row.name for row in read_rows] == ["Bananas", "Crème", "Milk"]
    assert [row.price for row in read_rows] == [1.99, 2.0, 3.5]
    assert [row.HasField("quantity") for row in read_rows] == [False, True, False]


def test_string_over_the_limit_is_rejected_without_its_content() -> None:
    violations = violations_of(pipeline.ProcessInput, {"items": [{"name": "x" * 5_000_000}]})
    assert violations == {"items[0].name": "must have at most 65,536 characters; has 5,000,000"}


def test_string_at_the_limit_is_read() -> None:
    codec = JsonCodec(max_string_characters=5)
    assert read(pipeline.ProcessInput, {"customer_id": "12345"}, codec).customer_id == "12345"
    assert list(violations_of(pipeline.ProcessInput, {"customer_id": "123456"}, codec)) == ["customer_id"]


def test_name_of_an_overlong_unknown_field_is_shortened() -> None:
    (field,) = violations_of(pipeline.ProcessInput, {"x" * 100_000: 1})
    assert len(field) < 50


def test_null_counts_as_absent() -> None:
    assert read(pipeline.ProcessInput, {"customer_id": None, "seed": None, "items": None}) == pipeline.ProcessInput()


def test_null_in_a_list_is_rejected() -> None:
    assert list(violations_of(Everything, {"strings": ["a", None]})) == ["strings[1]"]


def test_two_members_of_a_oneof_are_rejected() -> None:
    violations = violations_of(Everything, {"chosen_text": "a", "chosenNumber": 1})
    assert violations == {"chosen_number": "cannot be combined with chosen_text; send one of them"}


def test_field_under_both_its_names_is_rejected() -> None:
    violations = violations_of(pipeline.ProcessInput, {"customer_id": "a", "customerId": "b"})
    assert list(violations) == ["customerId"]


def test_enum_is_read_by_name_and_by_number() -> None:
    assert read(Everything, {"a_genre": "GENRE_NOVEL"}) == read(Everything, {"a_genre": 1})
    violations = violations_of(Everything, {"a_genre": "NOVEL", "genres": [99]})
    assert violations["a_genre"] == 'must be one of GENRE_UNSPECIFIED, GENRE_NOVEL, GENRE_COOKBOOK; is "NOVEL"'
    assert "genres[0]" in violations


def test_keys_of_maps_are_checked() -> None:
    violations = violations_of(Everything, {"books": {"one": {}}, "by_bool": {"maybe": 1}, "counts": {"a": "b"}})
    assert list(violations) == ["books.one", "by_bool.maybe", "counts.a"]


def test_whole_numbers_are_read_from_strings_and_integral_floats() -> None:
    message = read(Everything, {"an_int64": "9223372036854775807", "an_int32": 2.0, "a_double": "1.5"})
    assert (message.an_int64, message.an_int32, message.a_double) == (2**63 - 1, 2, 1.5)


def test_body_that_is_not_an_object_is_rejected() -> None:
    assert violations_of(pipeline.ProcessInput, [1]) == {"": "the body must be an object; is a list"}


def test_recursive_message_nested_too_deep_is_rejected() -> None:
    value: dict[str, Any] = {}
    for _ in range(200):
        value = {"inner": value}
    ((field, description),) = violations_of(Everything, value).items()
    assert "64 levels" in description
    assert field.startswith("inner.inner")


def test_struct_nested_too_deep_is_rejected() -> None:
    value: Any = 1
    for _ in range(200):
        value = [value]
    ((field, description),) = violations_of(Everything, {"a_struct": {"a": value}}).items()
    assert "64 levels" in description
    assert field.startswith("a_struct.a[0]")


def test_struct_with_an_overlong_string_is_rejected_with_its_path() -> None:
    assert list(violations_of(Everything, {"a_struct": {"a": ["x" * 70_000]}})) == ["a_struct.a[0]"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("a_timestamp", "yesterday"),
        ("a_timestamp", 5),
        ("a_duration", "long"),
        ("an_any", {"@type": "type.googleapis.com/unknown.Kind"}),
        ("an_any", {"name": "no type"}),
        ("a_struct", 5),
        ("a_string_value", 5),
        ("some_bytes", "*"),
    ],
)
def test_invalid_well_known_value_is_rejected_with_its_path(field: str, value: Any) -> None:
    assert list(violations_of(Everything, {field: value})) == [field]


def test_null_is_a_valid_value_of_value() -> None:
    message = read(Everything, {"a_value": None})
    assert message.a_value == struct_pb2.Value(null_value=struct_pb2.NULL_VALUE)


def test_unpaired_surrogate_is_rejected_with_its_path() -> None:
    for text in (
        '{"a_string": "\\ud800"}',
        '{"an_int32": "\\ud800"}',
        '{"\\ud800": 1}',
        '{"a_struct": {"\\ud800": "\\ud800"}}',
    ):
        violations = violations_of(Everything, parse_json(text))
        assert len(violations) == 1
        # The error itself must be valid JSON.
        orjson.dumps(violations)


@pytest.mark.parametrize("text", [b'{"a": 1,', b"", b"{'a': 1}", b"\xff\xfe", b"[" * 5000, b'{"a": 1} x'])
def test_malformed_json_is_rejected_with_its_position(text: bytes) -> None:
    with pytest.raises(InvalidInput) as raised:
        parse_json(text)
    assert "line 1, column" in raised.value.message


def test_only_the_first_of_thousands_of_violations_are_listed() -> None:
    violations = violations_of(pipeline.ProcessInput, {"items": [{"price": "x"}] * 10_000})
    assert len(violations) == 51
    assert violations[""] == "and 9,950 more"


def test_non_finite_numbers_are_written_as_strings() -> None:
    written = json.loads(orjson.dumps(CODEC.write(Everything(a_double=float("inf"), doubles=[1.0, float("nan")]))))
    assert (written["a_double"], written["doubles"]) == ("Infinity", [1.0, "NaN"])
