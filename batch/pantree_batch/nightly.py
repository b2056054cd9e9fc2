"""One night: lays out the purchases, scores every household and sends what changed since the run that was sent before.

The directory of the nights holds

- `tables/as_of=DATE/`: the table of a day, until a later run is published.
- `runs/`: the runs; a stopped one is resumed by the next night.
- `changes/A..B.jsonl`: what changed from run A to run B, unless it goes to another sink.
- `sent.json`: the last run whose changes were sent. A night that failed in between loses no change.

Everything may be repeated: a night that was stopped continues with what is missing.
"""

import contextlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pantree_batch.changes import ChangeSink, FileSink, changes, send_changes
from pantree_batch.engine import Engine, Finished, Task
from pantree_batch.errors import BatchError
from pantree_batch.files import remove_directory, write_json
from pantree_batch.layout import TABLE_FILE, lay_out
from pantree_batch.run import (
    DEFAULT_MAX_REJECTED_RATIO,
    Progress,
    RunState,
    ScoreOptions,
    remove_run,
    resume,
    score,
    states_of,
)

RUNS, TABLES, CHANGES = "runs", "tables", "changes"
_SENT = "sent.json"


@dataclass(frozen=True)
class Night:
    """What a night has published."""

    run: RunState
    before_id: str
    """Run with which it was compared; empty in the first night, or if the changes had been sent before."""
    change_counts: dict[str, int]
    """By kind."""


def run_night(
    purchases: Path,
    directory: Path,
    options: ScoreOptions,
    bucket_count: int,
    *,
    engine: Engine,
    sink: ChangeSink | None = None,
    keep_runs: int = 0,
    max_rejected_ratio: float = DEFAULT_MAX_REJECTED_RATIO,
    progress: Progress | None = None,
    on_problem: Callable[[str], None] = lambda _: None,
) -> Night:
    """Runs a night, or what is missing of it.

    Args:
        purchases: Parquet file, or directory of such files.
        directory: of all nights.
        options: of the run.
        bucket_count: of the table; the same every night, or runs cannot be compared.
        engine: runs the buckets; closed at the end.
        sink: takes the changes; by default a file in `changes/`. Closed at the end.
        keep_runs: published runs to keep, the one that was sent last among them; 0 keeps all.
        max_rejected_ratio: share of the households above which the run stops.
        progress: gets the progress.
        on_problem: gets what did not end the night: a run of an earlier night that cannot be resumed.

    Raises:
        BatchError: if the purchases or the table are invalid, or the run stopped.
    """
    with contextlib.nullcontext() if sink is None else contextlib.closing(sink):
        out = directory / RUNS
        day = directory / TABLES / f"as_of={options.as_of.isoformat()}"
        out.mkdir(parents=True, exist_ok=True)
        shared = _Shared(engine)
        try:
            if not (day / TABLE_FILE).exists():
                day.parent.mkdir(exist_ok=True)
                lay_out(purchases, day, bucket_count)
            for stopped in _stopped_runs(out, options):
                try:
                    resume(out, stopped, engine=shared, max_rejected_ratio=max_rejected_ratio, progress=progress)
                except BatchError as error:
                    on_problem(str(error))
            state = score(day, out, options, engine=shared, max_rejected_ratio=max_rejected_ratio, progress=progress)
        finally:
            engine.close()
        before_id, counts = _send(directory, state.run_id, sink)
        for table in (directory / TABLES).glob("as_of=*"):
            if table.name < day.name:
                remove_directory(table)
        if keep_runs:
            _remove_old_runs(out, keep_runs, state.run_id)
        return Night(state, before_id, counts)


class _Shared:
    """An engine that several runs use, and none of them closes: a Spark session cannot be started twice."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def run(self, tasks: Sequence[Task], on_progress: Callable[[int], None]) -> Iterator[Finished]:
        """As the engine."""
        return self._engine.run(tasks, on_progress)

    def close(self) -> None:
        """Keeps the engine open."""


def _is_nightly(state: RunState) -> bool:
    return not state.run_id.startswith("backtest-")


def _stopped_runs(out: Path, options: ScoreOptions) -> list[str]:
    """Runs of earlier days, oldest first. `score` itself continues that of the day."""
    day = options.as_of.isoformat()
    states = [state for state in states_of(out) if _is_nightly(state) and not state.published and state.as_of < day]
    return [state.run_id for state in states]


def _send(directory: Path, run_id: str, sink: ChangeSink | None) -> tuple[str, dict[str, int]]:
    file = directory / _SENT
    before_id: str = json.loads(file.read_bytes())["run_id"] if file.exists() else ""
    counts: dict[str, int] = {}
    if before_id == run_id:
        return "", counts
    if before_id:
        found: Iterator[dict[str, Any]] = changes(directory / RUNS, before_id, run_id)
        if sink is None:
            (directory / CHANGES).mkdir(exist_ok=True)
            sink = FileSink(directory / CHANGES / f"{before_id}..{run_id}.jsonl")
        counts = send_changes(found, sink)
    write_json(file, {"run_id": run_id})
    return before_id, counts


def _remove_old_runs(out: Path, keep_runs: int, sent_id: str) -> None:
    """Removes published runs from the oldest on."""
    published = [state for state in states_of(out) if state.published and _is_nightly(state)]
    for state in sorted(published, key=lambda state: state.as_of)[:-keep_runs]:
        if state.run_id != sent_id:
            remove_run(out, state.run_id)
