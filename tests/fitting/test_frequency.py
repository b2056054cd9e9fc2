import dataclasses
from pathlib import Path

import numpy as np
import pytest

from pantree_fitting.frequency import models as fitting
from pantree_frequency.backends import model_files
from pantree_frequency.core import AnalysisRequest, Options, analyze_histories
from pantree_frequency.core.features import COLUMN
from pantree_frequency.core.histories import Histories
from tests.frequency.histories import bought_on

pytest.importorskip("lightgbm")
pytest.importorskip("scipy")

END_DAY = 20_000
ITEMS = 10
PLAN = fitting.Plan(
    days_before_end=(28, 90), fold_count=2, single_ratio=1.0, step_rows=20_000, rounds=6, closed_form_rows=300
)


def histories(*, after_the_end: int = 0) -> Histories:
    """Two hundred households that buy ten items every one to eleven weeks.

    Args:
        after_the_end: so many more lines later than `END_DAY`, which nothing that is fitted may depend on.
    """
    generator = np.random.default_rng(4)
    count = 200 * ITEMS
    days, pairs = [], []
    for pair in range(count):
        gaps = generator.gamma(2.0, 3.5 * (1 + pair % ITEMS), 60).round().astype(int) + 1
        bought = END_DAY - 250 + generator.integers(0, 20) + np.cumsum(gaps)
        ended = END_DAY - 100 if pair % 7 == 0 else END_DAY  # one need in seven ends
        days.append(bought[bought <= ended])
        pairs.append(np.full(len(days[-1]), pair))
    days.append(generator.integers(END_DAY + 1, END_DAY + 60, after_the_end))
    pairs.append(generator.integers(0, count, after_the_end))
    pair_of_line, day = np.concatenate(pairs), np.concatenate(days)
    return Histories.of_lines(
        households=pair_of_line // ITEMS,
        item_names=[f"item {number}" for number in range(ITEMS)],
        item_types=[f"type {number // 2}" for number in range(ITEMS)],
        item_categories=["pantry"] * ITEMS,
        item_indices=pair_of_line % ITEMS,
        days=day,
        quantities=np.ones(len(day), np.int32),
        prices=np.full(len(day), 2.0),
        savings=np.zeros(len(day)),
    )


def fitted(of: Histories) -> model_files.FittedModels:
    level = fitting.Level(of, ("full", "category"))
    return fitting.fit([level], END_DAY, PLAN, name="test", log_line=lambda _: None)


def files_of(one: model_files.FittedModels, folder: Path) -> dict[str, bytes]:
    model_files.save(one, folder)
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def test_same_histories_give_the_same_bytes(tmp_path: Path) -> None:
    first, second = fitted(histories()), fitted(histories())
    assert files_of(first, tmp_path / "first") == files_of(second, tmp_path / "second")


def test_nothing_after_the_end_is_fitted(tmp_path: Path) -> None:
    known, longer = fitted(histories()), fitted(histories(after_the_end=400))
    assert files_of(known, tmp_path / "known") == files_of(longer, tmp_path / "longer")


def test_fitted_models_serve_and_have_learnt_who_comes_sooner(tmp_path: Path) -> None:
    model_files.save(fitted(histories()), tmp_path)
    models = model_files.models_of(model_files.load(tmp_path))
    requests = [
        AnalysisRequest(bought_on(*range(END_DAY - 150, END_DAY, gap), name="item 3"), END_DAY, ("type 1",))
        for gap in (10, 60)
    ]
    often, seldom = (analysis.items[0] for analysis in analyze_histories(requests, models, Options()))
    assert often.confidence > seldom.confidence
    assert often.options[0].interval_days < seldom.options[0].interval_days


def test_sample_in_which_nobody_leaves_an_item_has_even_odds_and_says_so() -> None:
    plan = dataclasses.replace(PLAN, days_before_end=(28,))
    sample = fitting.sample_of([fitting.Level(histories(), ("full",))], END_DAY, plan)
    lines: list[str] = []
    assert set(fitting.fit_switching(sample, log_line=lines.append).values()) == {0.0}
    assert "even odds" in lines[0]


def test_every_household_is_in_one_part_and_no_part_sees_its_own_priors() -> None:
    parts = [fitting.household_fold(number, 4) for number in range(400)]
    assert set(parts) == {0, 1, 2, 3}
    assert parts == [fitting.household_fold(number, 4) for number in range(400)]
    sample = fitting.sample_of([fitting.Level(histories(), ("full",))], END_DAY, PLAN)
    assert set(sample.folds.tolist()) == {0, 1}
    # Priors of the two parts come from each other's households, so they differ.
    priors = sample.values[:, COLUMN["item_prior_log_interval"]]
    assert not np.isin(priors[sample.folds == 0], priors[sample.folds == 1]).any()
