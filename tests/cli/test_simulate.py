"""`pantree simulate` in its own process."""

import os
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from pathlib import Path

import pytest

from pantree.simulation.v1 import simulation_service_pb2 as messages
from pantree.simulation.v1 import simulation_service_pb2_grpc as rpc
from pantree_cli.simulate import population_batches
from pantree_runtime.errors import ComponentUnavailable
from pantree_runtime.status import translate_rpc_errors
from pantree_simulation.core.population import Population, PopulationBatch
from tests.loopback import loopback
from tests.simulation.populations import a_population, batches_of, by_household
from tests.simulation.scenarios import POPULATION_SIMULATOR, our_archetypes
from tests.simulation.test_population_service import a_part, lines_by_household

pyarrow = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")

HOUSEHOLDS = 60


def simulate(*arguments: str, before: Callable[[], None] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pantree_cli", "simulate", *arguments],
        capture_output=True,
        text=True,
        timeout=200,
        env={**os.environ, "COLUMNS": "120", "PANTREE_SIMULATION_ADDRESS": ""},
        preexec_fn=before,  # nothing else runs in this process while it forks
    )


def test_file_contains_the_simulated_purchases(tmp_path: Path) -> None:
    file = tmp_path / "purchases.parquet"
    result = simulate(str(file), "--households", str(HOUSEHOLDS), "--start-date", "2026-01-15", "--seed", "5")
    assert result.returncode == 0, result.stderr
    assert "simulating" in result.stderr
    assert f"{HOUSEHOLDS}/{HOUSEHOLDS}" in result.stderr
    rows = parquet.read_table(file).to_pylist()
    ids = our_archetypes().ids
    expected = [
        {
            "household": household,
            "archetype": ids[batch.archetype_indices[at]],
            "date": date(1970, 1, 1) + timedelta(days=int(lines.days[line])),
            "item": names[lines.items[line]],
            "category": categories[lines.items[line]],
            "quantity": int(lines.quantities[line]),
            "price": float(lines.prices[line]),
            "saving": float(lines.savings[line]),
        }
        for batch in batches_of(a_population(household_count=HOUSEHOLDS, seed=5))
        for lines in [batch.lines]
        for names, categories in [(list(batch.assortment.item_names), list(batch.assortment.item_categories))]
        for at, household in enumerate(range(batch.first_household, batch.first_household + len(batch.line_counts)))
        for line in range(int(batch.line_counts[:at].sum()), int(batch.line_counts[: at + 1].sum()))
    ]
    assert rows == expected
    assert f"{len(rows):,} purchases of {HOUSEHOLDS} households" in result.stdout.replace("\n", " ")
    assert os.listdir(tmp_path) == ["purchases.parquet"]


async def test_simulation_resumes_after_a_lost_connection() -> None:
    attempts: list[int] = []

    def lost_sometimes(population: Population) -> Iterator[PopulationBatch]:
        attempts.append(population.first_household)
        for number, batch in enumerate(POPULATION_SIMULATOR.batches(population)):
            if number == 2:
                raise ComponentUnavailable("simulation", "this connection is too old")
            yield batch

    request = messages.SimulatePopulationRequest(household_count=1_000, start_date="2026-01-15", seed=5)
    async with loopback(a_part(lost_sometimes)) as channel:
        stub = rpc.SimulationServiceStub(channel)
        batches = [batch async for batch in population_batches(stub, request)]
    assert len(attempts) > 1
    assert lines_by_household(batches) == by_household(batches_of(a_population(household_count=1_000, seed=5)))


async def test_unavailable_service_is_not_retried_forever() -> None:
    def always_lost(population: Population) -> Iterator[PopulationBatch]:
        if population.household_count:
            raise ComponentUnavailable("simulation", "it is down")
        yield from ()

    request = messages.SimulatePopulationRequest(household_count=1_000, start_date="2026-01-15")
    async with loopback(a_part(always_lost)) as channel:
        with pytest.raises(ComponentUnavailable), translate_rpc_errors("simulation"):
            async for _ in population_batches(rpc.SimulationServiceStub(channel), request):
                pass


@pytest.mark.parametrize(
    ("arguments", "code", "expected"),
    [
        (["--households", "0"], 2, "--households"),
        (["--months", "61"], 2, "--months"),
        (["--archetype", "busy_family=much"], 2, "busy_family=much"),
        (["--archetype", "vampire"], 2, "archetypes[0].archetype"),
        (["--start-date", "2199-12-01"], 2, "start_date"),
        (["--address", "127.0.0.1:1"], 3, "simulation"),
    ],
)
def test_invalid_option_is_named_and_leaves_no_file(
    tmp_path: Path, arguments: list[str], code: int, expected: str
) -> None:
    result = simulate(str(tmp_path / "purchases.parquet"), *arguments)
    assert (result.returncode, expected in result.stderr) == (code, True), result.stderr
    assert "Traceback" not in result.stderr
    assert os.listdir(tmp_path) == []


def test_missing_directory_is_named(tmp_path: Path) -> None:
    result = simulate(str(tmp_path / "nowhere" / "purchases.parquet"))
    assert result.returncode == 1
    assert "nowhere" in result.stderr.replace("\n", "")
    assert "Traceback" not in result.stderr


def test_full_disk_is_reported_and_keeps_the_previous_file(tmp_path: Path) -> None:
    file = tmp_path / "purchases.parquet"
    file.write_bytes(b"earlier")
    # Limits the file size, so that writing fails as on a full disk.
    full = (2_000_000, 2_000_000)
    result = simulate(str(file), "--households", "5000", before=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, full))
    assert result.returncode == 1
    assert f"{file} cannot be written" in result.stderr.replace("\n", "")
    assert "Traceback" not in result.stderr
    assert file.read_bytes() == b"earlier"
    assert os.listdir(tmp_path) == ["purchases.parquet"]
