"""Plots of the quality run, as PNG."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from numpy.typing import NDArray

mpl.use("Agg")

from matplotlib import pyplot as plt

# Without the library's version in the file, equal plots have equal bytes.
_METADATA = {"Software": None}


def reliability(bins: Mapping[str, list[tuple[float, float, int]]], title: str, path: Path) -> None:
    """Share that happened over mean prediction, one line per model."""
    figure, axes = plt.subplots(figsize=(6, 6))
    axes.plot([0, 1], [0, 1], color="gray", linewidth=0.8, linestyle=":")
    for name, points in bins.items():
        strong = name == "hazard"
        axes.plot(
            [predicted for predicted, *_ in points],
            [seen for _, seen, _ in points],
            marker="o", markersize=3, label=name, linewidth=2.0 if strong else 0.8, zorder=3 if strong else 2,
        )  # fmt: skip
    axes.set(title=title, xlabel="predicted probability", ylabel="share that bought", xlim=(0, 1), ylim=(0, 1))
    axes.legend(fontsize=7)
    _write(figure, path)


def quantiles(curve: NDArray[np.float64], truth: NDArray[np.float64], title: str, path: Path) -> None:
    """Share of true intervals below each predicted quantile.

    Args:
        curve: float64[p, 84], probability by each day.
        truth: float64[p], days.
        title: of the plot.
        path: where to write.
    """
    days = truth.astype(int)
    rows = np.arange(len(days))
    upper = curve[rows, days - 1]
    lower = np.where(days > 1, curve[rows, np.maximum(days - 2, 0)], 0.0)
    # A whole day holds a range of quantiles; its true place in it is as likely anywhere.
    places = lower + (upper - lower) * np.random.default_rng(1).random(len(days))
    levels = np.linspace(0, 1, 101)
    figure, axes = plt.subplots(figsize=(6, 6))
    axes.plot([0, 1], [0, 1], color="gray", linewidth=0.8, linestyle=":")
    axes.plot(levels, np.searchsorted(np.sort(places), levels) / len(places), linewidth=2)
    axes.set(title=title, xlabel="predicted quantile", ylabel="share of intervals below it", xlim=(0, 1), ylim=(0, 1))
    _write(figure, path)


def frontier(rows: Mapping[str, Mapping[str, Any]], title: str, path: Path) -> None:
    """Early deliveries over stockouts: a line over the trade-offs, and a point for each rule.

    Args:
        rows: of a table of deliveries; `by risk, frontier` has a row for each trade-off.
        title: of the plot.
        path: where to write.
    """
    points = [rows["by risk, frontier"][tolerance] for tolerance in sorted(rows["by risk, frontier"])]
    figure, axes = plt.subplots(figsize=(6, 6))
    axes.plot([row["ran_out"] for row in points], [row["early"] for row in points], linewidth=2, label="by risk")
    for name, row in rows.items():
        if "interval, from" in name and "|" not in name:
            axes.plot([row["ran_out"]], [row["early"]], marker="o", linestyle="", label=name)
    axes.set(title=title, xlabel="share of subscriptions with a stockout", ylabel="share of deliveries that are early")
    axes.legend(fontsize=7)
    _write(figure, path)


def _write(figure: Any, path: Path) -> None:
    figure.tight_layout()
    figure.savefig(path, dpi=120, metadata=_METADATA)
    plt.close(figure)
