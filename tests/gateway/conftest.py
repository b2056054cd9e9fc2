import inspect
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
import pytest_asyncio

from pantree_gateway.server import RunningGateway
from pantree_runtime.server import running
from tests.gateway.mesh import Mesh
from tests.gateway.servicers import PipelineServicer, SimulationServicer, pipeline_part, simulation_part


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # One mesh and one gateway serve a module's tests, since most of a test's time would be their start and stop. So
    # the tests of a module share an event loop.
    for item in items:
        asynchronous = isinstance(item, pytest.Function) and inspect.iscoroutinefunction(item.function)
        if asynchronous and Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.asyncio(loop_scope="module"), append=False)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def served_mesh() -> AsyncIterator[Mesh]:
    pipeline, simulation = PipelineServicer(), SimulationServicer()
    async with running(pipeline_part(pipeline)) as first, running(simulation_part(simulation)) as second:
        yield Mesh(first.address, second.address, pipeline, simulation)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def client(served_mesh: Mesh) -> AsyncIterator[httpx.AsyncClient]:
    async with served_mesh.client() as client:
        yield client


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway(served_mesh: Mesh) -> AsyncIterator[RunningGateway]:
    async with served_mesh.gateway() as gateway:
        yield gateway


@pytest.fixture
def mesh(served_mesh: Mesh) -> Mesh:
    served_mesh.pipeline.reset()
    served_mesh.simulation.requests.clear()
    return served_mesh
