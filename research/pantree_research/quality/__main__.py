"""Fits models on fitting households and evaluates them on validation households: `make quality`.

Prints all models with bootstrap intervals; writes `build/quality/quality.json` and plots. The same
versions of the libraries give the same digits.
"""

import argparse
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from pantree_domain.cadence import GRACE_FACTOR
from pantree_domain.days import calendar_day
from pantree_fitting.frequency import models as fitting
from pantree_fitting.metrics import (
    MEASURES,
    Bools,
    calibration_bins,
    calibration_bound,
    calibration_error,
    household_samples,
    interval_of,
)
from pantree_frequency.backends import model_files
from pantree_frequency.core import Models, cadence
from pantree_frequency.core.analysis import schedules_of
from pantree_frequency.core.models import Model
from pantree_frequency.core.models.base import Floats
from pantree_frequency.core.need import gone_days, is_overdue, need_probabilities
from pantree_recommendation.core.policy import Policy
from pantree_research.fit_next_basket import print_evaluation, served_evaluations, table_of
from pantree_research.quality import forecasting, plots
from pantree_research.quality.households import (
    EVALUATION_CUTOFFS,
    FITTING_END,
    Level,
    ReceiptLines,
    Split,
    load_receipt_lines,
)
from pantree_research.quality.next_basket import MIN_BUYERS, next_basket_table, print_table, without_rare_items
from pantree_research.quality.protocol import (
    CONFIDENCE_DAYS,
    MAX_DAYS,
    Cadence,
    Deliveries,
    EvaluationSet,
    Needs,
    cadence_quality,
    deliveries,
    evaluation_set,
    median_within,
    needs_from_next_purchase,
    needs_from_today,
)
from pantree_research.quality.recommendations import recommendations_table
from pantree_research.quality.suggestions import print_suggestions, suggestions_table

FOLDER = Path("build/quality")
PARTS = ("frequency", "recommendations", "suggestions", "baskets")
BOOTSTRAP_SAMPLES = 60
_CURVE = np.arange(1.0, MAX_DAYS + 1)

# How much callers tell of a product: mostly type and category, at times only one of them, at times neither.
_PRODUCT_VIEWS = ("full", "type as category", "full", "full", "category", "full", "full")
_TYPE_VIEWS = ("full", "full", "full", "none", "full", "full", "full")


def levels_of(lines: ReceiptLines) -> list[fitting.Level]:
    """What models are fitted on: the same households with items seen at three levels."""
    return [
        fitting.Level(lines.histories(Level.SKU), _PRODUCT_VIEWS),
        fitting.Level(lines.histories(Level.TYPE), _TYPE_VIEWS),
        fitting.Level(lines.histories(Level.CATEGORY), ("full",)),
    ]


def confidence_table(
    evaluation: EvaluationSet, models: Mapping[str, Model]
) -> tuple[dict[str, Any], dict[str, Floats]]:
    """T2: each model's measures with bootstrap intervals, and the probabilities."""
    probabilities = {
        name: model.within(evaluation.table, np.array([CONFIDENCE_DAYS]))[:, 0] for name, model in models.items()
    }
    samples = household_samples(evaluation.households, BOOTSTRAP_SAMPLES, seed=1)
    rows: dict[str, Any] = {}
    for name, probability in probabilities.items():
        rows[name] = {
            measure: {
                "value": of(probability, evaluation.bought),
                "interval": interval_of([of(probability[sample], evaluation.bought[sample]) for sample in samples]),
            }
            for measure, of in MEASURES.items()
        }
    return rows, probabilities


def cadence_table(evaluation: EvaluationSet, models: Mapping[str, Model]) -> dict[str, Any]:
    """T1 and T1a: errors of the two rules and of each model."""
    mean, median = evaluation.table["pair_mean_interval"], evaluation.table["pair_median_interval"]
    recency = evaluation.table["pair_recency"]
    predictions = {"mean interval": (mean, mean - recency), "median interval": (median, median - recency)}
    for name, model in models.items():
        if name != "heuristic":
            predictions[name] = (
                median_within(model.interval_within(evaluation.table, _CURVE), _CURVE),
                median_within(model.within(evaluation.table, _CURVE), _CURVE),
            )
    rows = {}
    for name, (interval, residual) in predictions.items():
        quality: Cadence = cadence_quality(interval, evaluation.next_interval)
        rows[name] = {**asdict(quality), "residual_error": cadence_quality(residual, evaluation.residual).mean_error}
    return rows


