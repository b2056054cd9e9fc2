"""The RPCs of the simulation service."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from typing import TypeVar

from pantree.simulation.v1 import simulation_service_pb2 as messages
from pantree.simulation.v1 import simulation_service_pb2_grpc as rpc
from pantree_domain.catalog import Catalog
from pantree_runtime.grpc_types import Context
from pantree_simulation import convert
from pantree_simulation.core.archetypes import Archetypes
from pantree_simulation.core.population import Population, PopulationBatch
from pantree_simulation.core.scenario import Scenario
from pantree_simulation.core.simulation import SimulatedMonth

T = TypeVar("T")


class SimulationServicer(rpc.SimulationServiceServicer):
    """Simulates what a request describes. Stateless.

    Args:
        archetypes: the kinds of shopper that can be simulated.
        simulate: returns the months of a scenario, each computed when it is requested.
        simulate_population: returns the batches of a population, each computed when it is requested.
        catalog: the items to list.
    """

    def __init__(
        self,
        archetypes: Archetypes,
        simulate: Callable[[Scenario], Iterator[SimulatedMonth]],
        simulate_population: Callable[[Population], Iterator[PopulationBatch]],
        catalog: Catalog,
    ) -> None:
        self._archetypes = archetypes
        self._simulate = simulate
        self._simulate_population = simulate_population
        self._catalog = catalog

    async def ListArchetypes(
        self, request: messages.ListArchetypesRequest, context: Context
    ) -> messages.ListArchetypesResponse:
        first_id, size = convert.page_start_and_size(request, self._archetypes)
        return convert.archetypes_response(self._archetypes.page(first_id, size))

    async def ListCatalogItems(
        self, request: messages.ListCatalogItemsRequest, context: Context
    ) -> messages.ListCatalogItemsResponse:
        return convert.catalog_response(request, self._catalog.items_with_prefix(request.prefix))

    async def StreamPurchases(
        self, request: messages.StreamPurchasesRequest, context: Context
    ) -> AsyncIterator[messages.StreamPurchasesResponse]:
        scenario = convert.scenario(request, self._archetypes)
        # A month takes less than a millisecond, not worth a thread hop, and the event loop runs between months.
        for month in self._simulate(scenario):
            yield convert.month_response(month)

    async def SimulatePopulation(
        self, request: messages.SimulatePopulationRequest, context: Context
    ) -> AsyncIterator[messages.SimulatePopulationResponse]:
        population = convert.population(request, self._archetypes)
        batches = self._simulate_population(population)
        async for response in _prefetch(convert.population_responses(batches, population)):
            yield response


async def _prefetch(values: Iterator[T]) -> AsyncIterator[T]:
    """Values of an iterator, each computed in a thread while the caller handles the previous one.

    Cancellation takes effect between two values.
    """
    next_value = asyncio.create_task(asyncio.to_thread(next, values, None))
    try:
        while (value := await next_value) is not None:
            next_value = asyncio.create_task(asyncio.to_thread(next, values, None))
            yield value
    finally:
        next_value.cancel()  # the thread still computes its value, which is discarded
