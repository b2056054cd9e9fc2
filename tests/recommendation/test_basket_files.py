import dataclasses
from pathlib import Path

import numpy as np
import pytest

from pantree_recommendation.backends import basket_files
from pantree_recommendation.backends.model_artifact import InvalidModel


def test_the_bundled_model_is_written_as_the_same_bytes(tmp_path: Path) -> None:
    basket_files.save(basket_files.load(), tmp_path)
    for path in sorted(basket_files.BUNDLED.iterdir()):
        if path.suffix != ".md":
            assert (tmp_path / path.name).read_bytes() == path.read_bytes(), path.name


def test_a_changed_file_is_rejected(tmp_path: Path) -> None:
    artifact = basket_files.load()
    basket_files.save(artifact, tmp_path)
    overall = artifact.statistics.overall + np.float32(1)
    other = dataclasses.replace(artifact, statistics=dataclasses.replace(artifact.statistics, overall=overall))
    basket_files.save(other, tmp_path / "other")
    (tmp_path / "statistics.npz").write_bytes((tmp_path / "other" / "statistics.npz").read_bytes())
    with pytest.raises(InvalidModel, match=r"statistics\.npz differs from the checksum"):
        basket_files.load(tmp_path)


def test_a_model_of_another_version_is_rejected(tmp_path: Path) -> None:
    basket_files.save(basket_files.load(), tmp_path)
    manifest = tmp_path / basket_files.MANIFEST
    manifest.write_text(manifest.read_text().replace('"trip_gap_days"', '"trip_gap_weeks"'))
    with pytest.raises(InvalidModel, match="another version"):
        basket_files.load(tmp_path)


def test_a_missing_directory_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(InvalidModel, match="is there a model"):
        basket_files.load(tmp_path)


def test_the_bundled_statistics_are_sums_over_many_households() -> None:
    artifact = basket_files.load()
    minimum = artifact.plan["min_buyers"]
    assert minimum >= 10
    statistics = artifact.statistics
    ratios = statistics.item_statistics[:, 1]
    # The least bought item that is known has the minimum of buyers.
    household_count = round(minimum / float(ratios.min()))
    assert 800 < household_count < 1500
    assert (np.rint(ratios * household_count) >= minimum).all()
    for weights in (statistics.together_weights, statistics.shared_weights):
        assert weights.min() >= 0
        assert weights.max() < 1
