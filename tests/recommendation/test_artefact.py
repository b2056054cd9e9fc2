import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pantree_recommendation.backends import artefact
from pantree_recommendation.backends.artefact import Artefact, BadArtefact
from pantree_recommendation.backends.embedded import CLOSED_FORM, EmbeddedRanker
from pantree_recommendation.core import Calibration, ModelName, Weight
from pantree_recommendation.core.calibration import probability_of
from tests.recommendation.likely import likely

FITTED = Artefact(
    ModelName("calibrated", "2"),
    Calibration(0.25, 0.5, (Weight("purchase_count", 2.0, 0.5, -0.3),)),
    "rows of a test",
    {"log_loss": 0.5},
)


def test_saved_artefact_reads_back_equal(tmp_path: Path) -> None:
    artefact.save(FITTED, tmp_path)
    loaded = artefact.load(tmp_path)
    assert dataclasses.replace(loaded, checksum="") == FITTED
    assert len(loaded.checksum) == 64


def test_shipped_artefact_is_the_formula_of_the_code(tmp_path: Path) -> None:
    artefact.save(artefact.unfitted(), tmp_path)
    remedy = f"run: python -m pantree_recommendation.sagemaker unfitted {artefact.SHIPPED}"
    for name in (artefact.MANIFEST, artefact.MODEL):
        assert (artefact.SHIPPED / name).read_bytes() == (tmp_path / name).read_bytes(), remedy


def test_fitted_artefact_is_whole_and_tells_the_better_of_two_losses() -> None:
    fitted = artefact.load(artefact.FITTED)
    assert fitted.calibration is not None
    assert fitted.metrics["log_loss"] < fitted.metrics["uncalibrated_log_loss"]
    card = (artefact.FITTED / "MODEL_CARD.md").read_text("utf-8")
    assert f"{fitted.model.name}/{fitted.model.version}" in card
    used = {weight.feature for weight in fitted.calibration.weights}
    assert not {name for name in used if "price" in name or "savings" in name}  # no currency's money


def change(folder: Path, **changes: Any) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps({**manifest, **changes}))


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"format": 2}, "has format 2; this service reads 1"),
        ({"closed_form": {"name": CLOSED_FORM.name, "version": "0"}}, "train the model again"),
        ({"features": ["name", "smell"]}, "needs features that this service does not have: smell"),
        ({"name": "../../etc"}, "cannot be one"),
        ({"version": ""}, "cannot be one"),
        ({"files": {}}, "holds no model"),
        ({"metrics": {"log_loss": "good"}}, "holds no model"),
        ({"files": {"model.json": "0" * 64}}, "its manifest says 000000000000"),
    ],
)
def test_manifest_that_does_not_fit_is_refused(tmp_path: Path, changes: dict[str, Any], told: str) -> None:
    artefact.save(FITTED, tmp_path)
    change(tmp_path, **changes)
    with pytest.raises(BadArtefact, match=told):
        artefact.load(tmp_path)


def test_changed_model_file_is_refused(tmp_path: Path) -> None:
    artefact.save(FITTED, tmp_path)
    content = (tmp_path / "model.json").read_text()
    (tmp_path / "model.json").write_text(content.replace("0.25", "0.26"))
    with pytest.raises(BadArtefact, match="copy the folder again"):
        artefact.load(tmp_path)


@pytest.mark.parametrize("content", ["[]", "{", '{"format": 1'])
def test_file_that_is_no_manifest_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "manifest.json").write_text(content)
    with pytest.raises(BadArtefact):
        artefact.load(tmp_path)


def test_empty_folder_is_refused_with_a_remedy(tmp_path: Path) -> None:
    with pytest.raises(BadArtefact, match="is there a model in the folder"):
        artefact.load(tmp_path)


@pytest.mark.parametrize(
    "calibration",
    [
        {"intercept": float("nan"), "slope": 1.0},
        {"intercept": 0.0, "slope": -0.1},
        {"intercept": 0.0, "slope": 1.0, "weights": (Weight("quantity", 0.0, 0.0, 1.0),)},
    ],
)
def test_calibration_that_gives_no_probability_is_refused(calibration: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="calibration"):
        Calibration(**calibration)


@given(
    probability=st.floats(0, 1),
    intercept=st.floats(-50, 50),
    slope=st.floats(0, 20),
    weight=st.floats(-50, 50),
    number=st.integers(1, 10**6),
)
def test_calibrated_probability_is_one_and_score_a_ratio(
    probability: float, intercept: float, slope: float, weight: float, number: int
) -> None:
    calibration = Calibration(intercept, slope, (Weight("purchase_count", 1.0, 0.5, weight),))
    item = likely(probability, purchase_count=number)
    assert 0 <= probability_of(calibration.applied(item)) <= 1
    assert 0 <= EmbeddedRanker(ModelName("m", "1"), calibration).score(item) <= 1


@given(st.floats(0, 1), st.floats(0, 1), st.floats(0, 5))
def test_more_probability_never_lowers_the_score(one: float, other: float, slope: float) -> None:
    ranker = EmbeddedRanker(ModelName("m", "1"), Calibration(0.1, slope, (Weight("quantity", 0.0, 1.0, 0.5),)))
    low, high = sorted((one, other))
    assert ranker.score(likely(low)) <= ranker.score(likely(high))


def test_calibration_of_nothing_keeps_the_probability() -> None:
    item = likely(0.85)
    assert probability_of(Calibration(0.0, 1.0).applied(item)) == pytest.approx(0.85)
