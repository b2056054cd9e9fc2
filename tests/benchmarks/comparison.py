"""Work that is compared with several yardsticks, all timed in turn in one run."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from tests.benchmarks.measurement import Measurement


@dataclass(frozen=True)
class Yardstick:
    """What the work is compared with."""

    name: str
    seconds: float
    least_speedup: float | None = None
    """The work should be at least so many times faster; None where `most_ratio` counts."""
    most_ratio: float | None = None
    """The work should take at most so many times as long."""


@dataclass(frozen=True)
class Comparison:
    """What one benchmark found."""

    work: str
    seconds: float
    yardsticks: tuple[Yardstick, ...]
    notes: Mapping[str, float | str]


def measurements_of(identifier: str, comparison: Comparison) -> list[Measurement]:
    """A row of the table for each yardstick.

    Args:
        identifier: of the benchmark, such as `B1`.
        comparison: what was found.
    """
    rows = []
    for yardstick in comparison.yardsticks:
        ratio, level = comparison.seconds / yardstick.seconds, "no level"
        if yardstick.least_speedup is not None:
            ratio, level = 1 / ratio, f"≥ {yardstick.least_speedup:g} × faster"
        elif yardstick.most_ratio is not None:
            level = f"≤ {yardstick.most_ratio:g} × its time"
        rows.append(
            Measurement(
                identifier, comparison.work, yardstick.name, comparison.seconds, yardstick.seconds, ratio, level
            )
        )
    return rows


def best_of(count: int, work: Callable[[], object]) -> float:
    """Seconds of the fastest of some runs: what the machine can do when nobody disturbs it."""
    seconds = []
    for _ in range(count):
        started = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - started)
    return min(seconds)
