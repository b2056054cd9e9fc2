"""Measures of predictions, with bootstrap intervals over households."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


def roc_auc(probability: Floats, happened: Bools) -> float:
    """Area under the ROC curve; ties count half."""
    _, positions, counts = np.unique(probability, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[positions]
    positives = int(happened.sum())
    negatives = len(happened) - positives
    return float((ranks[happened].sum() - positives * (positives + 1) / 2) / (positives * negatives))


def average_precision(probability: Floats, happened: Bools) -> float:
    """Mean of the precision at each distinct threshold, weighted by the recall gained there."""
    values, positions = np.unique(-probability, return_inverse=True)
    true_positives = np.cumsum(np.bincount(positions, weights=happened, minlength=len(values)))
    predicted_count = np.cumsum(np.bincount(positions, minlength=len(values)))
    gained = np.diff(true_positives, prepend=0.0) / true_positives[-1]
    return float(np.sum(gained * true_positives / predicted_count))


def log_loss(probability: Floats, happened: Bools) -> float:
    """Mean negative log likelihood."""
    bounded = np.clip(probability, 1e-6, 1 - 1e-6)
    return float(-np.mean(np.where(happened, np.log(bounded), np.log1p(-bounded))))


def brier(probability: Floats, happened: Bools) -> float:
    """Mean squared error."""
    return float(np.mean((probability - happened) ** 2))


def calibration_bins(probability: Floats, happened: Bools, count: int = 15) -> list[tuple[float, float, int]]:
    """Mean prediction, share that happened and size of bins of equal mass, from low to high."""
    order = np.argsort(probability, kind="stable")
    return [
        (float(probability[rows].mean()), float(happened[rows].mean()), len(rows))
        for rows in np.array_split(order, count)
        if len(rows)
    ]


def calibration_error(probability: Floats, happened: Bools) -> float:
    """Expected calibration error: mean distance between prediction and share in 15 bins of equal mass."""
    bins = calibration_bins(probability, happened)
    return sum(abs(predicted - seen) * size for predicted, seen, size in bins) / len(probability)


def precision_at_80(probability: Floats, happened: Bools) -> float:
    """Share that happened among predictions of 80 % and more; NaN without any."""
    sure = probability >= 0.8
    return float(happened[sure].mean()) if sure.any() else float("nan")


def coverage_at_80(probability: Floats, happened: Bools) -> float:
    """Share of predictions of 80 % and more."""
    return float(np.mean(probability >= 0.8))


MEASURES: dict[str, Callable[[Floats, Bools], float]] = {
    "auc": roc_auc,
    "average precision": average_precision,
    "log loss": log_loss,
    "brier": brier,
    "ece": calibration_error,
    "precision at 80": precision_at_80,
    "coverage at 80": coverage_at_80,
}


def household_samples(households: NDArray[np.int64], count: int, seed: int) -> list[NDArray[np.intp]]:
    """Rows of `count` bootstrap samples that draw whole households, since pairs of one household go together."""
    order = np.argsort(households, kind="stable")
    _, starts = np.unique(households[order], return_index=True)
    groups = np.split(order, starts[1:])
    generator = np.random.default_rng(seed)
    return [
        np.concatenate([groups[position] for position in generator.integers(0, len(groups), len(groups))])
        for _ in range(count)
    ]


def interval_of(values: list[float]) -> tuple[float, float]:
    """The middle 95 % of bootstrap values; NaN if all values are NaN."""
    if np.all(np.isnan(values)):
        return float("nan"), float("nan")
    low, high = np.nanpercentile(values, [2.5, 97.5])
    return float(low), float(high)


_CALIBRATION_SAMPLES = 300


def calibration_bound(probability: Floats, generator: np.random.Generator) -> float:
    """Calibration error that a calibrated model stays below in 99.5 % of the cases, by a parametric bootstrap."""
    drawn = [
        calibration_error(probability, generator.random(len(probability)) < probability)
        for _ in range(_CALIBRATION_SAMPLES)
    ]
    return float(np.quantile(drawn, 0.995))
