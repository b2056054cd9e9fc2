"""A short run of the attacks; `make attack` is the long one."""

import asyncio
import importlib
import sys
from pathlib import Path

import pytest

import pantree
from tests.attack.attacks import ATTACKS
from tests.attack.mesh import limited_mesh
from tests.attack.random_messages import SERVICES
from tests.attack.run import Result, attack, warm_up

SCALE = 0.04
# The others take longer, or wait for time limits.
SHORT = (
    "lists of millions in JSON",
    "lists of millions on the wire",
    "endless headers",
    "24 histories of 20,000 lines",
    "wrong keys",
    "deep JSON",
)


@pytest.mark.timeout(600)
@pytest.mark.skipif(sys.platform != "linux", reason="the limits of processes are those of Linux")
async def test_no_part_dies_and_the_legitimate_caller_is_served(tmp_path: Path) -> None:
    results: list[Result] = []
    async with asyncio.timeout(580), limited_mesh(tmp_path) as mesh:
        await warm_up(mesh)
        for name in SHORT:
            results.append(await attack(mesh, name, SCALE))
    assert {result.name: result.problems for result in results if result.problems} == {}
    assert all(result.requests for result in results)


def test_every_short_attack_exists() -> None:
    assert set(SHORT) < set(ATTACKS)


def test_random_messages_go_to_every_service_of_the_contract() -> None:
    root = Path(next(iter(pantree.__path__)))
    modules = [".".join(file.relative_to(root.parent).with_suffix("").parts) for file in root.rglob("*_pb2.py")]
    known = {service.full_name for services in SERVICES.values() for service in services}
    assert known == {
        service.full_name
        for module in modules
        for service in importlib.import_module(module).DESCRIPTOR.services_by_name.values()
    }
