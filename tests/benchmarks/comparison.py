"""Work that is compared with several baselines, all timed in turn in one run."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from tests.benchmarks.measurement import Measurement


@dataclass(frozen=True)
class Baseline:
    """What the work is compared with."""

    name: str
    seconds: float
    min_speedup: float | None = None
    """The work should be at least so many times faster; None where `max_ratio` counts."""
    max_ratio: float | None = None
    """The work should take at most so many times as long."""


@dataclass(frozen=True)
class Comparison:
    """What one benchmark found."""

    work: str
    seconds: float
    baselines: tuple[Baseline, ...]
    notes: Mapping[str, float | str]


def measurements_of(identifier: str, comparison: Comparison) -> list[Measurement]:
    """A row of the table for each baseline.

    Args:
        identifier: of the benchmark, such as `B1`.
        comparison: what was found.
    """
    rows = []
    for baseline in comparison.baselines:
        ratio, level = comparison.seconds / baseline.seconds, "no level"
        if baseline.min_speedup is not None:
            ratio, level = 1 / ratio, f"≥ {baseline.min_speedup:g} × faster"
        elif baseline.max_ratio is not None:
            level = f"≤ {baseline.max_ratio:g} × its time"
        rows.append(
            Measurement(identifier, comparison.work, baseline.name, comparison.seconds, baseline.seconds, ratio, level)
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
