"""Suggestions from similar customers: what they rest on, what they must not claim, and their order."""

import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pantree_recommendation.core import (
    Companion,
    Neighborhood,
    NeighborItem,
    Policy,
    ReasonCode,
    Suggestion,
    suggestions_of,
)
from pantree_recommendation.core.suggestion import share_at_least
from tests.recommendation.evidence import bananas

EGGS = NeighborItem("Eggs", "dairy", 30, 25, 7.0, 14.0, own_day_count=0)


def eggs(**changes: Any) -> NeighborItem:
    return dataclasses.replace(EGGS, **changes)


def suggested(*items: NeighborItem, limit: int = 10, **changes: Any) -> tuple[Suggestion, ...]:
    return suggestions_of(Neighborhood(50, items), (), Policy(max_category_ratio=1.0, **changes), limit)


def test_item_that_is_new_to_the_household_is_judged_by_all_neighbors() -> None:
    (suggestion,) = suggested(eggs())
    assert suggestion.score == share_at_least(25, 50)
    (reason,) = suggestion.reasons
    assert reason.code is ReasonCode.BOUGHT_BY_SIMILAR_CUSTOMERS
    assert reason.text == "Bought regularly by 25 of the 50 customers most like you; you have not bought it yet."


def test_item_that_the_household_tried_is_judged_by_the_neighbors_who_did() -> None:
    (suggestion,) = suggested(eggs(own_day_count=2))
    assert suggestion.score == share_at_least(25, 30)
    (reason,) = suggestion.reasons
    assert reason.code is ReasonCode.KEPT_BY_SIMILAR_CUSTOMERS
    assert reason.text == (
        "Of the 30 customers like you who bought it, 25 came to buy it regularly; "
        "days on which you bought it so far: 2."
    )


def test_companion_is_named_in_the_sentence_whatever_its_name() -> None:
    (suggestion,) = suggested(eggs(companion=Companion("Flour {x}", 20, 15)))
    reason = suggestion.reasons[1]
    assert (reason.code, reason.other_item) == (ReasonCode.BOUGHT_TOGETHER, "Flour {x}")
    assert reason.text == "Of the 20 customers like you who buy Flour {x}, 15 buy this regularly."


def test_what_the_household_buys_often_enough_is_judged_by_its_own_purchases() -> None:
    neighborhood = Neighborhood(50, (eggs(), eggs(name="Tea")))
    own = (bananas(name="eggs", purchase_count=3), bananas(name="Tea", purchase_count=2))
    found = suggestions_of(neighborhood, own, Policy(), limit=10)
    assert [suggestion.item.name for suggestion in found] == ["Tea"]


def test_excluded_categories_are_not_suggested() -> None:
    assert suggested(eggs(category="Spirits"), excluded_categories=frozenset({"spirits"})) == ()


def test_a_share_that_few_have_is_not_suggested() -> None:
    few = eggs(regular_buyer_count=6)
    assert suggested(few) == ()
    assert suggested(few, min_suggestion_score=0.0)


def test_not_all_suggestions_are_of_one_category() -> None:
    items = [eggs(name=f"Dairy {number}", regular_buyer_count=30) for number in range(4)]
    produce = eggs(name="Pears", category="produce", regular_buyer_count=20)
    found = suggestions_of(Neighborhood(50, (*items, produce)), (), Policy(max_category_ratio=0.5), limit=4)
    assert [suggestion.item.name for suggestion in found] == ["Dairy 0", "Dairy 1", "Pears"]


def test_share_at_least_by_hand() -> None:
    # Wilson's interval for 5 of 10 at z = 1.2816: (0.5 + 0.0821 − 1.2816 × √(0.025 + 0.0041)) / 1.1642.
    assert share_at_least(5, 10) == pytest.approx(0.3122, abs=1e-4)
    # The formula gives 8.6e-19 for the second.
    assert share_at_least(0, 10) == share_at_least(0, 137) == 0.0


@given(of=st.integers(1, 1_000), data=st.data())
def test_share_at_least_is_no_higher_than_the_share_and_grows_with_it(of: int, data: st.DataObject) -> None:
    count = data.draw(st.integers(0, of))
    assert 0 <= share_at_least(count, of) <= count / of
    if count:
        assert share_at_least(count - 1, of) < share_at_least(count, of)
    assert share_at_least(count, of) <= share_at_least(10 * count, 10 * of) + 1e-12  # more of the same is surer


items = st.builds(
    lambda name, category, buyers, regular, own: NeighborItem(
        name, category, buyers, min(buyers, regular), 7.0, 14.0, own
    ),
    st.sampled_from("ABCDEFGH"),
    st.sampled_from(["", "dairy", "produce"]),
    st.integers(1, 50),
    st.integers(1, 50),
    st.integers(0, 2),
)


@given(st.lists(items, unique_by=lambda item: item.name), st.randoms(use_true_random=False), st.integers(1, 5))
def test_order_of_the_neighborhood_does_not_matter(found: list[NeighborItem], shuffled: Any, limit: int) -> None:
    once = suggestions_of(Neighborhood(50, tuple(found)), (), Policy(), limit)
    shuffled.shuffle(found)
    assert suggestions_of(Neighborhood(50, tuple(found)), (), Policy(), limit) == once
    assert len(once) <= limit
    scores = [suggestion.score for suggestion in once]
    assert scores == sorted(scores, reverse=True)
