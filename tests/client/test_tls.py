"""The client with TLS: a valid certificate is accepted, others are rejected with a reason."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from pantree.pipeline.v1 import pipeline_service_pb2 as messages
from pantree_client import ComponentUnavailable, PantreeClient, PantreeError
from pantree_runtime.identity import Identity
from pantree_runtime.server import RunningService, ServiceSpec, start
from scripts.make_certificates import make_all

DOMAIN = "shop.example"
SERVICE = "pantree.pipeline.v1.PipelineService"


async def get_status(request: messages.GetStatusRequest, context: Any) -> messages.GetStatusResponse:
    return messages.GetStatusResponse(state=messages.COMPONENT_STATE_SERVING)


HANDLER = grpc.unary_unary_rpc_method_handler(
    get_status,
    request_deserializer=messages.GetStatusRequest.FromString,
    response_serializer=messages.GetStatusResponse.SerializeToString,
)


@pytest.fixture
async def pipeline(tmp_path: Path) -> AsyncIterator[RunningService]:
    make_all(tmp_path, DOMAIN)
    handlers = grpc.method_handlers_generic_handler(SERVICE, {"GetStatus": HANDLER})
    part = ServiceSpec("pipeline", {SERVICE: lambda server: server.add_generic_rpc_handlers([handlers])})
    running = await start(part, host="127.0.0.1", port=0, identity=Identity(tmp_path / "pipeline", DOMAIN))
    yield running
    await running.stop(0)


async def state(address: str, certificates: Path | None, domain: str = DOMAIN) -> str:
    async with PantreeClient(address, certificates=certificates, tls_domain=domain, timeout_seconds=10) as client:
        return (await client.status()).state


async def test_client_certificate_is_accepted(pipeline: RunningService, tmp_path: Path) -> None:
    assert await state(pipeline.address, tmp_path / "client") == "serving"


async def test_certificate_of_another_part_is_rejected_by_name(pipeline: RunningService, tmp_path: Path) -> None:
    with pytest.raises(PantreeError, match=r"vector\.shop\.example may not call pipeline"):
        await state(pipeline.address, tmp_path / "vector")


async def test_server_with_another_name_is_rejected(pipeline: RunningService, tmp_path: Path) -> None:
    with pytest.raises(ComponentUnavailable):
        await state(pipeline.address, tmp_path / "client", "another.example")


async def test_client_without_a_certificate_is_rejected(pipeline: RunningService) -> None:
    with pytest.raises(ComponentUnavailable):
        await state(pipeline.address, None)


async def test_command_line_uses_the_domain_of_the_certificates(pipeline: RunningService, tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "pantree_cli", "status", "--address", pipeline.address, "--certificates", tmp_path),
        env={**os.environ, "PANTREE_TLS_DOMAIN": DOMAIN},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, errors = await process.communicate()
    assert b"The mesh is serving" in output, errors


def test_directory_without_certificates_is_named(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"tls\.crt"):
        PantreeClient("127.0.0.1:50051", certificates=tmp_path)
