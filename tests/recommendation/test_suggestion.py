import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pantree_recommendation.core.policy import Policy
from pantree_recommendation.core.reason import ReasonCode
from pantree_recommendation.core.suggestion import (
    CoPurchasedItem,
    Neighborhood,
    NeighborItem,
    Suggestion,
    suggestions_of,
    wilson_lower_bound,
)
from tests.recommendation.evidence import bananas

EGGS = NeighborItem("Eggs", "dairy", 30, 25, 7.0, 14.0, own_day_count=0)


def eggs(**changes: Any) -> NeighborItem:
    return dataclasses.replace(EGGS, **changes)


def suggested(*items: NeighborItem, limit: int = 10, **changes: Any) -> tuple[Suggestion, ...]:
    return suggestions_of(Neighborhood(50, items), (), Policy(max_category_ratio=1.0, **changes), limit)


def test_new_item_is_scored_among_all_neighbors() -> None:
    (suggestion,) = suggested(eggs())
    assert suggestion.score == wilson_lower_bound(25, 50)
    (reason,) = suggestion.reasons
    assert reason.code is ReasonCode.BOUGHT_BY_SIMILAR_CUSTOMERS
    assert reason.text == "Often bought by similar households."


def test_tried_item_is_scored_among_the_neighbors_who_bought_it() -> None:
    (suggestion,) = suggested(eggs(own_day_count=2))
    assert suggestion.score == wilson_lower_bound(25, 30)
    (reason,) = suggestion.reasons
    assert reason.code is ReasonCode.KEPT_BY_SIMILAR_CUSTOMERS
    assert reason.text == "Similar households that tried it often kept buying it."


def test_associated_item_may_have_any_name() -> None:
    (suggestion,) = suggested(eggs(associated_item=CoPurchasedItem("Flour {x}", 20, 15)))
    reason = suggestion.reasons[1]
    assert (reason.code, reason.other_item) == (ReasonCode.BOUGHT_TOGETHER, "Flour {x}")
    assert reason.text == "Often bought by households that buy Flour {x}."


def test_item_with_enough_own_purchases_is_not_suggested() -> None:
    neighborhood = Neighborhood(50, (eggs(), eggs(name="Tea")))
    own = (bananas(name="eggs", purchase_count=3), bananas(name="Tea", purchase_count=2))
    found = suggestions_of(neighborhood, own, Policy(), limit=10)
    assert [suggestion.item.name for suggestion in found] == ["Tea"]


def test_excluded_categories_are_not_suggested() -> None:
    assert suggested(eggs(category="Spirits"), excluded_categories=frozenset({"spirits"})) == ()


def test_item_below_the_minimum_score_is_not_suggested() -> None:
    few = eggs(regular_buyer_count=6)
    assert suggested(few) == ()
    assert suggested(few, min_suggestion_score=0.0)


def test_category_limit_applies_to_suggestions() -> None:
    items = [eggs(name=f"Dairy {number}", regular_buyer_count=30) for number in range(4)]
    produce = eggs(name="Pears", category="produce", regular_buyer_count=20)
    found = suggestions_of(Neighborhood(50, (*items, produce)), (), Policy(max_category_ratio=0.5), limit=4)
    assert [suggestion.item.name for suggestion in found] == ["Dairy 0", "Dairy 1", "Pears"]


def test_wilson_lower_bound_of_known_cases() -> None:
    # Wilson's interval for 5 of 10 at z = 1.2816: (0.5 + 0.0821 − 1.2816 × √(0.025 + 0.0041)) / 1.1642.
    assert wilson_lower_bound(5, 10) == pytest.approx(0.3122, abs=1e-4)
    # The formula gives 8.6e-19 for the second.
    assert wilson_lower_bound(0, 10) == wilson_lower_bound(0, 137) == 0.0


@given(of=st.integers(1, 1_000), data=st.data())
def test_wilson_lower_bound_never_exceeds_the_share_and_grows_with_it(of: int, data: st.DataObject) -> None:
    count = data.draw(st.integers(0, of))
    assert 0 <= wilson_lower_bound(count, of) <= count / of
    if count:
        assert wilson_lower_bound(count - 1, of) < wilson_lower_bound(count, of)
    assert wilson_lower_bound(count, of) <= wilson_lower_bound(10 * count, 10 * of) + 1e-12  # narrower


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
