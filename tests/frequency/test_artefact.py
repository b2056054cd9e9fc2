import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pantree_frequency.backends import artefact
from pantree_frequency.core.features import MODELED
from pantree_frequency.core.models import CLOSED_FORMS
from tests.frequency.histories import analyze, bought_on, shipped_models

# Whoever installs the wheel gets the models with it, so they must stay small.
MOST_BYTES = 2_000_000


def test_shipped_artefact_is_small_and_has_a_card() -> None:
    files = list(artefact.SHIPPED.iterdir())
    assert sum(file.stat().st_size for file in files) < MOST_BYTES
    assert (artefact.SHIPPED / "MODEL_CARD.md") in files


def test_saved_artefact_is_read_back_as_it_was(tmp_path: Path) -> None:
    shipped = artefact.load()
    artefact.save(shipped, tmp_path)
    again = artefact.load(tmp_path)
    assert again.description == shipped.description
    assert (again.next_trees, again.interval_trees) == (shipped.next_trees, shipped.interval_trees)
    np.testing.assert_array_equal(again.priors.everything, shipped.priors.everything)
    assert again.priors.own.keys() == shipped.priors.own.keys()
    for name, prior in shipped.priors.member.items():
        np.testing.assert_array_equal(again.priors.member[name], prior)


def test_priors_of_products_are_read_back(tmp_path: Path) -> None:
    shipped = artefact.load()
    prior = shipped.priors.everything * 2
    product = {"oat drink": prior.astype(np.float16).astype(np.float32)}
    artefact.save(replace(shipped, priors=replace(shipped.priors, product=product)), tmp_path)
    again = artefact.load(tmp_path).priors
    item, *_ = again.of_items(["Oat-Drink", "Oat drink"], ["milk", ""], ["", ""])
    np.testing.assert_array_equal(np.array(item[0].tolist()), product["oat drink"])
    # Without a type it may be a type's or a category's own name.
    np.testing.assert_array_equal(np.array(item[1].tolist()), again.own.get("oat drink", again.everything))


def test_features_of_the_artefact_are_those_that_are_computed() -> None:
    assert artefact.load().description["features"] == list(MODELED)


def test_every_model_is_there_and_says_its_version() -> None:
    models = shipped_models()
    assert set(models.by_name) == {"heuristic", "hazard", *(closed_form.NAME for closed_form in CLOSED_FORMS)}
    version = artefact.load().description["version"]
    for name, model in models.by_name.items():
        assert model.name == name
        assert model.version == ("1" if name == "heuristic" else version)


def test_folder_without_an_artefact_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        artefact.load(tmp_path)


def test_artefact_of_other_features_is_refused(tmp_path: Path) -> None:
    artefact.save(artefact.load(), tmp_path)
    description = json.loads((tmp_path / "model.json").read_text())
    description["features"] = [*description["features"], "horoscope"]
    (tmp_path / "model.json").write_text(json.dumps(description))
    with pytest.raises(KeyError, match="horoscope"):
        artefact.models_of(artefact.load(tmp_path))


def test_known_type_has_its_own_prior_and_an_unknown_one_that_of_all() -> None:
    priors = shipped_models().priors
    name = next(iter(priors.own))
    item, type_, category = priors.of_items(["x", name.upper(), "x"], ["", "", "no such type"], ["", "", ""])
    np.testing.assert_array_equal(np.array(item[0].tolist()), priors.everything)
    np.testing.assert_array_equal(np.array(item[1].tolist()), priors.own[name])
    np.testing.assert_array_equal(np.array(item[2].tolist()), priors.everything)
    assert np.isnan(type_.view(np.float32)).all()
    assert np.isnan(category.view(np.float32)).all()


def test_history_of_a_known_item_tells_more_than_that_of_a_stranger() -> None:
    (stranger,) = analyze(bought_on(100, 130, 160, name="qwertz"), 165).items
    (milk,) = analyze(bought_on(100, 130, 160, name="FLUID MILK WHITE ONLY"), 165).items
    assert milk.confidence != stranger.confidence
