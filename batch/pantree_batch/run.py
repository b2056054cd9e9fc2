"""Runs: every bucket of a table is scored once, in waves; what a reader sees is whole.

OUT/run_id=ID/                     published: complete, never changed again
    manifest.json                  counts and checksums
    wave=00000/offers/00007.parquet, households/…, quarantine/…; subscriptions/… in a backtest
    report.json, report.html       of a backtest
OUT/_unpublished/run_id=ID/        in progress, or stopped
    plan.json                      what `resume` needs
    wave=00000/                    committed by one rename
    _wave=00001.…/                 being written; removed by `resume`
OUT/_unpublished/_attempts.run_id=ID.…/
                                   attempts of tasks of Spark; removed by `resume`
"""

import fcntl
import hashlib
import json
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from pantree_batch.engine import ATTEMPTS, Engine, Task
from pantree_batch.errors import BatchError, InvalidTable, RunFailed
from pantree_batch.files import remove_directory, remove_or_warn, sync_directory, write_json
from pantree_batch.fingerprint import fingerprint
from pantree_batch.layout import Table, last_date_of, read_table
from pantree_batch.method import RunOptions
from pantree_batch.program import report_of
from pantree_batch.report import write_report
from pantree_batch.scoring import method_of
from pantree_pipeline.core.replay import DAYS_PER_WEEK

MANIFEST = "manifest.json"
_PLAN, _WAVE = "plan.json", "wave.json"
_UNPUBLISHED = "_unpublished"
DEFAULT_WAVE_BUCKETS = 16
DEFAULT_MAX_REJECTED_RATIO = 0.05


@dataclass(frozen=True)
class ScoreOptions:
    """Options of a run that change what it holds."""

    as_of: date
    max_recommendations: int | None = None
    wave_buckets: int = DEFAULT_WAVE_BUCKETS
    """Buckets that are committed together."""
    week_count: int | None = None
    """Weeks after the as-of date on which plans are replayed (a backtest); None to score."""

    def of_run(self, run_id: str) -> RunOptions:
        """What the households of the run share."""
        return RunOptions(run_id, self.as_of, self.max_recommendations, self.week_count)


@dataclass(frozen=True)
class RunState:
    """How far a run is."""

    run_id: str
    as_of: str
    published: bool
    wave_count: int
    committed_wave_count: int
    household_count: int
    """Of the table, or of the published run."""
    done_household_count: int
    offer_count: int
    rejected_count: int


class Progress:
    """Gets the progress of a run. The base class ignores it."""

    def start(self, done: int, total: int) -> None:
        """Called first, with the numbers of households."""

    def advance(self, households: int) -> None:
        """Called for further households; below zero if a bucket starts again."""

    def committed(self, wave: int, wave_count: int) -> None:
        """Called after each wave."""


def run_id_of(table: Table, options: ScoreOptions) -> str:
    """Id of a run: the as-of date and a hash of all that its content depends on."""
    parts = (
        table.snapshot, fingerprint(), options.max_recommendations, options.wave_buckets, options.as_of,
        options.week_count,
    )  # fmt: skip
    kind = "" if options.week_count is None else "backtest-"
    return f"{kind}{options.as_of.isoformat()}-{hashlib.sha256(repr(parts).encode()).hexdigest()[:16]}"


def score(
    table_directory: Path,
    out: Path,
    options: ScoreOptions,
    *,
    engine: Engine,
    max_rejected_ratio: float = DEFAULT_MAX_REJECTED_RATIO,
    progress: Progress | None = None,
) -> RunState:
    """Scores a table and publishes the run; continues one that was stopped.

    Args:
        table_directory: written by `layout`.
        out: directory of the runs.
        options: of the run.
        engine: runs the buckets; closed at the end.
        max_rejected_ratio: share of the households above which the run stops.
        progress: gets the progress.

    Raises:
        BatchError: if the table is invalid, or the run stopped.
    """
    table = read_table(table_directory)
    if options.week_count is not None:
        _check_replayable(table, options.as_of, options.week_count)
    run_id = run_id_of(table, options)
    directory = out / _UNPUBLISHED / f"run_id={run_id}"
    if (out / f"run_id={run_id}" / MANIFEST).exists():
        return state_of(out, run_id)
    directory.mkdir(parents=True, exist_ok=True)
    if not (directory / _PLAN).exists():
        plan = {
            "run_id": run_id,
            "table": str(table_directory.resolve()),
            "table_snapshot": table.snapshot,
            "as_of": options.as_of.isoformat(),
            "max_recommendations": options.max_recommendations,
            "wave_buckets": options.wave_buckets,
            "week_count": options.week_count,
            "bucket_count": table.bucket_count,
            "household_count": table.household_count,
        }
        write_json(directory / _PLAN, plan)
    with _lock(out / _UNPUBLISHED / f".{run_id}.lock", run_id):
        _run(table, out, run_id, options, engine, max_rejected_ratio, progress or Progress())
    return state_of(out, run_id)


