r"""Writes what a ranking model is trained on: items as it sees them, and whether they were bought again in time.

Two channels of the training entry point. `training` holds the fitting households, every label closed by the end of
fitting; a household's forecasts come from frequency models that were fitted on other households: of the households that
a model knows, it is surer than of those that it will meet. `validation` holds the validation households at the end of
fitting, with forecasts of the models that ship.

    python -m pantree_research.label_recommendations build/ranking/input
    PANTREE_SAGEMAKER_INPUT_DIR=build/ranking/input PANTREE_SAGEMAKER_MODEL_DIR=build/ranking/model \
      python -m pantree_recommendation.sagemaker train
"""

import argparse
import dataclasses
import json
from collections.abc import Iterable
from pathlib import Path

from pantree_fitting.frequency import models as fitting
from pantree_fitting.recommendation.ranking_models import LabeledItem
from pantree_frequency.backends import model_files
from pantree_recommendation.core.policy import Policy
from pantree_research.quality.__main__ import levels_of
from pantree_research.quality.households import FITTING_END, LAST_DAY, Level, ReceiptLines, Split, load_receipt_lines
from pantree_research.quality.recommendations import labeled_items

PARTS = 3
"""Households in so many parts; forecasts for one come from the others."""
DAYS_BEFORE_END = (42, 63, 84, 105, 126)
"""Days of asking, counted back from the end of the labels: 126 is 1.5 × the longest cadence, the others add to what is
known of the shorter ones."""
LEVELS = (Level.SKU, Level.TYPE)
# Far enough below the service's own threshold that the correction is no extrapolation there.
_TRAINING_POLICY = Policy(min_cadence_probability=0.5)


def main() -> None:
    """Fits, asks, writes."""
    parser = argparse.ArgumentParser(prog="python -m pantree_research.label_recommendations", description=__doc__)
    parser.add_argument("folder", type=Path, help="input folder of the training entry point")
    parser.add_argument("--channel", choices=["training", "validation"], help="only this one")
    arguments = parser.parse_args()
    lines = load_receipt_lines()
    if arguments.channel != "training":
        _write_validation(lines.of(Split.VALIDATION), arguments.folder / "data" / "validation")
    if arguments.channel != "validation":
        _write_training(lines.of(Split.FITTING), arguments.folder / "data" / "training")


def _write_validation(lines: ReceiptLines, folder: Path) -> None:
    models = model_files.models_of(model_files.load(), thread_count=1)
    for level in LEVELS:
        rows = labeled_items(lines, level, FITTING_END, models, end=LAST_DAY, policy=Policy())
        _write(rows, folder / f"{level.value}.jsonl")


def _write_training(lines: ReceiptLines, folder: Path) -> None:
    part_of = {id_: fitting.household_fold(int(id_), PARTS) for id_ in lines.frame.household_id.unique()}
    part = lines.frame.household_id.map(part_of)
    for number in range(PARTS):
        others = ReceiptLines(lines.frame[part != number].reset_index(drop=True))
        inside = ReceiptLines(lines.frame[part == number].reset_index(drop=True))
        fitted = fitting.fit(levels_of(others), FITTING_END, fitting.Plan(), name=f"without-part-{number}")
        models = model_files.models_of(fitted, thread_count=1)
        for level in LEVELS:
            rows = [
                row
                for days in DAYS_BEFORE_END
                for row in labeled_items(
                    inside, level, FITTING_END - days, models, end=FITTING_END, policy=_TRAINING_POLICY
                )
            ]
            _write(rows, folder / f"{level.value}-{number}.jsonl")


def _write(rows: Iterable[LabeledItem], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    count = 0
    with path.open("w", encoding="utf-8") as file:
        for row in rows:
            labels = {"bought_again": row.bought_again, "household_id": row.household_id}
            file.write(json.dumps(dataclasses.asdict(row.features) | labels) + "\n")
            count += 1
    print(f"{path}: {count:,} rows", flush=True)


if __name__ == "__main__":
    main()
