from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pantree_fitting.metrics import calibration_bound, calibration_error

pytest.importorskip("matplotlib")


def test_calibrated_probabilities_stay_below_the_bound_and_others_do_not() -> None:
    generator = np.random.default_rng(3)
    probability = generator.beta(2, 3, 3000)
    bought = generator.random(3000) < probability
    bound = calibration_bound(probability, generator)
    assert calibration_error(probability, bought) < bound
    assert calibration_error(np.clip(probability + 0.1, 0, 1), bought) > bound


def test_frontier_is_drawn(tmp_path: Path) -> None:
    from pantree_research.quality import plots

    point = {"early": 0.7, "ran_out": 0.4}
    rows: dict[str, Any] = {
        "mean interval, from today": point,
        "by risk, frontier": {0.4: point, 0.6: {"early": 0.6, "ran_out": 0.5}},
    }
    plots.frontier(rows, "deliveries", tmp_path / "frontier.png")
    assert (tmp_path / "frontier.png").read_bytes()[1:4] == b"PNG"
