"""Runs all benchmarks, or those named: `python -m tests.benchmarks [B5 …]`. Prints a table and writes bench.json."""

import importlib
import json
import pkgutil
import platform
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

import tests.benchmarks
from tests.benchmarks.measurement import Measurement

REPORT = Path("bench.json")
_LEVEL_COLUMNS = 20


def table_of(measurements: Sequence[Measurement]) -> Table:
    """All measurements: of each first the work, then its baseline, in one column; eighty columns are enough."""
    table = Table(header_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("id")
    table.add_column("work, and below it its baseline", ratio=1)
    table.add_column("value", justify="right", no_wrap=True)
    table.add_column("ratio", justify="right", no_wrap=True)
    table.add_column("to reach", max_width=_LEVEL_COLUMNS)
    for one in measurements:
        work, baseline = (f"{value:.5f} {one.unit}" for value in (one.work_value, one.baseline_value))
        table.add_row(one.id, escape(one.work), work, f"{one.ratio:.2f}", escape(one.level))
        table.add_row("", escape(one.baseline), baseline, style="dim")
        table.add_section()
    return table


def main(wanted: list[str]) -> None:
    """Runs the benchmarks whose id is wanted; all of them when none is."""
    console = Console()
    measurements: list[Measurement] = []
    for module in pkgutil.iter_modules(tests.benchmarks.__path__):
        identifier = module.name.split("_")[0].upper()
        if identifier[:1] == "B" and identifier[1:].isdigit() and (not wanted or identifier in wanted):
            with console.status(f"measuring {module.name}"):
                measurements += importlib.import_module(f"tests.benchmarks.{module.name}").measure()
    console.print(table_of(measurements))
    machine = {"machine": platform.machine(), "python": platform.python_version(), "system": platform.system()}
    REPORT.write_text(json.dumps({**machine, "measurements": [asdict(one) for one in measurements]}, indent=2) + "\n")
    console.print(f"written to {REPORT}")


if __name__ == "__main__":
    main([argument.upper() for argument in sys.argv[1:]])