def strata_of(evaluation: EvaluationSet) -> dict[str, Bools]:
    """bool[p] each: pairs by the regularity of their intervals, and by their number of purchases."""
    count = evaluation.table["pair_count"]
    cv = evaluation.table["pair_sd_interval"] / evaluation.table["pair_mean_interval"]
    return {
        "CV below .4": cv < 0.4,
        "CV .4 to .8": (cv >= 0.4) & (cv <= 0.8),
        "CV above .8": cv > 0.8,
        "3 to 5 purchases": count <= 5,
        "6 to 12 purchases": (count >= 6) & (count <= 12),
        "more than 12 purchases": count > 12,
        "6 or more, CV below .4": (count >= 6) & (cv < 0.4),
    }


def strata_table(evaluation: EvaluationSet, probability: Floats) -> dict[str, dict[str, float]]:
    """Measures of a model's 28-day probabilities within each stratum, and what chance allows a calibrated model."""
    generator = np.random.default_rng(1)
    rows = {}
    for name, chosen in strata_of(evaluation).items():
        some, bought = probability[chosen], evaluation.bought[chosen]
        row = {measure: MEASURES[measure](some, bought) for measure in ("auc", "log loss", "ece")}
        rows[name] = {"pairs": float(chosen.sum()), **row, "ece by chance": calibration_bound(some, generator)}
    return rows


# Trade-offs at which deliveries by risk are followed, to find the one with as many run-outs as a rule has.
_TOLERANCES = np.arange(30, 86) / 100


def delivery_table(evaluation: EvaluationSet, models: Mapping[str, Model]) -> dict[str, Any]:
    """Deliveries by risk against the rules "mean interval" and "median interval", from today on.

    The rules begin one interval after the last purchase (at once where that is past, as `next_due_date` does) or one
    interval from today. What is by risk is compared with each rule at the largest trade-off at which no more households
    run out; `fewer_early` is relative, of the share of deliveries, `fewer_early_count` of their number.
    """
    needs = needs_from_today(evaluation)
    schedules = _rules(evaluation)
    rows: dict[str, Any] = {
        name: asdict(deliveries(first, interval, evaluation.typical_units, needs))
        for name, (first, interval) in schedules.items()
    }
    frontier = {}
    for tolerance in _TOLERANCES.tolist():
        first, days, units = _by_risk(evaluation, models, tolerance)
        frontier[tolerance] = asdict(deliveries(first, days, units, needs))
    default = cadence.DEFAULT_STOCKOUT_TOLERANCE
    rows["by risk, as shipped"] = {**frontier[default], "tolerance": default}
    rows |= _with_rules("by risk", frontier, {rule: rows[rule] for rule in schedules})
    rows["by risk, frontier"] = frontier
    rows |= {f"bound: {name}": asdict(row) for name, row in _bounds(evaluation, needs).items()}
    return rows


def steady_delivery_table(evaluation: EvaluationSet, models: Mapping[str, Model]) -> dict[str, Any]:
    """The interval alone: deliveries from the next purchase on, of needs that are known to go on."""
    needs = needs_from_next_purchase(evaluation)
    rules = {rule: _nearest_step(evaluation.table[f"pair_{rule}_interval"]) for rule in ("mean", "median")}
    rows: dict[str, Any] = {
        f"{rule} interval": asdict(deliveries(days, days, evaluation.typical_units, needs))
        for rule, days in rules.items()
    }
    frontier = {}
    for tolerance in _TOLERANCES.tolist():
        _, days, units = _by_risk(evaluation, models, tolerance)
        frontier[tolerance] = asdict(deliveries(days, days, units, needs))
    return rows | _with_rules("by risk", frontier, dict(rows))


def _by_risk(evaluation: EvaluationSet, models: Mapping[str, Model], tolerance: float) -> tuple[Any, Any, Any]:
    """First delivery, interval and units of each pair, int64[p] each."""
    schedules = schedules_of(evaluation.table, evaluation.typical_units, models["hazard"], tolerance)
    units = schedules.supply.quantity[np.arange(len(schedules.best)), schedules.best]
    return schedules.first.days, cadence.STEPS[schedules.best], units


