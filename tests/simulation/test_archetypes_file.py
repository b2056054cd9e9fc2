"""The setting for a file with more archetypes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pantree.purchase.v1.purchase_pb2 import BasketItem
from pantree.simulation.v1 import simulation_service_pb2 as messages
from pantree.simulation.v1 import simulation_service_pb2_grpc as rpc
from pantree_runtime.errors import InvalidInput
from pantree_simulation.__main__ import build
from pantree_simulation.settings import SimulationSettings
from tests.loopback import loopback
from tests.simulation.scenarios import our_archetypes
from tests.simulation.test_archetypes import text_of_archetype


def archetypes_file(directory: Path, text: str) -> Path:
    file = directory / "shoppers.toml"
    file.write_text(text, encoding="utf-8")
    return file


async def test_archetypes_of_the_file_are_listed_and_simulated(tmp_path: Path) -> None:
    settings = SimulationSettings(archetypes_file=archetypes_file(tmp_path, text_of_archetype()))
    async with loopback(await build(settings)) as channel:
        stub = rpc.SimulationServiceStub(channel)
        listed = await stub.ListArchetypes(messages.ListArchetypesRequest())
        assert [archetype.id for archetype in listed.archetypes] == [*our_archetypes().ids, "student"]
        assert listed.default_archetype == "student"
        assert listed.archetypes[-1].description == "Lives on noodles."
        request = messages.StreamPurchasesRequest(
            items=[BasketItem(name="Noodles", price=0.99)], start_date="2026-01-15", simulation_months=12
        )
        categories = [
            month.purchases.item_categories[item]
            async for month in stub.StreamPurchases(request)
            for item in month.purchases.item_indices
        ]
    assert set(categories) == {"pantry", "snacks"}
    assert categories.count("pantry") > categories.count("snacks") > 0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("archetypes = [", "is not TOML"),
        (text_of_archetype().replace("promotion_ratio = 0.5", ""), "archetypes[0].promotion_ratio: Field required"),
        (text_of_archetype(price_level=7), "archetypes[0].price_level_ratio: "),
    ],
)
async def test_error_in_the_file_names_the_setting_the_file_and_the_field(
    tmp_path: Path, text: str, message: str
) -> None:
    file = archetypes_file(tmp_path, text)
    with pytest.raises(InvalidInput) as raised:
        await build(SimulationSettings(archetypes_file=file))
    (violation,) = raised.value.violations
    assert violation.field == "PANTREE_SIMULATION_ARCHETYPES_FILE"
    assert str(file) in violation.description
    assert message in violation.description


def test_missing_file_ends_the_service_with_an_error_that_names_it(tmp_path: Path) -> None:
    missing = tmp_path / "nowhere.toml"
    result = subprocess.run(
        [sys.executable, "-m", "pantree_simulation"],
        env={**os.environ, "PANTREE_SIMULATION_ARCHETYPES_FILE": str(missing), "PANTREE_SIMULATION_PORT": "0"},
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert result.returncode == 1
    assert result.stderr.startswith("error: PANTREE_SIMULATION_ARCHETYPES_FILE:")
    assert f"{missing} cannot be read" in result.stderr
    assert "Traceback" not in result.stderr
