"""Runs all benchmarks, or those named: `python -m tests.benchmarks [B5 …]`. Prints a table and writes bench.json."""

import importlib
import json
import pkgutil
import platform
import sys
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.table import Table

import tests.benchmarks
from tests.benchmarks.measurement import Measurement

REPORT = Path("bench.json")


def main(wanted: list[str]) -> None:
    """Runs the benchmarks whose id is wanted; all of them when none is."""
    console = Console()
    measurements: list[Measurement] = []
    for module in pkgutil.iter_modules(tests.benchmarks.__path__):
        identifier = module.name.split("_")[0].upper()
        if identifier[:1] == "B" and identifier[1:].isdigit() and (not wanted or identifier in wanted):
            with console.status(f"measuring {module.name}"):
                measurements += importlib.import_module(f"tests.benchmarks.{module.name}").measure()
    table = Table(header_style="bold", pad_edge=False)
    for column in ("id", "work", "yardstick", "work s", "yardstick s", "ratio", "to reach"):
        table.add_column(column)
    for one in measurements:
        seconds = (f"{one.work_seconds:.5f}", f"{one.yardstick_seconds:.5f}")
        table.add_row(one.id, one.work, one.yardstick, *seconds, f"{one.ratio:.2f}", one.level)
    console.print(table)
    machine = {"machine": platform.machine(), "python": platform.python_version(), "system": platform.system()}
    REPORT.write_text(json.dumps({**machine, "measurements": [asdict(one) for one in measurements]}, indent=2) + "\n")
    console.print(f"written to {REPORT}")


if __name__ == "__main__":
    main([argument.upper() for argument in sys.argv[1:]])
