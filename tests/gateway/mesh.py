"""The gateway and the services behind it, for tests."""

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass

import httpx

from pantree_gateway.app import create_app
from pantree_gateway.connections import ConnectionLimits
from pantree_gateway.server import RunningGateway, start
from pantree_gateway.settings import GatewaySettings
from tests.gateway.servicers import PipelineServicer, SimulationServicer


@dataclass
class Mesh:
    """The services behind the gateway, on loopback, and gateways in front of them."""

    pipeline_address: str
    simulation_address: str
    pipeline: PipelineServicer
    simulation: SimulationServicer

    def settings(self, **changes: object) -> GatewaySettings:
        return GatewaySettings(port=0).model_copy(
            update={
                "pipeline_address": self.pipeline_address,
                "simulation_address": self.simulation_address,
                "stream_linger_seconds": 0.02,
                **changes,
            }
        )

    @contextlib.asynccontextmanager
    async def client(self, **changes: object) -> AsyncIterator[httpx.AsyncClient]:
        """Client of a gateway's application, without a server."""
        app = create_app(self.settings(**changes))
        transport = httpx.ASGITransport(app)
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=transport, base_url="http://gateway") as client,
        ):
            yield client

    @contextlib.asynccontextmanager
    async def gateway(self, **changes: object) -> AsyncIterator[RunningGateway]:
        """A gateway that listens on a free port."""
        async with self.limited_gateway(None, **changes) as gateway:
            yield gateway

    @contextlib.asynccontextmanager
    async def limited_gateway(
        self, limits: ConnectionLimits | None, **changes: object
    ) -> AsyncIterator[RunningGateway]:
        """The same with limits of connections."""
        gateway = await start(self.settings(**changes), limits)
        try:
            yield gateway
        finally:
            await gateway.stop(0)
