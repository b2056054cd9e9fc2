"""Fits on the fitting households, judges on the validation households: `make quality`.

Prints every model side by side with bootstrap intervals; writes `build/quality/quality.json` and plots. The same
versions of the libraries give the same digits.
"""

import argparse
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from pantree_domain.days import calendar_day
from pantree_frequency import fitting
from pantree_frequency.backends import artefact
from pantree_frequency.core import Models, cadence
from pantree_frequency.core.models import Model
from pantree_frequency.core.models.base import Floats
from pantree_frequency.core.need import GONE_DAYS, is_overdue, need_probabilities
from tests.quality import forecasting, plots
from tests.quality.households import EVALUATION_CUTOFFS, FITTING_END, Level, ReceiptLines, Split, load_receipt_lines
from tests.quality.metrics import MEASURES, calibration_bins, calibration_error, household_samples, interval_of
from tests.quality.next_basket import next_basket_table, print_table
from tests.quality.protocol import (
    CONFIDENCE_DAYS,
    LONGEST_DAYS,
    Cadence,
    Examination,
    cadence_quality,
    deliveries,
    examination,
    median_within,
)
from tests.quality.recommendations import recommendations_table
from tests.quality.suggestions import print_suggestions, suggestions_table

FOLDER = Path("build/quality")
BOOTSTRAP_SAMPLES = 60
_CURVE = np.arange(1.0, LONGEST_DAYS + 1)

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


def confidence_table(asked: Examination, models: Mapping[str, Model]) -> tuple[dict[str, Any], dict[str, Floats]]:
    """T2: each model's measures with bootstrap intervals, and the probabilities."""
    probabilities = {
        name: model.within(asked.table, np.array([CONFIDENCE_DAYS]))[:, 0] for name, model in models.items()
    }
    samples = household_samples(asked.households, BOOTSTRAP_SAMPLES, seed=1)
    rows: dict[str, Any] = {}
    for name, probability in probabilities.items():
        rows[name] = {
            measure: {
                "value": of(probability, asked.bought),
                "interval": interval_of([of(probability[sample], asked.bought[sample]) for sample in samples]),
            }
            for measure, of in MEASURES.items()
        }
    return rows, probabilities


def cadence_table(asked: Examination, models: Mapping[str, Model]) -> dict[str, Any]:
    """T1 and T1a: errors of the two rules and of each model."""
    mean, median = asked.table["pair_mean_interval"], asked.table["pair_median_interval"]
    recency = asked.table["pair_recency"]
    predictions = {"mean interval": (mean, mean - recency), "median interval": (median, median - recency)}
    for name, model in models.items():
        if name != "heuristic":
            predictions[name] = (
                median_within(model.interval_within(asked.table, _CURVE), _CURVE),
                median_within(model.within(asked.table, _CURVE), _CURVE),
            )
    rows = {}
    for name, (interval, residual) in predictions.items():
        quality: Cadence = cadence_quality(interval, asked.next_interval)
        rows[name] = {**asdict(quality), "residual_error": cadence_quality(residual, asked.residual).mean_error}
    return rows


def delivery_table(asked: Examination, models: Mapping[str, Model]) -> dict[str, Any]:
    """Cadence by risk against the mean and median rules: deliveries that come early, households that run out."""
    rules = {
        "mean interval": _nearest_step(asked.table["pair_mean_interval"]),
        "median interval": _nearest_step(asked.table["pair_median_interval"]),
    }
    rows: dict[str, Any] = {name: asdict(deliveries(days, asked)) for name, days in rules.items()}
    limit = rows["mean interval"]["ran_out"]
    for name in [name for name in models if name in ("hazard", "log-normal")]:
        risks = cadence.risks_of(models[name].interval_within(asked.table, cadence.DAYS))
        frontier = {}
        for percent in range(30, 71, 2):
            days = cadence.choose_cadences(risks, percent / 100).interval_days
            frontier[percent / 100] = asdict(deliveries(days, asked))
        rows[f"{name} by risk, frontier"] = frontier
        same = [tolerance for tolerance, row in frontier.items() if row["ran_out"] <= limit]
        if same:
            rows[f"{name} by risk"] = {**frontier[max(same)], "tolerance": max(same)}
            for measure in ("early", "early_count"):
                fewer = 1 - frontier[max(same)][measure] / rows["mean interval"][measure]
                rows[f"{name} by risk"][f"fewer_{measure}"] = fewer
    return rows


def forecast_table(kind: str, asked: Examination, models: Mapping[str, Model]) -> dict[str, Any]:
    """Weekly forecasts beside models, on a sample of the pairs: AutoARIMA would take hours for all of them."""
    chosen = forecasting.sample_of(kind, len(asked.bought))
    table, bought, next_interval = asked.table.only(chosen), asked.bought[chosen], asked.next_interval[chosen]
    told = dict(forecasting.forecasts(kind, [asked.earlier[pair] for pair in chosen]))
    for name in ("hazard", "bg-nbd", "heuristic"):
        model = models[name]
        told[name] = forecasting.Forecast(
            model.within(table, np.array([CONFIDENCE_DAYS]))[:, 0],
            median_within(model.interval_within(table, _CURVE), _CURVE),
        )
    mean = table["pair_mean_interval"]
    rows: dict[str, Any] = {}
    for name, forecast in told.items():
        row = {measure: MEASURES[measure](forecast.probability, bought) for measure in ("auc", "log loss", "ece")}
        rows[name] = {**row, "interval error": cadence_quality(forecast.interval, next_interval).mean_error}
    rows["mean interval"] = {"interval error": cadence_quality(mean, next_interval).mean_error}
    return rows