def _rules(evaluation: EvaluationSet) -> dict[str, tuple[Any, Any]]:
    """First delivery and interval of each rule, int64[p] each."""
    schedules = {}
    for rule in ("mean", "median"):
        days = evaluation.table[f"pair_{rule}_interval"]
        step = _nearest_step(days)
        due = np.maximum(np.rint(days - evaluation.table["pair_recency"]), 1.0).astype(np.int64)
        schedules[f"{rule} interval, from the last purchase"] = (due, step)
        schedules[f"{rule} interval, from today"] = (step, step)
    return schedules


def _with_rules(
    name: str, frontier: Mapping[float, Mapping[str, float]], rules: Mapping[str, Mapping[str, float]]
) -> dict[str, Any]:
    """The row of a frontier to hold against each rule: the most tolerant one at which no more households run out."""
    rows = {}
    for rule, row in rules.items():
        same = [tolerance for tolerance, other in frontier.items() if other["ran_out"] <= row["ran_out"]]
        if same:
            best = frontier[max(same)]
            fewer = {f"fewer_{measure}": 1 - best[measure] / row[measure] for measure in ("early", "early_count")}
            rows[f"{name} | {rule}"] = {**best, "tolerance": max(same), **fewer}
    return rows


def _bounds(evaluation: EvaluationSet, needs: Needs) -> dict[str, Deliveries]:
    """What knowing the future in part would give: the true rate of the 84 days, or the very day of the next need."""
    bought = np.array([np.sum(days <= MAX_DAYS) for days in evaluation.later])
    interval = MAX_DAYS / np.maximum(bought, 1)
    step, max_days = _nearest_step(interval), int(MAX_DAYS)
    recency = evaluation.table["pair_recency"]
    due = np.where(bought > 0, np.maximum(np.rint(0.85 * interval - recency), 1), max_days).astype(np.int64)
    first = np.minimum(evaluation.truth.days_to_first, max_days).astype(np.int64)
    mean = _nearest_step(evaluation.table["pair_mean_interval"])
    schedules = {"the true rate, .85 of it after the last": (due, step), "the true first day, mean": (first, mean)}
    return {name: deliveries(*schedule, evaluation.typical_units, needs) for name, schedule in schedules.items()}


def recommendable(evaluation: EvaluationSet, models: Models) -> Bools:
    """bool[p], pairs that pass for a recommendation: an active need, and likely enough within 1.5 × the cadence."""
    model, policy = models.named(""), Policy()
    schedules = schedules_of(evaluation.table, evaluation.typical_units, model)
    chosen = cadence.STEPS[schedules.best]
    within = cadence.probability_by(schedules.curve, chosen.astype(np.float64) * GRACE_FACTOR)
    overdue = is_overdue(evaluation.table["pair_recency"], schedules.own_days)
    return np.asarray(~overdue & (within >= policy.min_cadence_probability))


def forecast_table(kind: str, evaluation: EvaluationSet, models: Mapping[str, Model]) -> dict[str, Any]:
    """Weekly forecasts and models on a sample of the pairs; AutoARIMA would take hours for all of them."""
    chosen = forecasting.sample_of(kind, len(evaluation.bought))
    table, bought, next_interval = (
        evaluation.table.only(chosen),
        evaluation.bought[chosen],
        evaluation.next_interval[chosen],
    )
    given = dict(forecasting.forecasts(kind, [evaluation.earlier[pair] for pair in chosen]))
    for name in ("hazard", "bg-nbd", "heuristic"):
        model = models[name]
        given[name] = forecasting.Forecast(
            model.within(table, np.array([CONFIDENCE_DAYS]))[:, 0],
            median_within(model.interval_within(table, _CURVE), _CURVE),
        )
    mean = table["pair_mean_interval"]
    rows: dict[str, Any] = {}
    for name, forecast in given.items():
        row = {measure: MEASURES[measure](forecast.probability, bought) for measure in ("auc", "log loss", "ece")}
        rows[name] = {**row, "interval error": cadence_quality(forecast.interval, next_interval).mean_error}
    rows["mean interval"] = {"interval error": cadence_quality(mean, next_interval).mean_error}
    return rows