def resume(
    out: Path,
    run_id: str = "",
    *,
    engine: Engine,
    max_rejected_ratio: float = DEFAULT_MAX_REJECTED_RATIO,
    progress: Progress | None = None,
) -> RunState:
    """Continues a stopped run with its own options; no committed bucket is scored again.

    Args:
        out: directory of the runs.
        run_id: may be empty if there is only one.
        engine: runs the buckets; may be another one than before.
        max_rejected_ratio: share of the households above which the run stops.
        progress: gets the progress.

    Raises:
        BatchError: if there is no such run, its table or the models have changed, or the run stops again.
    """
    stopped = sorted(file.parent for file in (out / _UNPUBLISHED).glob(f"run_id=*/{_PLAN}"))
    if run_id:
        stopped = [directory for directory in stopped if directory.name == f"run_id={run_id}"]
    if len(stopped) != 1:
        found = ", ".join(directory.name.removeprefix("run_id=") for directory in stopped) or "none"
        raise BatchError(f"name one unpublished run to resume; {out} has {found}")
    plan = json.loads((stopped[0] / _PLAN).read_bytes())
    options = ScoreOptions(
        date.fromisoformat(plan["as_of"]), plan["max_recommendations"], plan["wave_buckets"], plan["week_count"]
    )
    if run_id_of(read_table(Path(plan["table"])), options) != plan["run_id"]:
        raise BatchError(
            f"run {plan['run_id']} cannot be resumed: its table {plan['table']}, the models or the settings have "
            f"changed; remove {stopped[0]} and score again"
        )
    return score(
        Path(plan["table"]),
        out,
        options,
        engine=engine,
        max_rejected_ratio=max_rejected_ratio,
        progress=progress,
    )


def _run(
    table: Table,
    out: Path,
    run_id: str,
    options: ScoreOptions,
    engine: Engine,
    max_rejected_ratio: float,
    progress: Progress,
) -> None:
    directory = out / _UNPUBLISHED / f"run_id={run_id}"
    for unfinished in directory.glob("_wave=*"):
        remove_directory(unfinished)
    for attempts in directory.parent.glob(f"{ATTEMPTS}.{directory.name}.*"):
        remove_or_warn(attempts)
    waves = [
        range(begin, min(begin + options.wave_buckets, table.bucket_count))
        for begin in range(0, table.bucket_count, options.wave_buckets)
    ]
    committed = [number for number in range(len(waves)) if _wave_directory(directory, number).exists()]
    progress.start(
        sum(table.household_counts[bucket] for number in committed for bucket in waves[number]), table.household_count
    )
    try:
        for number, buckets in enumerate(waves):
            if number not in committed:
                _commit_wave(engine, table, directory, number, buckets, run_id, options, progress)
                progress.committed(number + 1, len(waves))
            _check_rejected(table, directory, max_rejected_ratio)
    finally:
        engine.close()
    _publish(table, out, directory, run_id, options, len(waves))


def _check_replayable(table: Table, as_of: date, week_count: int) -> None:
    """Refuses to replay weeks whose purchases are not in the table: it would show needs that nobody had."""
    last = last_date_of(table)
    end = as_of + timedelta(days=DAYS_PER_WEEK * week_count)
    if end > last:
        raise InvalidTable(
            f"the latest purchase of {table.directory} is of {last.isoformat()}; {week_count} weeks from "
            f"{as_of.isoformat()} end on {end.isoformat()}. Replay fewer weeks (--weeks) or begin earlier (--from)"
        )


def _wave_directory(directory: Path, number: int) -> Path:
    return directory / f"wave={number:05}"


def _commit_wave(
    engine: Engine,
    table: Table,
    directory: Path,
    number: int,
    buckets: range,
    run_id: str,
    options: ScoreOptions,
    progress: Progress,
) -> None:
    # A name of its own: a process of an earlier attempt that is still ending writes elsewhere.
    unfinished = directory / f"_wave={number:05}.{uuid.uuid4().hex}"
    run_options = options.of_run(run_id)
    tasks = [Task(bucket, table.files[bucket], unfinished, run_options) for bucket in buckets]
    unfinished.mkdir()
    files: list[dict[str, Any]] = []
    models: set[tuple[str, str]] = set()
    for finished in engine.run(tasks, progress.advance):
        files += finished.files
        models.update(finished.models)
    households = sum(file["row_count"] for file in files if file["table"] in ("households", "quarantine"))
    expected = sum(table.household_counts[bucket] for bucket in buckets)
    if households != expected:
        raise RunFailed(f"wave {number} has {households:,} households instead of {expected:,}; lay out the table again")
    files.sort(key=lambda file: (file["bucket"], file["table"]))
    write_json(unfinished / _WAVE, {"files": files, "models": sorted(models)})
    unfinished.rename(_wave_directory(directory, number))
    sync_directory(directory)