def _nearest_step(days: Floats) -> Any:
    ladder = cadence.LADDER_DAYS
    return ladder[np.argmin(np.abs(np.log(days[:, None] / ladder)), axis=1)].astype(np.int64)


def need_table(asked: Examination, models: Models) -> dict[str, Any]:
    """How well the states of needs are told: their mean probability, their share, and the calibration error."""
    model = models.named("")
    curve = model.within(asked.table, np.array([CONFIDENCE_DAYS, GONE_DAYS]))
    intervals = model.interval_within(asked.table, cadence.DAYS)
    overdue = is_overdue(asked.table["pair_recency"], intervals)
    told = need_probabilities(curve[:, 0], curve[:, 1], overdue, models.switching(asked.table)).probabilities
    first = asked.truth.days_to_first
    back, soon = first <= GONE_DAYS, first <= CONFIDENCE_DAYS
    switched = ~back & (asked.others_within <= GONE_DAYS)
    truths = {
        "active": back & ~overdue,
        "late": soon & overdue,
        "paused": back & ~soon & overdue,
        "ended": ~back & ~switched,
        "switched": switched,
    }
    rows = {}
    for position, (name, truth) in enumerate(truths.items()):
        said = told[:, position]
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


def main() -> None:
    """Fits, judges, prints, writes."""
    parser = argparse.ArgumentParser(prog="python -m tests.quality", description=__doc__)
    parser.add_argument("--fitted", type=Path, help="folder of an artefact fitted before on the fitting households")
    arguments = parser.parse_args()
    FOLDER.mkdir(parents=True, exist_ok=True)
    lines = load_receipt_lines()
    if arguments.fitted:
        fitted = artefact.load(arguments.fitted)
    else:
        fitted = fitting.fit(levels_of(lines.of(Split.FITTING)), FITTING_END, fitting.Plan(), name="complete-journey")
        artefact.save(fitted, FOLDER / "artefact")
    models = artefact.models_of(fitted, thread_count=2)
    validation = lines.of(Split.VALIDATION)
    report: dict[str, Any] = {"version": fitted.description["version"], "tables": {}}
    for level in Level:
        for cutoff in EVALUATION_CUTOFFS:
            asked = examination(validation, level, cutoff, fitted.priors)
            title = f"{level.value} at {calendar_day(cutoff).isoformat()}"
            print(f"\n=== {title}: {len(asked.bought):,} pairs, {asked.bought.mean():.1%} bought within 28 days")
            confidence, probabilities = confidence_table(asked, models.by_name)
            _print_table("T2 confidence", confidence)
            tables: dict[str, Any] = {"confidence": confidence}
            if cutoff == EVALUATION_CUTOFFS[0]:
                # Later cut-offs leave too little follow-up: 84 days after the first purchase, by the end of the year.
                tables["cadence"] = cadence_table(asked, models.by_name)
                _print_table("T1 cadence, T1a residual", tables["cadence"])
                tables["deliveries"] = delivery_table(asked, models.by_name)
                shown = {name: row for name, row in tables["deliveries"].items() if "frontier" not in name}
                _print_table("cadence by risk", dict(sorted(shown.items(), key=lambda entry: -len(entry[1]))))
                if level is Level.TYPE:
                    for kind, count in forecasting.SAMPLE_PAIRS.items():
                        tables[f"forecasts, {kind}"] = forecast_table(kind, asked, models.by_name)
                        _print_table(f"weekly forecasts, {kind}, {count} pairs", tables[f"forecasts, {kind}"])
                tables["need"] = need_table(asked, models)
                _print_table("state of the need", tables["need"])
                slug = title.replace(" ", "-")
                bins = {name: calibration_bins(values, asked.bought) for name, values in probabilities.items()}
                plots.reliability(bins, f"28-day confidence, {title}", FOLDER / f"reliability-{slug}.png")
                known = ~np.isnan(asked.next_interval)
                curve = models.named("").interval_within(asked.table.only(known), _CURVE)
                plots.quantiles(
                    curve / curve[:, -1:], asked.next_interval[known], f"next interval, {title}",
                    FOLDER / f"quantiles-{slug}.png",
                )  # fmt: skip
            if level is not Level.CATEGORY:
                rows, money = recommendations_table(validation, level, cutoff, models)
                _print_table("first five recommendations, bought again within 1.5 × the cadence", rows)
                _print_table("money", {"": money})
                tables["recommendations"], tables["money"] = rows, money
            report["tables"][title] = tables
    suggestions = suggestions_table(lines)
    print_suggestions(suggestions)
    report["tables"]["suggestions"] = suggestions
    for level in (Level.SKU, Level.TYPE):
        baskets = next_basket_table(lines, level)
        print_table(level, baskets)
        report["tables"][f"next basket, {level.value}"] = baskets
    (FOLDER / "quality.json").write_text(json.dumps(report, indent=1, sort_keys=True) + "\n", "utf-8")
    print(f"\nwrote {FOLDER}/quality.json and plots")


if __name__ == "__main__":
    main()
