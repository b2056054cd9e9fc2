"""Runs with real processes, some of which are killed."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest
from pyarrow import parquet

from pantree_batch import run
from pantree_batch.engines.local import LocalEngine
from pantree_batch.errors import BatchError, RunFailed
from pantree_batch.files import checksum
from pantree_batch.layout import lay_out, read_table
from pantree_batch.run import Progress, RunState, ScoreOptions
from tests.batch.populations import AS_OF, population, write

OPTIONS = ScoreOptions(AS_OF, wave_buckets=2)
# How often processes are killed: more by `make batch-faults`.
KILLS = int(os.environ.get("PANTREE_TEST_KILLS", "2"))


def contents(directory: Path) -> dict[str, str]:
    return {str(file.relative_to(directory)): checksum(file) for file in directory.rglob("*") if file.is_file()}


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("table")
    lay_out(write(directory / "in.parquet", population(40)), directory / "table", 6)
    return directory / "table"


@pytest.fixture(scope="module")
def undisturbed(table: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, RunState]:
    out = tmp_path_factory.mktemp("undisturbed")
    return out, run.score(table, out, OPTIONS, engine=LocalEngine(1))


def test_published_run_agrees_with_its_manifest(undisturbed: tuple[Path, RunState]) -> None:
    out, state = undisturbed
    assert state.published
    assert (state.household_count, state.done_household_count, state.rejected_count) == (40, 40, 0)
    for file in run.read_manifest(out, state.run_id)["files"]:
        assert checksum(out / f"run_id={state.run_id}" / file["path"]) == file["sha256"]
    offers = [
        row
        for file in run.files_of(out, state.run_id, "offers").values()
        for row in parquet.read_table(file).to_pylist()
    ]
    households = [
        row
        for file in run.files_of(out, state.run_id, "households").values()
        for row in parquet.read_table(file).to_pylist()
    ]
    assert len(offers) == state.offer_count == sum(row["offer_count"] for row in households)
    assert {row["run_id"] for row in offers} == {state.run_id}
    assert {row["household"] for row in households} == {f"h{number:03}" for number in range(40)}


def test_published_run_is_not_repeated(undisturbed: tuple[Path, RunState], table: Path) -> None:
    out, state = undisturbed
    before = {file: file.stat().st_mtime_ns for file in out.rglob("*.parquet")}
    assert run.score(table, out, OPTIONS, engine=LocalEngine(1)) == state
    assert {file: file.stat().st_mtime_ns for file in out.rglob("*.parquet")} == before


def test_run_id_changes_with_what_decides_on_the_answers(table: Path, undisturbed: tuple[Path, RunState]) -> None:
    read = read_table(table)
    ids = {run.run_id_of(read, OPTIONS), run.run_id_of(read, ScoreOptions(date(2026, 6, 2), wave_buckets=2))}
    assert len(ids) == 2
    assert undisturbed[1].run_id in ids


class Killer(Progress):
    """Kills a process of the pool now and then."""

    def __init__(self, seed: int, kills: int) -> None:
        self._random = random.Random(seed)
        self.kills = kills

    def advance(self, households: int) -> None:
        if self.kills and self._random.random() < 0.5:
            children = subprocess.run(
                ["pgrep", "-P", str(os.getpid()), "-f", "spawn_main"], capture_output=True, text=True, check=False
            ).stdout.split()
            if children:
                os.kill(int(self._random.choice(children)), signal.SIGKILL)
                self.kills -= 1


def test_killed_worker_changes_nothing(table: Path, undisturbed: tuple[Path, RunState], tmp_path: Path) -> None:
    killer = Killer(3, KILLS)
    state = run.score(table, tmp_path, OPTIONS, engine=LocalEngine(2), progress=killer)
    assert killer.kills < KILLS
    assert contents(tmp_path / f"run_id={state.run_id}") == contents(undisturbed[0] / f"run_id={state.run_id}")


def visible(out: Path) -> Iterator[Path]:
    yield from out.glob("run_id=*")


@pytest.mark.timeout(120 + 120 * KILLS)
def test_killed_driver_is_resumed(table: Path, undisturbed: tuple[Path, RunState], tmp_path: Path) -> None:
    chance = random.Random(5)
    command = [sys.executable, "-m", "tests.batch.drive", str(table), str(tmp_path)]
    for _ in range(KILLS):
        if list(visible(tmp_path)):
            break
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as driver:
            assert driver.stdout is not None
            # Until some progress is made, so that each attempt gets somewhere.
            driver.stdout.readline()
            time.sleep(chance.random() * 0.5)
            driver.kill()
    waves = {file: file.stat().st_ino for file in tmp_path.glob("_unpublished/run_id=*/wave=*")}
    if not list(visible(tmp_path)):
        run.resume(tmp_path, engine=LocalEngine(2))
    (published,) = visible(tmp_path)
    for wave, inode in waves.items():
        assert (published / wave.name).stat().st_ino == inode
    assert contents(published) == contents(undisturbed[0] / published.name)


def test_too_many_failures_stop_the_run(tmp_path: Path) -> None:
    lines = population(4)
    for line in lines[:5]:  # all of them in household h000
        line["currency_code"] = "USD"
    lines[0]["currency_code"] = "EUR"
    lay_out(write(tmp_path / "in.parquet", lines), tmp_path / "table", 2)
    with pytest.raises(RunFailed, match="1 of 4 households cannot be scored"):
        run.score(tmp_path / "table", tmp_path / "out", OPTIONS, engine=LocalEngine(1), max_rejected_ratio=0.2)
    assert not list(visible(tmp_path / "out"))
    (state,) = run.states_of(tmp_path / "out")
    assert (state.published, state.rejected_count) == (False, 1)
    resumed = run.resume(tmp_path / "out", engine=LocalEngine(1), max_rejected_ratio=0.25)
    assert (resumed.published, resumed.rejected_count) == (True, 1)


def test_nothing_to_resume(tmp_path: Path) -> None:
    with pytest.raises(BatchError, match="has none"):
        run.resume(tmp_path, engine=LocalEngine(1))
