"""Spark: each bucket is a task of a Spark job, and each wave a job.

A task reads its whole bucket and writes its files in Python, with the function that the local engine calls. Spark
decides where it runs, and starts it again when a process or a machine is lost. No line passes through the JVM, so that
no setting of Spark can cut a household or reorder lines.

An attempt of a task writes to a directory of its own. The driver moves the files of one attempt of each bucket, when
Spark reports that it succeeded: an executor that is presumed lost, but still runs, and a speculative copy of a task
write to directories that are ignored.
"""

import contextlib
import functools
import json
import os
import re
import socket
import sys
import threading
import uuid
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from pantree_batch.engine import ATTEMPTS, ENDS_TO_SKIP, MAX_ENDS, Finished, Task, score_bucket
from pantree_batch.errors import BatchError, RunFailed
from pantree_batch.files import remove_or_warn
from pantree_batch.fingerprint import dependencies, shared_variables
from pantree_batch.household import Key

_OUTCOME = pa.schema([("attempt", pa.string()), ("finished", pa.string()), ("error", pa.string())])
_JOURNAL = "households.jsonl"
_POLL_SECONDS = 1.0
# Lines of an error that name a cause, in Java and in Python.
_CAUSE = re.compile(r"(Caused by: )?[\w.]+(Error|Exception): ")
# Variables that name an installation of Spark whose spark-defaults.conf may name the master.
_INSTALLATIONS = ("SPARK_HOME", "SPARK_CONF_DIR")
# With local[*] alone, a task has one attempt, whatever spark.task.maxFailures says.
_LOCAL_MASTER = f"local[*,{MAX_ENDS}]"
_DEFAULTS = {
    "spark.app.name": "pantree batch",
    "spark.log.level": "ERROR",
    "spark.task.maxFailures": str(MAX_ENDS),
    "spark.ui.showConsoleProgress": "false",
}


class SparkEngine:
    """Runs tasks on Spark: in the session of this process if there is one, or else in a session of its own."""

    def __init__(self, master: str = "", settings: Mapping[str, str] | None = None) -> None:
        """Describes the session that `run` starts.

        Args:
            master: such as `local-cluster[2,1,1024]`; empty for that of spark-submit or of an installation of Spark,
                or else the cores of this machine.
            settings: of Spark, by name.
        """
        self._master = master
        self._settings = dict(settings or {})
        self._session: Any = None
        self._is_owner = False

    def run(self, tasks: Sequence[Task], on_progress: Callable[[int], None]) -> Iterator[Finished]:
        """The buckets of a wave, once all of them are written."""
        # Executors work in directories of their own.
        directory = tasks[0].directory.resolve()
        tasks = [replace(task, lines=task.lines and task.lines.resolve()) for task in tasks]
        attempts = directory.parent.with_name(f"{ATTEMPTS}.{directory.parent.name}.{directory.name}")
        attempts.mkdir()
        try:
            for outcome in self._outcomes(tasks, attempts, on_progress):
                if outcome["error"]:
                    raise RunFailed(outcome["error"])
                content = json.loads(outcome["finished"])
                finished = Finished(content["bucket"], tuple(content["files"]), tuple(map(tuple, content["models"])))
                _move(attempts / outcome["attempt"], directory, finished)
                yield finished
        finally:
            # An executor that is presumed lost may still write there, and NFS keeps the files that it has open.
            remove_or_warn(attempts)

    def close(self) -> None:
        """Stops the session, unless it was there before."""
        session, self._session = self._session, None
        if session is not None and self._is_owner:
            with contextlib.suppress(Exception):  # of a JVM that has ended
                session.stop()

    def _outcomes(self, tasks: Sequence[Task], attempts: Path, on_progress: Callable[[int], None]) -> list[Any]:
        """One row per task."""
        expected = dependencies()
        try:
            with warnings.catch_warnings():
                # It says that it does not know every feature of pandas 3; none is used.
                warnings.filterwarnings("ignore", "PySpark does not yet fully support pandas", FutureWarning)
                session = self._opened()
                households = session.sparkContext.accumulator(0)
                run = functools.partial(
                    _run_tasks, tasks=tuple(tasks), attempts=attempts, expected=expected, households=households
                )
                # One number, and so one task of Spark, for each bucket.
                numbers = session.range(0, len(tasks), 1, len(tasks))
                with _added(session.sparkContext.environment, shared_variables()):
                    frame = numbers.mapInArrow(run, "attempt string, finished string, error string")
            with _polled(lambda: int(households.value), on_progress):
                rows: list[Any] = frame.collect()
        except Exception as error:
            raise RunFailed(f"Spark: {_summary(error)}") from error
        return rows

    def _opened(self) -> Any:
        if self._session is None:
            from pyspark import SparkConf
            from pyspark.sql import SparkSession

            self._is_owner = SparkSession.getActiveSession() is None
            conf = SparkConf()
            # What spark-submit was given is unknown here, and must not be overridden.
            if "PYSPARK_GATEWAY_PORT" not in os.environ:
                for name, value in _DEFAULTS.items():
                    conf.setIfMissing(name, value)
                if not any(map(os.environ.get, _INSTALLATIONS)):
                    conf.setIfMissing("spark.master", _LOCAL_MASTER)
            if self._master:
                conf.setMaster(self._master)
            conf.setAll(list(self._settings.items()))
            if (conf.get("spark.master") or "").startswith("local"):
                # On this machine workers run what this process runs; Spark would take any `python3` in the path.
                os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
            self._session = SparkSession.builder.config(conf=conf).getOrCreate()
        return self._session