def _nearest_step(days: Floats) -> Any:
    ladder = cadence.LADDER_DAYS
    return ladder[np.argmin(np.abs(np.log(days[:, None] / ladder)), axis=1)].astype(np.int64)


def need_table(evaluation: EvaluationSet, models: Models) -> dict[str, Any]:
    """Quality of the forecast states of needs: mean probability, share, and calibration error."""
    model = models.named("")
    schedules = schedules_of(evaluation.table, evaluation.typical_units, model)
    gone = gone_days(schedules.own_days)
    soonest, ever = schedules.curve[:, int(CONFIDENCE_DAYS) - 1], cadence.probability_by(schedules.curve, gone)
    model.interval_within(evaluation.table, cadence.DAYS)
    overdue = is_overdue(evaluation.table["pair_recency"], schedules.own_days)
    given = need_probabilities(soonest, ever, overdue, models.switching(evaluation.table))
    first = evaluation.truth.days_to_first
    back, soon = first <= gone, first <= CONFIDENCE_DAYS
    switched = ~back & (evaluation.others_within <= gone)
    truths = {
        "active": back & ~overdue,
        "late": soon & overdue,
        "paused": back & ~soon & overdue,
        "ended": ~back & ~switched,
        "switched": switched,
    }
    rows = {}
    for position, (name, truth) in enumerate(truths.items()):
        said = given[:, position]
        row = {"mean probability": float(said.mean()), "share": float(truth.mean())}
        rows[name] = {**row, "ece": calibration_error(said, truth), "auc": MEASURES["auc"](said, truth)}
    return rows


def _print_table(title: str, rows: Mapping[str, Mapping[str, Any]]) -> None:
    names = list(next(iter(rows.values())))
    print(f"\n{title}\n{'':30s}" + "".join(f"{name:>26s}" for name in names))
    for label, row in rows.items():
        cells = []
        for name in names:
            value = row.get(name)
            if isinstance(value, dict):
                low, high = value["interval"]
                cells.append(f"{value['value']:.4f} ({low:.3f}–{high:.3f})")
            else:
                cells.append("" if value is None else f"{value:.4f}")
        print(f"{label:30s}" + "".join(f"{cell:>26s}" for cell in cells))


def _print_deliveries(title: str, rows: Mapping[str, Mapping[str, Any]]) -> None:
    print(f"\n{title}\n{'':70s}{'early':>8s}{'number':>8s}{'ran out':>9s}{'fewer':>8s}{'fewer, number':>15s}")
    for label, row in rows.items():
        if "frontier" not in label:
            fewer = [f"{row[name]:.1%}" if name in row else "" for name in ("fewer_early", "fewer_early_count")]
            print(f"{label:70s}{row['early']:8.3f}{row['early_count']:8.3f}{row['ran_out']:9.3f}", end="")
            print(f"{fewer[0]:>8s}{fewer[1]:>15s}")


