"""Runs on Spark with executors in processes of their own, against the same runs on the local engine."""

import importlib.util
import json
import random
import shutil
import sys
import warnings
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from pantree_batch import run
from pantree_batch.buckets import buckets_of
from pantree_batch.engine import Task
from pantree_batch.engines import spark
from pantree_batch.engines.local import LocalEngine
from pantree_batch.engines.spark import SparkEngine
from pantree_batch.errors import RunFailed
from pantree_batch.fingerprint import dependencies
from pantree_batch.layout import lay_out
from pantree_batch.run import Progress, ScoreOptions
from tests.batch.drive import SPARK, SPARK_SETTINGS
from tests.batch.kills import OPTIONS, contents, disturbed_run
from tests.batch.populations import lines_of, population, write

pytestmark = [pytest.mark.spark, pytest.mark.timeout(900)]
BUCKETS, EMPTY_BUCKET, HOUSEHOLDS = 6, 3, 100


@pytest.fixture(scope="module", autouse=True)
def _installed() -> None:
    if importlib.util.find_spec("pyspark") is None:
        pytest.skip("Spark is not installed: pip install pyspark")
    if shutil.which("java") is None:
        pytest.skip("Spark needs Java 17 or 21: apt-get install default-jre-headless")


@pytest.fixture(scope="module")
def session(_installed: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A session such as a notebook has; engines use it and leave it open."""
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        # Of its sockets, and of pandas 3.
        warnings.simplefilter("ignore")
        patch.setenv("SPARK_LOCAL_IP", "127.0.0.1")
        patch.setenv("PYSPARK_PYTHON", sys.executable)
        patch.setenv("SPARK_WORKER_DIR", str(tmp_path_factory.mktemp("spark")))
        from pyspark.sql import SparkSession

        builder = SparkSession.builder.master(SPARK).appName("tests")
        opened = builder.config(map=SPARK_SETTINGS | {"spark.log.level": "ERROR"}).getOrCreate()
        yield opened
        opened.stop()


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A hundred households in all buckets but one; one of them has amounts in two currencies."""
    names = [f"h{number:03}" for number in range(2 * HOUSEHOLDS)]
    buckets = dict(zip(names, buckets_of(pa.array(names), BUCKETS).tolist(), strict=True))
    chosen = [name for name in names if buckets[name] != EMPTY_BUCKET][:HOUSEHOLDS]
    lines = [
        line | {"currency_code": "USD"}
        for number, name in enumerate(chosen)
        for line in lines_of(name, 5 + number % 9, 8 + number % 7)
    ]
    lines[0]["currency_code"] = "EUR"
    directory = tmp_path_factory.mktemp("table")
    return lay_out(write(directory / "in.parquet", lines), directory / "table", BUCKETS).directory


def test_run_equals_that_of_the_local_engine(
    table: Path, session: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Executors of the session have started already, in directories of their own.
    (tmp_path / ".env").write_text("PANTREE_RECOMMENDATION_MIN_PURCHASES=4\n")
    monkeypatch.chdir(tmp_path)
    local = run.score(table, tmp_path / "local", OPTIONS, engine=LocalEngine(1))
    progress = _Households()
    on_spark = run.score(table, tmp_path / "spark", OPTIONS, engine=SparkEngine(), progress=progress)
    assert on_spark == local
    assert progress.count == HOUSEHOLDS
    assert (local.household_count, local.rejected_count) == (HOUSEHOLDS, 1)
    name = f"run_id={local.run_id}"
    assert contents(tmp_path / "spark" / name) == contents(tmp_path / "local" / name)
    empty = parquet.read_table(run.files_of(tmp_path / "spark", local.run_id, "households")[EMPTY_BUCKET])
    assert empty.num_rows == 0
    assert session.range(1).count() == 1, "the engine stopped a session that is not its own"


def test_backtest_equals_that_of_the_local_engine(table: Path, session: Any, tmp_path: Path) -> None:
    options = ScoreOptions(date(2026, 5, 1), week_count=2)
    states = [
        run.score(table, tmp_path / name, options, engine=engine, max_rejected_ratio=1.0)
        for name, engine in (("local", LocalEngine(1)), ("spark", SparkEngine()))
    ]
    assert states[0] == states[1]
    name = f"run_id={states[0].run_id}"
    assert contents(tmp_path / "spark" / name) == contents(tmp_path / "local" / name)


def test_lines_that_are_not_sorted_stop_the_run(table: Path, session: Any, tmp_path: Path) -> None:
    lines = parquet.read_table(table / "bucket=00000" / "lines.parquet")
    parquet.write_table(pa.concat_tables([lines.slice(5), lines.slice(0, 5)]), tmp_path / "lines.parquet")
    directory = tmp_path / "run" / "_wave=00000"
    directory.mkdir(parents=True)
    task = Task(0, tmp_path / "lines.parquet", directory, OPTIONS.of_run("run"))
    with pytest.raises(RunFailed, match="bucket 0: lines are not sorted"):
        list(SparkEngine().run([task], lambda households: None))
    assert [one.name for one in tmp_path.iterdir() if one.is_dir()] == ["run"]
    assert list((tmp_path / "run").rglob("*")) == [directory]


@pytest.fixture
def task(table: Path, tmp_path: Path) -> Task:
    (tmp_path / "attempts").mkdir()
    return Task(0, table / "bucket=00000" / "lines.parquet", tmp_path, OPTIONS.of_run("run"))


def test_household_at_which_workers_ended_is_skipped(task: Task, tmp_path: Path) -> None:
    attempts = tmp_path / "attempts"
    names = sorted(set(parquet.read_table(task.lines)["household"].to_pylist()))
    # Three attempts that ended: two at one household, one at another while it wrote its name.
    for number, text in enumerate(
        (f'["{names[0]}", ""]\n["{names[1]}", ""]\n', f'["{names[1]}", ""]\n', f'["{names[2]}", ')
    ):
        journal = attempts / f"00000.{number}" / "households.jsonl"
        journal.parent.mkdir()
        journal.write_text(text)
    outcome = spark._outcome(task, attempts, dependencies(), _Counter())
    attempt = attempts / outcome["attempt"]
    rejected = parquet.read_table(attempt / "quarantine" / "00000.parquet").to_pylist()
    assert [(row["household"], row["reason"]) for row in rejected if row["reason"] == "CRASHED"] == [
        (names[1], "CRASHED")
    ]
    assert {file["table"] for file in json.loads(outcome["finished"])["files"]} == {
        "offers",
        "households",
        "quarantine",
    }
    assert not (attempt / "households.jsonl").exists()


def test_executor_with_other_models_is_refused(task: Task, tmp_path: Path) -> None:
    expected = {**dependencies(), "pantree_frequency": "other models", "PANTREE_RECOMMENDATION_MIN_PURCHASES": "4"}
    outcome = spark._outcome(task, tmp_path / "attempts", expected, _Counter())
    assert "differ in PANTREE_RECOMMENDATION_MIN_PURCHASES, pantree_frequency;" in outcome["error"]


def test_errors_are_returned_instead_of_repeated(task: Task, tmp_path: Path) -> None:
    broken = tmp_path / "lines.parquet"
    broken.write_bytes(b"no Parquet")
    outcome = spark._outcome(replace(task, lines=broken), tmp_path / "attempts", dependencies(), _Counter())
    assert outcome["error"].startswith("bucket 0: ArrowInvalid: ")


def test_errors_of_spark_are_reported_with_their_cause() -> None:
    error = RuntimeError(
        "An exception was thrown from the Python worker:\nTraceback (most recent call last):\n"
        "  File \"worker.py\", line 7, in main\nModuleNotFoundError: No module named 'pantree_batch'\n"
        "\tat org.apache.spark.Executor.run(Executor.scala:1)\nCaused by: java.io.IOException: disk full\n"
        "Caused by: java.io.IOException: disk full\n"
    )
    assert spark._summary(error) == (
        'An exception was thrown from the Python worker: File "worker.py", line 7, in main '
        "ModuleNotFoundError: No module named 'pantree_batch' Caused by: java.io.IOException: disk full"
    )


def test_executor_without_the_file_system_of_the_driver_is_refused(task: Task, tmp_path: Path) -> None:
    outcome = spark._outcome(task, tmp_path / "elsewhere", dependencies(), _Counter())
    assert "a file system that they share" in outcome["error"]


@pytest.mark.usefixtures("_installed")
def test_run_equals_an_undisturbed_one_after_kills(tmp_path: Path) -> None:
    written = lay_out(write(tmp_path / "in.parquet", population(40)), tmp_path / "table", 6).directory
    state = run.score(written, tmp_path / "undisturbed", OPTIONS, engine=LocalEngine(1))
    expected = contents(tmp_path / "undisturbed" / f"run_id={state.run_id}")
    kinds = ("Python worker", "executor", "driver")
    killed = disturbed_run(written, tmp_path / "out", expected, "spark", kinds, random.Random(7))
    assert dict(killed) == dict.fromkeys(kinds, 1)


class _Households(Progress):
    def __init__(self) -> None:
        self.count = 0

    def advance(self, households: int) -> None:
        self.count += households


class _Counter:
    def add(self, count: int) -> None:
        pass
