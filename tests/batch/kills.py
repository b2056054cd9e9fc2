"""Kills the processes of batches at random: `python -m tests.batch.kills [COUNT]`.

Drivers score one table again and again, on the local engine and on Spark. Each is killed now and then, or one of its
processes is: a worker of the pool, an executor, a Python worker of an executor, the JVM of a driver. A driver that
ended is started again. Every published run must be equal to one that nothing disturbed.
"""

import contextlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import psutil

from pantree_batch import run
from pantree_batch.engines.local import LocalEngine
from pantree_batch.files import checksum
from pantree_batch.layout import lay_out
from tests.batch.populations import AS_OF, population, write

OPTIONS = run.ScoreOptions(AS_OF, wave_buckets=2)
LOCAL_KINDS = ("driver", "pool worker")
SPARK_KINDS = ("Python worker", "executor", "driver", "JVM of the driver")
# A loaded machine takes minutes to start Spark.
_MAX_SECONDS = 800.0
_KILLS_OF_A_RUN = 4


def contents(directory: Path) -> dict[str, str]:
    """Checksum of every file below a directory."""
    return {str(file.relative_to(directory)): checksum(file) for file in directory.rglob("*") if file.is_file()}


def check_visible(out: Path, expected: dict[str, str]) -> bool:
    """Whether a run is published; what is visible must be whole."""
    published = list(out.glob("run_id=*"))
    for directory in published:
        assert contents(directory) == expected, f"{directory} differs from the undisturbed run"
    return bool(published)


@contextlib.contextmanager
def _driver(table: Path, out: Path, engine: str) -> Iterator[psutil.Process]:
    command = [sys.executable, "-m", "tests.batch.drive", str(table), str(out), engine]
    log = (out / "log").open("ab")
    # Spark would keep the logs of its executors in its own package.
    variables = {**os.environ, "SPARK_LOCAL_IP": "127.0.0.1", "SPARK_WORKER_DIR": str(out / "spark")}
    with log, subprocess.Popen(command, stdout=log, stderr=log, env=variables) as process:
        driver = psutil.Process(process.pid)
        family: list[psutil.Process] = []
        try:
            yield driver
        finally:
            with contextlib.suppress(psutil.NoSuchProcess):
                family = driver.children(recursive=True)
            process.kill()
            for one in family:
                with contextlib.suppress(psutil.NoSuchProcess):
                    one.kill()


def _is_of_kind(process: psutil.Process, kind: str) -> bool:
    command = " ".join(process.cmdline())
    if kind == "pool worker":
        return "spawn_main" in command
    if kind == "executor":
        return "CoarseGrainedExecutorBackend" in command
    if kind == "Python worker":
        # Forked by a daemon with the same command line.
        parent = process.parent()
        return "pyspark.daemon" in command and parent is not None and "pyspark.daemon" in " ".join(parent.cmdline())
    return "SparkSubmit" in command


def _processes(driver: psutil.Process, kind: str) -> Iterator[psutil.Process]:
    if kind == "driver":
        yield driver
        return
    for process in driver.children(recursive=True):
        with contextlib.suppress(psutil.Error):  # of one that has just ended
            if _is_of_kind(process, kind):
                yield process


def _kill(driver: psutil.Process, kind: str, chance: random.Random) -> bool:
    """Kills a process of a kind, if there is one."""
    with contextlib.suppress(psutil.NoSuchProcess, ProcessLookupError):
        found = list(_processes(driver, kind))
        if found:
            os.kill(chance.choice(found).pid, signal.SIGKILL)
            return True
    return False


def _is_scoring(out: Path) -> bool:
    """Whether a bucket is being written: below the wave itself, or as an attempt."""
    unpublished = out / "_unpublished"
    return any(unpublished.glob("run_id=*/_wave=*/*")) or any(unpublished.glob("_attempts.*/*"))


@contextlib.contextmanager
def _stopped(driver: psutil.Process) -> Iterator[None]:
    """Keeps a driver from committing its wave."""
    with contextlib.suppress(psutil.NoSuchProcess):
        driver.suspend()
    try:
        yield
    finally:
        with contextlib.suppress(psutil.NoSuchProcess):
            driver.resume()


def disturbed_run(
    table: Path, out: Path, expected: dict[str, str], engine: str, kinds: Sequence[str], chance: random.Random
) -> Counter[str]:
    """Publishes a run while processes of the given kinds are killed in this order; how many were.

    Raises:
        AssertionError: if anything but the undisturbed run is ever published.
    """
    out.mkdir()
    waiting, killed = list(kinds), Counter[str]()
    ends_at = time.monotonic() + _MAX_SECONDS
    while not check_visible(out, expected):
        with _driver(table, out, engine) as driver:
            while driver.is_running() and driver.status() != psutil.STATUS_ZOMBIE:
                assert time.monotonic() < ends_at, (out / "log").read_text(errors="replace")[-3_000:]
                if waiting and _is_scoring(out):
                    with _stopped(driver):  # or a fast machine publishes the run before the last kill
                        time.sleep(chance.random() * 0.5)
                        if _kill(driver, waiting[0], chance):
                            killed[waiting.pop(0)] += 1
                time.sleep(0.01)
    return killed


def main(count: int) -> None:
    """Kills processes until there were enough kills, and prints how many of each kind."""
    chance = random.Random(1)
    totals = Counter[str]()
    with tempfile.TemporaryDirectory() as directory:
        folder = Path(directory)
        table = lay_out(write(folder / "in.parquet", population(40)), folder / "table", 6).directory
        state = run.score(table, folder / "undisturbed", OPTIONS, engine=LocalEngine(2))
        expected = contents(folder / "undisturbed" / f"run_id={state.run_id}")
        number = 0
        while totals.total() < count:
            engine = ("local", "spark", "spark")[number % 3]
            kinds = chance.choices(LOCAL_KINDS if engine == "local" else SPARK_KINDS, k=_KILLS_OF_A_RUN)
            kinds = kinds[: count - totals.total()]
            killed = disturbed_run(table, folder / str(number), expected, engine, kinds, chance)
            totals += killed
            number += 1
            print(
                f"run {number} on {engine}: equal after kills of {dict(killed)}; {totals.total()} of {count}",
                flush=True,
            )
    print(f"{number} runs were published and equal to the undisturbed one after {totals.total()} kills: {dict(totals)}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if sys.argv[1:] else 50)
