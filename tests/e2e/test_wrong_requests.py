"""However many fields are wrong, and wherever a request enters, the answer is the same clear refusal.

`PANTREE_TEST_CASES` is the number of requests; they are divided among REST, WebSocket, gRPC and the command line.
"""

import json
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
import websockets
from google.protobuf import json_format
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from pantree.pipeline.v1 import pipeline_service_pb2 as messages
from pantree.pipeline.v1 import pipeline_service_pb2_grpc as stubs
from tests.e2e.mesh import RunningMesh

CASES = int(os.environ.get("PANTREE_TEST_CASES", "80"))
MAX_FAULTS = 300
# What a refusal may take, whatever is wrong: gRPC's trailers have a limit of 8 KiB.
MAX_BYTES = 4096


def wrong_request(number: int) -> dict[str, Any]:
    """A first purchase or a history with 1 to 300 faults of the right type, so that every entry point can send them."""
    draw = random.Random(number)
    fault_count = draw.randint(1, MAX_FAULTS)
    body: dict[str, Any] = {"customer_id": f"customer-{number}"}
    rows: list[dict[str, Any]] = [{"name": f"Item {position}", "price": 1.0} for position in range(fault_count)]
    faults: list[dict[str, Any]] = [
        {"price": -1.0}, {"price": 1e7}, {"quantity": 0}, {"quantity": 20_000}, {"name": ""}, {"name": "é" * 300},
        {"name": "tab\there"}, {"category": "x" * 300},
    ]  # fmt: skip
    if draw.random() < 0.5 and fault_count <= 100:
        body["items"] = rows
    else:
        body["history"] = rows
        faults += [{"date": "2026-02-30"}, {"date": "soon"}, {"saving": 1e6}]
        for row in rows:
            row["date"] = "2026-05-22"
    for row in rows:
        row.update(draw.choice(faults))
    if draw.random() < 0.3:
        body["max_recommendations"] = 101
    if draw.random() < 0.3:
        body["as_of"] = "someday"
    return body


def cases(entry: str, share: float) -> list[int]:
    """Numbers of the requests for an entry point; every entry point gets other ones."""
    start = {"rest": 0, "websocket": 1000, "grpc": 2000, "cli": 3000}[entry]
    return list(range(start, start + max(1, int(CASES * share))))


def assert_names_fields(names: list[str]) -> None:
    assert any(name.startswith(("items[", "history[", "max_recommendations", "as_of")) for name in names), names


@pytest.mark.parametrize("number", cases("rest", 0.3))
def test_rest_answers_400(mesh: RunningMesh, number: int) -> None:
    answer = httpx.post(f"{mesh.http}/api/v1/process", json=wrong_request(number), timeout=30)
    assert answer.status_code == 400, answer.text
    assert len(answer.content) <= MAX_BYTES
    assert_names_fields([error["field"] for error in answer.json()["errors"]])


@pytest.mark.parametrize("number", cases("websocket", 0.3))
async def test_websocket_closes_with_4400(mesh: RunningMesh, number: int) -> None:
    body = wrong_request(number)
    async with websockets.connect(f"{mesh.websocket}/ws/stream/{body.pop('customer_id')}") as socket:
        await socket.send(json.dumps(body))
        frame = json.loads(await socket.recv())
        with pytest.raises(websockets.ConnectionClosed):
            await socket.recv()
        assert socket.close_code == 4400
    assert frame["type"] == "error"
    assert "[" in frame["error"] or "max_recommendations" in frame["error"] or "as_of" in frame["error"]


@pytest.mark.parametrize("number", cases("grpc", 0.3))
async def test_grpc_ends_with_invalid_argument(mesh: RunningMesh, number: int) -> None:
    given = json_format.ParseDict(wrong_request(number), messages.ProcessInput())
    async with grpc.aio.insecure_channel(mesh.address("pipeline")) as channel:
        stub = stubs.PipelineServiceStub(channel)
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            if number % 2:
                await stub.Process(messages.ProcessRequest(input=given))
            else:
                await stub.StreamProcess(messages.StreamProcessRequest(input=given)).read()
    assert raised.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    status = rpc_status.from_call(raised.value)  # type: ignore[arg-type] # has what a Call has
    assert status is not None
    assert status.ByteSize() <= MAX_BYTES
    wrong = error_details_pb2.BadRequest()
    assert any(detail.Unpack(wrong) for detail in status.details)
    assert_names_fields([violation.field.removeprefix("input.") for violation in wrong.field_violations])


@pytest.mark.parametrize("number", cases("cli", 0.1))
def test_command_line_exits_with_2(mesh: RunningMesh, number: int, tmp_path: Path) -> None:
    file = tmp_path / "request.json"
    file.write_text(json.dumps(wrong_request(number)))
    command = [sys.executable, "-m", "pantree_cli", "process", str(file), "--address", mesh.address("pipeline")]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert result.returncode == 2, result.stderr
    assert any(name in result.stderr for name in ("items[", "history[", "max_recommendations", "as_of"))
    assert len(result.stderr.encode()) <= MAX_BYTES
    assert "Traceback" not in result.stderr
