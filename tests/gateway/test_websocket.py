import asyncio
import contextlib
import json
import logging
from typing import Any

import pytest
from fastapi import FastAPI
from structlog.testing import capture_logs
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from pantree.pipeline.v1 import pipeline_service_pb2
from pantree_gateway.server import RunningGateway
from pantree_gateway.transcoding.context import RouteContext
from pantree_gateway.transcoding.limits import Limits
from pantree_gateway.transcoding.problem import PROBLEM_SCHEMA
from pantree_gateway.transcoding.upstream import Upstream
from pantree_gateway.transcoding.websocket import MAX_REASON_BYTES, add_websocket_routes
from pantree_runtime.channel import open_channel
from pantree_runtime.errors import FieldViolation, InvalidInput
from tests.gateway.mesh import Mesh
from tests.gateway.sample import BROKEN, ID_OF_ITS_OWN
from tests.gateway.schemas import assert_valid, checked
from tests.gateway.servicers import aborting, raising

# The request of the original JavaScript example.
EXAMPLE_REQUEST = {
    "items": [{"name": "Bananas", "price": 1.99}, {"name": "Milk", "price": 5.49}],
    "archetype": "health_conscious",
}


@pytest.fixture
def address(mesh: Mesh, gateway: RunningGateway) -> str:
    return f"ws://{gateway.address}/ws/stream/cust_001"


async def converse(address: str, request: Any, **options: Any) -> tuple[list[Any], int, str]:
    """Frames of the answer to a request, then the close code and its reason."""
    frames: list[Any] = []
    async with connect(address, **options) as websocket:
        await websocket.send(request if isinstance(request, str | bytes) else json.dumps(request))
        with contextlib.suppress(ConnectionClosed):
            while True:
                frames.append(checked(json.loads(await websocket.recv())))
        assert websocket.close_code is not None
        return frames, websocket.close_code, websocket.close_reason or ""


async def assert_rejected(address: str, request: Any, code: int = 4400, **options: Any) -> dict[str, Any]:
    """Problem in the only frame of the answer to a request."""
    (frame,), close_code, reason = await converse(address, request, **options)
    assert (frame["type"], close_code) == ("error", code)
    assert set(frame) == {"type", "error", "problem", "seq", "ts"}
    assert frame["error"] == frame["problem"]["detail"]
    assert frame["error"].startswith(reason)
    assert len(reason.encode()) <= MAX_REASON_BYTES
    assert_valid(frame["problem"], PROBLEM_SCHEMA)
    problem: dict[str, Any] = frame["problem"]
    return problem


async def test_example_gets_started_months_and_completed(mesh: Mesh, address: str) -> None:
    frames, code, _ = await converse(address, EXAMPLE_REQUEST)
    assert [frame["type"] for frame in frames] == ["started", *["monthly_update"] * 6, "completed"]
    months = [frame["data"] for frame in frames[1:-1]]
    assert [month["progress"] for month in months][-1] == 100
    assert months[0]["month_display"] == "May 2026"
    assert frames[-1]["data"]["recommendations"]["recommendations"][0]["name"] == "Bananas"
    assert code == 1000
    assert mesh.pipeline.requests[0].customer_id == "cust_001"
    assert mesh.pipeline.requests[0].archetype == "health_conscious"


async def test_months_are_sent_before_later_ones_exist(mesh: Mesh, address: str) -> None:
    mesh.pipeline.months_may_go_on.clear()
    async with connect(address) as websocket:
        await websocket.send(json.dumps(EXAMPLE_REQUEST))
        types = [checked(json.loads(await websocket.recv()))["type"] for _ in range(2)]
        assert types == ["started", "monthly_update"]
        assert not mesh.pipeline.stream_ended.is_set()
        mesh.pipeline.months_may_go_on.set()
        assert len([frame async for frame in websocket]) == 6


async def test_body_may_repeat_the_customer_in_the_path(address: str) -> None:
    _, code, _ = await converse(address, {**EXAMPLE_REQUEST, "customer_id": "cust_001"})
    assert code == 1000


async def test_different_customer_in_the_body_is_rejected(address: str) -> None:
    problem = await assert_rejected(address, {**EXAMPLE_REQUEST, "customer_id": "cust_002"})
    assert [error["field"] for error in problem["errors"]] == ["customer_id"]


