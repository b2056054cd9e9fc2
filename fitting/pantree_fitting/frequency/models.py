"""Fits every model on the histories of many households: the bundled models, and those of a retailer's own data.

Needs LightGBM and SciPy. Lines after `end_day` are ignored: every label ends by then.
"""

import dataclasses
import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pantree_fitting.frequency.outcomes import Outcomes, outcomes
from pantree_fitting.frequency.priors import PairEvidence, fit_priors, pair_evidence
from pantree_fitting.frequency.rhythms import fit_rhythm_prior
from pantree_frequency.backends.model_files import FittedModels, Manifest
from pantree_frequency.core.features import (
    COLUMN,
    MODELED,
    FeatureTable,
    feature_table,
    monotone_direction,
)
from pantree_frequency.core.histories import Histories
from pantree_frequency.core.models import CLOSED_FORMS
from pantree_frequency.core.models.base import ClosedForm, Floats
from pantree_frequency.core.models.hazard import STEPS
from pantree_frequency.core.need import GONE_DAYS, switching_columns
from pantree_frequency.core.priors import Priors
from pantree_frequency.core.purchases import purchases_by_pair
from pantree_frequency.core.rhythm import Rhythms

# The closed forms that are averaged with the trees: the three that are best alone.
ENSEMBLE = ("bg-nbd", "log-normal", "hawkes")


@dataclass(frozen=True)
class Level:
    """Histories of the fitting households with items at one level: products, types, or categories."""

    histories: Histories
    views: tuple[str, ...]
    """Known groups of an item, in turn over the as-of days: `full`, `type as category`, `category`, or `none`. Callers
    differ in what they know of their items; models are fitted for all of them."""


@dataclass(frozen=True)
class Plan:
    """How much to fit, and on what days."""

    days_before_end: tuple[int, ...] = (28, 34, 41, 48, 55, 62, 69, 76, 84, 94, 105, 117, 130, 145)
    """As-of days, counted back from the end of the labels: different weekdays, closer together toward the end."""
    fold_count: int = 4
    """Parts of the households; priors of one part come from the others, so that no household is in its own priors."""
    single_ratio: float = 0.1
    """Share of the pairs with one purchase that are used: most pairs have one, and they say least."""
    step_rows: int = 700_000
    """Rows, one per pair and step, that the trees are fitted on."""
    rounds: int = 320
    learning_rate: float = 0.07
    leaves: int = 15
    closed_form_rows: int = 25_000
    thread_count: int = 1
    """More are faster only on an idle machine: every split waits for the slowest thread."""
    seed: int = 20_170_831


@dataclass(frozen=True, eq=False)
class Sample:
    """Features and outcomes of many pairs on many as-of days."""

    values: NDArray[np.float32]
    """[p, len(COLUMN)]."""
    outcomes: Outcomes
    folds: NDArray[np.int64]
    """[p], part of the household."""
    others_within: NDArray[np.float64]
    """[p], days to the next purchase of the type (else the category) by any item; NaN if the group is unknown."""

    def table(self, rows: NDArray[np.intp] | slice) -> FeatureTable:
        """The features of some rows."""
        values = self.values[rows]
        unknown = np.zeros(len(values), np.int32)
        return FeatureTable(unknown, unknown, values, Rhythms.none(len(values)))


def household_fold(household_id: int, fold_count: int) -> int:
    """The part that a household is in, by a hash of its id."""
    return int(hashlib.sha256(f"pantree-fold-v1:{household_id}".encode()).hexdigest()[:8], 16) % fold_count


def priors_of(levels: Sequence[Level], end_day: int) -> Priors:
    """Priors from all households of the levels, finest level first."""
    parts: list[tuple[PairEvidence, Sequence[str], Sequence[str], Sequence[str]]] = []
    for level in levels:
        histories = level.histories
        evidence, items = pair_evidence(histories, np.full(histories.household_count, end_day, np.int32))
        names, types, categories = (
            [texts[item] for item in items.tolist()]
            for texts in (histories.item_names, histories.item_types, histories.item_categories)
        )
        parts.append((evidence, names, types, categories))
    return fit_priors(parts)


