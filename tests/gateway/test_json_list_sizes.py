"""Lists in JSON bodies are counted before they are built."""

import json
import time
import tracemalloc
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.asyncio.client import connect

from pantree.pipeline.v1.pipeline_service_pb2 import ProcessInput
from pantree_gateway.server import RunningGateway
from pantree_gateway.transcoding import json_list_sizes
from pantree_gateway.transcoding.json_list_sizes import MAX_FIELDS, MAX_UNKNOWN_ITEMS, ListSizeCheck
from pantree_runtime.errors import InvalidInput
from tests.gateway.mesh import Mesh
from tests.gateway.sample import Everything
from tests.gateway.schemas import checked

CHECK = ListSizeCheck(ProcessInput.DESCRIPTOR)
ROW = {"name": 'a [{"b": [,]', "date": "2026-05-22", "price": 1.5, "category": "\\"}


def list_of(element: str, count: int) -> bytes:
    return f"[{','.join([element] * count)}]".encode()


def field_of_error(body: bytes, check: ListSizeCheck = CHECK) -> tuple[str, str]:
    with pytest.raises(InvalidInput) as raised:
        check.check(body)
    (violation,) = raised.value.violations
    return violation.field, violation.description


@pytest.mark.parametrize(
    ("body", "field", "limit"),
    [
        (b'{"items":' + list_of("{}", 101) + b"}", "items", "100"),
        (b'{"items":' + list_of('"a"', 101) + b"}", "items", "100"),
        (b'{"items": \n' + list_of(" 1\t", 101) + b"}", "items", "100"),
        (b'{"items":' + list_of("[[]]", 101) + b"}", "items", "100"),
        (b'{"it\\u0065ms":' + list_of("1", 101) + b"}", "items", "100"),
        (b'{"seed": 1, "items": [], "items":' + list_of("1", 101) + b"}", "items", "100"),
        (b'{"history":' + list_of(json.dumps(ROW), 20_001) + b"}", "history", "20,000"),
        (b'{"historyColumns":{"itemNames":' + list_of('"a"', 8_001) + b"}}", "historyColumns.itemNames", "8,000"),
        (b'{"items":[{}, {"name":' + list_of("1", MAX_UNKNOWN_ITEMS + 1) + b"}]}", "items[1].name", "10,000"),
        (b'{"x":[[1],' + list_of("1", MAX_UNKNOWN_ITEMS + 1) + b"]}", "x[1]", "10,000"),
        (list_of("1", MAX_UNKNOWN_ITEMS + 1), "", "10,000"),
    ],
)
def test_list_over_its_limit_is_named(body: bytes, field: str, limit: str) -> None:
    assert field_of_error(body) == (field, f"must have at most {limit} elements; has more")


@pytest.mark.parametrize(
    "body",
    [
        b'{"items":' + list_of("{}", 100) + b', "history":' + list_of(json.dumps(ROW), 20_000) + b"}",
        b'{"items":' + list_of('{"name": ",,,[[[{{{"}', 100) + b"}",
        b'{"history_columns":{"days":' + list_of("20000", 100_000) + b"}}",
        b"",
        b"[",
        b'"',
        b"]",
        b'{"a"',
        b'{"a" 1}',
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b'"' * 1_000_001,
        b":" * 1_000_000,
        b"," * 1_000_000,
    ],
)
def test_other_bodies_pass_in_little_time(body: bytes) -> None:
    started = time.process_time()
    CHECK.check(body)
    assert time.process_time() - started < 1


def test_object_with_too_many_fields_is_rejected() -> None:
    fields = [b'"%d":[]' % number for number in range(MAX_FIELDS + 1)]
    CHECK.check(b"{" + b",".join(fields[1:]) + b"}")
    assert field_of_error(b"{" + b",".join(fields) + b"}") == ("", "must have at most 10,000 fields; has more")


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=12) | st.dictionaries(st.sampled_from(["inners", "strings", "x"]), inner),
    max_leaves=40,
)


