"""What is run in a pod, and what probes make of it."""

import asyncio

import grpc
import pytest
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from pantree_cli.mesh import PARTS, ServiceKind, free_ports
from tests.rehearsal.pods import CommandFailed, Image, is_content, run, until

HOST = "127.0.0.1"


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.name)
def test_image_runs_what_its_dockerfile_says(part: ServiceKind) -> None:
    image = Image.of_part(part.name)
    assert image.command == ["python", "-m", part.package]
    assert image.variables["PYTHONDONTWRITEBYTECODE"] == "1"


async def test_probe_of_a_port_tells_whether_somebody_listens() -> None:
    (free,) = free_ports(1)
    server = await asyncio.start_server(lambda _, writer: writer.close(), HOST, 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        assert await is_content({"tcpSocket": {"port": "own"}, "timeoutSeconds": 1}, HOST, {"own": port})
    assert not await is_content({"tcpSocket": {"port": free}, "timeoutSeconds": 1}, HOST, {})


async def test_probe_over_grpc_asks_for_the_health_of_a_service() -> None:
    server = grpc.aio.server()
    servicer = health.aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    await servicer.set("one", health_pb2.HealthCheckResponse.SERVING)
    await servicer.set("other", health_pb2.HealthCheckResponse.NOT_SERVING)
    port = server.add_insecure_port(f"{HOST}:0")
    await server.start()
    try:
        for service, content in (("one", True), ("other", False), ("unknown", False)):
            probe = {"grpc": {"port": port, "service": service}, "timeoutSeconds": 5}
            assert await is_content(probe, HOST, {}) is content, service
    finally:
        await server.stop(None)


async def test_probe_over_http_takes_answers_below_400() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        status = "200 OK" if b"GET /good " in head else "503 No"
        writer.write(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())
        writer.close()

    server = await asyncio.start_server(answer, HOST, 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        for path, content in (("/good", True), ("/bad", False)):
            probe = {"httpGet": {"port": port, "path": path}, "timeoutSeconds": 5}
            assert await is_content(probe, HOST, {}) is content


async def test_command_that_fails_tells_what_it_said() -> None:
    assert await run("cat", input_text="heard") == "heard"
    with pytest.raises(CommandFailed, match="said so"):
        await run("sh", "-c", "echo said so >&2; exit 3")


async def test_waiting_ends_when_time_is_up() -> None:
    await until(lambda: True, 1)
    with pytest.raises(TimeoutError):
        await until(lambda: False, 0.01)