def sample_of(levels: Sequence[Level], end_day: int, plan: Plan) -> Sample:
    """Features and outcomes on every as-of day of the plan, with priors from the other parts of the households."""
    generator = np.random.default_rng(plan.seed)
    pieces: list[tuple[NDArray[np.float32], Outcomes, NDArray[np.float64], int]] = []
    for fold in range(plan.fold_count):
        inside = [_of_fold(level, fold, plan.fold_count, inside=True) for level in levels]
        priors = priors_of([_of_fold(level, fold, plan.fold_count, inside=False) for level in levels], end_day)
        for level in inside:
            for number, days_before in enumerate(plan.days_before_end):
                histories = _viewed(level.histories, level.views[number % len(level.views)])
                as_of = np.full(histories.household_count, end_day - days_before, np.int32)
                table = feature_table(purchases_by_pair(histories, as_of), priors)
                known = outcomes(histories, table, as_of, end_day)
                kept = (table["pair_count"] >= 2) | (generator.random(len(table)) < plan.single_ratio)
                others = group_outcomes(histories, table, known)
                pieces.append((table.values[kept], known.only(kept), others[kept], fold))
    return Sample(
        np.concatenate([values for values, *_ in pieces]),
        Outcomes(
            np.concatenate([known.days_to_first for _, known, *_ in pieces]),
            np.concatenate([known.days_to_second for _, known, *_ in pieces]),
            np.concatenate([known.follow_up for _, known, *_ in pieces]),
        ),
        np.concatenate([np.full(len(values), fold) for values, _, _, fold in pieces]),
        np.concatenate([others for *_, others, _ in pieces]),
    )


def group_outcomes(histories: Histories, table: FeatureTable, known: Outcomes) -> NDArray[np.float64]:
    """float64[p], days until the household next buys a pair's type, else category; NaN if the group is unknown.

    Any item of the group that the household has bought before counts.
    """
    labels = [
        f"type {type_}" if type_ else f"category {category}" if category else ""
        for type_, category in zip(histories.item_types, histories.item_categories, strict=True)
    ]
    numbers: dict[str, int] = {"": -1}
    groups = np.array([numbers.setdefault(label, len(numbers) - 1) for label in labels], np.int64)[table.items]
    keys = table.households.astype(np.int64) * len(numbers) + groups
    _, positions = np.unique(keys, return_inverse=True)
    soonest = np.full(positions.max(initial=0) + 1, np.inf)
    np.minimum.at(soonest, positions, known.days_to_first)
    return np.where(groups < 0, np.nan, soonest[positions])


def fit(
    levels: Sequence[Level], end_day: int, plan: Plan, *, name: str, log_line: Callable[[str], None] = print
) -> FittedModels:
    """Fits priors, closed forms, both sets of trees and switching.

    Args:
        levels: the fitting households, finest level first.
        end_day: every label ends by then, days since 1970-01-01.
        plan: how much to fit.
        name: part of the version.
        log_line: receives lines on the progress.
    """
    sample = sample_of(levels, end_day, plan)
    log_line(f"{len(sample.values):,} pairs on {len(plan.days_before_end)} as-of days")
    rhythm = fit_rhythm_prior([level.histories for level in levels], end_day, seed=plan.seed)
    log_line(f"rhythm: {rhythm.missed:.2f} missed, {rhythm.stray:.2f} stray, {rhythm.ended:.3f} ended")
    priors = dataclasses.replace(priors_of(levels, end_day), rhythm=rhythm)
    return fit_sample(sample, priors, plan, name=name, log_line=log_line)


