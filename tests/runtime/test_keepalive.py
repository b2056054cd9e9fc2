"""An idle connection stays open: no server takes the keepalive pings of a caller for an attack."""

import asyncio
from collections.abc import Sequence
from typing import Any

import grpc
import pytest

from pantree_cli.mesh import HOST
from pantree_runtime import channel, server

# A minute becomes a quarter of a second, so that some seconds are like an hour of idling.
_SCALE = 240
_SECONDS = 5.0
_SCALED = ("grpc.keepalive_time_ms", "grpc.http2.min_ping_interval_without_data_ms")


def _scaled(options: Sequence[tuple[str, Any]], names: Sequence[str] = _SCALED) -> list[tuple[str, Any]]:
    return [(name, value // _SCALE if name in names else value) for name, value in options]


async def _losses(server_options: Sequence[tuple[str, Any]]) -> int:
    """How often an idle connection was lost."""
    options = [(name, value) for name, value in _scaled(channel._OPTIONS) if name != "grpc.service_config"]
    options.append(("grpc.http2.max_pings_without_data", 0))  # gRPC would send only two in so short a time
    served = grpc.aio.server(options=server_options)
    port = served.add_insecure_port(f"{HOST}:0")
    await served.start()
    losses = 0

    async def watch(idle: grpc.aio.Channel) -> None:
        nonlocal losses
        while True:
            await idle.wait_for_state_change(grpc.ChannelConnectivity.READY)
            losses += 1
            idle.get_state(try_to_connect=True)
            await idle.channel_ready()

    try:
        async with grpc.aio.insecure_channel(f"{HOST}:{port}", options=options) as idle:
            await idle.channel_ready()
            watching = asyncio.create_task(watch(idle))
            await asyncio.sleep(_SECONDS)
            watching.cancel()
    finally:
        await served.stop(0)
    return losses


async def test_idle_connection_of_two_parts_stays_open() -> None:
    assert await _losses(_scaled(server._options(server.CONNECTION_AGE_MS))) == 0


async def test_server_with_a_longer_interval_would_close_it() -> None:
    # Without this, the test above might not have sent any pings.
    unscaled = _scaled(server._options(server.CONNECTION_AGE_MS), ("grpc.keepalive_time_ms",))
    assert await _losses(unscaled) > 0


@pytest.mark.parametrize("end", [dict(channel._OPTIONS), dict(server._options(server.CONNECTION_AGE_MS))])
def test_no_end_pings_more_often_than_servers_permit(end: dict[str, Any]) -> None:
    assert end["grpc.keepalive_time_ms"] >= 2 * channel.MIN_PING_INTERVAL_MS
