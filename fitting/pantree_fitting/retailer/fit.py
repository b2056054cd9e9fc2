"""Fits frequency, ranking and next basket on a retailer's own purchases, step by step.

    frequency/      models of the frequency service: PANTREE_FREQUENCY_MODEL_DIR
    ranking/        one directory per ranking model: PANTREE_RECOMMENDATION_MODELS_DIR
    next_basket/    the next-basket model: PANTREE_RECOMMENDATION_NEXT_BASKET_DIR
    fit.json        what was fitted, and which households were held out

Households are split by a hash of their ids: some are held out for `pantree evaluate`, some calibrate the ranking, and
the others fit the models. Finished steps are kept in `.unfinished/`, so that an interrupted fit continues there. The
same purchases and settings result in the same bytes.
"""

import dataclasses
import hashlib
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict

from pantree_fitting.frequency import models as frequency_models
from pantree_fitting.next_basket import models as basket_models
from pantree_fitting.next_basket.models import BasketPlan, Lessons
from pantree_fitting.recommendation import ranking_models
from pantree_fitting.recommendation.labels import labeled_items
from pantree_fitting.recommendation.ranking_models import CannotFit, Hyperparameters
from pantree_fitting.retailer.purchase_lines import InvalidPurchases, PurchaseLines, grouped, households_where
from pantree_frequency.backends import model_files
from pantree_frequency.core.histories import Histories
from pantree_recommendation.backends import basket_files, model_artifact
from pantree_recommendation.core.policy import Policy

FREQUENCY, RANKING, NEXT_BASKET, MANIFEST, UNFINISHED = (
    "frequency", "ranking", "next_basket", "fit.json", ".unfinished"
)  # fmt: skip
MIN_DAYS = 120
"""Purchases must span so many days: the labels of the latest as-of day and intervals before it need them."""
MIN_HOUSEHOLDS = 30
# As-of days of ranking labels, counted back from the end: 1.5 × longer cadences need longer follow-up.
_RANKING_DAYS_BEFORE_END = (42, 63, 84, 105, 126)
_RANKING_POLICY = Policy(min_cadence_probability=0.5)
# An as-of day needs purchases before it.
_MIN_HISTORY_DAYS = 56


@dataclass(frozen=True)
class FitPlan:
    """How much to fit."""

    frequency: frequency_models.Plan = field(default_factory=frequency_models.Plan)
    baskets: BasketPlan = field(default_factory=BasketPlan)
    held_out_ratio: float = 0.2
    calibration_ratio: float = 0.15
    """Share of the households that the ranking is fitted on."""

    @staticmethod
    def quick() -> "FitPlan":
        """A plan that takes seconds for some hundreds of households, to try the command."""
        return FitPlan(
            frequency=frequency_models.Plan(
                days_before_end=(28, 41, 55, 69, 84), fold_count=2, step_rows=60_000, rounds=60, closed_form_rows=2_000
            ),
            baskets=BasketPlan(rounds=3, first_rounds=1, fold_count=2, trees=80, min_leaf_rows=40),
        )


class FitManifest(BaseModel):
    """What was fitted."""

    model_config = ConfigDict(frozen=True)

    format: int = 1
    purchases: str
    """SHA-256 of the purchases."""
    settings: str
    """SHA-256 of the settings."""
    name: str
    held_out_ratio: float
    calibration_ratio: float
    household_count: int
    purchase_count: int
    first_day: int
    last_day: int
    ranking: str
    """Name and version of the ranking model, or why there is none."""


def part_of(household_id: int, plan: FitPlan | FitManifest) -> str:
    """Whether a household is `held_out`, for `calibration`, or for `fitting`."""
    digest = hashlib.sha256(f"pantree-held-out-v1:{household_id}".encode()).digest()
    share = int.from_bytes(digest[:8]) / 2**64
    if share < plan.held_out_ratio:
        return "held_out"
    return "calibration" if share < plan.held_out_ratio + plan.calibration_ratio else "fitting"


def only_part(histories: Histories, plan: FitPlan | FitManifest, *parts: str) -> Histories:
    """The households of some parts."""
    return households_where(histories, lambda household_id: part_of(household_id, plan) in parts)