@contextlib.contextmanager
def _added(environment: dict[str, str], variables: Mapping[str, str]) -> Iterator[None]:
    """Variables for the Python workers of functions that are passed to Spark, in a session that existed before, too."""
    before = dict(environment)
    environment.update(variables)
    try:
        yield
    finally:
        environment.clear()
        environment.update(before)


def _summary(error: Exception) -> str:
    """What failed and why, without the stacks of the JVM and of Python."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip() and "Traceback" not in line]
    text = " ".join(lines[:2])
    for line in lines[2:]:
        if _CAUSE.match(line) and line.removeprefix("Caused by: ") not in text:
            text += f" {line}"
    return text or type(error).__name__


@contextlib.contextmanager
def _polled(value: Callable[[], int], on_progress: Callable[[int], None]) -> Iterator[None]:
    """Reports increases of a value while something else runs."""
    stopped = threading.Event()
    reported = 0

    def report() -> None:
        nonlocal reported
        current = value()
        if current != reported:
            on_progress(current - reported)
            reported = current

    def poll() -> None:
        while not stopped.wait(_POLL_SECONDS):
            report()

    thread = threading.Thread(target=poll, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join()
    report()


def _move(attempt: Path, directory: Path, finished: Finished) -> None:
    for file in finished.files:
        name = f"{file['bucket']:05}.parquet"
        target = directory / file["table"] / name
        target.parent.mkdir(exist_ok=True)
        try:
            (attempt / file["table"] / name).rename(target)
        except FileNotFoundError:
            raise RunFailed(_not_shared(attempt)) from None


def _run_tasks(
    batches: Iterator[pa.RecordBatch],
    tasks: Sequence[Task],
    attempts: Path,
    expected: Mapping[str, str],
    households: Any,
) -> Iterator[pa.RecordBatch]:
    """Runs the tasks whose numbers arrive, in a Python worker of an executor; one row per task."""
    for batch in batches:
        for number in batch.column(0).to_pylist():
            yield pa.RecordBatch.from_pylist([_outcome(tasks[number], attempts, expected, households)], _OUTCOME)


def _outcome(task: Task, attempts: Path, expected: Mapping[str, str], households: Any) -> dict[str, str]:
    """Files of a bucket, or an error that another attempt would not change."""
    from pyspark import TaskContext

    # Logs of services would fill those of Spark.
    os.environ.setdefault("PANTREE_LOG_LEVEL", "WARNING")
    found = _dependencies()
    differing = sorted(name for name in found.keys() | expected.keys() if found.get(name) != expected.get(name))
    if differing:
        return {
            "error": f"executor {socket.gethostname()} and the driver differ in {', '.join(differing)}; install the "
            "same version of Pantree, and set the same variables on both"
        }
    for path in (attempts, task.lines):
        if path is not None and not path.exists():
            return {"error": _not_shared(path)}
    context = TaskContext.get()
    careful = context is not None and context.attemptNumber() > 0
    directory = attempts / f"{task.bucket:05}.{uuid.uuid4().hex}"
    directory.mkdir()
    skipped = task.skipped | _crashed(attempts.glob(f"{task.bucket:05}.*/{_JOURNAL}"))
    journal = directory / _JOURNAL
    try:
        with journal.open("w", encoding="utf-8") as stream:

            def before_each(key: Key) -> None:
                stream.write(json.dumps(key) + "\n")
                stream.flush()

            attempt = replace(task, directory=directory, skipped=skipped, careful=careful)
            finished = score_bucket(attempt, _scorer(), before_each, households.add)
    except BatchError as error:
        return {"error": f"bucket {task.bucket}: {error}"}
    except Exception as error:
        return {"error": f"bucket {task.bucket}: {type(error).__name__}: {error}"}
    finally:
        # Only what ends the process leaves a journal.
        journal.unlink(missing_ok=True)
    return {"attempt": directory.name, "finished": json.dumps(vars(finished))}


def _crashed(journals: Iterator[Path]) -> frozenset[Key]:
    """Households at which processes ended repeatedly, from what earlier attempts have noted."""
    ends: Counter[Key] = Counter()
    for journal in journals:
        with contextlib.suppress(FileNotFoundError):
            complete = journal.read_text("utf-8").rpartition("\n")[0]
            if complete:
                household, tenant = json.loads(complete.rpartition("\n")[2])
                ends[household, tenant] += 1
    return frozenset(key for key, count in ends.items() if count >= ENDS_TO_SKIP)


def _not_shared(path: Path) -> str:
    return (
        f"{path} does not exist on {socket.gethostname()}; the driver and all executors need TABLE and OUT below the "
        "same path of a file system that they share"
    )


@functools.cache
def _dependencies() -> Mapping[str, str]:
    """Those of a Python worker, whose variables never change."""
    return dependencies()


@functools.cache
def _scorer() -> Any:
    """Loads the models once in each Python worker, which Spark uses again for other tasks."""
    from pantree_batch.scorer import Scorer

    return Scorer()
