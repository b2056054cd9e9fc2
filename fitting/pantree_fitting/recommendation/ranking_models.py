"""Fits the calibration of a ranking model on labeled items and measures it on others."""

import dataclasses
import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from scipy.optimize import minimize

from pantree_domain.evidence import ModelName
from pantree_fitting.metrics import Bools, Floats, brier, log_loss, roc_auc
from pantree_recommendation.backends.model_artifact import ModelArtifact
from pantree_recommendation.core.calibration import Calibration, Weight, log_odds, signed_log1p
from pantree_recommendation.core.ranking import FEATURES, ItemFeatures
from pantree_recommendation.core.selection import ModelCard

NUMBERS = tuple(
    field.name
    for field in dataclasses.fields(ItemFeatures)
    if field.type in (int, float, "int", "float") and field.name != "cadence_probability"
)
"""Numeric features except the probability itself."""


@dataclass(frozen=True)
class LabeledItem:
    """The features of an item, and its outcome."""

    features: ItemFeatures
    bought_again: bool
    """Whether the household bought the item again within 1.5 × the cadence."""
    household_id: str = ""
    """Rows of a household are either all fitted or all held out. Empty if unknown."""


def _names(value: object) -> object:
    """Names from a comma-separated string, since SageMaker's hyperparameters are strings."""
    return [name.strip() for name in value.split(",") if name.strip()] if isinstance(value, str) else value


class Hyperparameters(BaseModel):
    """Settings of a fit, and the name of the model."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = "embedded-calibrated"
    version: str = ""
    """If empty, a digest of the calibration."""
    features: Annotated[tuple[str, ...], BeforeValidator(_names)] = NUMBERS
    """Features with a weight; empty for Platt scaling alone."""
    ridge: float = Field(default=1e-3, ge=0)
    """Ridge penalty per row, against overfitting."""
    validation_ratio: float = Field(default=0.2, gt=0, lt=1)
    """Share of households (of rows, if unknown) held out if there is no validation channel."""
    training_data: str = ""
    """Description of the rows, for the manifest."""


class CannotFit(Exception):
    """A model cannot be fitted on the rows. The message says why."""


def split(rows: Sequence[LabeledItem], ratio: float) -> tuple[list[LabeledItem], list[LabeledItem]]:
    """Rows to fit and rows to hold out, by a hash of the household or, if unknown, of the row's position."""
    parts: tuple[list[LabeledItem], list[LabeledItem]] = ([], [])
    for position, row in enumerate(rows):
        key = row.household_id or f"row {position}"
        digest = hashlib.sha256(f"pantree-split-v1:{key}".encode()).digest()
        parts[int.from_bytes(digest[:8]) / 2**64 < ratio].append(row)
    return parts


def fit(
    rows: Sequence[LabeledItem], validation: Sequence[LabeledItem], parameters: Hyperparameters, training_data: str
) -> ModelArtifact:
    """The model fitted on the rows, with its metrics on the validation rows.

    Args:
        rows: rows to fit.
        validation: rows to measure.
        parameters: settings of the fit.
        training_data: description of the rows, for the manifest.

    Raises:
        CannotFit: if the rows or the validation rows have only one outcome, or a feature is unknown.
    """
    if unknown := set(parameters.features) - set(NUMBERS):
        raise CannotFit(f"features must be of {', '.join(NUMBERS)}; unknown: {', '.join(sorted(unknown))}")
    for name, part in (("training", rows), ("validation", validation)):
        if len({row.bought_again for row in part}) < 2:
            raise CannotFit(f"the {len(part):,} {name} rows have only one outcome; add rows with the other one")
    calibration = _fit_calibration(rows, parameters)
    bought = _outcomes(validation)
    before = np.array([row.features.cadence_probability for row in validation])
    after = np.array([calibration.apply(row.features).cadence_probability for row in validation])
    metrics = {
        "training_rows": float(len(rows)),
        "validation_rows": float(len(validation)),
        "validation_bought_again_ratio": float(bought.mean()),
        **measure(after, bought),
        **{f"uncalibrated_{name}": value for name, value in measure(before, bought).items()},
    }
    version = parameters.version or hashlib.sha256(json.dumps(dataclasses.asdict(calibration)).encode()).hexdigest()[:8]
    card = ModelCard(FEATURES, training_data, {name: round(value, 6) for name, value in metrics.items()})
    return ModelArtifact(ModelName(parameters.name, version), calibration, card)


def measure(probabilities: Floats, bought: Bools) -> dict[str, float]:
    """Log loss, Brier score, area under the ROC curve, and expected calibration error in ten bins of equal width.

    Args:
        probabilities: float64[n], 0 to 1.
        bought: bool[n]; both outcomes occur.
    """
    bins = np.minimum((probabilities * 10).astype(int), 9)
    gaps = [
        abs(float(probabilities[bins == number].mean() - bought[bins == number].mean()))
        * float((bins == number).mean())
        for number in np.unique(bins)
    ]
    return {
        "log_loss": log_loss(probabilities, bought),
        "brier_score": brier(probabilities, bought),
        "roc_auc": roc_auc(probabilities, bought),
        "expected_calibration_error": math.fsum(gaps),
    }


def _fit_calibration(rows: Sequence[LabeledItem], parameters: Hyperparameters) -> Calibration:
    """Weights by maximum likelihood with a ridge penalty; the slope is at least 0."""
    bought = _outcomes(rows).astype(np.float64)
    numbers = np.array([[signed_log1p(getattr(row.features, name)) for name in parameters.features] for row in rows])
    numbers = numbers.reshape(len(rows), len(parameters.features))
    means, scales = numbers.mean(axis=0), numbers.std(axis=0)
    varying = scales > 1e-9  # a constant carries no information and would compete with the intercept
    standard = (numbers[:, varying] - means[varying]) / scales[varying]
    odds = np.array([log_odds(row.features.cadence_probability) for row in rows])
    matrix = np.column_stack([np.ones(len(rows)), odds, standard])
    penalty = np.full(matrix.shape[1], parameters.ridge)
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
                parameters.features[column],
                round(float(means[column]), 9),
                round(float(scales[column]), 9),
                round(float(weight), 9),
            )
            for column, weight in zip(chosen, weights[2:], strict=True)
        ),
    )


def _outcomes(rows: Sequence[LabeledItem]) -> Bools:
    return np.array([row.bought_again for row in rows])
