from collections.abc import AsyncIterator

import pytest_asyncio

from tests.e2e.mesh import RunningMesh, mesh_of_processes


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def mesh() -> AsyncIterator[RunningMesh]:
    """One mesh for all tests."""
    async with mesh_of_processes() as running:
        yield running
