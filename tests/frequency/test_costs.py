"""What stockouts and early deliveries cost, and how that moves deliveries."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pantree_frequency.backends import model_files
from pantree_frequency.backends.cost_file import BUNDLED, load_costs
from pantree_frequency.core import AnalysisRequest, ItemFrequency, Options, analyze_histories
from pantree_frequency.core.costs import Costs
from tests.frequency.histories import AS_OF_DAY, bundled_models, history_of

COSTS = load_costs()
TOLERANCES = tuple(np.linspace(0.05, 0.95, 10).tolist())


def tolerance(category: str, price: float, *, requested: float = 0.5, costs: Costs = COSTS) -> float:
    (found,) = costs.tolerances(requested, [""], [category], np.array([0]), np.array([price])).tolist()
    return float(found)


def test_ordinary_item_at_the_typical_price_has_the_tolerance_of_the_request() -> None:
    for requested in (0.1, 0.5, 0.9):
        assert tolerance("", COSTS.typical_price, requested=requested) == pytest.approx(requested)
        assert tolerance("", 0.0, requested=requested) == pytest.approx(requested)  # unknown price


def test_costs_lean_to_the_side_that_a_grocer_expects() -> None:
    price = COSTS.typical_price
    assert tolerance("baby", price) < tolerance("household", price) < 0.5 < tolerance("snacks", price)
    assert tolerance("produce", price) > tolerance("pantry", price)  # it spoils
    assert tolerance("produce", 3 * price) > tolerance("produce", price)
    assert tolerance(" Baby ", price) == tolerance("baby", price)


def test_type_has_precedence_over_category() -> None:
    costs = replace(COSTS, items={**COSTS.items, "formula": COSTS.items["baby"]})
    found = costs.tolerances(0.5, ["formula", "other"], ["snacks", "snacks"], np.array([0, 1, 0]), np.full(3, 2.3))
    assert found[0] == found[2] < 0.5 < found[1]


@pytest.mark.parametrize("price", [0.01, 1e6])
def test_no_price_makes_a_tolerance_extreme(price: float) -> None:
    assert 0.3 < tolerance("", price) < 0.7


def test_file_of_a_retailer_replaces_the_bundled_costs(tmp_path: Path) -> None:
    path = tmp_path / "costs.toml"
    path.write_text(BUNDLED.read_text().replace("stockout = 2.0", "stockout = 0.5"))
    assert load_costs(path).items["baby"].stockout == 0.5


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("typical_price = 2.3", "typical_price = 0", "typical_price"),
        ("days = 0.6", "", "loss lacks days"),
        ("min_price = 0.5", "min_price = 3", "min_price must be at most max_price"),
        ('keeps = "weeks"\nstockout', 'keeps = "years"\nstockout', "ordinary.keeps"),
        ("[loss]", "[loss", "costs.toml"),
        ("storage", "stroage", "stroage"),
    ],
)
def test_invalid_file_is_rejected_with_its_fields(tmp_path: Path, old: str, new: str, message: str) -> None:
    path = tmp_path / "costs.toml"
    path.write_text(BUNDLED.read_text().replace(old, new))
    with pytest.raises(OSError, match=message):
        load_costs(path)


def analyzed(gaps: list[int], recency: int, category: str, requested: float) -> ItemFrequency:
    days = AS_OF_DAY - recency - np.cumsum([0, *gaps])[::-1]
    history = history_of([("Item", int(day), 1, 4.0, 0.0) for day in days], category=category)
    (analysis,) = analyze_histories([AnalysisRequest(history, AS_OF_DAY)], bundled_models(), Options("", requested))
    return analysis.items[0]


def test_dear_needs_are_delivered_before_they_are_due_rather_than_after() -> None:
    gaps = [28, 33, 24, 29, 22, 31, 27, 30]
    days = [analyzed(gaps, 10, category, 0.5).first_delivery.day for category in ("baby", "household", "snacks")]
    assert days[0] < days[1] < days[2]


@settings(deadline=None, max_examples=20)
@given(
    st.lists(st.integers(2, 90), min_size=2, max_size=9),
    st.integers(0, 60),
    st.sampled_from(["", "baby", "produce", "snacks"]),
)
def test_more_tolerance_of_stockouts_never_delivers_more(gaps: list[int], recency: int, category: str) -> None:
    best = [analyzed(gaps, recency, category, requested).options[0] for requested in TOLERANCES]
    supplies = [option.supply_ratio for option in best]
    assert supplies == sorted(supplies, reverse=True)
    same_quantity = [option.interval_days for option in best if option.quantity == best[0].quantity]
    assert same_quantity == sorted(same_quantity)


@pytest.mark.parametrize("interval", [3, 4, 9, 10, 11, 12, 13, 16, 18, 75, 90])
@pytest.mark.parametrize("category", ["baby", "pet", "snacks", "produce"])
@pytest.mark.parametrize("requested", [0.2, 0.5, 0.8])
def test_costs_never_leave_a_regular_item_without_its_use(interval: int, category: str, requested: float) -> None:
    # One unit every seven days for nine days of use would pile up; three every 28 days fit.
    best = analyzed([interval] * 8, 1, category, requested).options[0]
    assert 0.8 <= best.quantity * interval / best.interval_days <= 1.25


def test_models_of_the_service_have_the_bundled_costs() -> None:
    assert model_files.models_of(model_files.load()).costs == COSTS
