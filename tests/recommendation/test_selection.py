import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pantree_recommendation.backends import artefact
from pantree_recommendation.backends.selection_file import ModelFolders, selection_of
from pantree_recommendation.core import Calibration, ItemFeatures, ModelName, RankerFailure, Selection, Share
from tests.recommendation.test_artefact import FITTED

CUSTOMERS = [f"customer-{number}" for number in range(4_000)]


def two(first: float, experiment: str = "") -> Selection:
    return Selection((Share("a/1", first), Share("b/1", 1 - first)), "a/1", experiment)


def answered_by(selection: Selection, model: str) -> set[str]:
    return {customer for customer in CUSTOMERS if selection.model_for(customer) == model}


@pytest.mark.parametrize("ratio", [0.0, 0.1, 0.5, 0.9, 1.0])
def test_customers_fall_into_the_shares(ratio: float) -> None:
    # Three standard deviations of a binomial share of 4,000.
    assert len(answered_by(two(ratio), "a/1")) / len(CUSTOMERS) == pytest.approx(ratio, abs=0.024)


def test_customer_keeps_the_model_when_its_share_grows() -> None:
    assert answered_by(two(0.1), "a/1") < answered_by(two(0.3), "a/1")


def test_another_experiment_draws_anew() -> None:
    one, other = answered_by(two(0.5, "one"), "a/1"), answered_by(two(0.5, "other"), "a/1")
    assert len(one & other) / len(one) == pytest.approx(0.5, abs=0.04)


def test_known_customer_stays_where_it_was() -> None:
    # The hash is part of what experiments rest on: it must not change between releases.
    assert [two(0.5, "x").model_for(customer) for customer in CUSTOMERS[:8]] == [
        "a/1", "b/1", "a/1", "b/1", "a/1", "a/1", "b/1", "a/1"
    ]  # fmt: skip


def test_nobody_gets_the_first_model() -> None:
    assert two(0.0).model_for("") == "a/1"


