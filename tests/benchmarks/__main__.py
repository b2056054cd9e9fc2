"""Runs the benchmarks, prints one table, writes `bench.json`: `make bench`, or `python -m tests.benchmarks B1 B8`.

Machines differ, so that only ratios within one run mean anything.
"""

import argparse
import importlib
import json
from dataclasses import asdict
from pathlib import Path

from tests.benchmarks.registry import Benchmark, Yardstick

# Modules of benchmarks; each has a tuple `BENCHMARKS`.
MODULES = ("tests.benchmarks.frequency",)


def all_benchmarks() -> dict[str, Benchmark]:
    """Every benchmark by its identifier."""
    found = [benchmark for module in MODULES for benchmark in importlib.import_module(module).BENCHMARKS]
    return {benchmark.identifier: benchmark for benchmark in found}


def _verdict(seconds: float, yardstick: Yardstick) -> str:
    if yardstick.least_speedup is not None:
        speedup = yardstick.seconds / seconds
        reached = "reached" if speedup >= yardstick.least_speedup else "MISSED"
        return f"{speedup:6.1f}× faster (level {yardstick.least_speedup:g}×, {reached})"
    ratio = seconds / yardstick.seconds
    if yardstick.most_ratio is None:
        return f"{ratio:6.2f}× its time"
    reached = "reached" if ratio <= yardstick.most_ratio else "MISSED"
    return f"{ratio:6.2f}× its time (level {yardstick.most_ratio:g}×, {reached})"


def main() -> None:
    """Runs what is asked for, or everything."""
    benchmarks = all_benchmarks()
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(benchmarks)}; all when none is given")
    parser.add_argument("--output", type=Path, default=Path("bench.json"))
    arguments = parser.parse_args()
    report = {}
    for name in arguments.names or benchmarks:
        measurement = benchmarks[name].run()
        print(f"{name:4s} {measurement.work}: {measurement.seconds:.2f} s", flush=True)
        for yardstick in measurement.yardsticks:
            verdict = _verdict(measurement.seconds, yardstick)
            print(f"       {yardstick.name:32s} {yardstick.seconds:8.2f} s  {verdict}", flush=True)
        for note, value in measurement.notes.items():
            print(f"       {note}: {value}", flush=True)
        report[name] = asdict(measurement)
    arguments.output.write_text(json.dumps(report, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
