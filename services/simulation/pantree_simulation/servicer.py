"""The RPCs of the simulation service."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from typing import TypeVar

from pantree.simulation.v1 import simulation_service_pb2 as messages
from pantree.simulation.v1 import simulation_service_pb2_grpc as rpc
from pantree_runtime.grpc_types import Context
from pantree_simulation import convert
from pantree_simulation.core import Archetypes, Population, PopulationBatch, Scenario, SimulatedMonth

T = TypeVar("T")


class SimulationServicer(rpc.SimulationServiceServicer):
    """Answers from the request alone; keeps no state.

    Args:
        archetypes: the kinds of shopper that can be simulated.
        simulate: gives the months of a scenario, each made when it is asked for.
        simulate_population: gives the batches of a population, each made when it is asked for.
    """

    def __init__(
        self,
        archetypes: Archetypes,
        simulate: Callable[[Scenario], Iterator[SimulatedMonth]],
        simulate_population: Callable[[Population], Iterator[PopulationBatch]],
    ) -> None:
        self._archetypes = archetypes
        self._simulate = simulate
        self._simulate_population = simulate_population

    async def ListArchetypes(
        self, request: messages.ListArchetypesRequest, context: Context
    ) -> messages.ListArchetypesResponse:
        """A page of archetypes."""
        first_id, size = convert.page_start_and_size(request, self._archetypes)
        return convert.archetypes_response(self._archetypes.page(first_id, size))

    async def StreamPurchases(
        self, request: messages.StreamPurchasesRequest, context: Context
    ) -> AsyncIterator[messages.StreamPurchasesResponse]:
        """The months of a simulation, each sent before the next one is made."""
        scenario = convert.scenario(request, self._archetypes)
        # A month takes some tenths of a millisecond, less than the way to a thread and back, and the event loop has its
        # turn between two months: while one is being sent.
        for month in self._simulate(scenario):
            yield convert.month_response(month)

    async def SimulatePopulation(
        self, request: messages.SimulatePopulationRequest, context: Context
    ) -> AsyncIterator[messages.SimulatePopulationResponse]:
        """The batches of a population; one is made while the one before it is being sent."""
        population = convert.population(request, self._archetypes)
        batches = self._simulate_population(population)
        async for response in _made_ahead(convert.population_responses(batches, population)):
            yield response


async def _made_ahead(values: Iterator[T]) -> AsyncIterator[T]:
    """Values of an iterator that computes, each in a thread; the next is being made while the caller is busy with one.

    A caller who leaves is noticed between two values.
    """
    making = asyncio.create_task(asyncio.to_thread(next, values, None))
    try:
        while (value := await making) is not None:
            making = asyncio.create_task(asyncio.to_thread(next, values, None))
            yield value
    finally:
        making.cancel()  # a value under way is finished by its thread, and dropped
