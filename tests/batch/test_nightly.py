"""Nights that follow each other, one of which is stopped."""

import json
from collections.abc import Callable, Iterator, Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from pantree_batch.engine import Finished, Task, score_bucket
from pantree_batch.errors import BatchError, RunFailed
from pantree_batch.nightly import Night, run_night
from pantree_batch.run import ScoreOptions, states_of
from pantree_batch.scorer import Scorer
from tests.batch.populations import AS_OF, lines_of, population, write

BUCKETS = 3


class InThisProcess:
    """An engine without processes, which fails at its nth wave."""

    scorer: Scorer

    def __init__(self, failing_wave: int = -1) -> None:
        self._remaining = failing_wave
        self.buckets: list[int] = []
        self.close_count = 0

    def run(self, tasks: Sequence[Task], on_progress: Callable[[int], None]) -> Iterator[Finished]:
        if self._remaining == 0:
            raise RunFailed("stopped")
        self._remaining -= 1
        for task in tasks:
            self.buckets.append(task.bucket)
            yield score_bucket(task, self.scorer, lambda _: None, on_progress)

    def close(self) -> None:
        self.close_count += 1


@pytest.fixture(scope="module", autouse=True)
def _scorer() -> None:
    InThisProcess.scorer = Scorer()


@pytest.fixture
def purchases(tmp_path: Path) -> Path:
    return write(tmp_path / "purchases.parquet", population(6))


class Recorded:
    """A sink that keeps what it gets, or refuses it."""

    batch_size = 2

    def __init__(self, problem: str = "") -> None:
        self._problem = problem
        self.sent: list[dict[str, Any]] = []
        self.calls: list[str] = []

    def send(self, changes: Sequence[dict[str, Any]]) -> None:
        if self._problem:
            raise BatchError(self._problem)
        self.sent += changes

    def finish(self) -> None:
        self.calls.append("finish")

    def close(self) -> None:
        self.calls.append("close")


def night(
    purchases: Path,
    directory: Path,
    day: date,
    engine: InThisProcess,
    keep_runs: int = 0,
    sink: Recorded | None = None,
) -> Night:
    options = ScoreOptions(day, wave_buckets=1)
    return run_night(purchases, directory, options, BUCKETS, engine=engine, keep_runs=keep_runs, sink=sink)


def days_of(directory: Path) -> list[str]:
    return sorted(folder.name for folder in (directory / "tables").iterdir())


def test_second_night_sends_what_changed_and_the_same_night_does_nothing(purchases: Path, tmp_path: Path) -> None:
    nights, tomorrow = tmp_path / "nights", AS_OF + timedelta(days=1)
    first = night(purchases, nights, AS_OF, InThisProcess())
    assert (first.run.published, first.before_id, first.change_counts) == (True, "", {})
    write(purchases, population(6) + lines_of("new", 7))
    engine = InThisProcess()
    second = night(purchases, nights, tomorrow, engine)
    assert second.before_id == first.run.run_id
    (file,) = (nights / "changes").iterdir()
    assert file.name == f"{first.run.run_id}..{second.run.run_id}.jsonl"
    sent = [json.loads(line) for line in file.read_text().splitlines()]
    assert len(sent) == sum(second.change_counts.values())
    assert {one["household"] for one in sent if one["change"] == "added"} >= {"new"}
    assert (sorted(engine.buckets), engine.close_count) == ([0, 1, 2], 1)
    assert days_of(nights) == [f"as_of={tomorrow.isoformat()}"]

    repeated, engine = night(purchases, nights, tomorrow, engine), InThisProcess()
    assert (repeated.run, repeated.before_id) == (second.run, "")
    assert engine.buckets == []


