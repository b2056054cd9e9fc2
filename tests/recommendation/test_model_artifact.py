import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pantree_domain.evidence import ModelName
from pantree_recommendation.backends import model_artifact
from pantree_recommendation.backends.embedded import CLOSED_FORM, EmbeddedRanker
from pantree_recommendation.backends.model_artifact import InvalidModel, ModelArtifact
from pantree_recommendation.core.calibration import Calibration, Weight
from pantree_recommendation.core.ranking import FEATURES
from pantree_recommendation.core.selection import ModelCard
from tests.recommendation.evidence import features

CALIBRATED = ModelArtifact(
    ModelName("calibrated", "2"),
    Calibration(0.25, 0.5, (Weight("purchase_count", 2.0, 0.5, -0.3),)),
    ModelCard(FEATURES, "rows of a test", {"log_loss": 0.5}),
)


def test_saved_model_reads_back_equal(tmp_path: Path) -> None:
    model_artifact.save(CALIBRATED, tmp_path)
    loaded = model_artifact.load(tmp_path)
    assert len(loaded.card.checksum) == 64
    card = dataclasses.replace(loaded.card, checksum="")
    assert dataclasses.replace(loaded, card=card) == CALIBRATED


def test_default_model_is_the_formula_of_the_code(tmp_path: Path) -> None:
    model_artifact.save(model_artifact.default_model(), tmp_path)
    remedy = f"run: python -m pantree_recommendation.sagemaker write-default {model_artifact.DEFAULT_MODEL_DIR}"
    for name in (model_artifact.MANIFEST, model_artifact.MODEL):
        assert (model_artifact.DEFAULT_MODEL_DIR / name).read_bytes() == (tmp_path / name).read_bytes(), remedy


def test_calibrated_model_has_a_lower_loss_than_the_formula() -> None:
    fitted = model_artifact.load(model_artifact.CALIBRATED_MODEL_DIR)
    assert fitted.calibration is not None
    assert fitted.card.metrics["log_loss"] < fitted.card.metrics["uncalibrated_log_loss"]
    card = (model_artifact.CALIBRATED_MODEL_DIR / "MODEL_CARD.md").read_text("utf-8")
    assert f"{fitted.model.name}/{fitted.model.version}" in card
    used = {weight.feature for weight in fitted.calibration.weights}
    assert not {name for name in used if "price" in name or "savings" in name}  # prices depend on the currency


def change(folder: Path, **changes: Any) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps({**manifest, **changes}))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"format": 2}, "manifest.json is invalid: format: Input should be 1"),
        ({"closed_form": {"name": CLOSED_FORM.name, "version": "0"}}, "train the model again"),
        ({"features": ["name", "smell"]}, "needs features that this service does not have: smell"),
        ({"name": "../../etc"}, "name: String should match pattern"),
        ({"version": ""}, "version: String should match pattern"),
        ({"files": {}}, "copy the directory again"),
        ({"metrics": {"log_loss": "good"}}, "metrics.log_loss: Input should be a valid number"),
        ({"features": "name"}, "features: Input should be a valid"),
        ({"files": {"model.json": "0" * 64}}, "its manifest has 000000000000"),
    ],
)
def test_invalid_manifest_is_rejected(tmp_path: Path, changes: dict[str, Any], expected: str) -> None:
    model_artifact.save(CALIBRATED, tmp_path)
    change(tmp_path, **changes)
    with pytest.raises(InvalidModel, match=expected):
        model_artifact.load(tmp_path)


def test_changed_model_file_is_rejected(tmp_path: Path) -> None:
    model_artifact.save(CALIBRATED, tmp_path)
    content = (tmp_path / "model.json").read_text()
    (tmp_path / "model.json").write_text(content.replace("0.25", "0.26"))
    with pytest.raises(InvalidModel, match="copy the directory again"):
        model_artifact.load(tmp_path)


@pytest.mark.parametrize("content", ["[]", "{", '{"format": 1'])
def test_manifest_that_is_not_an_object_is_rejected(tmp_path: Path, content: str) -> None:
    (tmp_path / "manifest.json").write_text(content)
    with pytest.raises(InvalidModel):
        model_artifact.load(tmp_path)


def test_empty_directory_is_rejected_with_a_remedy(tmp_path: Path) -> None:
    with pytest.raises(InvalidModel, match="is there a model in the directory"):
        model_artifact.load(tmp_path)


@pytest.mark.parametrize(
    "calibration",
    [
        {"intercept": float("nan"), "slope": 1.0},
        {"intercept": 0.0, "slope": -0.1},
        {"intercept": 0.0, "slope": 1.0, "weights": (Weight("quantity", 0.0, 0.0, 1.0),)},
    ],
)
def test_invalid_calibration_is_rejected(calibration: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="calibration"):
        Calibration(**calibration)


@given(
    probability=st.floats(0, 1),
    intercept=st.floats(-50, 50),
    slope=st.floats(0, 20),
    weight=st.floats(-50, 50),
    number=st.integers(1, 10**6),
)
def test_calibrated_probability_and_score_are_ratios(
    probability: float, intercept: float, slope: float, weight: float, number: int
) -> None:
    calibration = Calibration(intercept, slope, (Weight("purchase_count", 1.0, 0.5, weight),))
    item = features(cadence_probability=probability, purchase_count=number)
    assert 0 <= calibration.apply(item).cadence_probability <= 1
    assert 0 <= EmbeddedRanker(ModelName("m", "1"), calibration).score(item) <= 1


@given(st.floats(0, 1), st.floats(0, 1), st.floats(0, 5))
def test_more_probability_never_lowers_the_score(one: float, other: float, slope: float) -> None:
    ranker = EmbeddedRanker(ModelName("m", "1"), Calibration(0.1, slope, (Weight("quantity", 0.0, 1.0, 0.5),)))
    low, high = sorted((one, other))
    assert ranker.score(features(cadence_probability=low)) <= ranker.score(features(cadence_probability=high))


def test_neutral_calibration_keeps_the_probability() -> None:
    item = features(cadence_probability=0.85)
    assert Calibration(0.0, 1.0).apply(item).cadence_probability == pytest.approx(0.85)
