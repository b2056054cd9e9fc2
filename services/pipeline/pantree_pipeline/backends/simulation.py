"""The simulation service over gRPC."""

import asyncio
import contextlib
from collections.abc import AsyncIterable, AsyncIterator
from datetime import date

import grpc

from pantree.simulation.v1 import simulation_service_pb2 as messages
from pantree.simulation.v1 import simulation_service_pb2_grpc as rpc
from pantree_pipeline.backends.calls import translate_part_errors
from pantree_pipeline.core.history import Month
from pantree_pipeline.core.job import FirstPurchase
from pantree_pipeline.core.ports import Archetypes, Simulator
from pantree_runtime.purchase_columns import lines_of


class GrpcSimulator(Simulator):
    """Calls the simulation service. Archetypes are cached, since they change only with a deployment."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = rpc.SimulationServiceStub(channel)
        self._archetypes: Archetypes | None = None

    async def archetypes(self) -> Archetypes:
        if self._archetypes is None:
            ids: list[str] = []
            request = messages.ListArchetypesRequest()
            with translate_part_errors("simulation"):
                while True:
                    response = await self._stub.ListArchetypes(request)
                    ids.extend(archetype.id for archetype in response.archetypes)
                    if not response.next_page_token:
                        break
                    request.page_token = response.next_page_token
            self._archetypes = Archetypes(tuple(ids), response.default_archetype)
        return self._archetypes

    @contextlib.asynccontextmanager
    async def months(self, customer_id: str, first_purchase: FirstPurchase) -> AsyncIterator[AsyncIterator[Month]]:
        request = messages.StreamPurchasesRequest(
            household_id=customer_id,
            archetype=first_purchase.archetype,
            items=first_purchase.items,
            simulation_months=first_purchase.simulation_months,
            start_date=first_purchase.start.isoformat(),
            seed=first_purchase.seed,
        )
        call = self._stub.StreamPurchases(request)
        try:
            await asyncio.sleep(0)  # lets grpc.aio send the request
            yield _months(call)
        finally:
            call.cancel()  # has no effect after the last message


async def _months(responses: AsyncIterable[messages.StreamPurchasesResponse]) -> AsyncIterator[Month]:
    with translate_part_errors("simulation"):
        async for response in responses:
            yield Month(
                month_number=response.month_number,
                month_count=response.month_count,
                period_start=date.fromisoformat(response.period_start),
                period_end=date.fromisoformat(response.period_end),
                purchases=lines_of(response.purchases),
            )
