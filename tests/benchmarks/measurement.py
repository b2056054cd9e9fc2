"""What a benchmark reports, and how work and baseline are timed in turn."""

import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Measurement:
    """Work and baseline, measured in one run."""

    id: str
    """Benchmark, such as `B5`."""
    work: str
    baseline: str
    work_value: float
    baseline_value: float
    ratio: float
    """In the direction of `level`: how many times faster than the baseline, or how many times its duration."""
    level: str
    """What is to be reached, such as `≥ 5 × faster`."""
    unit: str = "s"
    """Of both values."""


def alternate(work: Callable[[], object], baseline: Callable[[], object], rounds: int = 7) -> tuple[float, float]:
    """Least seconds of the work and of its baseline over some rounds, taken in turn after one round to warm up.

    The least, because whatever else the machine does only ever adds.
    """
    times: tuple[list[float], list[float]] = ([], [])
    for number in range(rounds + 1):
        for run, seconds in zip((work, baseline), times, strict=True):
            started = time.perf_counter()
            run()
            if number:
                seconds.append(time.perf_counter() - started)
    return min(times[0]), min(times[1])
