import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from structlog.testing import capture_logs

from pantree_runtime import telemetry
from pantree_runtime.dependencies import CHECK_SECONDS, CHECK_TIMEOUT_SECONDS, Dependency, DependencyMonitor
from pantree_runtime.server import ServiceSpec
from tests.loopback import loopback

SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING
messages: Any = health_pb2


class System:
    """A system whose state a test sets."""

    def __init__(self, problem: str = "") -> None:
        self.problem = problem
        self.hangs = False
        self.checks = 0

    async def check(self) -> str:
        self.checks += 1
        if self.hangs:
            await asyncio.Event().wait()
        if self.problem == "raises":
            raise OSError("disk full")
        return self.problem


@contextlib.asynccontextmanager
async def monitored(system: System, changes: list[tuple[str, bool]]) -> AsyncIterator[None]:
    async def on_change(name: str, is_up: bool) -> None:
        changes.append((name, is_up))

    monitor = DependencyMonitor([Dependency("store", system.check)], on_change, seconds=0.01, timeout_seconds=0.05)
    monitor.start()
    try:
        yield
    finally:
        await monitor.stop()


async def checked_again(system: System, times: int = 2) -> None:
    count = system.checks + times
    async with asyncio.timeout(5):
        while system.checks < count:  # noqa: ASYNC110 - there is no event to wait for
            await asyncio.sleep(0.005)


def gauge() -> float | None:
    return telemetry.REGISTRY.get_sample_value("pantree_dependency_up", {"dependency": "store"})


@pytest.mark.parametrize("failure", ["down", "raises", "hangs"])
async def test_state_follows_the_system(failure: str) -> None:
    system, changes = System(), list[tuple[str, bool]]()
    with capture_logs() as logs:
        async with monitored(system, changes):
            await checked_again(system)
            assert (changes, gauge()) == ([("store", True)], 1)
            system.hangs, system.problem = failure == "hangs", failure
            await checked_again(system, 4)
            assert (changes[1:], gauge()) == ([("store", False)], 0)
            system.hangs, system.problem = False, ""
            await checked_again(system, 3)
            assert (changes[2:], gauge()) == ([("store", True)], 1)
    # One line for each change, however often it was checked.
    assert [log["event"] for log in logs] == ["dependency unavailable", "dependency works again"]


def test_change_is_reported_within_ten_seconds() -> None:
    assert CHECK_SECONDS + CHECK_TIMEOUT_SECONDS < 10


async def test_grpc_health_lists_dependencies_and_the_part_keeps_serving() -> None:
    system = System("down")
    part = ServiceSpec(name="vector", services={}, dependencies=[Dependency("vector-store", system.check)])
    async with loopback(part) as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        async with asyncio.timeout(5):
            while True:
                listed = (await stub.List(messages.HealthListRequest())).statuses
                if "vector-store" in listed:
                    break
                await asyncio.sleep(0.01)
        assert {name: status.status for name, status in listed.items()} == {"": SERVING, "vector-store": NOT_SERVING}
        check = await stub.Check(health_pb2.HealthCheckRequest(service="vector-store"))
        assert check.status == NOT_SERVING
        with pytest.raises(grpc.aio.AioRpcError):
            await stub.Check(health_pb2.HealthCheckRequest(service="other"))
