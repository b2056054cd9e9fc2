"""What every engine has in common: buckets as tasks, and the function that scores one of them and writes its files.

An engine decides where and when a bucket runs, and starts it again if its process ends. What is written depends on
nothing else, so that all engines publish the same bytes.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from pantree_batch.household import Key
from pantree_batch.layout import batches_of
from pantree_batch.method import HouseholdScorer, RunOptions
from pantree_batch.scoring import Safeguards, method_of, score_batches
from pantree_batch.tables import BucketWriter

ENDS_TO_SKIP = 2
"""Processes that end at one household before it is skipped, after the first one, whose household is unknown."""
MAX_ENDS = 20
"""Processes that end at different households of one bucket before the run gives up."""


ATTEMPTS = "_attempts"
"""Begins names of directories of attempts, `_attempts.RUN.WAVE`, which are next to the run and never published."""


@dataclass(frozen=True)
class Task:
    """A bucket to score."""

    bucket: int
    lines: Path | None
    directory: Path
    """To write below; exists."""
    options: RunOptions
    skipped: frozenset[Key] = frozenset()
    careful: bool = False
    """Report each household before it is scored."""


@dataclass(frozen=True)
class Finished:
    """A bucket is written."""

    bucket: int
    files: tuple[dict[str, Any], ...]
    models: tuple[tuple[str, str], ...]


class Engine(Protocol):
    """Runs tasks. It starts when it is first used."""

    def run(self, tasks: Sequence[Task], on_progress: Callable[[int], None]) -> Iterator[Finished]:
        """The buckets of a wave as they are written, in any order.

        Args:
            tasks: buckets, to be written below one directory. It holds nothing else when the iterator ends.
            on_progress: gets the number of further households; below zero if a bucket starts again.

        Raises:
            RunFailed: if a bucket cannot be scored.
        """

    def close(self) -> None:
        """Ends what `run` started."""


def score_bucket(
    task: Task, scorer: HouseholdScorer, before_each: Callable[[Key], None], on_rows: Callable[[int], None]
) -> Finished:
    """Scores a bucket from its first line to its last one, and writes its files.

    Args:
        task: bucket.
        scorer: scores households.
        before_each: called before each household of a careful task.
        on_rows: gets the number of further households.

    Raises:
        InvalidTable: if the lines are not sorted.
    """
    safeguards = Safeguards(task.skipped, before_each if task.careful else None)
    with BucketWriter(task.directory, task.bucket, method_of(task.options).tables) as writer:
        for scored in score_batches(batches_of(task.lines), scorer, task.options, safeguards):
            writer.add(scored)
            on_rows(scored.num_rows)
    return Finished(task.bucket, tuple(vars(file) for file in writer.written()), tuple(sorted(writer.models)))