def fit_sample(
    sample: Sample, priors: Priors, plan: Plan, *, name: str, log_line: Callable[[str], None] = print
) -> FittedModels:
    """Fits closed forms, both sets of trees and switching.

    Args:
        sample: from `sample_of`.
        priors: from `priors_of`; served with the models.
        plan: how much to fit.
        name: part of the version.
        log_line: receives lines on the progress.
    """
    closed_forms, losses = {}, {}
    for closed_form in CLOSED_FORMS:
        closed_forms[closed_form.NAME], losses[closed_form.NAME] = fit_closed_form(closed_form, sample, plan)
        log_line(f"{closed_form.NAME}: log loss {losses[closed_form.NAME]:.4f}")
    next_trees = fit_trees(sample, np.zeros(len(sample.values)), sample.outcomes.days_to_first, plan)
    interval_trees = fit_interval_trees(sample, plan)
    fitted = {
        "best_closed_form": min(losses, key=lambda model: losses[model]),
        "closed_forms": closed_forms,
        "ensemble": list(ENSEMBLE),
        "features": list(MODELED),
        "plan": dataclasses.asdict(plan),
        "rhythm": dataclasses.asdict(priors.rhythm),
        "switching": fit_switching(sample, log_line=log_line),
    }
    digest = hashlib.sha256((json.dumps(fitted, sort_keys=True) + next_trees + interval_trees).encode()).hexdigest()
    manifest = Manifest.model_validate({**fitted, "version": f"{name}-{digest[:8]}"})
    return FittedModels(manifest, priors, next_trees, interval_trees)


def fit_trees(
    sample: Sample, origin: Floats, event: Floats, plan: Plan, rows: NDArray[np.intp] | None = None
) -> str:  # fmt: skip
    """Trees over (pair, step) rows, as LightGBM's text.

    Args:
        sample: p pairs.
        origin: float64[p], days from the as-of day to the start of the interval; infinite excludes the pair.
        event: float64[p], days from the as-of day to its end; infinite if it was not observed.
        plan: how much.
        rows: the pairs to use; None for all.
    """
    import lightgbm

    generator = np.random.default_rng(plan.seed)
    starts = np.concatenate([[0.0], STEPS[:-1]])
    candidates = np.arange(len(origin)) if rows is None else rows
    candidates = candidates[np.isfinite(origin[candidates])]
    duration = event[candidates] - origin[candidates]
    follow_up = sample.outcomes.follow_up[candidates] - origin[candidates]
    pairs, steps = np.nonzero((duration[:, None] > starts) & (follow_up[:, None] >= STEPS))
    if len(pairs) > plan.step_rows:
        chosen = np.sort(generator.choice(len(pairs), plan.step_rows, replace=False))
        pairs, steps = pairs[chosen], steps[chosen]
    columns = np.array([COLUMN[name] for name in MODELED])
    matrix = np.empty((len(pairs), len(columns) + 1), np.float32)
    matrix[:, :-1] = sample.values[candidates[pairs]][:, columns]
    matrix[:, -1] = STEPS[steps]
    data = lightgbm.Dataset(matrix, (duration[pairs] <= STEPS[steps]).astype(np.float64), params={"max_bin": 127})
    parameters = {
        "objective": "binary", "learning_rate": plan.learning_rate, "num_leaves": plan.leaves, "min_data_in_leaf": 800,
        "feature_fraction": 0.4, "bagging_fraction": 0.7, "bagging_freq": 1, "lambda_l2": 10.0, "max_bin": 127,
        "monotone_constraints": [*map(monotone_direction, MODELED), 0], "monotone_constraints_method": "basic",
        "num_threads": plan.thread_count, "seed": plan.seed, "deterministic": True, "force_row_wise": True,
        "verbose": -1,
    }  # fmt: skip
    booster = lightgbm.train(parameters, data, plan.rounds)
    return str(booster.model_to_string(importance_type="gain"))


def fit_interval_trees(sample: Sample, plan: Plan) -> str:
    """Trees for the interval from the next purchase to the one after it."""
    return fit_trees(sample, sample.outcomes.days_to_first, sample.outcomes.days_to_second, plan)


class _CachingTable(FeatureTable):
    """A table that converts each column once: a fit reads the same ones hundreds of times."""

    def __getitem__(self, name: str) -> Floats:
        columns: dict[str, Floats] = self.__dict__.setdefault("_columns", {})
        if name not in columns:
            columns[name] = super().__getitem__(name)
        return columns[name]


