"""`train` as SageMaker runs it, and `serve` on the trained model."""

import dataclasses
import json
import math
import os
import random
import subprocess
import sys
from pathlib import Path

import httpx
import numpy as np
import pytest

from pantree_fitting.recommendation.ranking_models import NUMBERS, Hyperparameters, LabeledItem, fit, measure, split
from pantree_fitting.recommendation.training_job import train as train_in_process
from pantree_recommendation.backends import model_artifact
from pantree_recommendation.backends.bodies import predictions, request_bodies
from tests.recommendation.container_process import container, until_loaded
from tests.recommendation.evidence import features


def households(count: int, seed: int) -> list[LabeledItem]:
    """Items whose log odds of being bought again are half those of the evidence, and lower for expensive ones."""
    draw = random.Random(seed)
    rows = []
    for household in range(count):
        for number in range(5):
            probability = draw.uniform(0.02, 0.98)
            price = math.exp(draw.gauss(1, 1))
            odds = 0.5 * math.log(probability / (1 - probability)) + 0.4 - 0.6 * (math.log1p(price) - 1.4)
            rows.append(
                LabeledItem(
                    features(cadence_probability=probability, name=f"Item {number}", latest_unit_price=price),
                    draw.random() < 1 / (1 + math.exp(-odds)),
                    f"household-{household}",
                )
            )
    return rows


def write(path: Path, rows: list[LabeledItem]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [
        {**dataclasses.asdict(row.features), "bought_again": row.bought_again, "household_id": row.household_id}
        for row in rows
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


def train(directory: Path) -> subprocess.CompletedProcess[str]:
    """Runs the training of a container with this directory as /opt/ml."""
    variables = {
        "PANTREE_SAGEMAKER_INPUT_DIR": str(directory / "input"),
        "PANTREE_SAGEMAKER_MODEL_DIR": str(directory / "model"),
        "PANTREE_SAGEMAKER_OUTPUT_DIR": str(directory / "output"),
    }
    command = [sys.executable, "-m", "pantree_recommendation.sagemaker", "train"]
    return subprocess.run(command, env={**os.environ, **variables}, capture_output=True, text=True, timeout=100)


async def test_trained_model_is_better_and_serves(tmp_path: Path) -> None:
    write(tmp_path / "input" / "data" / "training" / "rows.jsonl", households(800, seed=1))
    parameters = {"name": "shop", "version": "7", "training_data": "made-up households"}
    (tmp_path / "input" / "config").mkdir()
    (tmp_path / "input" / "config" / "hyperparameters.json").write_text(json.dumps(parameters))
    trained = train(tmp_path)
    assert trained.returncode == 0, trained.stderr
    assert "log_loss=" in trained.stdout

    model = model_artifact.load(tmp_path / "model")
    assert (model.model.name, model.model.version) == ("shop", "7")
    assert model.card.training_data.startswith("made-up households (3,")
    metrics = model.card.metrics
    assert 0.1 < metrics["validation_rows"] / 4_000 < 0.3
    assert metrics["log_loss"] < metrics["uncalibrated_log_loss"] - 0.02
    assert metrics["roc_auc"] > metrics["uncalibrated_roc_auc"]
    assert metrics["expected_calibration_error"] < metrics["uncalibrated_expected_calibration_error"]
    assert model.calibration is not None
    assert model.calibration.slope == pytest.approx(0.5, abs=0.1)
    weights = {weight.feature: weight.weight / weight.scale for weight in model.calibration.weights}
    assert weights["latest_unit_price"] == pytest.approx(-0.6, abs=0.15)
    assert "purchase_count" not in weights  # constant: no information

    items = [features(cadence_probability=number / 100, latest_unit_price=9.0) for number in range(100)]
    ((body, _),) = request_bodies(items)
    with container(tmp_path / "model") as running:
        await until_loaded(running.url)
        async with httpx.AsyncClient(base_url=running.url) as client:
            response = await client.post("/invocations", content=body, headers={"content-type": "application/json"})
    assert response.headers["x-amzn-sagemaker-custom-attributes"] == "model=shop/7"
    assert predictions(response.content, 100) == list(await model.ranker().scores(items))


def test_malformed_row_is_written_to_the_failure_file(tmp_path: Path) -> None:
    path = tmp_path / "input" / "data" / "training" / "rows.jsonl"
    write(path, households(2, seed=1))
    lines = path.read_text().splitlines()
    lines[3] = lines[3].replace('"bought_again": ', '"bought_again": "maybe", "_": ')
    lines[6] = "?"
    path.write_text("\n".join(lines))
    result = train(tmp_path)
    assert result.returncode == 1
    expected = (tmp_path / "output" / "failure").read_text()
    assert expected == (
        "4: bought_again: Input should be a valid boolean, unable to interpret input (rows.jsonl); "
        "7: Invalid JSON: expected value at line 1 column 1 (rows.jsonl)"
    )
    assert expected in result.stderr
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({"ridge": "much"}, "ridge: Input should be a valid number"),
        ({"ridge": "-1"}, "ridge: Input should be greater than or equal to 0"),
        ({"validation_ratio": "1"}, "validation_ratio: Input should be less than 1"),
        ({"rounds": "3"}, "rounds: Extra inputs are not permitted"),
        ({"features": "smell"}, "unknown: smell"),
        ({"version": "../1"}, "version: String should match pattern"),
    ],
)
def test_invalid_hyperparameter_is_reported(tmp_path: Path, parameters: dict[str, str], expected: str) -> None:
    write(tmp_path / "input" / "data" / "training" / "rows.jsonl", households(20, seed=1))
    (tmp_path / "input" / "config").mkdir()
    (tmp_path / "input" / "config" / "hyperparameters.json").write_text(json.dumps(parameters))
    assert train_in_process(tmp_path / "input", tmp_path / "model", tmp_path / "output") == 1
    assert expected in (tmp_path / "output" / "failure").read_text()


def test_households_are_either_fitted_or_held_out() -> None:
    fitted, validating = split(households(200, seed=2), 0.2)
    assert not {row.household_id for row in fitted} & {row.household_id for row in validating}
    assert 0.1 < len(validating) / 1_000 < 0.3


def test_equal_rows_fit_the_same_model_and_version() -> None:
    rows = households(100, seed=3)
    fitted, validating = split(rows, 0.2)
    assert fit(fitted, validating, Hyperparameters(), "rows") == fit(fitted, validating, Hyperparameters(), "rows")


def test_misleading_probability_gets_a_slope_of_0() -> None:
    rows = [
        LabeledItem(features(cadence_probability=1 - row.features.cadence_probability), row.bought_again)
        for row in households(200, seed=4)
    ]
    model = fit(rows, rows, Hyperparameters(features=()), "rows").calibration
    assert model is not None
    assert model.slope == 0


def test_metrics_of_known_cases() -> None:
    bought = np.array([False, False, True, True])
    perfect = measure(np.array([0.0, 0.1, 0.9, 1.0]), bought)
    assert perfect["roc_auc"] == 1
    blind = measure(np.full(4, 0.5), bought)
    assert blind["roc_auc"] == 0.5
    assert blind["log_loss"] == pytest.approx(math.log(2))
    assert blind["brier_score"] == 0.25
    assert blind["expected_calibration_error"] == 0


def test_features_are_numbers_of_the_item() -> None:
    assert all(isinstance(getattr(features(), name), int | float) for name in NUMBERS)
    assert "purchase_count" in NUMBERS
    assert "cadence_probability" not in NUMBERS