def _waves(directory: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    for wave in sorted(directory.glob("wave=*")):
        yield wave, json.loads((wave / _WAVE).read_bytes())


def _row_counts(directory: Path) -> Mapping[str, int]:
    counts: Counter[str] = Counter()
    for _, wave in _waves(directory):
        for file in wave["files"]:
            counts[file["table"]] += file["row_count"]
    return counts


def _check_rejected(table: Table, directory: Path, max_rejected_ratio: float) -> None:
    rejected = _row_counts(directory)["quarantine"]
    if rejected > max_rejected_ratio * table.household_count:
        raise RunFailed(
            f"{rejected:,} of {table.household_count:,} households cannot be scored, which is more than "
            f"{max_rejected_ratio:.1%}; their reasons are in {directory}/wave=*/quarantine/. Correct the input, or "
            "allow more (--max-rejected)"
        )


def _publish(table: Table, out: Path, directory: Path, run_id: str, options: ScoreOptions, wave_count: int) -> None:
    files: list[dict[str, Any]] = []
    models: set[tuple[str, str]] = set()
    for wave_directory, wave in _waves(directory):
        models.update((name, version) for name, version in wave["models"])
        for file in wave["files"]:
            path = wave_directory / file["table"] / f"{file['bucket']:05}.parquet"
            if path.stat().st_size != file["bytes"]:
                raise RunFailed(f"{path} has changed since it was committed; remove {directory} and score again")
            files.append({**file, "path": str(path.relative_to(directory))})
    counts = _row_counts(directory)
    details = method_of(options.of_run(run_id)).tables.details
    manifest = {
        "format": 1,
        "run_id": run_id,
        "as_of": options.as_of.isoformat(),
        "week_count": options.week_count,
        "table_snapshot": table.snapshot,
        "bucket_count": table.bucket_count,
        "wave_count": wave_count,
        "models": [{"name": name, "version": version} for name, version in sorted(models)],
        "household_count": counts["households"],
        "offer_count": counts[details],
        "rejected_count": counts["quarantine"],
        "files": files,
    }
    if options.week_count is not None:
        paths = [(file["table"], directory / file["path"]) for file in files]
        write_report(directory, report_of(manifest, paths))
    write_json(directory / MANIFEST, manifest)
    directory.rename(out / f"run_id={run_id}")
    sync_directory(out)


def remove_run(out: Path, run_id: str) -> None:
    """Removes a published run; readers see all of it or nothing."""
    removed = out / _UNPUBLISHED / f".removed.{run_id}"
    removed.parent.mkdir(exist_ok=True)
    (out / f"run_id={run_id}").rename(removed)
    remove_directory(removed)


def read_manifest(out: Path, run_id: str) -> dict[str, Any]:
    """The manifest of a published run.

    Raises:
        BatchError: if there is no such run, or it is not published.
    """
    try:
        manifest: dict[str, Any] = json.loads((out / f"run_id={run_id}" / MANIFEST).read_bytes())
    except FileNotFoundError:
        names = sorted(file.parent.name.removeprefix("run_id=") for file in out.glob(f"run_id=*/{MANIFEST}"))
        published = ", ".join(names) or "none"
        raise BatchError(f"{out} has no published run {run_id}; published are: {published}") from None
    return manifest


def files_of(out: Path, run_id: str, table: str) -> dict[int, Path]:
    """The files of a table of a published run, by bucket.

    Raises:
        BatchError: if the run is not published or has no such table.
    """
    files = [file for file in read_manifest(out, run_id)["files"] if file["table"] == table]
    if not files:
        raise BatchError(f"run {run_id} has no {table}: it is a backtest")
    return {file["bucket"]: out / f"run_id={run_id}" / file["path"] for file in files}


def state_of(out: Path, run_id: str) -> RunState:
    """How far a run is.

    Raises:
        BatchError: if there is no such run.
    """
    for state in states_of(out):
        if state.run_id == run_id:
            return state
    raise BatchError(f"{out} has no run {run_id}")


def states_of(out: Path) -> list[RunState]:
    """All runs, by id."""
    states = []
    for file in out.glob(f"run_id=*/{MANIFEST}"):
        content = json.loads(file.read_bytes())
        total = content["household_count"] + content["rejected_count"]
        states.append(
            RunState(
                content["run_id"], content["as_of"], True, content["wave_count"], content["wave_count"], total, total,
                content["offer_count"], content["rejected_count"],
            )
        )  # fmt: skip
    for file in (out / _UNPUBLISHED).glob(f"run_id=*/{_PLAN}"):
        plan, counts = json.loads(file.read_bytes()), _row_counts(file.parent)
        states.append(
            RunState(
                plan["run_id"], plan["as_of"], False, -(-plan["bucket_count"] // plan["wave_buckets"]),
                sum(1 for _ in _waves(file.parent)), plan["household_count"],
                counts["households"] + counts["quarantine"],
                counts["offers"] + counts["subscriptions"], counts["quarantine"],
            )
        )  # fmt: skip
    return sorted(states, key=lambda state: state.run_id)


@contextmanager
def _lock(file: Path, run_id: str) -> Iterator[None]:
    """Keeps other processes from the same run. A process that ends releases it, however it ends.

    The file stays: another process may have opened it already, and would then hold a lock that nobody else sees.
    """
    with file.open("w") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RunFailed(f"run {run_id} is in progress in another process") from None
        yield
