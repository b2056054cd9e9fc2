"""B11: scoring tables of several sizes on Spark, against the pool of processes on the same files.

`PANTREE_BENCH_HOUSEHOLDS=1000,2000,3000` names the sizes; a household has some 600 lines in twelve months, so that 12,
24 and 36 million lines are 20000,40000,60000. What a further million lines cost is the slope over the sizes: starting
Spark and loading the models is no part of it.
"""

import contextlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from pantree_batch.layout import lay_out
from tests.batch.drive import SPARK
from tests.benchmarks.measurement import Measurement

_BUCKETS = 16
_SAMPLE_SECONDS = 0.25
_WORKERS = 2
_ENGINES = {
    "pool of 1": ["--workers", "1"],
    "pool of 2": ["--workers", str(_WORKERS)],
    "Spark": ["--engine", "spark", "--master", SPARK, "--conf", "spark.ui.enabled=false"],
}


@dataclass
class _Usage:
    """What a command and all its descendants have used."""

    wall_seconds: float = 0.0
    worker_megabytes: float = 0.0
    """The most that one process which scores has held at a time."""
    cpu: dict[tuple[int, float], float] = field(default_factory=dict)

    @property
    def cpu_seconds(self) -> float:
        return sum(self.cpu.values())

    def sample(self, command: psutil.Process) -> None:
        """Adds what is known now; processes that ended keep what they had."""
        with contextlib.suppress(psutil.Error):
            for process in [command, *command.children(recursive=True)]:
                with contextlib.suppress(psutil.Error):
                    times, words = process.cpu_times(), " ".join(process.cmdline())
                    self.cpu[process.pid, process.create_time()] = times.user + times.system
                    if "spawn_main" in words or "pyspark.daemon" in words:
                        self.worker_megabytes = max(self.worker_megabytes, process.memory_info().rss / 1e6)


def _used(arguments: list[str], folder: Path) -> _Usage:
    variables = {**os.environ, "SPARK_LOCAL_IP": "127.0.0.1", "SPARK_WORKER_DIR": str(folder / "spark")}
    usage, ended = _Usage(), threading.Event()
    started = time.perf_counter()
    command = [sys.executable, "-m", "pantree_cli", "batch", "score", *arguments]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, env=variables, stdout=log, stderr=log)
        root = psutil.Process(process.pid)

        def watch() -> None:
            while not ended.wait(_SAMPLE_SECONDS):
                usage.sample(root)

        thread = threading.Thread(target=watch)
        thread.start()
        code = process.wait()
        usage.wall_seconds = time.perf_counter() - started
        ended.set()
        thread.join()
    if code:
        raise RuntimeError((folder / "log").read_text(errors="replace")[-2_000:])
    return usage


def _slope(sizes: list[float], values: list[float]) -> float:
    return float(np.polyfit(sizes, values, 1)[0])


def measure() -> list[Measurement]:
    """Marginal CPU and wall time per million lines, growth with the size, and memory of workers."""
    names = os.environ.get("PANTREE_BENCH_HOUSEHOLDS", "1000,2000,3000").split(",")
    engines = dict(_ENGINES)
    if importlib.util.find_spec("pyspark") is None or shutil.which("java") is None:
        del engines["Spark"]
    sizes: list[float] = []
    used: dict[str, list[_Usage]] = {name: [] for name in engines}
    with tempfile.TemporaryDirectory() as directory:
        for number, households in enumerate(names):
            folder = Path(directory) / str(number)
            folder.mkdir()
            simulate = [sys.executable, "-m", "pantree_cli", "simulate", str(folder / "in.parquet")]
            dates = ["--months", "12", "--start-date", "2025-12-01"]
            subprocess.run(
                [*simulate, "--households", households, *dates],
                check=True,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            table = lay_out(folder / "in.parquet", folder / "table", _BUCKETS)
            sizes.append(table.line_count / 1e6)
            if not number:
                # Compiles, so that no size pays for it.
                _used([str(table.directory), str(folder / "first"), "--as-of", "2026-11-01"], folder)
            for name, options in engines.items():
                out = folder / name
                used[name].append(_used([str(table.directory), str(out), "--as-of", "2026-11-01", *options], folder))
            shutil.rmtree(folder)
    return _measurements(sizes, used)


def _measurements(sizes: list[float], used: dict[str, list[_Usage]]) -> list[Measurement]:
    wall = {name: _slope(sizes, [one.wall_seconds for one in runs]) for name, runs in used.items()}
    cpu = {name: _slope(sizes, [one.cpu_seconds for one in runs]) for name, runs in used.items()}
    text = ", ".join(f"{size:.2f}" for size in sizes)
    found: list[tuple[Any, ...]] = [
        ("wall time of a million lines, pool of 1", "pool of 2", wall["pool of 1"], wall["pool of 2"], "≥ 1.8 ×")
    ]
    if "Spark" in used:
        found += [
            ("CPU time of a million lines, Spark", "pool of 2", cpu["Spark"], cpu["pool of 2"], "≤ 1.15 ×"),
            ("wall time of a million lines, Spark", "pool of 2", wall["Spark"], wall["pool of 2"], "≤ 1.3 ×"),
        ]
    measurements = [
        Measurement("B11", f"{work} ({text} million)", baseline, value, other, value / other, level)
        for work, baseline, value, other, level in found
    ]
    for name, runs in used.items():
        first, last = runs[0], runs[-1]
        small, large = (f"{size:.2f} million lines" for size in (sizes[0], sizes[-1]))
        exponent = _slope([float(np.log(size)) for size in sizes], [float(np.log(one.wall_seconds)) for one in runs])
        megabytes = last.worker_megabytes, first.worker_megabytes
        measurements += [
            Measurement(
                "B11", f"{name}: wall time of {large}; exponent over the sizes", small,
                last.wall_seconds, first.wall_seconds, exponent, "exponent ≤ 1.1",
            ),
            Measurement(
                "B11", f"{name}: memory of a worker at {large}", small, *megabytes, megabytes[0] / megabytes[1],
                "≤ 1.2 ×", "MB",
            ),
        ]  # fmt: skip
    return measurements
