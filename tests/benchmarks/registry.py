"""What a benchmark is, and how it is timed: its work and its yardsticks in turn, in one run."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass


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
class Measurement:
    """What one benchmark found."""

    work: str
    seconds: float
    yardsticks: tuple[Yardstick, ...]
    notes: Mapping[str, float | str]


@dataclass(frozen=True)
class Benchmark:
    """A benchmark that can be run."""

    identifier: str
    """As in the design notes: `B1`."""
    run: Callable[[], Measurement]


def best_of(count: int, work: Callable[[], object]) -> float:
    """Seconds of the fastest of some runs: what the machine can do when nobody disturbs it."""
    seconds = []
    for _ in range(count):
        started = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - started)
    return min(seconds)
