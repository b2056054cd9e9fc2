"""Realism report, run by `make realism`: simulated against real baskets, as a table and as plots.

Writes `realism/realism.md`, one PNG per statistic, and `realism/shoppers.txt`: figures of each archetype's first
purchases, and a typical month. Several populations are simulated, each with a seed of its own: shelf prices and
promotions are a seed's. Ends with 1 when a statistic is outside its tolerance with any of the seeds.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib

matplotlib.use("Agg")  # no window, no display
import matplotlib.pyplot as plt
import numpy as np
from rich.console import Console
from rich.table import Table

from pantree_research.realism.archetypes import archetype_deviations
from pantree_research.realism.kinds import MIN_INTERVAL_ORDER, interval_order
from pantree_research.realism.real import open_purchases, packaged_tables, read_table
from pantree_research.realism.shoppers import figures_of, rows_of, shoppers_of, typical_month
from pantree_research.realism.simulated import our_archetypes, our_behavior, simulated_purchases
from pantree_research.realism.statistics import STATISTICS, Floats, Measured, Statistic, measure

_ARCHETYPE_HOUSEHOLDS = 500
_WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


def main() -> None:
    """Measures both, prints and writes the report."""
    parser = argparse.ArgumentParser(
        prog="python -m pantree_research.realism", description="Holds the simulation against real data."
    )
    parser.add_argument("files", nargs="*", type=Path, metavar="FILE", help="transactions and products, Parquet or CSV")
    parser.add_argument("--households", type=int, default=2000, help="how many households to simulate with each seed")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3, 4, 5, 6], help="seeds of the populations")
    parser.add_argument(
        "--shoppers", type=int, default=200, help="how many first purchases of each archetype to answer"
    )
    parser.add_argument("--out", type=Path, default=Path("realism"), help="folder for the report")
    arguments = parser.parse_args()
    if len(arguments.files) not in (0, 2):
        parser.error("give two files, transactions and products, or none")
    transactions, products = map(read_table, arguments.files) if arguments.files else packaged_tables()
    real = measure(open_purchases(transactions, products))
    seeds = arguments.seeds
    populations = [simulated_purchases(our_behavior(), arguments.households, seed) for seed in seeds]
    simulated = [measure(one) for one in populations]
    arguments.out.mkdir(parents=True, exist_ok=True)
    rows = [_row(statistic, real, simulated) for statistic in STATISTICS]
    by_seed = [archetype_deviations(our_behavior(), _ARCHETYPE_HOUSEHOLDS, seed) for seed in seeds]
    for name in by_seed[0]:
        deviations = [float(of_seed[name].max()) for of_seed in by_seed]
        rows.append(_Row(f"archetype {name}: gaps, basket, categories", "", "", "15 %; 0.03", deviations))
    heading = (
        f"{arguments.households:,} households for a year with each of the seeds {' '.join(map(str, seeds))}; "
        f"{_ARCHETYPE_HOUSEHOLDS} of each archetype. Simulated: seed {seeds[0]}. Deviations: by seed, in tolerances."
    )
    _print(heading, rows)
    header = "| statistic | real | simulated | tolerance | deviations |\n|---|---|---|---|---|\n"
    lines = "\n".join(f"| {' | '.join(row.cells)} |" for row in rows)
    (arguments.out / "realism.md").write_text(f"{heading}\n\n{header}{lines}\n", encoding="utf-8")
    for number, statistic in enumerate(STATISTICS):
        _plot(statistic, real, simulated[0], seeds[0], arguments.out / f"{number + 1:02}.png")
    order = [interval_order(one) for one in populations]
    print(f"rank correlation of median intervals with the catalog's: {' '.join(f'{one:.2f}' for one in order)}")
    shopper_lines = _shoppers(arguments.shoppers)
    (arguments.out / "shoppers.txt").write_text("\n".join(shopper_lines) + "\n", encoding="utf-8")
    print("\n".join(shopper_lines))
    print(f"written to {arguments.out}/")
    sys.exit(any(max(row.deviations) > 1 for row in rows) or min(order) < MIN_INTERVAL_ORDER)


def _shoppers(seed_count: int) -> list[str]:
    """What a grocer looks at: figures of each archetype with many first purchases, and a month of each."""
    archetypes = our_archetypes()
    figures = {archetype.id: figures_of(shoppers_of(archetype, seed_count)) for archetype in archetypes}
    lines = [f"{seed_count} first purchases of each archetype: {', '.join(figures)}"]
    for name, values, level, is_reached in rows_of(figures):
        lines.append(f"{name:<52} {values:<20} {level:<28} {'' if is_reached else 'missed'}".rstrip())
    return [*lines, *(f"\n{typical_month(archetype)}" for archetype in archetypes)]


@dataclass(frozen=True)
class _Row:
    name: str
    real: str
    simulated: str
    tolerance: str
    deviations: Sequence[float]
    """By seed, in tolerances: 1 is just within."""

    @property
    def cells(self) -> list[str]:
        """The row's texts."""
        return [self.name, self.real, self.simulated, self.tolerance, " ".join(f"{one:.2f}" for one in self.deviations)]


def _row(statistic: Statistic, real: Measured, simulated: Sequence[Measured]) -> _Row:
    values = [of_seed.values[statistic.name] for of_seed in simulated]
    tolerance = f"{statistic.tolerance:.0%}" if statistic.relative else f"± {statistic.tolerance:g}"
    target = real.values[statistic.name]
    deviations = [float(statistic.deviations(of_seed, target).max()) for of_seed in values]
    return _Row(statistic.name, _figures(target), _figures(values[0]), tolerance, deviations)


def _figures(values: Floats) -> str:
    return " ".join(f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}" for value in values)


def _print(heading: str, rows: Sequence[_Row]) -> None:
    console = Console()
    console.print(heading)
    table = Table(header_style="bold", pad_edge=False)
    for column in ("statistic", "real", "simulated", "tolerance", "deviations"):
        table.add_column(column)
    for row in rows:
        table.add_row(*row.cells, style="" if max(row.deviations) <= 1 else "red")
    console.print(table)


def _plot(statistic: Statistic, real: Measured, simulated: Measured, seed: int, file: Path) -> None:
    """Cumulative distributions where there are samples, bars where there are shares."""
    figure, axes = plt.subplots(figsize=(6, 4), layout="constrained")
    for measured, label in ((real, "real"), (simulated, f"simulated, seed {seed}")):
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