def levels_of(histories: Histories) -> list[frequency_models.Level]:
    """What frequency models are fitted on: the same households with items at the levels that the lines have."""
    types, categories = any(histories.item_types), any(histories.item_categories)
    views = (
        ("full", "type as category", "full", "full", "category", "full", "none") if types
        else ("full", "full", "none") if categories
        else ("none",)
    )  # fmt: skip
    levels = [frequency_models.Level(histories, views)]
    if types:
        of_types = grouped(histories, histories.item_types, histories.item_categories)
        levels.append(frequency_models.Level(of_types, ("full", "full", "none")))
    if categories:
        levels.append(frequency_models.Level(grouped(histories, histories.item_categories), ("full",)))
    return levels


class Steps:
    """Steps of a fit, each with a file or directory that is complete when it exists.

    Args:
        directory: of the results.
        key: digest of purchases and settings; results of others are removed.
        log_line: receives lines on the progress.
    """

    def __init__(self, directory: Path, key: str, log_line: Callable[[str], None]) -> None:
        self._directory = directory
        self._log_line = log_line
        stored = directory / "key"
        if directory.exists() and (not stored.exists() or stored.read_text() != key):
            shutil.rmtree(directory)
        directory.mkdir(parents=True, exist_ok=True)
        stored.write_text(key)
        self._count = 0

    def run(self, name: str, step_count: int, work: Callable[[Path], None]) -> Path:
        """The result of a step, which is computed unless an earlier run did."""
        self._count += 1
        target = self._directory / name
        label = f"step {self._count} of {step_count}: {name}"
        if target.exists():
            self._log_line(f"{label}, done by an earlier run")
            return target
        self._log_line(label)
        unfinished = self._directory / f"~{name}"
        if unfinished.is_dir():
            shutil.rmtree(unfinished)
        work(unfinished)
        os.replace(unfinished, target)
        return target


def fit_retailer(
    lines: PurchaseLines, out: Path, plan: FitPlan, *, name: str, log_line: Callable[[str], None] = print
) -> FitManifest:
    """Fits all models and writes them.

    Args:
        lines: purchases of all households; those held out are not used.
        out: directory to write.
        plan: how much to fit.
        name: of the models.
        log_line: receives lines on the progress.

    Raises:
        InvalidPurchases: when there are too few purchases to fit on.
    """
    days = lines.last_day - lines.first_day
    fitting = only_part(lines.histories, plan, "fitting")
    if days < MIN_DAYS:
        raise InvalidPurchases(f"purchases must span at least {MIN_DAYS} days; they span {days}")
    if fitting.household_count < MIN_HOUSEHOLDS:
        raise InvalidPurchases(
            f"at least {MIN_HOUSEHOLDS} households are needed to fit on; there are {fitting.household_count}, and "
            f"{lines.histories.household_count - fitting.household_count} are kept for calibration and evaluation"
        )
    settings = json.dumps([name, _comparable(plan)], sort_keys=True)
    manifest_path = out / MANIFEST
    key = hashlib.sha256(settings.encode()).hexdigest()
    if manifest_path.exists():
        done = FitManifest.model_validate_json(manifest_path.read_bytes())
        if (done.purchases, done.settings) == (lines.digest, key):
            log_line(f"{out} is up to date")
            return done
    steps = Steps(out / UNFINISHED, lines.digest + key, log_line)
    count = plan.baskets.fold_count + 3
    frequency_dir = steps.run(FREQUENCY, count, lambda path: _fit_frequency(lines, fitting, plan, name, path, log_line))
    ranking_dir = steps.run(RANKING, count, lambda path: _fit_ranking(lines, plan, name, frequency_dir, path, log_line))
    parts = [
        steps.run(
            f"next_basket_part_{fold + 1}",
            count,
            lambda path, fold=fold: _save_lessons(basket_models.fold_lessons(fitting, fold, plan.baskets), path),  # type: ignore[misc]
        )
        for fold in range(plan.baskets.fold_count)
    ]
    basket_dir = steps.run(NEXT_BASKET, count, lambda path: _fit_baskets(fitting, parts, plan, name, path))
    ranking = next((path.name for path in sorted(ranking_dir.iterdir()) if path.is_dir()), None)
    manifest = FitManifest(
        purchases=lines.digest,
        settings=key,
        name=name,
        held_out_ratio=plan.held_out_ratio,
        calibration_ratio=plan.calibration_ratio,
        household_count=lines.histories.household_count,
        purchase_count=len(lines.histories.lines),
        first_day=lines.first_day,
        last_day=lines.last_day,
        ranking=ranking or (ranking_dir / "none.txt").read_text("utf-8"),
    )
    manifest_path.unlink(missing_ok=True)
    for source, target in ((frequency_dir, FREQUENCY), (ranking_dir, RANKING), (basket_dir, NEXT_BASKET)):
        if (out / target).exists():
            shutil.rmtree(out / target)
        os.replace(source, out / target)
    # Written last, so that an incomplete directory has no manifest.
    manifest_path.write_text(manifest.model_dump_json(indent=1) + "\n", "utf-8")
    shutil.rmtree(out / UNFINISHED)
    return manifest


