import dataclasses
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pantree_recommendation.backends.bodies import (
    BodyFormat,
    MalformedBody,
    items_of,
    predictions,
    request_bodies,
    scores_body,
)
from pantree_recommendation.core.ranking import FEATURES, ItemFeatures
from tests.recommendation.evidence import features

_VALUES: dict[type, st.SearchStrategy[Any]] = {
    # Requests reject control characters; all others occur, such as the line separators of Unicode.
    str: st.text(st.characters(exclude_categories=["Cc", "Cs"]), max_size=30),
    int: st.integers(-(10**9), 10**9),
    float: st.floats(allow_nan=False, allow_infinity=False),
}
ITEMS = st.lists(
    st.builds(
        ItemFeatures,
        **{field.name: _VALUES[field.type] for field in dataclasses.fields(ItemFeatures)},  # type: ignore[index]
    ),
    max_size=5,
)


@given(ITEMS, st.sampled_from(BodyFormat), st.integers(1, 3_000))
def test_items_read_back_equal(items: list[ItemFeatures], body_format: BodyFormat, limit: int) -> None:
    parts = list(request_bodies(items, body_format, limit))
    arrived = [item for body, _ in parts for item in items_of(body, body_format)]
    # Compared as text, since -0.0 equals 0.0.
    assert repr(arrived) == repr(items)
    assert sum(count for _, count in parts) == len(items)
    assert all(len(body) <= limit or count == 1 for body, count in parts)


@given(st.lists(st.floats(0, 1), max_size=20), st.sampled_from(BodyFormat))
def test_scores_read_back_equal(scores: list[float], body_format: BodyFormat) -> None:
    assert repr(predictions(scores_body(scores, body_format), len(scores), body_format)) == repr(scores)


@pytest.mark.parametrize("body_format", [BodyFormat.JSON_LINES, BodyFormat.CSV])
def test_windows_line_ends_are_accepted(body_format: BodyFormat) -> None:
    ((body, _),) = request_bodies([features(), features(name="Oats")], body_format)
    assert items_of(body.replace(b"\n", b"\r\n"), body_format) == items_of(body, body_format)


def test_unknown_fields_are_ignored() -> None:
    line = json.dumps({**dataclasses.asdict(features()), "smell": "sweet"}).encode()
    assert items_of(line, BodyFormat.JSON_LINES) == [features()]


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("name", 3, "name: Input should be a valid string"),
        ("purchase_count", 2.5, "purchase_count: Input should be a valid integer"),
        ("purchase_count", True, "purchase_count: Input should be a valid integer"),
        ("latest_unit_price", "1.99", "latest_unit_price: Input should be a valid number"),
        ("latest_unit_price", float("nan"), "latest_unit_price: Input should be a finite number"),
        ("latest_unit_price", 10**400, "latest_unit_price: Input should be a finite number"),
        ("purchase_count", 1e400, "purchase_count: Input should be a valid integer"),
    ],
)
def test_value_of_the_wrong_type_is_reported(name: str, value: object, problem: str) -> None:
    line = json.dumps({**dataclasses.asdict(features()), name: value}).encode()
    with pytest.raises(MalformedBody) as raised:
        items_of(line, BodyFormat.JSON_LINES)
    assert raised.value.problems == ((1, problem),)


@pytest.mark.parametrize(("text", "value"), [("8", 8), ("8.0", 8), ("-3", -3)])
def test_csv_integer_may_have_a_decimal_point(text: str, value: int) -> None:
    ((body, _),) = request_bodies([features()], BodyFormat.CSV)
    columns = body.decode().rstrip("\n").split(",")
    columns[FEATURES.index("purchase_count")] = text
    (item,) = items_of(",".join(columns).encode(), BodyFormat.CSV)
    assert (item.purchase_count, type(item.purchase_count)) == (value, int)


@pytest.mark.parametrize("text", ["", "many", "nan", "inf", "1_000", "²"])
def test_invalid_csv_number_is_reported(text: str) -> None:
    ((body, _),) = request_bodies([features()], BodyFormat.CSV)
    columns = body.decode().rstrip("\n").split(",")
    columns[FEATURES.index("latest_unit_price")] = text
    with pytest.raises(MalformedBody, match="latest_unit_price: Input should be"):
        items_of(",".join(columns).encode(), BodyFormat.CSV)


@pytest.mark.parametrize("body_format", [BodyFormat.JSON_LINES, BodyFormat.CSV])
@pytest.mark.parametrize("end", [b"", b"\n", b"\n\n", b"\r\n\r\n\n"])
def test_line_ends_at_the_end_are_no_items(body_format: BodyFormat, end: bytes) -> None:
    item = features()
    ((body, _),) = request_bodies([item], body_format)
    assert items_of(body.rstrip() + end, body_format) == [item]
    assert items_of(end, body_format) == []


def test_empty_line_between_items_is_an_error() -> None:
    ((body, _),) = request_bodies([features()], BodyFormat.JSON_LINES)
    with pytest.raises(MalformedBody):
        items_of(body + b"\n" + body, BodyFormat.JSON_LINES)