@pytest.mark.parametrize(
    ("request_text", "field"),
    [
        ('{"items": [', ""),
        ("[]", ""),
        (b"{}", ""),
        ('{"item": []}', "item"),
        ('{"items": [{"name": "Milk", "price": NaN}]}', "items[0].price"),
        (json.dumps({"items": [{"name": "x" * 5_000_000}]}), "items[0].name"),
    ],
)
async def test_invalid_request_is_rejected_with_its_field(request_text: Any, field: str, address: str) -> None:
    problem = await assert_rejected(address, request_text)
    assert [error["field"] for error in problem["errors"]] == [field]


@pytest.mark.parametrize(
    ("status", "code"),
    [("INVALID_ARGUMENT", 4400), ("UNAUTHENTICATED", 4401), ("NOT_FOUND", 4404), ("RESOURCE_EXHAUSTED", 4429),
     ("INTERNAL", 4500), ("UNAVAILABLE", 4500)],
)  # fmt: skip
async def test_error_in_mid_stream_is_sent_and_closes(status: str, code: int, mesh: Mesh, address: str) -> None:
    mesh.pipeline.before_answer = aborting(status, "ü" * 200)
    frames, close_code, reason = await converse(address, EXAMPLE_REQUEST)
    assert [frame["type"] for frame in frames] == ["started", "monthly_update", "error"]
    assert close_code == code
    assert len(reason.encode()) <= MAX_REASON_BYTES


async def test_violation_from_the_pipeline_is_relative_to_the_message(mesh: Mesh, address: str) -> None:
    error = InvalidInput([FieldViolation("input.items[0].price", "is -1; give 0 or more")])
    mesh.pipeline.before_answer = raising(error)
    frames, code, _ = await converse(address, EXAMPLE_REQUEST)
    assert code == 4400
    assert frames[-1]["problem"]["errors"][0]["field"] == "items[0].price"


async def test_unavailable_pipeline_is_named(mesh: Mesh) -> None:
    async with mesh.gateway(pipeline_address="127.0.0.1:1") as gateway:
        problem = await assert_rejected(f"ws://{gateway.address}/ws/stream/a", EXAMPLE_REQUEST, 4500)
    assert problem["component"] == "pipeline"


async def test_stream_has_a_deadline(mesh: Mesh, address: str) -> None:
    mesh.pipeline.months_may_go_on.clear()
    frames, code, _ = await converse(address, EXAMPLE_REQUEST, additional_headers={"X-Request-Timeout": "0.3"})
    assert (frames[-1]["problem"]["code"], code) == ("DEADLINE_EXCEEDED", 4500)


async def test_stream_gets_the_default_deadline(mesh: Mesh) -> None:
    async with mesh.gateway(stream_timeout_seconds=200.0) as gateway:
        await converse(f"ws://{gateway.address}/ws/stream/a", EXAMPLE_REQUEST)
    assert mesh.pipeline.seconds_left is not None
    assert 150 < mesh.pipeline.seconds_left < 205


async def test_invalid_timeout_is_named(address: str) -> None:
    problem = await assert_rejected(address, EXAMPLE_REQUEST, additional_headers={"X-Request-Timeout": "soon"})
    assert [error["field"] for error in problem["errors"]] == ["X-Request-Timeout"]


async def started(mesh: Mesh, websocket: ClientConnection) -> None:
    """Advances a stream until it waits for its second month."""
    mesh.pipeline.months_may_go_on.clear()
    await websocket.send(json.dumps(EXAMPLE_REQUEST))
    for _ in range(2):
        await websocket.recv()


async def test_client_that_closes_cancels_the_upstream_call(mesh: Mesh, address: str) -> None:
    async with connect(address) as websocket:
        await started(mesh, websocket)
    await mesh.pipeline.stream_ended.wait()


async def test_client_that_vanishes_cancels_the_upstream_call(mesh: Mesh, address: str) -> None:
    async with connect(address) as websocket:
        await started(mesh, websocket)
        websocket.transport.abort()
        await mesh.pipeline.stream_ended.wait()


async def test_client_that_sends_more_and_vanishes_cancels_the_upstream_call(mesh: Mesh, address: str) -> None:
    async with connect(address) as websocket:
        await started(mesh, websocket)
        for _ in range(100):
            await websocket.send("more")
        websocket.transport.abort()
        await mesh.pipeline.stream_ended.wait()


