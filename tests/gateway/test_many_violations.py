"""However many fields are wrong, the answer is 400 with the first ones and how many more there are."""

import contextlib
import json
import random
import re
from typing import Any

import httpx
import orjson
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from pantree_gateway.server import RunningGateway
from pantree_gateway.transcoding.problem import MAX_DOCUMENT_BYTES, Problem, problem_of_error
from pantree_gateway.transcoding.websocket import MAX_REASON_BYTES
from pantree_runtime.errors import FieldViolation, InvalidInput
from tests.gateway.mesh import Mesh
from tests.gateway.schemas import checked
from tests.gateway.servicers import raising

WRONG_FIELDS: list[dict[str, Any]] = [
    {"price": "x" * 100},
    {"price": True},
    {"quantity": 1.5},
    {"quantity": 2**40},
    {"name": 7},
    {"date": []},
    {"ü" * 100: '"' * 100},
    {'\\"\n' * 40: 1},
]
COUNTS = [1, 2, 10, 49, 50, 51, 60, 1_000, 10_000, *random.Random(16).sample(range(1, 10_000), 5)]


def body_with(count: int) -> bytes:
    chosen = random.Random(count)
    rows = [{"name": "Milk", "date": "2026-05-22", "price": 1.5, **chosen.choice(WRONG_FIELDS)} for _ in range(count)]
    return json.dumps({"customer_id": "a", "history": rows}).encode()


def assert_describes(problem: dict[str, Any], count: int) -> None:
    assert (problem["status"], problem["code"]) == (400, "INVALID_INPUT")
    assert len(orjson.dumps(problem)) < MAX_DOCUMENT_BYTES
    *named, last = problem["errors"]
    if more := re.fullmatch(r"and ([\d,]+) more", last["message"]):
        assert len(named) + int(more[1].replace(",", "")) == count
    else:
        named.append(last)
        assert len(named) == count
    assert named
    assert all(error["field"].startswith("history[") for error in named)


@pytest.mark.parametrize("count", COUNTS)
async def test_rest_names_the_first_violations(count: int, mesh: Mesh, client: httpx.AsyncClient) -> None:
    response = await client.post(
        "/api/v1/process", content=body_with(count), headers={"Content-Type": "application/json"}
    )
    assert response.status_code == 400
    assert len(response.content) < MAX_DOCUMENT_BYTES
    assert_describes(response.json(), count)


@pytest.mark.parametrize("count", COUNTS)
async def test_websocket_names_the_first_violations(count: int, mesh: Mesh, gateway: RunningGateway) -> None:
    async with connect(f"ws://{gateway.address}/ws/stream/a", max_size=None) as websocket:
        await websocket.send(body_with(count).decode())
        frame = checked(json.loads(await websocket.recv()))
        await websocket.wait_closed()
    assert_describes(frame["problem"], count)
    assert websocket.close_code == 4400
    assert len((websocket.close_reason or "").encode()) <= MAX_REASON_BYTES


def problem_of(count: int, description: str = "must be a number from 0 to 1,000,000; is -1") -> Problem:
    return problem_of_error(InvalidInput([FieldViolation(f"items[{row}].price", description) for row in range(count)]))


def test_few_violations_are_all_named() -> None:
    assert len(problem_of(8).errors) == 8


@pytest.mark.parametrize("description", ["must be a number", "ü" * 5_000, '"\\\n' * 500, ""])
def test_document_is_short_whatever_the_violations_say(description: str) -> None:
    document = problem_of(300, description).document("/" + "\x01" * 5_000)
    assert len(orjson.dumps(document)) < MAX_DOCUMENT_BYTES


@pytest.mark.parametrize("count", COUNTS)
async def test_violations_from_the_pipeline_are_limited_too(
    count: int, mesh: Mesh, client: httpx.AsyncClient, gateway: RunningGateway
) -> None:
    wrong = [FieldViolation(f"input.history[{row}].price", "must be a number; is 'ü\"' " * 5) for row in range(count)]
    mesh.pipeline.before_answer = raising(InvalidInput(wrong))
    response = await client.post("/api/v1/process", json={"customer_id": "a"})
    assert response.status_code == 400
    assert len(response.content) < MAX_DOCUMENT_BYTES
    assert_describes(response.json(), count)
    async with connect(f"ws://{gateway.address}/ws/stream/a", max_size=None) as websocket:
        await websocket.send("{}")
        frames: list[Any] = []
        with contextlib.suppress(ConnectionClosed):
            while True:
                frames.append(checked(json.loads(await websocket.recv())))
    assert_describes(frames[-1]["problem"], count)
    assert websocket.close_code == 4400
