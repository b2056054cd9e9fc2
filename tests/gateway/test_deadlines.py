"""Deadlines of requests that pass the real pipeline to a service that takes too long."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import httpx
import pytest_asyncio

from pantree.simulation.v1 import simulation_service_pb2 as messages
from pantree.simulation.v1 import simulation_service_pb2_grpc as rpc
from pantree_gateway.app import create_app
from pantree_gateway.settings import GatewaySettings
from pantree_pipeline.__main__ import build
from pantree_pipeline.settings import PipelineSettings
from pantree_runtime.grpc_types import Context
from pantree_runtime.server import ServiceSpec, running
from tests.gateway.servicers import SimulationServicer

BODY = {"customer_id": "cust_001", "items": [{"name": "Milk", "price": 1}], "archetype": "health_conscious"}


@dataclass
class Hanging(SimulationServicer):
    """Simulates forever, and records the time left when a call starts and when it ends."""

    seconds_at_start: list[float | None] = field(default_factory=list)
    seconds_at_end: list[float | None] = field(default_factory=list)
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        super().__init__()

    async def StreamPurchases(
        self, request: messages.StreamPurchasesRequest, context: Context
    ) -> AsyncIterator[messages.StreamPurchasesResponse]:
        self.seconds_at_start.append(context.time_remaining())
        try:
            yield messages.StreamPurchasesResponse(
                month_number=1, month_count=6, period_start="2026-01-01", period_end="2026-01-31"
            )
            await asyncio.Event().wait()
        finally:
            self.seconds_at_end.append(context.time_remaining())
            self.ended.set()


@pytest_asyncio.fixture(loop_scope="module")
async def chain() -> AsyncIterator[tuple[httpx.AsyncClient, Hanging]]:
    """A client of the gateway, and the last service of the chain."""
    last = Hanging()
    simulation = ServiceSpec(
        name="simulation",
        services={
            "pantree.simulation.v1.SimulationService": lambda server: rpc.add_SimulationServiceServicer_to_server(
                last, server
            )
        },
    )
    async with contextlib.AsyncExitStack() as stack:
        address = (await stack.enter_async_context(running(simulation))).address
        addresses = {f"{name}_address": address for name in ("simulation", "frequency", "recommendation")}
        settings = PipelineSettings().model_copy(
            update={**addresses, "port": 0, "vector_address": "", "enrichment_address": ""}
        )
        pipeline = await stack.enter_async_context(running(await build(settings)))
        app = create_app(
            GatewaySettings().model_copy(update={"pipeline_address": pipeline.address, "simulation_address": address})
        )
        await stack.enter_async_context(app.router.lifespan_context(app))
        client = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://gateway")
        await stack.enter_async_context(client)
        # The first calls connect and fetch the archetypes.
        assert (await client.get("/api/v1/config")).status_code == 200
        yield client, last


async def test_last_hop_sees_its_deadline_exceeded_before_its_callers(
    chain: tuple[httpx.AsyncClient, Hanging],
) -> None:
    client, last = chain
    response = await client.post("/api/v1/process", json=BODY, headers={"X-Request-Timeout": "1"})
    assert (response.status_code, response.json()["code"]) == (504, "DEADLINE_EXCEEDED")
    await last.ended.wait()
    (given,), (left,) = last.seconds_at_start, last.seconds_at_end
    assert given is not None
    assert left is not None
    # The previous hop reserves some time to report the error.
    assert 0 < given < 1
    # Its own deadline ended the call (within gRPC's resolution), not an earlier timeout of a caller.
    assert left < given / 5


async def test_budget_of_50_ms_is_504_without_useless_work(
    chain: tuple[httpx.AsyncClient, Hanging],
) -> None:
    client, last = chain
    response = await client.post("/api/v1/process", json=BODY, headers={"X-Request-Timeout": "0.05"})
    assert response.status_code == 504
    assert response.json()["code"] in ("DEADLINE_TOO_SHORT", "DEADLINE_EXCEEDED")
    assert not last.seconds_at_start