def max_list_length(value: Any) -> int:
    if isinstance(value, list):
        return max([len(value), *map(max_list_length, value)])
    return max(map(max_list_length, value.values()), default=0) if isinstance(value, dict) else 0


def element_count(value: Any) -> int:
    if isinstance(value, list | dict):
        inner = value.values() if isinstance(value, dict) else value
        return len(value) + sum(map(element_count, inner))
    return 0


@given(JSON_VALUES, st.booleans())
def test_every_list_of_a_random_value_is_counted(value: Any, ascii_only: bool) -> None:
    body = json.dumps(value, ensure_ascii=ascii_only, indent=1 if ascii_only else None).encode()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_list_sizes, "MAX_UNKNOWN_ITEMS", 5)
        patch.setattr(json_list_sizes, "_UNKNOWN", json_list_sizes._Place(5, {}, is_list=False))
        check = ListSizeCheck(None)
        patch.setattr(json_list_sizes, "MAX_UNKNOWN_TOTAL", 40)
        if max_list_length(value) > 5:
            field_of_error(body, check)
        elif element_count(value) <= 40:
            check.check(body)


def test_message_that_contains_its_own_type_is_checked() -> None:
    body = b'{"inner":{"inner":{"x":' + list_of("1", MAX_UNKNOWN_ITEMS + 1) + b"}}}"
    assert field_of_error(body, ListSizeCheck(Everything.DESCRIPTOR))[0] == "inner.inner.x"


FLAT = b"[" + b"1," * 4_000 + b"1]"
SPREAD = [
    b'{"customer_id":"a",' + b",".join(b'"k%d":' % number + FLAT for number in range(1_500)) + b"}",
    b'{"customer_id":"a","x":[' + b",".join([list_of("{}", 9_000)] * 500) + b"]}",
    b'{"customer_id":"a","items":[' + b",".join([b'{"name":' + FLAT + b"}"] * 100) + b"]}",
    b'{"history":' + list_of("{" + ",".join(f'"k{n}":1' for n in range(90)) + "}", 10_000) + b"}",
]


@pytest.mark.parametrize("body", SPREAD)
async def test_unknown_elements_are_limited_however_they_are_spread(body: bytes, client: httpx.AsyncClient) -> None:
    tracemalloc.start()
    response = await client.post("/api/v1/process", content=body, headers={"Content-Type": "application/json"})
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert response.status_code == 400
    assert "more than 20,000 elements and fields are not in the contract" in response.json()["detail"]
    assert peak < 3 * len(body)


HOSTILE = [
    (b'{"customer_id":"a","items":' + list_of("{}", 1_000_000) + b"}", "items"),
    (b'{"customer_id":"a","items":' + list_of("1", 7_500_000) + b"}", "items"),
]


@pytest.mark.parametrize(("body", "field"), HOSTILE)
async def test_hostile_body_is_rejected_in_little_time_and_memory(
    body: bytes, field: str, mesh: Mesh, client: httpx.AsyncClient
) -> None:
    tracemalloc.start()
    started = time.process_time()
    response = await client.post("/api/v1/process", content=body, headers={"Content-Type": "application/json"})
    seconds, (_, peak) = time.process_time() - started, tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert response.status_code == 400
    assert [error["field"] for error in response.json()["errors"]] == [field]
    assert "at most 100 elements" in response.json()["detail"]
    # The body itself is received and joined, and nothing more is built.
    assert peak < 3 * len(body)
    assert seconds < 2
    assert not mesh.pipeline.requests


@pytest.mark.parametrize(("body", "field"), HOSTILE)
async def test_hostile_websocket_message_is_rejected(
    body: bytes, field: str, mesh: Mesh, gateway: RunningGateway
) -> None:
    async with connect(f"ws://{gateway.address}/ws/stream/a", max_size=None) as websocket:
        await websocket.send(body.decode())
        frame = checked(json.loads(await websocket.recv()))
        await websocket.wait_closed()
    assert [error["field"] for error in frame["problem"]["errors"]] == [field]
    assert websocket.close_code == 4400
    assert not mesh.pipeline.requests
