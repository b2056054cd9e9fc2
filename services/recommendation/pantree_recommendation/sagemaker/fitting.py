"""Fits the correction of probabilities on labelled items, and measures it on items that it has not seen."""

import dataclasses
import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from pantree_recommendation.backends.artefact import Artefact
from pantree_recommendation.core import Calibration, ItemFeatures, ModelName, Weight
from pantree_recommendation.core.calibration import (
    PROBABILITY_FEATURE,
    damped,
    log_odds,
    probability_of,
)

Floats = NDArray[np.float64]

NUMBERS = tuple(
    field.name
    for field in dataclasses.fields(ItemFeatures)
    if field.type in (int, float, "int", "float") and field.name != PROBABILITY_FEATURE
)
"""Features that are numbers, besides the probability itself."""


@dataclass(frozen=True)
class LabelledItem:
    """An item as the model sees it, and what came of it."""

    features: ItemFeatures
    bought_again: bool
    """Whether it was bought again in time."""
    household_id: str = ""
    """Rows of one household are never split between fit and validation; empty when unknown."""


@dataclass(frozen=True)
class Plan:
    """How to fit."""

    name: str = "embedded-calibrated"
    version: str = ""
    """Made of a digest of what was fitted when empty."""
    features: tuple[str, ...] = NUMBERS
    """Numbers that get a weight; none for Platt's scaling alone."""
    ridge: float = 1e-3
    """Penalty on the squared weights, per row, that keeps them from following chance."""
    validation_ratio: float = 0.2
    """Share of households (rows, where households are unknown) that validate, unless they come by themselves."""


class CannotFit(Exception):
    """The rows do not determine a model. The message says what is missing."""


def split(rows: Sequence[LabelledItem], ratio: float) -> tuple[list[LabelledItem], list[LabelledItem]]:
    """Rows to fit on and rows to validate on, by a hash of the household, else of the row's place."""
    parts: tuple[list[LabelledItem], list[LabelledItem]] = ([], [])
    for place, row in enumerate(rows):
        key = row.household_id or f"row {place}"
        digest = hashlib.sha256(f"pantree-split-v1:{key}".encode()).digest()
        parts[int.from_bytes(digest[:8]) / 2**64 < ratio].append(row)
    return parts


def fit(rows: Sequence[LabelledItem], validation: Sequence[LabelledItem], plan: Plan, training_data: str) -> Artefact:
    """The model that the rows determine, with its metrics on the validation rows.

    Args:
        rows: what to fit on.
        validation: what to measure on.
        plan: how.
        training_data: what the rows are; becomes part of the manifest.

    Raises:
        CannotFit: when the rows or the validation rows hold one outcome only, or the plan names no feature.
    """
    if unknown := set(plan.features) - set(NUMBERS):
        raise CannotFit(f"no such number: {', '.join(sorted(unknown))}; there are {', '.join(NUMBERS)}")
    for name, part in (("training", rows), ("validation", validation)):
        if len({row.bought_again for row in part}) < 2:
            raise CannotFit(f"the {len(part):,} {name} rows hold one outcome only; give rows of both")
    calibration = _fitted(rows, plan)
    bought = _labels(validation)
    before = np.array([probability_of(row.features) for row in validation])
    after = np.array([probability_of(calibration.applied(row.features)) for row in validation])
    metrics = {
        "training_rows": float(len(rows)),
        "validation_rows": float(len(validation)),
        "validation_bought_again_ratio": float(bought.mean()),
        **measured(after, bought),
        **{f"uncalibrated_{name}": value for name, value in measured(before, bought).items()},
    }
    version = plan.version or hashlib.sha256(json.dumps(dataclasses.asdict(calibration)).encode()).hexdigest()[:8]
    return Artefact(
        model=ModelName(plan.name, version),
        calibration=calibration,
        training_data=training_data,
        metrics={name: round(value, 6) for name, value in metrics.items()},
    )


def measured(probabilities: Floats, bought: Floats) -> dict[str, float]:
    """Log loss, Brier score, area under the ROC curve, expected calibration error over ten equal bins.

    Args:
        probabilities: float64[n], 0 to 1.
        bought: float64[n], 0 or 1; both occur.
    """
    bounded = np.clip(probabilities, 1e-4, 1 - 1e-4)
    bins = np.minimum((probabilities * 10).astype(int), 9)
    gaps = [
        abs(float(probabilities[bins == number].mean() - bought[bins == number].mean()))
        * float((bins == number).mean())
        for number in np.unique(bins)
    ]
    # Mann and Whitney: ranks of the bought ones; equal probabilities share their mean rank.
    _, group, sizes = np.unique(probabilities, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(sizes) - (sizes - 1) / 2)[group]
    positives = float(bought.sum())
    negatives = len(bought) - positives
    area = (float(ranks[bought == 1].sum()) - positives * (positives + 1) / 2) / (positives * negatives)
    return {
        "log_loss": float(-(bought * np.log(bounded) + (1 - bought) * np.log(1 - bounded)).mean()),
        "brier_score": float(((probabilities - bought) ** 2).mean()),
        "roc_auc": area,
        "expected_calibration_error": math.fsum(gaps),
    }


def _fitted(rows: Sequence[LabelledItem], plan: Plan) -> Calibration:
    """Weights by maximum likelihood with a ridge; the slope bound to be no less than 0."""
    bought = _labels(rows)
    numbers = np.array([[damped(getattr(row.features, name)) for name in plan.features] for row in rows])
    numbers = numbers.reshape(len(rows), len(plan.features))
    means, scales = numbers.mean(axis=0), numbers.std(axis=0)
    varying = scales > 1e-9  # a constant says nothing, and would share the intercept's work
    standard = (numbers[:, varying] - means[varying]) / scales[varying]
    odds = np.array([log_odds(probability_of(row.features)) for row in rows])
    matrix = np.column_stack([np.ones(len(rows)), odds, standard])
    penalty = np.full(matrix.shape[1], plan.ridge)
    penalty[:2] = 0

    def loss(weights: Floats) -> tuple[float, Floats]:
        score = matrix @ weights
        probability = 1 / (1 + np.exp(-np.clip(score, -500, 500)))
        value = float((np.logaddexp(0, score) - bought * score).mean() + penalty @ weights**2)
        return value, matrix.T @ (probability - bought) / len(rows) + 2 * penalty * weights

    start = np.zeros(matrix.shape[1])
    start[1] = 1
    bounds = [(None, None), (0, None), *[(None, None)] * standard.shape[1]]
    weights = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": 1000}).x
    chosen = np.flatnonzero(varying)
    return Calibration(
        intercept=round(float(weights[0]), 9),
        slope=round(float(weights[1]), 9),
        weights=tuple(
            Weight(
                plan.features[column],
                round(float(means[column]), 9),
                round(float(scales[column]), 9),
                round(float(weight), 9),
            )
            for column, weight in zip(chosen, weights[2:], strict=True)
        ),
    )


def _labels(rows: Sequence[LabelledItem]) -> Floats:
    return np.array([float(row.bought_again) for row in rows])