async def test_client_that_disconnects_before_its_request_does_no_harm(mesh: Mesh, address: str) -> None:
    async with connect(address):
        pass
    _, code, _ = await converse(address, EXAMPLE_REQUEST)
    assert code == 1000
    assert len(mesh.pipeline.requests) == 1


async def test_log_has_no_customer(address: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG), capture_logs() as events:
        await converse(address, EXAMPLE_REQUEST)
        await converse(address, "broken")
    accesses = [event for event in events if event["event"] == "request"]
    assert [(event["route"], event["status"]) for event in accesses] == [
        ("/ws/stream/{customer_id}", 1000),
        ("/ws/stream/{customer_id}", 4400),
    ]
    # The test's own client logs the URL; the server's libraries must not.
    logged = [record.getMessage() for record in caplog.records if not record.name.startswith("websockets.client")]
    assert "cust_001" not in str([events, logged])


async def test_client_that_sends_no_request_in_time_is_rejected(mesh: Mesh) -> None:
    service = pipeline_service_pb2.DESCRIPTOR.services_by_name["PipelineService"]
    app = FastAPI()
    async with open_channel(mesh.pipeline_address, timeout_seconds=30) as channel:
        upstream = Upstream(service, "pipeline", lambda: channel)
        add_websocket_routes(app.router, [upstream], RouteContext(limits=Limits(first_message_seconds=0.01)))
        received: asyncio.Queue[Any] = asyncio.Queue()
        received.put_nowait({"type": "websocket.connect"})
        sent: list[Any] = []

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {"type": "websocket", "path": "/ws/stream/a", "headers": [], "query_string": b""}
        await app(scope, received.get, send)
    assert [message["type"] for message in sent] == ["websocket.accept", "websocket.send", "websocket.close"]
    assert sent[-1]["code"] == 4400
    assert "first message" in json.loads(sent[1]["text"])["error"]


def test_stream_that_is_not_a_single_oneof_gets_no_route() -> None:
    upstream = Upstream(BROKEN, "library", lambda: pytest.fail("no call is made"))
    with pytest.raises(ValueError, match="single oneof"):
        add_websocket_routes(FastAPI().router, [upstream], RouteContext())


async def answer_to(websocket: ClientConnection, **changes: Any) -> list[Any]:
    """Frames of the answer to one of several requests."""
    await websocket.send(json.dumps({**EXAMPLE_REQUEST, **changes}))
    frames: list[Any] = []
    while not frames or frames[-1]["type"] not in ("completed", "error"):
        frames.append(checked(json.loads(await websocket.recv())))
    return frames


async def test_requests_with_ids_are_answered_one_after_the_other(mesh: Mesh, address: str) -> None:
    async with connect(address) as websocket:
        for number, request_id in enumerate(["first", "second", 3]):
            frames = await answer_to(websocket, id=request_id, simulation_months=number + 1)
            assert {frame["id"] for frame in frames} == {request_id}
            assert [frame["seq"] for frame in frames] == list(range(1, number + 4))
    assert len(mesh.pipeline.requests) == 3


async def test_equal_requests_get_equal_data(address: str) -> None:
    async with connect(address) as websocket:
        first, second = [await answer_to(websocket, id=request_id) for request_id in ("a", "b")]
    assert [frame["data"] for frame in first] == [frame["data"] for frame in second]


async def test_queued_requests_are_answered_in_order(address: str) -> None:
    async with connect(address) as websocket:
        for request_id in ("a", "b", "c"):
            await websocket.send(json.dumps({**EXAMPLE_REQUEST, "id": request_id, "simulation_months": 1}))
        frames = [checked(json.loads(await websocket.recv())) for _ in range(9)]
    assert [frame["id"] for frame in frames] == [*"aaabbbccc"]


async def test_error_of_a_request_with_an_id_leaves_the_socket_open(address: str) -> None:
    async with connect(address) as websocket:
        (error,) = await answer_to(websocket, id="a", months=6)
        assert (error["type"], error["id"]) == ("error", "a")
        frames = await answer_to(websocket, id="b")
        assert frames[-1]["type"] == "completed"
        # Text that is not JSON has no id.
        await websocket.send("garbage")
        frame = checked(json.loads(await websocket.recv()))
        assert "id" not in frame
        await websocket.wait_closed()
        assert websocket.close_code == 4400