_CLOSED_FORM_DAYS = np.array([7.0, 14.0, 28.0, 56.0])
_CLOSED_FORM_WEIGHTS = np.array([1.0, 1.0, 3.0, 1.0])


def fit_closed_form(closed_form: type[ClosedForm], sample: Sample, plan: Plan) -> tuple[dict[str, float], float]:
    """Parameters by the log loss of a purchase within 7, 14, 28 (thrice) and 56 days, and that loss."""
    from scipy.optimize import minimize

    generator = np.random.default_rng(plan.seed)
    candidates = np.flatnonzero(sample.values[:, COLUMN["pair_count"]] >= 3)
    rows = np.sort(generator.choice(candidates, min(plan.closed_form_rows, len(candidates)), replace=False))
    plain = sample.table(rows)
    table = _CachingTable(plain.households, plain.items, plain.values, plain.rhythms)
    bought = sample.outcomes.days_to_first[rows][:, None] <= _CLOSED_FORM_DAYS
    weights = (sample.outcomes.follow_up[rows][:, None] >= _CLOSED_FORM_DAYS) * _CLOSED_FORM_WEIGHTS

    def loss(parameters: Floats) -> float:
        model = closed_form(dict(zip(closed_form.START, parameters.tolist(), strict=True)))
        with np.errstate(all="ignore"):
            probability = np.clip(np.nan_to_num(model.within(table, _CLOSED_FORM_DAYS), nan=0.5), 1e-5, 1 - 1e-5)
        return float(-(weights * np.where(bought, np.log(probability), np.log1p(-probability))).sum() / weights.sum())

    start = np.array(list(closed_form.START.values()))
    found = minimize(loss, start, method="L-BFGS-B", bounds=[(-12.0, 12.0)] * len(start), options={"maxiter": 60})
    return {name: round(float(value), 6) for name, value in zip(closed_form.START, found.x, strict=True)}, float(
        found.fun
    )


def fit_switching(sample: Sample, *, log_line: Callable[[str], None] = print) -> dict[str, float]:
    """Weights of `Switching`: does a household still buy the group of an item that it has not bought for 84 days?

    All are 0, which means even odds, if the sample has no such item; a line says so.
    """
    from scipy.optimize import minimize

    left = (
        (sample.outcomes.follow_up >= GONE_DAYS)
        & (sample.outcomes.days_to_first > GONE_DAYS)
        & ~np.isnan(sample.others_within)
        & (sample.values[:, COLUMN["pair_count"]] >= 3)
    )
    rows = np.flatnonzero(left)
    columns = {"intercept": np.ones(len(rows)), **switching_columns(sample.table(rows))}
    matrix = np.stack(list(columns.values()), axis=1)
    switched = sample.others_within[rows] <= GONE_DAYS
    if not len(rows):
        log_line("switching: no item of a known group goes unbought for 84 days; ended and switched get even odds")
        return dict.fromkeys(columns, 0.0)

    def loss(weights: Floats) -> float:
        score = matrix @ weights
        return float(np.mean(np.logaddexp(0, score) - switched * score)) + 1e-4 * float(weights @ weights)

    found = minimize(loss, np.zeros(matrix.shape[1]), method="BFGS").x
    return {name: round(float(weight), 6) for name, weight in zip(columns, found, strict=True)}


def _of_fold(level: Level, fold: int, fold_count: int, *, inside: bool) -> Level:
    histories = level.histories
    chosen = np.array([(household_fold(int(id_), fold_count) == fold) == inside for id_ in histories.household_ids])
    return Level(histories.only(chosen), level.views)


def _viewed(histories: Histories, view: str) -> Histories:
    blank = ("",) * len(histories.item_names)
    if view == "type as category":
        return dataclasses.replace(histories, item_types=blank, item_categories=histories.item_types)
    if view == "category":
        return dataclasses.replace(histories, item_types=blank)
    if view == "none":
        return dataclasses.replace(histories, item_types=blank, item_categories=blank)
    return histories
