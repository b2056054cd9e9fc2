"""Items that similar customers buy regularly, compared with examples counted by hand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pantree_vector.core.household import CustomerItem
from pantree_vector.core.neighborhood import MIN_BUYERS, NEIGHBORS, REGULAR_DAYS, Association, neighborhood_of


def item(name: str, day_count: int = 1, span_days: int = 0, category: str = "dairy") -> CustomerItem:
    return CustomerItem(name.casefold(), name, category, 1.0, day_count, span_days)


def test_regular_buyers_are_counted_with_their_intervals() -> None:
    others = [(item("Milk"), item("Eggs", 3, 14 + 2 * days)) for days in range(5)]
    others += [(item("Milk"), item("Eggs", 2, 30)), (item("Milk"), item("Tea", 9, 90))]
    neighborhood = neighborhood_of((item("Milk"),), others, limit=10)
    assert neighborhood.neighbor_count == 7
    (eggs,) = neighborhood.items  # tea has one buyer, and nobody buys milk regularly
    assert (eggs.name, eggs.category) == ("Eggs", "dairy")
    assert (eggs.buyer_count, eggs.regular_buyer_count, eggs.own_day_count) == (6, 5, 0)
    assert eggs.interval_quartiles == pytest.approx((8, 9, 10))


def test_items_that_the_customer_buys_regularly_are_left_out() -> None:
    others = [(item("Milk", 4, 21), item("Eggs", 4, 21))] * MIN_BUYERS
    own = (item("Milk", REGULAR_DAYS, 14), item("Eggs", REGULAR_DAYS - 1, 7))
    (eggs,) = neighborhood_of(own, others, limit=10).items
    assert (eggs.name, eggs.own_day_count) == ("Eggs", 2)


def test_item_that_few_buy_regularly_is_private() -> None:
    others = [(item("Milk"), item("Insulin", 4, 21))] * (MIN_BUYERS - 1) + [(item("Milk"), item("Insulin", 2, 7))]
    assert neighborhood_of((item("Milk"),), others, limit=10).items == ()


def test_neighbors_are_chosen_by_items_in_common() -> None:
    similar = [(item("Milk"), item("Bread"), item("Eggs", 3, 14))] * MIN_BUYERS
    dissimilar = [(item("Milk"), item("Wine", 3, 14), item("Cigars"), item("Ice"))] * NEIGHBORS
    neighborhood = neighborhood_of((item("Milk"), item("Bread")), [*dissimilar, *similar], limit=10)
    assert neighborhood.neighbor_count == NEIGHBORS
    counts = {item.name: item.regular_buyer_count for item in neighborhood.items}
    assert counts == {"Eggs": MIN_BUYERS, "Wine": NEIGHBORS - MIN_BUYERS}


def test_associated_item_has_the_highest_share_of_buyers() -> None:
    both = [(item("Milk"), item("Pasta"), item("Sauce", 3, 14))] * 6
    others = [(item("Milk"), item("Pasta")), *[(item("Milk"),)] * 13]
    own = (item("Milk"), item("Pasta"))
    (sauce,) = neighborhood_of(own, [*both, *others], limit=10).items
    assert sauce.associated_item == Association("Pasta", buyer_count=7, regular_count=6)


def test_item_that_everybody_buys_is_not_associated() -> None:
    others = [(item("Milk"), item("Eggs", 3, 14))] * 10
    (eggs,) = neighborhood_of((item("Milk"),), others, limit=10).items
    assert eggs.associated_item is None


def test_customers_without_items_are_not_neighbors() -> None:
    neighborhood = neighborhood_of((item("Milk"),), [(), ()], limit=10)
    assert (neighborhood.neighbor_count, neighborhood.items) == (0, ())


baskets = st.lists(
    st.lists(st.builds(item, st.sampled_from("ABCDEFG"), st.integers(1, 5)), unique_by=lambda item: item.name),
    max_size=30,
)


@given(own=baskets.map(lambda households: households[0] if households else []), others=baskets, limit=st.integers(1, 5))
def test_counts_are_between_the_minimum_and_the_number_of_neighbors(
    own: list[CustomerItem], others: list[list[CustomerItem]], limit: int
) -> None:
    neighborhood = neighborhood_of(own, others, limit=limit)
    assert len(neighborhood.items) <= limit
    assert neighborhood.neighbor_count <= len(others)
    regular = {bought.name for bought in own if bought.day_count >= REGULAR_DAYS}
    for item in neighborhood.items:
        assert MIN_BUYERS <= item.regular_buyer_count <= item.buyer_count <= neighborhood.neighbor_count
        assert item.name not in regular
        if item.associated_item is not None:
            assert MIN_BUYERS <= item.associated_item.regular_count <= item.regular_buyer_count
            assert item.associated_item.regular_count <= item.associated_item.buyer_count
    counts = [item.regular_buyer_count for item in neighborhood.items]
    assert counts == sorted(counts, reverse=True)
