"""Tests that connections are replaced at their maximum age while streams on them finish."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import grpc

from pantree.enrichment.v1 import enrichment_service_pb2 as messages
from pantree.enrichment.v1 import enrichment_service_pb2_grpc as rpc
from pantree_runtime import channel as channels
from pantree_runtime import server as servers
from pantree_runtime.channel import open_channel
from pantree_runtime.grpc_types import Context
from pantree_runtime.server import start
from tests.runtime.test_server import REQUEST, response, streaming_part

MAX_SECONDS = 30


async def test_stream_finishes_on_its_old_connection() -> None:
    peers: list[str] = []
    proceed = asyncio.Event()

    async def until_event(context: Context) -> AsyncIterator[messages.EnrichItemsResponse]:
        peers.append(context.peer())
        yield response(0)
        if len(peers) == 1:
            await proceed.wait()
            yield response(1)

    part = await start(streaming_part(until_event), host="127.0.0.1", port=0, connection_age_ms=100)
    try:
        async with open_channel(part.address, timeout_seconds=MAX_SECONDS) as channel:
            stub = rpc.EnrichmentServiceStub(channel)
            stream = aiter(stub.EnrichItems(REQUEST))
            await anext(stream)
            async with asyncio.timeout(MAX_SECONDS):
                while len(set(peers)) < 4:  # new calls use new connections, since the first one is too old
                    assert [item.item_index async for item in stub.EnrichItems(REQUEST)] == [0]
                    await asyncio.sleep(0.01)
            proceed.set()
            assert [item.item_index async for item in stream] == [1]
    finally:
        await part.stop(0)


def test_old_connections_have_no_time_limit_for_their_streams() -> None:
    # With a grace period, gRPC would cancel bulk streams that take longer.
    assert "grpc.max_connection_age_grace_ms" not in dict(servers._options(1))


def test_grpc_knows_every_option_by_its_name() -> None:
    # It ignores others silently.
    library = next((Path(grpc.__file__).parent / "_cython").glob("cygrpc*")).read_bytes()
    names = {*dict(servers._options(1)), *dict(channels._OPTIONS)}
    assert [name for name in sorted(names) if name.encode() + b"\0" not in library] == []


def test_neither_side_pings_more_often_than_the_other_permits() -> None:
    server, client = dict(servers._options(1)), dict(channels._OPTIONS)
    min_ping_ms = server["grpc.http2.min_ping_interval_without_data_ms"]
    assert isinstance(min_ping_ms, int)
    for options in (server, client):
        keepalive = options["grpc.keepalive_time_ms"]
        assert isinstance(keepalive, int)
        assert keepalive >= 2 * min_ping_ms
    assert server["grpc.keepalive_permit_without_calls"] == client["grpc.keepalive_permit_without_calls"]