@given(st.lists(st.integers(1, 100), min_size=1, max_size=6), st.text(max_size=20))
def test_rounded_shares_leave_no_customer_without_a_model(parts: list[int], customer: str) -> None:
    shares = tuple(Share(f"m/{number}", round(part / sum(parts), 4)) for number, part in enumerate(parts))
    assert Selection(shares, "m/0").model_for(customer) in {share.model for share in shares}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[]", "no JSON object"),
        ("{", "Expecting property name"),
        ("{}", '"shares" is no list'),
        ('{"shares": []}', '"shares" is empty'),
        ('{"shares": [3]}', r'"shares"\[0\] is no object'),
        ('{"shares": [{"model": "a/1", "ratio": true}]}', '"ratio" is no number'),
        ('{"shares": [{"model": 1, "ratio": 1}]}', '"model" is no text'),
        ('{"shares": [{"model": "a/1", "ratio": 0.5}]}', "sum to 0.5; make it 1"),
        ('{"shares": [{"model": "a/1", "ratio": -1}, {"model": "b/1", "ratio": 2}]}', "not from 0 to 1"),
        ('{"shares": [{"model": "a/1", "ratio": NaN}]}', "not from 0 to 1"),
        ('{"share": []}', "the selection has share; it may have"),
    ],
)
def test_selection_that_cannot_be_meant_is_refused(text: str, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        selection_of(text, fallback="a/1")


def write(path: Path, *shares: tuple[str, float], **more: Any) -> None:
    entries = [{"model": model, "ratio": ratio} for model, ratio in shares]
    path.write_text(json.dumps({"shares": entries, **more}))


@pytest.mark.parametrize("wrong", ["nobody/1", ""])
def test_service_does_not_start_with_an_unknown_model(tmp_path: Path, wrong: str) -> None:
    write(tmp_path / "selection.json", (wrong, 1))
    with pytest.raises(OSError, match="the models cannot be loaded: there is no model"):
        ModelFolders(selection_file=tmp_path / "selection.json")


def test_service_does_not_start_without_its_selection(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"selection\.json cannot be read"):
        ModelFolders(selection_file=tmp_path / "selection.json")


def test_service_does_not_start_with_a_changed_model_that_is_to_answer(tmp_path: Path) -> None:
    artefact.save(FITTED, tmp_path / "calibrated")
    (tmp_path / "calibrated" / "model.json").write_text("{}")
    write(tmp_path / "selection.json", ("calibrated/2", 1))
    with pytest.raises(OSError, match=r"there is no model calibrated/2; .*its manifest says"):
        ModelFolders(folder=tmp_path, selection_file=tmp_path / "selection.json")


async def test_broken_folder_does_not_keep_anybody_from_going_back(tmp_path: Path) -> None:
    selection = tmp_path / "selection.json"
    artefact.save(FITTED, tmp_path / "calibrated")
    write(selection, ("calibrated/2", 1))
    models = ModelFolders(folder=tmp_path, selection_file=selection, reload_seconds=0)
    (tmp_path / "half").mkdir()
    (tmp_path / "half" / "manifest.json").write_text('{"format"')
    write(selection, ("embedded-heuristic/2", 1))
    now = await models.current()
    assert now.chosen("", "").model.name == "embedded-heuristic"
    assert "is no valid JSON" in now.selection_error


async def test_second_model_of_one_version_is_refused(tmp_path: Path) -> None:
    artefact.save(FITTED, tmp_path / "one")
    artefact.save(artefact.Artefact(FITTED.model, Calibration(0.0, 1.0), "other rows"), tmp_path / "two")
    now = await ModelFolders(folder=tmp_path).current()
    assert "two holds another model under the name calibrated/2; give it a version of its own" in now.selection_error
    assert now.cards["calibrated/2"].training_data == FITTED.training_data


async def test_version_that_changes_on_disk_is_refused_and_the_old_one_answers(tmp_path: Path) -> None:
    seconds = 100.0
    selection = tmp_path / "selection.json"
    artefact.save(FITTED, tmp_path / "calibrated")
    write(selection, ("calibrated/2", 1))
    models = ModelFolders(folder=tmp_path, selection_file=selection, reload_seconds=5, clock=lambda: seconds)
    before = (await models.current()).chosen("", "")
    artefact.save(artefact.Artefact(FITTED.model, Calibration(0.0, 1.0), "other rows"), tmp_path / "calibrated")
    write(selection, ("calibrated/2", 1.0), experiment="new")
    assert (await models.current()).selection_error == ""  # not looked at yet
    seconds += 5
    now = await models.current()
    assert "holds another model under the name calibrated/2" in now.selection_error
    assert now.chosen("", "") is before


async def test_selection_behind_a_swapped_link_is_noticed(tmp_path: Path) -> None:
    # As Kubernetes changes a mounted ConfigMap: files stay, the link to their folder moves.
    artefact.save(FITTED, tmp_path / "models" / "calibrated")
    for name, model in (("old", "embedded-heuristic/2"), ("new", "calibrated/2")):
        (tmp_path / name).mkdir()
        write(tmp_path / name / "selection.json", (model, 1))
    (tmp_path / "data").symlink_to("old")
    models = ModelFolders(
        folder=tmp_path / "models", selection_file=tmp_path / "data" / "selection.json", reload_seconds=0
    )
    assert (await models.current()).chosen("", "").model.name == "embedded-heuristic"
    (tmp_path / "next").symlink_to("new")
    (tmp_path / "next").rename(tmp_path / "data")
    assert (await models.current()).chosen("", "").model.name == "calibrated"


async def test_selection_that_vanishes_changes_nothing(tmp_path: Path) -> None:
    selection = tmp_path / "selection.json"
    write(selection, ("embedded-heuristic/2", 1))
    models = ModelFolders(selection_file=selection, reload_seconds=0)
    selection.unlink()
    now = await models.current()
    assert "cannot be read" in now.selection_error
    assert now.chosen("", "").model == ModelName("embedded-heuristic", "2")


class Remote:
    """A model behind an endpoint."""

    model = ModelName("subscribe-save", "")
    source = "sagemaker"

    async def scores(self, items: Sequence[ItemFeatures]) -> Sequence[float]:
        raise RankerFailure("nobody asks")


def test_endpoint_cannot_stand_in(tmp_path: Path) -> None:
    write(tmp_path / "selection.json", ("sagemaker", 1), fallback="sagemaker")
    with pytest.raises(OSError, match="sagemaker cannot stand in: it does not run in this process"):
        ModelFolders(remote=Remote(), selection_file=tmp_path / "selection.json")