def frequency_tables(evaluation: EvaluationSet, title: str, models: Models) -> dict[str, Any]:
    """All tables of the frequency models for one level and cut-off, printed, with plots for the first cut-off."""
    print(f"\n=== {title}: {len(evaluation.bought):,} pairs, {evaluation.bought.mean():.1%} bought within 28 days")
    confidence, probabilities = confidence_table(evaluation, models.by_name)
    _print_table("T2 confidence", confidence)
    tables: dict[str, Any] = {"confidence": confidence, "strata": strata_table(evaluation, probabilities["hazard"])}
    _print_table("strata, hazard", tables["strata"])
    for name, pairs in (
        ("all pairs", evaluation),
        ("what may be recommended", evaluation.only(recommendable(evaluation, models))),
    ):
        tables[f"deliveries, {name}"] = delivery_table(pairs, models.by_name)
        _print_deliveries(f"deliveries from today, {name}", tables[f"deliveries, {name}"])
    if evaluation.cutoff != EVALUATION_CUTOFFS[0]:
        # Later cut-offs leave too little follow-up: 84 days after the first purchase, by the end of the year.
        return tables
    tables["cadence"] = cadence_table(evaluation, models.by_name)
    _print_table("T1 cadence, T1a residual", tables["cadence"])
    tables["deliveries from the next purchase"] = steady_delivery_table(evaluation, models.by_name)
    _print_deliveries("deliveries from the next purchase", tables["deliveries from the next purchase"])
    if evaluation.level is Level.TYPE:
        for kind, count in forecasting.SAMPLE_PAIRS.items():
            tables[f"forecasts, {kind}"] = forecast_table(kind, evaluation, models.by_name)
            _print_table(f"weekly forecasts, {kind}, {count} pairs", tables[f"forecasts, {kind}"])
    tables["need"] = need_table(evaluation, models)
    _print_table("state of the need", tables["need"])
    slug = title.replace(" ", "-")
    plots.frontier(tables["deliveries, all pairs"], f"deliveries, {title}", FOLDER / f"frontier-{slug}.png")
    bins = {name: calibration_bins(values, evaluation.bought) for name, values in probabilities.items()}
    plots.reliability(bins, f"28-day confidence, {title}", FOLDER / f"reliability-{slug}.png")
    known = ~np.isnan(evaluation.next_interval)
    curve = models.named("").interval_within(evaluation.table.only(known), _CURVE)
    plots.quantiles(
        curve / curve[:, -1:],
        evaluation.next_interval[known],
        f"next interval, {title}",
        FOLDER / f"quantiles-{slug}.png",
    )
    return tables


def _without_nan(value: Any) -> Any:
    """The value with null for each number that is not one, which JSON has no word for."""
    if isinstance(value, Mapping):
        return {str(name): _without_nan(entry) for name, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(entry) for entry in value]
    return None if isinstance(value, float) and np.isnan(value) else value


def main() -> None:
    """Fits, judges, prints, writes."""
    parser = argparse.ArgumentParser(prog="python -m pantree_research.quality", description=__doc__)
    parser.add_argument("--fitted", type=Path, help="directory of models fitted before on the fitting households")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS, help="what to judge; all by default")
    arguments = parser.parse_args()
    FOLDER.mkdir(parents=True, exist_ok=True)
    lines = load_receipt_lines()
    if arguments.fitted:
        fitted = model_files.load(arguments.fitted)
    else:
        fitted = fitting.fit(levels_of(lines.of(Split.FITTING)), FITTING_END, fitting.Plan(), name="complete-journey")
        model_files.save(fitted, FOLDER / "models")
        fitted = model_files.load(FOLDER / "models")  # priors are kept in half precision: what is served is judged
    models = model_files.models_of(fitted, thread_count=2)
    validation = lines.of(Split.VALIDATION)
    report: dict[str, Any] = {"version": fitted.manifest.version, "tables": {}}
    for level in Level:
        for cutoff in EVALUATION_CUTOFFS:
            title = f"{level.value} at {calendar_day(cutoff).isoformat()}"
            tables: dict[str, Any] = {}
            if "frequency" in arguments.parts:
                tables |= frequency_tables(evaluation_set(validation, level, cutoff, fitted.priors), title, models)
            if "recommendations" in arguments.parts and level is not Level.CATEGORY:
                rows, money = recommendations_table(validation, level, cutoff, models)
                _print_table(f"first five recommendations, bought again within 1.5 × the cadence, {title}", rows)
                _print_table("money", {"": money})
                tables["recommendations"], tables["money"] = rows, money
            report["tables"][title] = tables
    if "suggestions" in arguments.parts:
        suggestions = suggestions_table(lines)
        print_suggestions(suggestions)
        report["tables"]["suggestions"] = suggestions
    if "baskets" in arguments.parts:
        for level in (Level.SKU, Level.TYPE):
            baskets = next_basket_table(without_rare_items(lines, level, MIN_BUYERS[level]), level)
            print_table(level, baskets)
            report["tables"][f"next basket, {level.value}"] = baskets
        for title, evaluation in served_evaluations(lines):
            print_evaluation(title, evaluation)
            report["tables"][f"next basket as served, {title}"] = table_of(evaluation)
    text = json.dumps(_without_nan(report), indent=1, sort_keys=True, allow_nan=False)
    (FOLDER / "quality.json").write_text(text + "\n", "utf-8")
    print(f"\nwrote {FOLDER}/quality.json and plots")


if __name__ == "__main__":
    main()
