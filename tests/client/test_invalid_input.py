"""However many fields are invalid, every entry point reports the same clear error."""

import json
import os
import random
import subprocess
import sys
from datetime import date, timedelta
from typing import Any

import grpc
import pytest
from grpc_status import rpc_status

from pantree.pipeline.v1 import pipeline_service_pb2 as messages
from pantree_client import (
    FieldViolation,
    FirstPurchase,
    History,
    InvalidInput,
    Item,
    PantreeClient,
    PantreeError,
    Purchase,
    TooLarge,
)
from pantree_domain.limits import MAX_HISTORY_ROWS
from pantree_runtime.channel import MAX_MESSAGE_BYTES
from pantree_runtime.status import status_of
from tests.client.test_against_mesh import TRANSPORTS, arguments
from tests.e2e.mesh import RunningMesh

FAULT_COUNTS = [1, 2, 20, 60, 100, 300]


def invalid_history(count: int) -> History:
    """A history with this many faults, at random lines and fields."""
    generator = random.Random(count)
    faults: list[dict[str, Any]] = [{"price": -1.0}, {"quantity": 0}, {"name": "x" * 300}, {"saving": -1.0}]
    lines: list[dict[str, Any]] = [
        {"name": f"Item {number}", "price": 1.0, "date": date(2026, 6, 1)} for number in range(count + 10)
    ]
    for number in generator.sample(range(len(lines)), count):
        lines[number] |= generator.choice(faults)
    return History("cust_001", [Purchase(**line) for line in lines])


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("count", FAULT_COUNTS)
async def test_invalid_fields_are_named_or_counted(mesh: RunningMesh, transport: str, count: int) -> None:
    async with PantreeClient(**arguments(mesh, transport)) as client:
        with pytest.raises(InvalidInput) as raised:
            await client.process(invalid_history(count))
        with pytest.raises(InvalidInput) as raised_by_stream:
            [event async for event in client.stream(invalid_history(count))]
    assert raised_by_stream.value.violations == raised.value.violations
    named = [violation.field for violation in raised.value.violations if violation.field]
    assert named
    assert all(field.startswith("history[") for field in named)
    assert len(named) + raised.value.omitted_count == count


@pytest.mark.parametrize("count", FAULT_COUNTS)
def test_command_line_exits_with_2_and_names_fields(mesh: RunningMesh, count: int) -> None:
    request = {"customer_id": "cust_001", "items": [{"name": f"Item {n}", "price": -1} for n in range(count)]}
    result = subprocess.run(
        [sys.executable, "-m", "pantree_cli", "process", "-", "--address", mesh.address("pipeline")],
        input=json.dumps(request),
        capture_output=True,
        text=True,
        timeout=60,
        env=os.environ,
    )
    assert result.returncode == 2, result.stderr
    assert result.stderr.startswith("error: items")
    assert "Traceback" not in result.stderr


def test_values_that_do_not_fit_into_a_message_are_named() -> None:
    wrong = FirstPurchase("cust_001", [Item("Milk", 1), Item("\ud800", 1, quantity=5_000_112_548_167)], seed=-1)
    with pytest.raises(InvalidInput) as raised:
        wrong.message()
    assert raised.value.violations == (
        FieldViolation("seed", "is out of range: -1"),
        FieldViolation("items[1].name", "must be valid Unicode text"),
        FieldViolation("items[1].quantity", "is out of range: 5000112548167"),
    )
    assert InvalidInput([FieldViolation("a", "b")]).message == "a: b"


async def error_of_server(code: grpc.StatusCode, details: str, metadata: Any = ()) -> PantreeError:
    """Error of a call to a server that ends it with a status."""

    async def process(request: messages.ProcessRequest, context: Any) -> messages.ProcessResponse:
        await context.abort(code, details, metadata)
        raise AssertionError

    handler = grpc.unary_unary_rpc_method_handler(
        process,
        request_deserializer=messages.ProcessRequest.FromString,
        response_serializer=messages.ProcessResponse.SerializeToString,
    )
    server = grpc.aio.server()
    service = "pantree.pipeline.v1.PipelineService"
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(service, {"Process": handler})])
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with PantreeClient(f"127.0.0.1:{port}") as client:
            with pytest.raises(PantreeError) as raised:
                await client.process(FirstPurchase("cust_001", [Item("Milk", 1)]))
    finally:
        await server.stop(0)
    return raised.value


async def test_status_without_details_is_invalid_input() -> None:
    error = await error_of_server(grpc.StatusCode.INVALID_ARGUMENT, "seed is wrong")
    assert isinstance(error, InvalidInput)
    assert error.message == "request: seed is wrong"


async def test_status_with_other_details_than_the_call_is_read() -> None:
    status = rpc_status.to_status(status_of(InvalidInput([FieldViolation("seed", "is wrong")])))
    error = await error_of_server(grpc.StatusCode.RESOURCE_EXHAUSTED, "replaced", status.trailing_metadata)
    assert isinstance(error, InvalidInput)
    assert error.message == "seed: is wrong"


async def test_trailers_over_the_limit_are_a_clear_error() -> None:
    metadata = (("grpc-status-details-bin", bytes(40_000)),)
    error = await error_of_server(grpc.StatusCode.INVALID_ARGUMENT, "wrong", metadata)
    assert isinstance(error, TooLarge)
    assert "check the request" in error.message


async def test_damaged_details_are_ignored() -> None:
    metadata = (("grpc-status-details-bin", b"\xff"),)
    error = await error_of_server(grpc.StatusCode.INVALID_ARGUMENT, "wrong", metadata)
    assert isinstance(error, InvalidInput)


@pytest.mark.parametrize("name", ["牛" * 200, "🧀" * 200, "é" * 200])
def test_rows_and_names_at_their_limits_fit_into_a_message(name: str) -> None:
    names = [f"{name[:196]}{number:04}" for number in range(50)]
    day = date(2026, 5, 28)
    purchases = [Purchase(names[row % 50], day + timedelta(row % 180), 1.5) for row in range(MAX_HISTORY_ROWS)]
    message = History("cust_001", purchases).message()
    assert message.ByteSize() < MAX_MESSAGE_BYTES
    assert len(message.history) + len(message.history_columns.days) == MAX_HISTORY_ROWS
    assert set(message.history_columns.item_names) == set(names)
