"""B14: how long the first start on a machine takes, with nothing of Pantree compiled, against a later start."""

import asyncio
import shutil
import tempfile
import tomllib
from pathlib import Path
from statistics import median

from tests.benchmarks.b9_cold_start import start_mesh
from tests.benchmarks.measurement import Measurement

_ROOT = Path(__file__).parents[2]
_ROUNDS = 3
# Rounds before the first that counts.
_WARM_UP = 1


def measure() -> list[Measurement]:
    """Medians of a few starts, in turn with those of the baseline."""
    return asyncio.run(_measure())


async def _measure() -> list[Measurement]:
    first: list[tuple[float, float]] = []
    later: list[tuple[float, float]] = []
    for number in range(_WARM_UP + _ROUNDS):
        with tempfile.TemporaryDirectory() as directory:
            _copy_packages(Path(directory))
            times = await start_mesh(PYTHONPATH=directory)
        if number >= _WARM_UP:
            first.append(times)
            later.append(await start_mesh())
        else:
            await start_mesh(PANTREE_COMPILE="")  # serves when all is compiled
    return [
        Measurement(
            "B14", f"first start until {state}", "with filled caches", work, baseline, work / baseline, "≤ 3 × its time"
        )
        for state, work, baseline in (
            ("all parts are SERVING", median(one for one, _ in first), median(one for one, _ in later)),
            ("the first answer", median(one for _, one in first), median(one for _, one in later)),
        )
    ]


def _copy_packages(directory: Path) -> None:
    """Copies the packages of Pantree without what Python and numba have compiled.

    What other packages contain is compiled when they are installed.
    """
    for project in (".", "gen", "runtime", "clients/python"):
        settings = tomllib.loads((_ROOT / project / "pyproject.toml").read_text())
        for package in settings["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]:
            source = _ROOT / project / package
            shutil.copytree(source, directory / source.name, ignore=shutil.ignore_patterns("__pycache__"))