@pytest.mark.parametrize("request_id", ["", "x" * 129, True, 1.5, {}, None, 2**53, "\n"])
async def test_invalid_id_is_named(request_id: Any, address: str) -> None:
    problem = await assert_rejected(address, {**EXAMPLE_REQUEST, "id": request_id})
    assert [error["field"] for error in problem["errors"]] == ["id"]


async def test_socket_stays_open_for_a_while_after_a_request_without_id(mesh: Mesh) -> None:
    async with (
        mesh.gateway(stream_linger_seconds=60) as gateway,
        connect(f"ws://{gateway.address}/ws/stream/cust_001") as websocket,
    ):
        assert (await answer_to(websocket))[-1]["type"] == "completed"
        assert (await answer_to(websocket))[-1]["type"] == "completed"


async def test_idle_socket_is_closed_with_1012_when_the_gateway_stops(mesh: Mesh) -> None:
    async with mesh.gateway() as gateway, connect(f"ws://{gateway.address}/ws/stream/cust_001") as websocket:
        await answer_to(websocket, id="a")
        await gateway.stop(60)
        await websocket.wait_closed()
    assert websocket.close_code == 1012


def test_body_with_a_field_id_gets_no_route() -> None:
    upstream = Upstream(ID_OF_ITS_OWN, "library", lambda: pytest.fail("no call is made"))
    with pytest.raises(ValueError, match="field id"):
        add_websocket_routes(FastAPI().router, [upstream], RouteContext())


async def test_lost_stream_is_resumed(mesh: Mesh, address: str) -> None:
    whole, _, _ = await converse(address, EXAMPLE_REQUEST)
    assert [frame["seq"] for frame in whole] == [1, 2, 3, 4, 5, 6, 7, 8]
    for frame in whole:
        again, code, _ = await converse(address, {**EXAMPLE_REQUEST, "resume_token": frame["resume_token"]})
        assert code == 1000
        assert [one["seq"] for one in again] == list(range(frame["seq"] + 1, 9))
        for one, before in zip(again, whole[frame["seq"] :], strict=True):
            assert {**one, "ts": ""} == {**before, "ts": ""}


async def test_resumed_stream_keeps_the_choices_of_the_server(mesh: Mesh, address: str) -> None:
    mesh.pipeline.started = pipeline_service_pb2.Started(seed=7, as_of="2026-05-23", customer_id="another customer")
    frames, _, _ = await converse(address, {**EXAMPLE_REQUEST, "asOf": "2026-05-01"})
    token = frames[2]["resume_token"]
    await converse(address, {**EXAMPLE_REQUEST, "asOf": "2026-05-01", "resume_token": token})
    first, resumed = mesh.pipeline.requests
    assert not first.HasField("seed")
    assert (resumed.seed, resumed.as_of, resumed.customer_id) == (7, "2026-05-01", "cust_001")


@pytest.mark.parametrize("token", ["", "nonsense", "x" * 5_000, 5, "W10", "WzEsMiwzXQ"])
async def test_malformed_resume_token_is_named(token: Any, mesh: Mesh, address: str) -> None:
    problem = await assert_rejected(address, {**EXAMPLE_REQUEST, "resume_token": token})
    assert [error["field"] for error in problem["errors"]] == ["resume_token"]
    assert not mesh.pipeline.requests


async def test_resume_token_of_another_request_is_rejected(mesh: Mesh, address: str) -> None:
    frames, _, _ = await converse(address, EXAMPLE_REQUEST)
    token = frames[0]["resume_token"]
    problem = await assert_rejected(address, {**EXAMPLE_REQUEST, "simulation_months": 5, "resume_token": token})
    assert "another request" in problem["detail"]
    await assert_rejected(address.replace("cust_001", "cust_002"), {**EXAMPLE_REQUEST, "resume_token": token})


async def test_resumed_request_nested_too_deep_is_rejected(address: str) -> None:
    frames, _, _ = await converse(address, EXAMPLE_REQUEST)
    items = "[" * 1000 + "]" * 1000
    text = json.dumps({**EXAMPLE_REQUEST, "items": 0, "resume_token": frames[0]["resume_token"]})
    problem = await assert_rejected(address, text.replace('"items": 0', f'"items": {items}'))
    assert "nested too deeply" in problem["detail"]
