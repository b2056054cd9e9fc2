"""Measures fitted models on households that were held out, next to the bundled models and baselines."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pantree_fitting.frequency.outcomes import outcomes
from pantree_fitting.metrics import MEASURES as FORECAST_MEASURES
from pantree_fitting.metrics import (
    Bools,
    Floats,
    brier,
    calibration_bins,
    household_samples,
    interval_of,
    log_loss,
    roc_auc,
)
from pantree_fitting.next_basket.evaluation import MEASURES as BASKET_MEASURES
from pantree_fitting.next_basket.evaluation import evaluate
from pantree_fitting.recommendation.labels import labeled_items
from pantree_fitting.retailer.fit import FREQUENCY, MANIFEST, NEXT_BASKET, RANKING, FitManifest, only_part
from pantree_fitting.retailer.purchase_lines import InvalidPurchases, PurchaseLines
from pantree_frequency.backends import model_files
from pantree_frequency.core import Models
from pantree_frequency.core.features import feature_table
from pantree_frequency.core.histories import Histories
from pantree_frequency.core.purchases import purchases_by_pair
from pantree_recommendation.backends import basket_files, model_artifact
from pantree_recommendation.core.policy import Policy

FITTED, BUNDLED = "fitted", "bundled"
CONFIDENCE_DAYS = 28
MIN_PURCHASES = 3
_CUTOFFS_BEFORE_END = (28, 56)
_RANKING_DAYS_BEFORE_END = 84
_BOOTSTRAP_SAMPLES = 60
_SEED = 7

Value = tuple[float, tuple[float, float]]
"""A measure and its 95 % interval over households."""


@dataclass(frozen=True, eq=False)
class Report:
    """What was measured."""

    manifest: FitManifest
    household_count: int
    frequency: Mapping[str, Mapping[str, Value]]
    """Per model and measure: whether an item is bought within 28 days."""
    pair_count: int
    frequency_bins: Mapping[str, list[tuple[float, float, int]]]
    """Per model: predicted probability, share that was bought, number of pairs."""
    ranking: Mapping[str, Mapping[str, float]]
    """Per model and measure: whether a recommendation is bought again in time; empty without enough of them."""
    baskets: Mapping[str, Mapping[str, Value]]
    """Per method and measure."""
    basket_households: int
    basket_bins: list[tuple[float, float, int]]


def evaluate_retailer(lines: PurchaseLines, models_dir: Path, log_line: Callable[[str], None] = print) -> Report:
    """Measures the models of a directory on the households that were held out when they were fitted.

    Raises:
        InvalidPurchases: when no household is held out, or the directory has no models.
    """
    path = models_dir / MANIFEST
    if not path.exists():
        raise InvalidPurchases(f"{path} is missing; run `pantree fit` first")
    manifest = FitManifest.model_validate_json(path.read_bytes())
    held_out = only_part(lines.histories, manifest, "held_out")
    if not held_out.household_count:
        raise InvalidPurchases("none of the households is held out; evaluate on the purchases that were fitted on")
    log_line(f"{held_out.household_count:,} households that were held out")
    fitted = model_files.models_of(model_files.load(models_dir / FREQUENCY))
    log_line("frequency")
    table, bins, pair_count = _frequency(held_out, lines.last_day, fitted, model_files.models_of(model_files.load()))
    log_line("ranking")
    ranking = _ranking(held_out, lines.last_day, fitted, models_dir / RANKING)
    log_line("next basket")
    artifact = basket_files.load(models_dir / NEXT_BASKET)
    found = evaluate({FITTED: artifact.model(), BUNDLED: basket_files.load().model()}, held_out, artifact.statistics)
    baskets = {
        name: {measure: (_mean(values), _interval(values)) for measure, values in measures.items()}
        for name, measures in found.measures.items()
    }
    return Report(
        manifest,
        held_out.household_count,
        table,
        pair_count,
        bins,
        ranking,
        baskets,
        len(found.measures[FITTED][BASKET_MEASURES[0]]),
        calibration_bins(found.probabilities, found.bought) if len(found.bought) else [],
    )


def _frequency(
    histories: Histories, end: int, fitted: Models, bundled: Models
) -> tuple[dict[str, dict[str, Value]], dict[str, list[tuple[float, float, int]]], int]:
    probabilities: dict[str, list[Floats]] = {}
    bought: list[Bools] = []
    households: list[NDArray[np.int64]] = []
    for days_before in _CUTOFFS_BEFORE_END:
        as_of = np.full(histories.household_count, end - days_before, np.int32)
        purchases = purchases_by_pair(histories, as_of)
        for label, models in ((FITTED, fitted), (BUNDLED, bundled)):
            table = feature_table(purchases, models.priors)
            evaluated = np.flatnonzero(table["pair_count"] >= MIN_PURCHASES)
            if label == FITTED:
                truth = outcomes(histories, table, as_of, end)
                bought.append(truth.days_to_first[evaluated] <= CONFIDENCE_DAYS)
                households.append(histories.household_ids[table.households[evaluated]])
            chosen = table.only(evaluated)
            for name, model in models.by_name.items():
                # Only the default of the bundled models answers anybody.
                if label == FITTED or name == models.default_name:
                    within = model.within(chosen, np.array([float(CONFIDENCE_DAYS)]))[:, 0]
                    probabilities.setdefault(f"{label}: {name}", []).append(within)
    happened, owners = np.concatenate(bought), np.concatenate(households)
    if len(set(happened.tolist())) < 2:
        raise InvalidPurchases("too few items of held-out households are bought three times; add households")
    samples = household_samples(owners, _BOOTSTRAP_SAMPLES, _SEED)
    rows: dict[str, dict[str, Value]] = {}
    bins = {}
    for name, parts in probabilities.items():
        probability = np.concatenate(parts)
        rows[name] = {
            measure: (
                function(probability, happened),
                interval_of([_or_nan(function, probability[sample], happened[sample]) for sample in samples]),
            )
            for measure, function in FORECAST_MEASURES.items()
        }
        bins[name] = calibration_bins(probability, happened)
    return rows, bins, len(happened)


def _or_nan(function: Callable[[Floats, Bools], float], probability: Floats, happened: Bools) -> float:
    return function(probability, happened) if 0 < happened.sum() < len(happened) else float("nan")


def _ranking(histories: Histories, end: int, models: Models, directory: Path) -> dict[str, dict[str, float]]:
    rows = labeled_items(histories, end - _RANKING_DAYS_BEFORE_END, models, end=end, policy=Policy())
    bought = np.array([row.bought_again for row in rows], bool)
    if not rows or bought.all() or not bought.any():
        return {}
    found = {"uncalibrated": np.array([row.features.cadence_probability for row in rows])}
    for path in sorted(path.parent for path in directory.glob(f"*/{model_artifact.MANIFEST}")):
        artifact = model_artifact.load(path)
        if artifact.calibration is not None:
            calibration = artifact.calibration
            found[FITTED] = np.array([calibration.apply(row.features).cadence_probability for row in rows])
    measures: dict[str, Any] = {"auc": roc_auc, "log loss": log_loss, "brier": brier}
    return {
        name: {"items": float(len(rows)), **{key: function(values, bought) for key, function in measures.items()}}
        for name, values in found.items()
    }


def _mean(values: NDArray[np.float64]) -> float:
    return float(np.nanmean(values)) if np.isfinite(values).any() else float("nan")


def _interval(values: NDArray[np.float64]) -> tuple[float, float]:
    known = values[np.isfinite(values)]
    if not len(known):
        return float("nan"), float("nan")
    drawn = np.random.default_rng(_SEED).integers(0, len(known), (1000, len(known)))
    return interval_of(known[drawn].mean(axis=1).tolist())
