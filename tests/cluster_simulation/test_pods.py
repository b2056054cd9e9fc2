"""Images and probes of pods."""

import asyncio

import grpc
import pytest
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from pantree_cli.mesh import PARTS, ServiceKind, free_ports
from tests.cluster_simulation.pods import CommandFailed, Image, passes_probe, run, until
from tests.tcp import serving_tcp

HOST = "127.0.0.1"


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.name)
def test_image_has_the_environment_of_the_dockerfile(part: ServiceKind) -> None:
    image = Image.of_part(part.name)
    assert image.command == ["python", "-m", part.package]
    assert image.variables["PYTHONDONTWRITEBYTECODE"] == "1"


async def test_tcp_probe_passes_if_the_port_is_open() -> None:
    (free,) = free_ports(1)

    async def close(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async with serving_tcp(close) as port:
        assert await passes_probe({"tcpSocket": {"port": "own"}, "timeoutSeconds": 1}, HOST, {"own": port})
    assert not await passes_probe({"tcpSocket": {"port": free}, "timeoutSeconds": 1}, HOST, {})


async def test_grpc_probe_passes_if_the_service_is_serving() -> None:
    server = grpc.aio.server()
    servicer = health.aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    await servicer.set("one", health_pb2.HealthCheckResponse.SERVING)
    await servicer.set("other", health_pb2.HealthCheckResponse.NOT_SERVING)
    port = server.add_insecure_port(f"{HOST}:0")
    await server.start()
    try:
        for service, expected in (("one", True), ("other", False), ("unknown", False)):
            probe = {"grpc": {"port": port, "service": service}, "timeoutSeconds": 5}
            assert await passes_probe(probe, HOST, {}) is expected, service
    finally:
        await server.stop(None)


async def test_http_probe_passes_for_status_below_400() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        status = "200 OK" if b"GET /good " in head else "503 No"
        writer.write(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())
        writer.close()

    async with serving_tcp(answer) as port:
        for path, expected in (("/good", True), ("/bad", False)):
            probe = {"httpGet": {"port": port, "path": path}, "timeoutSeconds": 5}
            assert await passes_probe(probe, HOST, {}) is expected


async def test_failed_command_raises_its_standard_error() -> None:
    assert await run("cat", input_text="text") == "text"
    with pytest.raises(CommandFailed, match="the reason"):
        await run("sh", "-c", "echo the reason >&2; exit 3")


async def test_until_raises_after_its_timeout() -> None:
    await until(lambda: True, 1)
    with pytest.raises(TimeoutError):
        await until(lambda: False, 0.01)
