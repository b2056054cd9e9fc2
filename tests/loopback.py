"""A part behind a real gRPC server with the real interceptors, on a free loopback port."""

import contextlib
from collections.abc import AsyncIterator

import grpc

from pantree_runtime.channel import open_channel
from pantree_runtime.server import ServiceSpec, running


@contextlib.asynccontextmanager
async def loopback(part: ServiceSpec) -> AsyncIterator[grpc.aio.Channel]:
    """Channel to a part that is served as long as the context lasts."""
    async with running(part) as running_part, open_channel(running_part.address, timeout_seconds=30) as channel:
        yield channel
