from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import pytest
from numpy.typing import NDArray

from pantree_domain.trees import StepTrees
from pantree_frequency.backends import model_files
from pantree_frequency.core.models.hazard import STEPS

_STEPS = STEPS.astype(np.float32)


def _rows(values: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.column_stack([np.repeat(values, len(_STEPS), axis=0), np.tile(_STEPS, len(values))])


def _of_library(text: str, values: NDArray[np.float32]) -> NDArray[np.float64]:
    scores = lightgbm.Booster(model_str=text).predict(_rows(values), raw_score=True)
    return np.asarray(scores).reshape(len(values), len(_STEPS))


def _fitted(
    values: NDArray[np.float32], wanted: NDArray[np.float64], categorical_columns: int = 0, **parameters: Any
) -> str:
    data = lightgbm.Dataset(
        _rows(values), np.repeat(wanted, len(_STEPS)), categorical_feature=[*range(categorical_columns)]
    )
    settings = {"objective": "binary", "num_leaves": 15, "min_data_in_leaf": 5, "verbose": -1, "num_threads": 1}
    return str(lightgbm.train({**settings, **parameters}, data, 20).model_to_string())


def _random_values(rows: int, columns: int, seed: int = 5) -> NDArray[np.float32]:
    generator = np.random.default_rng(seed)
    values = generator.normal(size=(rows, columns)).astype(np.float32)
    values[generator.random(values.shape) < 0.2] = np.nan
    values[generator.random(values.shape) < 0.2] = 0
    return values


@pytest.mark.parametrize("trees", ["next_trees", "interval_trees"])
def test_scores_of_the_bundled_trees_are_those_of_the_library_to_the_last_bit(trees: str) -> None:
    text = getattr(model_files.load(), trees)
    ours = StepTrees(text, STEPS)
    values = _random_values(300, ours.feature_count) * np.float32(40)
    # On the thresholds themselves, and at what the library takes for zero.
    values[0], values[1], values[2], values[3] = 0, np.inf, -np.inf, 1e-35
    np.testing.assert_array_equal(ours.scores(values), _of_library(text, values))


@pytest.mark.parametrize(
    "parameters", [{}, {"zero_as_missing": True}, {"use_missing": False}, {"num_leaves": 2}, {"num_leaves": 64}]
)
def test_scores_with_missing_values_are_those_of_the_library(parameters: dict[str, Any]) -> None:
    values = _random_values(500, 4)
    text = _fitted(values, (np.nan_to_num(values[:, 0]) > np.nan_to_num(values[:, 1])).astype(float), **parameters)
    unseen = _random_values(200, 4, seed=6)
    np.testing.assert_array_equal(StepTrees(text, STEPS).scores(unseen), _of_library(text, unseen))


def test_trees_that_never_split_give_their_only_leaf() -> None:
    values = _random_values(40, 3)
    text = _fitted(values, np.tile([0.0, 1.0], 20), min_data_in_leaf=10_000)
    np.testing.assert_array_equal(StepTrees(text, STEPS).scores(values), _of_library(text, values))


def test_scores_do_not_depend_on_the_number_of_pairs() -> None:
    text = model_files.load().next_trees
    values = _random_values(1_500, StepTrees(text, STEPS).feature_count)
    together = StepTrees(text, STEPS).scores(values)
    np.testing.assert_array_equal(StepTrees(text, STEPS).scores(values[7:8]), together[7:8])


def test_no_pairs_have_no_scores() -> None:
    trees = StepTrees(model_files.load().next_trees, STEPS)
    assert trees.scores(np.empty((0, trees.feature_count), np.float32)).shape == (0, len(STEPS))


def test_text_without_trees_is_refused() -> None:
    with pytest.raises(ValueError, match="has no trees"):
        StepTrees(Path(__file__).read_text(), STEPS)


def test_categorical_splits_are_refused() -> None:
    values = np.random.default_rng(3).integers(0, 8, size=(400, 1)).astype(np.float32)
    text = _fitted(values, (values[:, 0] % 2).astype(float), categorical_columns=1, min_data_per_group=1, cat_smooth=1)
    with pytest.raises(ValueError, match="categorical"):
        StepTrees(text, STEPS)


def test_trees_of_too_many_leaves_are_refused() -> None:
    values = _random_values(2_000, 4)
    text = _fitted(values, (np.nan_to_num(values).prod(axis=1) > 0).astype(float), num_leaves=100)
    with pytest.raises(ValueError, match="more than 64 leaves"):
        StepTrees(text, STEPS)
