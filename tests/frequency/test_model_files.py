import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pantree_frequency.backends import model_files
from pantree_frequency.core import AnalysisRequest, Options, analyze_histories
from pantree_frequency.core.features import MODELED
from pantree_frequency.core.models import CLOSED_FORMS
from pantree_frequency.core.rhythm import CVS, DEFAULT_PRIOR, RhythmPrior
from tests.frequency.histories import analyze, bought_on, bundled_models

# The wheel contains the models, so they must stay small.
MAX_BYTES = 2_000_000


def test_bundled_models_are_small_and_have_a_card() -> None:
    files = list(model_files.BUNDLED.iterdir())
    assert sum(file.stat().st_size for file in files) < MAX_BYTES
    assert (model_files.BUNDLED / "MODEL_CARD.md") in files


def test_saved_models_are_loaded_unchanged(tmp_path: Path) -> None:
    bundled = model_files.load()
    model_files.save(bundled, tmp_path)
    again = model_files.load(tmp_path)
    assert again.manifest == bundled.manifest
    assert (again.next_trees, again.interval_trees) == (bundled.next_trees, bundled.interval_trees)
    np.testing.assert_array_equal(again.priors.everything, bundled.priors.everything)
    assert again.priors.own.keys() == bundled.priors.own.keys()
    for name, prior in bundled.priors.member.items():
        np.testing.assert_array_equal(again.priors.member[name], prior)


def test_prior_of_rhythms_is_kept_in_the_manifest_and_has_a_default(tmp_path: Path) -> None:
    fitted = model_files.load()
    assert fitted.priors.rhythm == DEFAULT_PRIOR
    shares = tuple(np.full(len(CVS), 1 / len(CVS)).tolist())
    other = RhythmPrior(shares, missed=0.1, ended=0.01, stray=0.05)
    manifest = fitted.manifest.model_copy(update={"rhythm": other})
    model_files.save(replace(fitted, manifest=manifest), tmp_path)
    assert model_files.load(tmp_path).priors.rhythm == other
    # Where regular needs are common, a record is sooner believed to be one.
    history = bought_on(*np.cumsum([100, 18, 25, 21, 27]).tolist())
    trust = [
        analyze_histories([AnalysisRequest(history, 195)], model_files.models_of(model_files.load(path)), Options())[0]
        .items[0]
        .regularity_ratio
        for path in (model_files.BUNDLED, tmp_path)
    ]
    assert trust[0] < trust[1]


def test_priors_of_products_are_read_back(tmp_path: Path) -> None:
    bundled = model_files.load()
    prior = bundled.priors.everything * 2
    product = {"oat drink": prior.astype(np.float16).astype(np.float32)}
    model_files.save(replace(bundled, priors=replace(bundled.priors, product=product)), tmp_path)
    again = model_files.load(tmp_path).priors
    item, *_ = again.of_items(["Oat-Drink", "Oat drink"], ["milk", ""], ["", ""])
    np.testing.assert_array_equal(np.array(item[0].tolist()), product["oat drink"])
    # Without a type it may be a type's or a category's own name.
    np.testing.assert_array_equal(np.array(item[1].tolist()), again.own.get("oat drink", again.everything))


def test_features_of_the_bundled_models_are_those_that_are_fitted() -> None:
    assert model_files.load().manifest.features == MODELED


def test_every_model_is_there_and_says_its_version() -> None:
    models = bundled_models()
    assert set(models.by_name) == {"heuristic", "hazard", *(closed_form.NAME for closed_form in CLOSED_FORMS)}
    version = model_files.load().manifest.version
    for name, model in models.by_name.items():
        assert model.name == name
        assert model.version == ("1" if name == "heuristic" else version)


def test_scores_do_not_depend_on_the_number_of_threads() -> None:
    requests = [AnalysisRequest(bought_on(*range(100 + number, 400, 7 + number % 30)), 400) for number in range(1_100)]
    fitted = model_files.load()
    one, two = (
        analyze_histories(requests, model_files.models_of(fitted, thread_count=count), Options()) for count in (1, 2)
    )
    assert one == two


def test_directory_without_models_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        model_files.load(tmp_path)


def test_unknown_feature_is_rejected(tmp_path: Path) -> None:
    model_files.save(model_files.load(), tmp_path)
    description = json.loads((tmp_path / "model.json").read_text())
    description["features"] = [*description["features"], "horoscope"]
    (tmp_path / "model.json").write_text(json.dumps(description))
    with pytest.raises(KeyError, match="horoscope"):
        model_files.models_of(model_files.load(tmp_path))


def test_known_type_has_its_own_prior_and_an_unknown_one_that_of_all() -> None:
    priors = bundled_models().priors
    name = next(iter(priors.own))
    item, type_, category = priors.of_items(["x", name.upper(), "x"], ["", "", "no such type"], ["", "", ""])
    np.testing.assert_array_equal(np.array(item[0].tolist()), priors.everything)
    np.testing.assert_array_equal(np.array(item[1].tolist()), priors.own[name])
    np.testing.assert_array_equal(np.array(item[2].tolist()), priors.everything)
    assert np.isnan(type_.view(np.float32)).all()
    assert np.isnan(category.view(np.float32)).all()


def test_prior_of_a_known_item_changes_the_confidence() -> None:
    (stranger,) = analyze(bought_on(100, 130, 160, name="qwertz"), 165).items
    (milk,) = analyze(bought_on(100, 130, 160, name="FLUID MILK WHITE ONLY"), 165).items
    assert milk.confidence != stranger.confidence
