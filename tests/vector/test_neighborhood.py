"""What similar customers buy again and again, against examples counted by hand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pantree_vector.core import Association, HeldItem
from pantree_vector.core.neighborhood import LEAST_BUYERS, NEIGHBORS, REGULAR_DAYS, neighborhood_of


def held(name: str, day_count: int = 1, span_days: int = 0, category: str = "dairy") -> HeldItem:
    return HeldItem(name.casefold(), name, category, day_count, span_days)


def test_regular_buyers_are_counted_with_how_often_they_buy() -> None:
    others = [(held("Milk"), held("Eggs", 3, 14 + 2 * days)) for days in range(5)]
    others += [(held("Milk"), held("Eggs", 2, 30)), (held("Milk"), held("Tea", 9, 90))]
    neighborhood = neighborhood_of((held("Milk"),), others, limit=10)
    assert neighborhood.neighbor_count == 7
    (eggs,) = neighborhood.items  # of tea there is one buyer only, and milk nobody buys regularly
    assert (eggs.name, eggs.category) == ("Eggs", "dairy")
    assert (eggs.buyer_count, eggs.regular_buyer_count, eggs.own_day_count) == (6, 5, 0)
    assert eggs.interval_quartiles == pytest.approx((8, 9, 10))


def test_what_the_customer_buys_regularly_is_not_told_and_what_it_tried_is() -> None:
    others = [(held("Milk", 4, 21), held("Eggs", 4, 21))] * LEAST_BUYERS
    own = (held("Milk", REGULAR_DAYS, 14), held("Eggs", REGULAR_DAYS - 1, 7))
    (eggs,) = neighborhood_of(own, others, limit=10).items
    assert (eggs.name, eggs.own_day_count) == ("Eggs", 2)


def test_an_item_that_few_buy_regularly_is_nobody_elses_business() -> None:
    others = [(held("Milk"), held("Insulin", 4, 21))] * (LEAST_BUYERS - 1) + [(held("Milk"), held("Insulin", 2, 7))]
    assert neighborhood_of((held("Milk"),), others, limit=10).items == ()


def test_customers_with_most_in_common_are_the_neighbors() -> None:
    alike = [(held("Milk"), held("Bread"), held("Eggs", 3, 14))] * LEAST_BUYERS
    unlike = [(held("Milk"), held("Wine", 3, 14), held("Cigars"), held("Ice"))] * NEIGHBORS
    neighborhood = neighborhood_of((held("Milk"), held("Bread")), [*unlike, *alike], limit=10)
    assert neighborhood.neighbor_count == NEIGHBORS
    counts = {item.name: item.regular_buyer_count for item in neighborhood.items}
    assert counts == {"Eggs": LEAST_BUYERS, "Wine": NEIGHBORS - LEAST_BUYERS}


def test_an_item_goes_with_the_one_among_whose_buyers_it_is_most_common() -> None:
    both = [(held("Milk"), held("Pasta"), held("Sauce", 3, 14))] * 6
    others = [(held("Milk"), held("Pasta")), *[(held("Milk"),)] * 13]
    own = (held("Milk"), held("Pasta"))
    (sauce,) = neighborhood_of(own, [*both, *others], limit=10).items
    assert sauce.associated_item == Association("Pasta", buyer_count=7, regular_count=6)


def test_an_item_goes_with_none_that_everybody_buys() -> None:
    others = [(held("Milk"), held("Eggs", 3, 14))] * 10
    (eggs,) = neighborhood_of((held("Milk"),), others, limit=10).items
    assert eggs.associated_item is None


def test_customers_without_items_are_no_neighbors() -> None:
    neighborhood = neighborhood_of((held("Milk"),), [(), ()], limit=10)
    assert (neighborhood.neighbor_count, neighborhood.items) == (0, ())


baskets = st.lists(
    st.lists(st.builds(held, st.sampled_from("ABCDEFG"), st.integers(1, 5)), unique_by=lambda item: item.name),
    max_size=30,
)


@given(own=baskets.map(lambda households: households[0] if households else []), others=baskets, limit=st.integers(1, 5))
def test_counts_are_of_neighbors_and_never_of_a_few(
    own: list[HeldItem], others: list[list[HeldItem]], limit: int
) -> None:
    neighborhood = neighborhood_of(own, others, limit=limit)
    assert len(neighborhood.items) <= limit
    assert neighborhood.neighbor_count <= len(others)
    regular = {item.name for item in own if item.day_count >= REGULAR_DAYS}
    for item in neighborhood.items:
        assert LEAST_BUYERS <= item.regular_buyer_count <= item.buyer_count <= neighborhood.neighbor_count
        assert item.name not in regular
        if item.associated_item is not None:
            assert LEAST_BUYERS <= item.associated_item.regular_count <= item.regular_buyer_count
            assert item.associated_item.regular_count <= item.associated_item.buyer_count
    counts = [item.regular_buyer_count for item in neighborhood.items]
    assert counts == sorted(counts, reverse=True)
