import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from pantree_domain.evidence import ModelName
from pantree_recommendation.backends import model_artifact
from pantree_recommendation.backends.model_artifact import ModelArtifact
from pantree_recommendation.backends.model_files import ModelFiles, read_selection
from pantree_recommendation.core.calibration import Calibration
from pantree_recommendation.core.ranking import ItemFeatures, RankerFailure
from pantree_recommendation.core.selection import ModelCard
from tests.recommendation.test_model_artifact import CALIBRATED


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[]", "Input should be an object"),
        ("{", "Invalid JSON"),
        ("{}", "shares: Field required"),
        ('{"shares": {}}', "shares: Input should be a valid array"),
        ('{"shares": []}', '"shares" is empty'),
        ('{"shares": [3]}', r"shares\[0\]: Input should be an object"),
        ('{"shares": [{"model": "a/1", "ratio": true}]}', r"shares\[0\].ratio: Input should be a valid number"),
        ('{"shares": [{"model": "a/1", "ratio": "1"}]}', r"shares\[0\].ratio: Input should be a valid number"),
        ('{"shares": [{"model": 1, "ratio": 1}]}', r"shares\[0\].model: Input should be a valid string"),
        ('{"shares": [{"model": "a/1", "ratio": 1, "x": 1}]}', r"shares\[0\].x: Extra inputs are not permitted"),
        ('{"shares": [{"model": "a/1", "ratio": 0.5}]}', "must sum to 1; they sum to 0.5"),
        ('{"shares": [{"model": "a/1", "ratio": -1}, {"model": "b/1", "ratio": 2}]}', "a number from 0 to 1"),
        ('{"shares": [{"model": "a/1", "ratio": NaN}]}', "a number from 0 to 1"),
        ('{"share": []}', "share: Extra inputs are not permitted"),
    ],
)
def test_invalid_selection_file_is_rejected(tmp_path: Path, text: str, expected: str) -> None:
    path = tmp_path / "selection.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=f"selection.json.*{expected}"):
        read_selection(path, fallback="a/1")


OTHER = ModelArtifact(CALIBRATED.model, Calibration(0.0, 1.0), ModelCard(training_data="other rows"))


def write(path: Path, *shares: tuple[str, float], **more: Any) -> None:
    entries = [{"model": model, "ratio": ratio} for model, ratio in shares]
    path.write_text(json.dumps({"shares": entries, **more}))


@pytest.mark.parametrize("wrong", ["nobody/1", ""])
def test_unknown_model_in_the_selection_prevents_the_start(tmp_path: Path, wrong: str) -> None:
    write(tmp_path / "selection.json", (wrong, 1))
    with pytest.raises(OSError, match="the models cannot be loaded: there is no model"):
        ModelFiles(selection_file=tmp_path / "selection.json")


def test_missing_selection_file_prevents_the_start(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"selection\.json cannot be read"):
        ModelFiles(selection_file=tmp_path / "selection.json")


def test_changed_model_in_the_selection_prevents_the_start(tmp_path: Path) -> None:
    model_artifact.save(CALIBRATED, tmp_path / "calibrated")
    (tmp_path / "calibrated" / "model.json").write_text("{}")
    write(tmp_path / "selection.json", ("calibrated/2", 1))
    with pytest.raises(OSError, match=r"there is no model calibrated/2; .*its manifest has"):
        ModelFiles(models_dir=tmp_path, selection_file=tmp_path / "selection.json")


async def test_broken_model_directory_does_not_prevent_a_rollback(tmp_path: Path) -> None:
    selection = tmp_path / "selection.json"
    model_artifact.save(CALIBRATED, tmp_path / "calibrated")
    write(selection, ("calibrated/2", 1))
    models = ModelFiles(models_dir=tmp_path, selection_file=selection, reload_seconds=0)
    (tmp_path / "half").mkdir()
    (tmp_path / "half" / "manifest.json").write_text('{"format"')
    write(selection, ("embedded-heuristic/2", 1))
    now = await models.current()
    assert now.ranker_for("", "").model.name == "embedded-heuristic"
    assert "manifest.json is invalid: Invalid JSON" in now.selection_error


async def test_second_model_with_the_same_id_is_rejected(tmp_path: Path) -> None:
    model_artifact.save(CALIBRATED, tmp_path / "one")
    model_artifact.save(OTHER, tmp_path / "two")
    now = await ModelFiles(models_dir=tmp_path).current()
    assert "two has another model with the id calibrated/2; give it a version of its own" in now.selection_error
    assert now.cards["calibrated/2"].training_data == CALIBRATED.card.training_data


async def test_model_that_changes_on_disk_is_rejected_and_the_loaded_one_answers(tmp_path: Path) -> None:
    seconds = 100.0
    selection = tmp_path / "selection.json"
    model_artifact.save(CALIBRATED, tmp_path / "calibrated")
    write(selection, ("calibrated/2", 1))
    models = ModelFiles(models_dir=tmp_path, selection_file=selection, reload_seconds=5, clock=lambda: seconds)
    before = (await models.current()).ranker_for("", "")
    model_artifact.save(OTHER, tmp_path / "calibrated")
    write(selection, ("calibrated/2", 1.0), experiment="new")
    assert (await models.current()).selection_error == ""  # not checked yet
    seconds += 5
    now = await models.current()
    assert "has another model with the id calibrated/2" in now.selection_error
    assert now.ranker_for("", "") is before


async def test_swapped_symbolic_link_reloads_the_selection(tmp_path: Path) -> None:
    # Kubernetes changes a mounted ConfigMap like this: it swaps the link to the directory.
    model_artifact.save(CALIBRATED, tmp_path / "models" / "calibrated")
    for name, model in (("old", "embedded-heuristic/2"), ("new", "calibrated/2")):
        (tmp_path / name).mkdir()
        write(tmp_path / name / "selection.json", (model, 1))
    (tmp_path / "data").symlink_to("old")
    models = ModelFiles(
        models_dir=tmp_path / "models", selection_file=tmp_path / "data" / "selection.json", reload_seconds=0
    )
    assert (await models.current()).ranker_for("", "").model.name == "embedded-heuristic"
    (tmp_path / "next").symlink_to("new")
    (tmp_path / "next").rename(tmp_path / "data")
    assert (await models.current()).ranker_for("", "").model.name == "calibrated"


async def test_deleted_selection_file_changes_nothing(tmp_path: Path) -> None:
    selection = tmp_path / "selection.json"
    write(selection, ("embedded-heuristic/2", 1))
    models = ModelFiles(selection_file=selection, reload_seconds=0)
    selection.unlink()
    now = await models.current()
    assert "cannot be read" in now.selection_error
    assert now.ranker_for("", "").model == ModelName("embedded-heuristic", "2")


class Remote:
    """A model behind an endpoint."""

    model = ModelName("subscribe-save", "")
    source = "sagemaker"

    async def scores(self, items: Sequence[ItemFeatures]) -> Sequence[float]:
        raise RankerFailure("not called")


def test_endpoint_cannot_be_the_fallback(tmp_path: Path) -> None:
    write(tmp_path / "selection.json", ("sagemaker", 1), fallback="sagemaker")
    with pytest.raises(OSError, match="sagemaker cannot be the fallback; use an embedded model"):
        ModelFiles(remote=Remote(), selection_file=tmp_path / "selection.json")
