"""Realism report, run by `make realism`: simulated against real baskets, as a table and as plots.

Writes `realism/realism.md` and one PNG per statistic. Ends with 1 when a statistic is outside its tolerance.
"""

import argparse
import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")  # no window, no display
import matplotlib.pyplot as plt
import numpy as np
from rich.console import Console
from rich.table import Table

from tests.realism.archetypes import archetype_deviations
from tests.realism.real import open_purchases, packaged_tables, read_table
from tests.realism.simulated import our_behaviour, simulated_purchases
from tests.realism.statistics import STATISTICS, Floats, Measured, Statistic, measure

_ARCHETYPE_HOUSEHOLDS = 500
_WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


def main() -> None:
    """Measures both, prints and writes the report."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.realism", description="Holds the simulation against real data."
    )
    parser.add_argument("files", nargs="*", type=Path, metavar="FILE", help="transactions and products, Parquet or CSV")
    parser.add_argument("--households", type=int, default=2000, help="how many households to simulate")
    parser.add_argument("--out", type=Path, default=Path("realism"), help="folder for the report")
    arguments = parser.parse_args()
    if len(arguments.files) not in (0, 2):
        parser.error("give two files, transactions and products, or none")
    transactions, products = map(read_table, arguments.files) if arguments.files else packaged_tables()
    real = measure(open_purchases(transactions, products))
    simulated = measure(simulated_purchases(our_behaviour(), arguments.households))
    arguments.out.mkdir(parents=True, exist_ok=True)
    rows = [_row(statistic, real, simulated) for statistic in STATISTICS]
    rows += [
        (f"archetype {name}: gaps, basket, categories", "", "", "15 %; 0.03", float(deviations.max()))
        for name, deviations in archetype_deviations(our_behaviour(), _ARCHETYPE_HOUSEHOLDS).items()
    ]
    _print(rows)
    header = "| statistic | real | simulated | tolerance | deviation, in tolerances |\n|---|---|---|---|---|\n"
    lines = "\n".join(f"| {' | '.join(row[:4])} | {row[4]:.2f} |" for row in rows)
    (arguments.out / "realism.md").write_text(header + lines + "\n", encoding="utf-8")
    for number, statistic in enumerate(STATISTICS):
        _plot(statistic, real, simulated, arguments.out / f"{number + 1:02}.png")
    print(f"written to {arguments.out}/")
    sys.exit(any(row[4] > 1 for row in rows))


def _row(statistic: Statistic, real: Measured, simulated: Measured) -> tuple[str, str, str, str, float]:
    values = real.values[statistic.name], simulated.values[statistic.name]
    tolerance = f"{statistic.tolerance:.0%}" if statistic.relative else f"± {statistic.tolerance:g}"
    deviation = float(statistic.deviations(values[1], values[0]).max())
    return statistic.name, _figures(values[0]), _figures(values[1]), tolerance, deviation


def _figures(values: Floats) -> str:
    return " ".join(f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}" for value in values)


def _print(rows: list[tuple[str, str, str, str, float]]) -> None:
    table = Table(header_style="bold", pad_edge=False)
    for column in ("statistic", "real", "simulated", "tolerance", "deviation"):
        table.add_column(column)
    for *texts, deviation in rows:
        table.add_row(*texts, f"{deviation:.2f}", style="" if deviation <= 1 else "red")
    Console().print(table)


def _plot(statistic: Statistic, real: Measured, simulated: Measured, file: Path) -> None:
    """Cumulative distributions where there are samples, bars where there are shares."""
    figure, axes = plt.subplots(figsize=(6, 4), layout="constrained")
    for measured, label in ((real, "real"), (simulated, "simulated")):
        sample = measured.samples.get(statistic.name)
        if sample is None:
            values = measured.values[statistic.name]
            names = _WEEKDAYS if len(values) == len(_WEEKDAYS) else [str(at + 1) for at in range(len(values))]
            offset = -0.2 if measured is real else 0.2
            axes.bar(np.arange(len(values)) + offset, values, 0.4, label=label)
            axes.set_xticks(range(len(values)), names)
        else:
            ratios = np.linspace(0.01, 0.99, 99)
            axes.plot(np.quantile(sample, ratios), ratios, label=label)
    axes.set_title(statistic.name)
    axes.legend()
    figure.savefig(file, dpi=100)
    plt.close(figure)


if __name__ == "__main__":
    main()
