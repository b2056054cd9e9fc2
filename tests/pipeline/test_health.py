import asyncio
from importlib.metadata import version

import pytest

from pantree_pipeline.backends.health import GrpcHealthProbe
from pantree_pipeline.core.health import Component, ComponentHealth, State, mesh_state
from pantree_runtime.dependencies import Dependency
from pantree_runtime.server import ServiceSpec
from tests.loopback import loopback


async def healths(dependency: str, problem: str) -> list[ComponentHealth]:
    """Health of a part with one dependency, once that was checked."""

    async def check() -> str:
        return problem

    part = ServiceSpec(name="vector", services={}, dependencies=[Dependency(dependency, check)])
    component = Component("vector", required=False, enabled=True)
    async with loopback(part) as channel, asyncio.timeout(5):
        probe = GrpcHealthProbe([component], {"vector": channel}, 1.0)
        while len(found := await probe.check()) < 2:  # noqa: ASYNC110 - there is no event to wait for
            await asyncio.sleep(0.01)
    return found


async def test_unavailable_system_degrades_the_mesh_and_names_no_hosts() -> None:
    part, store = await healths("vector-store", "http://10.0.0.1:19530 does not answer; check VECTORDB_HOST")
    assert (part.version, store.version) == (version("pantree"), "")
    assert (part.state, store.component.name, store.state) == (State.SERVING, "vector-store", State.UNAVAILABLE)
    assert store.message == "vector cannot use it; its log has the reason"
    assert mesh_state([part, store]) is State.DEGRADED


@pytest.mark.parametrize(("dependency", "name"), [("vector-store", "vector-store"), ("redis", "vector-redis")])
async def test_working_system_is_listed(dependency: str, name: str) -> None:
    part, store = await healths(dependency, "")
    assert (store.component.name, store.state, store.message) == (name, State.SERVING, "")
    assert mesh_state([part, store]) is State.SERVING