def test_stopped_night_is_continued_with_the_purchases_of_its_day(purchases: Path, tmp_path: Path) -> None:
    nights = tmp_path / "nights"
    with pytest.raises(RunFailed):
        night(purchases, nights, AS_OF, InThisProcess(failing_wave=1))
    write(purchases, population(6) + lines_of("late", 7))
    engine = InThisProcess()
    continued = night(purchases, nights, AS_OF, engine)
    assert engine.buckets == [1, 2]
    assert continued.run.household_count == 6


def test_next_night_resumes_the_stopped_one_and_loses_no_change(purchases: Path, tmp_path: Path) -> None:
    nights = tmp_path / "nights"
    days = [AS_OF + timedelta(days=number) for number in range(3)]
    first = night(purchases, nights, days[0], InThisProcess())
    with pytest.raises(RunFailed):
        night(purchases, nights, days[1], InThisProcess(failing_wave=2))
    third = night(purchases, nights, days[2], InThisProcess())
    assert [state.published for state in states_of(nights / "runs")] == [True] * 3
    # Nobody has got the changes of the second night.
    assert third.before_id == first.run.run_id


def test_sink_is_closed_however_the_night_ends(purchases: Path, tmp_path: Path) -> None:
    nights, tomorrow = tmp_path / "nights", AS_OF + timedelta(days=1)
    sinks = [Recorded(), Recorded(), Recorded("refused"), Recorded()]
    # Nothing is sent in the first night, nor in one that stops.
    first = night(purchases, nights, AS_OF, InThisProcess(), sink=sinks[0])
    with pytest.raises(RunFailed):
        night(purchases, nights, tomorrow, InThisProcess(failing_wave=1), sink=sinks[1])
    with pytest.raises(BatchError, match="refused"):
        night(purchases, nights, tomorrow, InThisProcess(), sink=sinks[2])
    assert ["finish" in sink.calls for sink in sinks[:3]] == [False] * 3
    # A night whose changes were refused sends them when it is repeated.
    again = night(purchases, nights, tomorrow, InThisProcess(), sink=sinks[3])
    assert again.before_id == first.run.run_id
    assert len(sinks[3].sent) == sum(again.change_counts.values()) > 0
    assert sinks[3].calls[0] == "finish"
    assert ["close" in sink.calls for sink in sinks] == [True] * 4


def test_run_that_cannot_be_resumed_does_not_stop_the_night(purchases: Path, tmp_path: Path) -> None:
    nights, tomorrow = tmp_path / "nights", AS_OF + timedelta(days=1)
    with pytest.raises(RunFailed):
        night(purchases, nights, AS_OF, InThisProcess(failing_wave=1))
    table = nights / "tables" / f"as_of={AS_OF.isoformat()}" / "table.json"
    table.write_text(table.read_text().replace('"snapshot": "', '"snapshot": "other'))
    problems: list[str] = []
    options = ScoreOptions(tomorrow, wave_buckets=1)
    published = run_night(purchases, nights, options, BUCKETS, engine=InThisProcess(), on_problem=problems.append)
    assert published.run.published
    assert len(problems) == 1
    assert "cannot be resumed" in problems[0]


def test_old_runs_are_removed_whole(purchases: Path, tmp_path: Path) -> None:
    nights = tmp_path / "nights"
    for number in range(3):
        night(purchases, nights, AS_OF + timedelta(days=number), InThisProcess(), keep_runs=2)
    kept = [state.as_of for state in states_of(nights / "runs")]
    assert kept == [(AS_OF + timedelta(days=number)).isoformat() for number in (1, 2)]
    assert not list((nights / "runs" / "_unpublished").glob(".removed*"))


def test_invalid_purchases_close_the_engine_and_publish_nothing(tmp_path: Path) -> None:
    engine = InThisProcess()
    with pytest.raises(BatchError, match="lacks the columns"):
        night(write(tmp_path / "in.parquet", [{"household": "h"}]), tmp_path / "nights", AS_OF, engine)
    assert engine.close_count == 1
    assert not (tmp_path / "nights" / "sent.json").exists()
