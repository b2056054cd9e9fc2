"""`make idle` reads the frames between parts: here, of a server that takes pings for an attack, and of another one."""

import asyncio

import grpc
import pytest

from pantree_cli.mesh import HOST
from tests.faults.idle import ReadingProxy

PERMITTED_MS, TOO_LONG_MS = 100, 60_000


@pytest.mark.parametrize(("min_interval_ms", "expected"), [(PERMITTED_MS, set()), (TOO_LONG_MS, {"11 too_many_pings"})])
async def test_goaway_of_a_server_that_gets_too_many_pings_is_read(min_interval_ms: int, expected: set[str]) -> None:
    server = grpc.aio.server(
        options=[
            ("grpc.http2.min_ping_interval_without_data_ms", min_interval_ms),
            ("grpc.keepalive_permit_without_calls", 1),
        ]
    )
    proxy = ReadingProxy(server.add_insecure_port(f"{HOST}:0"))
    await server.start()
    await proxy.open()
    options = [
        ("grpc.keepalive_time_ms", 2 * PERMITTED_MS),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.max_pings_without_data", 0),
    ]
    try:
        async with grpc.aio.insecure_channel(f"{HOST}:{proxy.port}", options=options) as channel:
            await channel.channel_ready()
            for _ in range(600):
                if proxy.frames.pings >= 4 or proxy.frames.errors:
                    break
                await asyncio.sleep(0.05)
    finally:
        await proxy.close()
        await server.stop(0)
    assert set(proxy.frames.errors) == expected
    assert proxy.frames.connections >= 1
    assert proxy.frames.pings >= 2