def service_settings(out: Path) -> dict[str, str]:
    """The settings with which the services take the models of a directory."""
    return {
        "PANTREE_FREQUENCY_MODEL_DIR": str((out / FREQUENCY).resolve()),
        "PANTREE_RECOMMENDATION_MODELS_DIR": str((out / RANKING).resolve()),
        "PANTREE_RECOMMENDATION_NEXT_BASKET_DIR": str((out / NEXT_BASKET).resolve()),
    }


def _comparable(plan: FitPlan) -> dict[str, Any]:
    """The settings that the models depend on; the number of threads is none of them."""
    values = dataclasses.asdict(plan)
    for part in ("frequency", "baskets"):
        values[part].pop("thread_count")
    return values


def _fit_frequency(
    lines: PurchaseLines, fitting: Histories, plan: FitPlan, name: str, path: Path, log_line: Callable[[str], None]
) -> None:
    max_days = lines.last_day - lines.first_day - _MIN_HISTORY_DAYS
    days = tuple(days for days in plan.frequency.days_before_end if days <= max_days)
    fitted = frequency_models.fit(
        levels_of(fitting), lines.last_day, dataclasses.replace(plan.frequency, days_before_end=days), name=name,
        log_line=lambda line: log_line(f"  {line}"),
    )  # fmt: skip
    model_files.save(fitted, path)


def _fit_ranking(
    lines: PurchaseLines, plan: FitPlan, name: str, frequency_dir: Path, path: Path, log_line: Callable[[str], None]
) -> None:
    histories = only_part(lines.histories, plan, "calibration")
    models = model_files.models_of(model_files.load(frequency_dir))
    max_days = lines.last_day - lines.first_day - _MIN_HISTORY_DAYS
    rows = [
        row
        for days in _RANKING_DAYS_BEFORE_END
        if days <= max_days
        for row in labeled_items(histories, lines.last_day - days, models, end=lines.last_day, policy=_RANKING_POLICY)
    ]
    path.mkdir(parents=True)
    try:
        kept, validation = ranking_models.split(rows, 0.2)
        model = ranking_models.fit(kept, validation, Hyperparameters(name=name), f"{len(rows):,} labeled items")
    except CannotFit as error:
        log_line(f"  no ranking model: {error}")
        (path / "none.txt").write_text(f"none: {error}", "utf-8")
        return
    model_artifact.save(model, path / f"{model.model.name}-{model.model.version}")


def _save_lessons(lessons: Lessons, path: Path) -> None:
    with path.open("wb") as file:
        np.savez(file, values=lessons.values, bought=lessons.bought)


def _fit_baskets(fitting: Histories, parts: list[Path], plan: FitPlan, name: str, path: Path) -> None:
    lessons = []
    for part in parts:
        with np.load(part) as arrays:
            lessons.append(Lessons(arrays["values"], arrays["bought"]))
    artifact = basket_models.fit_lessons(fitting, Lessons.concatenate(lessons), plan.baskets, name=name)
    training_data = f"{fitting.household_count:,} households, {len(fitting.lines):,} purchase lines"
    basket_files.save(dataclasses.replace(artifact, training_data=training_data), path)
