import pytest
from hypothesis import given
from hypothesis import strategies as st

from pantree_recommendation.core.selection import Selection, Share

CUSTOMERS = [f"customer-{number}" for number in range(4_000)]


def two(first: float, experiment: str = "") -> Selection:
    return Selection((Share("a/1", first), Share("b/1", 1 - first)), "a/1", experiment)


def answered_by(selection: Selection, model: str) -> set[str]:
    return {customer for customer in CUSTOMERS if selection.model_for(customer) == model}


@pytest.mark.parametrize("ratio", [0.0, 0.1, 0.5, 0.9, 1.0])
def test_customers_are_assigned_by_the_shares(ratio: float) -> None:
    # Three standard deviations of a binomial share of 4,000 customers.
    assert len(answered_by(two(ratio), "a/1")) / len(CUSTOMERS) == pytest.approx(ratio, abs=0.024)


def test_customer_keeps_the_model_when_its_share_grows() -> None:
    assert answered_by(two(0.1), "a/1") < answered_by(two(0.3), "a/1")


def test_another_experiment_assigns_again() -> None:
    one, other = answered_by(two(0.5, "one"), "a/1"), answered_by(two(0.5, "other"), "a/1")
    assert len(one & other) / len(one) == pytest.approx(0.5, abs=0.04)


def test_assignment_is_the_same_in_every_release() -> None:
    # Running experiments depend on the hash.
    assert [two(0.5, "x").model_for(customer) for customer in CUSTOMERS[:8]] == [
        "a/1", "b/1", "a/1", "b/1", "a/1", "a/1", "b/1", "a/1"
    ]  # fmt: skip


def test_request_without_a_customer_gets_the_first_model() -> None:
    assert two(0.0).model_for("") == "a/1"


@given(st.lists(st.integers(1, 100), min_size=1, max_size=6), st.text(max_size=20))
def test_rounded_shares_leave_no_customer_without_a_model(parts: list[int], customer: str) -> None:
    shares = tuple(Share(f"m/{number}", round(part / sum(parts), 4)) for number, part in enumerate(parts))
    assert Selection(shares, "m/0").model_for(customer) in {share.model for share in shares}
