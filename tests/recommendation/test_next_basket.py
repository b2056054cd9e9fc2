"""The next basket: what is predicted, by a small model whose statistics are those of made-up households."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from pantree_domain.days import day_number
from pantree_domain.evidence import ModelName
from pantree_domain.item_key import item_key
from pantree_domain.purchases import PurchaseHistory
from pantree_recommendation.core.basket_features import COLUMN, FEATURES, Item, basket_candidates
from pantree_recommendation.core.basket_statistics import STATISTICS, BasketStatistics
from pantree_recommendation.core.next_basket import (
    BasketMode,
    NextBasketModel,
    NextBasketRequest,
    expected_trip,
)

TODAY = date(2026, 6, 20)
DAY = day_number(TODAY)
NAMES = ("Apples", "Bread", "Jam", "Whole Milk", "Tea")
# Bread is the most popular item; bread and jam are bought together.
POPULARITY = (0.1, 0.5, 0.2, 0.4, 0.01)


def statistics() -> BasketStatistics:
    size = len(NAMES)
    rows = np.zeros((size, len(STATISTICS)), np.float32)
    rows[:, STATISTICS.index("log_popularity")] = np.log(POPULARITY)
    rows[:, STATISTICS.index("log_interval_days")] = np.log(10)
    together = np.full((size, 1), size, np.int32)
    together[1], together[2] = 2, 1
    return BasketStatistics(
        names=NAMES,
        groups=("bakery", "produce"),
        item_groups=np.array([1, 0, -1, -1, -1], np.int32),
        item_statistics=rows,
        group_statistics=np.full((2, len(STATISTICS)), -3.0, np.float32),
        overall=np.full(len(STATISTICS), -5.0, np.float32),
        factors=np.zeros((size, 1), np.float32),
        together_items=together,
        together_weights=np.where(together < size, 0.6, 0).astype(np.float32),
        shared_items=np.full((size, 1), size, np.int32),
        shared_weights=np.zeros((size, 1), np.float32),
    )


class Trees:
    """Log odds of an item: what it was bought, how popular it is, and what goes with it."""

    def scores(self, values: NDArray[np.float32]) -> NDArray[np.float64]:
        columns = {name: np.nan_to_num(values[:, COLUMN[name]].astype(np.float64)) for name in FEATURES}
        score = columns["trip_ratio"] * 4 + columns["log_popularity"] / 2 + columns["together_latest"]
        return (score + columns["promoted"] * 3 - columns["recency_days"] / 100)[:, None]


def model(*, uses_promotions: bool = True) -> NextBasketModel:
    return NextBasketModel(ModelName("test", "1"), statistics(), Trees(), uses_promotions)


def history(*lines: tuple[str, int], categories: Sequence[str] = ()) -> PurchaseHistory:
    """Purchases of items, each so many days before today."""
    names = tuple(dict.fromkeys(name for name, _ in lines))
    return PurchaseHistory(
        item_names=names,
        item_categories=tuple(categories) or ("",) * len(names),
        item_indices=np.array([names.index(name) for name, _ in lines], np.int32),
        days=np.array([DAY - ago for _, ago in lines], np.int32),
        quantities=np.ones(len(lines), np.int32),
        prices=np.ones(len(lines)),
        savings=np.zeros(len(lines)),
    )


SHOPPER = history(("Bread", 21), ("Bread", 14), ("Bread", 7), ("Apples", 21), ("Zorblax", 14), ("Zorblax", 7))


def names_of(request: NextBasketRequest) -> list[str]:
    return [item.name for item in model().predict(request).items]


def test_modes_divide_the_items() -> None:
    repeat, explore, both = (set(names_of(NextBasketRequest(SHOPPER, TODAY, mode))) for mode in (
        BasketMode.REPEAT, BasketMode.EXPLORE, BasketMode.BOTH
    ))  # fmt: skip
    assert repeat == {"Bread", "Apples", "Zorblax"}
    assert explore == {"Jam", "Whole Milk", "Tea"}
    assert both == repeat | explore


def test_items_are_ordered_by_probability_and_say_what_was_bought() -> None:
    items = model().predict(NextBasketRequest(SHOPPER, TODAY)).items
    assert [item.probability for item in items] == sorted((item.probability for item in items), reverse=True)
    assert items[0].name == "Bread"
    assert (items[0].purchase_count, items[0].last_day) == (3, DAY - 7)
    new = next(item for item in items if item.name == "Tea")
    assert (new.purchase_count, new.last_day) == (0, None)
    assert all(0 < item.probability < 1 for item in items)


def test_a_new_customer_gets_the_popular_items_first() -> None:
    assert names_of(NextBasketRequest(history(), TODAY)) == ["Bread", "Whole Milk", "Jam", "Apples", "Tea"]


def test_a_new_item_that_goes_with_the_latest_basket_comes_first() -> None:
    with_bread = names_of(NextBasketRequest(history(("Bread", 3)), TODAY, BasketMode.EXPLORE))
    with_apples = names_of(NextBasketRequest(history(("Apples", 3)), TODAY, BasketMode.EXPLORE))
    assert with_bread.index("Jam") < with_apples.index("Jam")


def test_an_assortment_limits_new_items_and_may_have_unknown_ones() -> None:
    assortment = (Item("organic whole milk"), Item("Quux"), Item("bread"))
    found = names_of(NextBasketRequest(SHOPPER, TODAY, BasketMode.EXPLORE, assortment=assortment))
    # Milk is like a known item. Bread was bought, in another spelling.
    assert found == ["organic whole milk", "Quux"]


def test_what_is_like_an_item_of_the_household_is_not_new() -> None:
    assert "Whole Milk" not in names_of(NextBasketRequest(history(("whole milk 1 l", 3)), TODAY, BasketMode.EXPLORE))


def test_an_unknown_item_is_described_by_its_group_else_by_all_items() -> None:
    bought = history(("Rye", 3), ("Quux", 3), categories=("Bakery", ""))
    found = basket_candidates(bought, DAY, statistics())
    popularity = dict(zip(found.names, found.values[:, COLUMN["log_popularity"]].tolist(), strict=True))
    assert popularity["Rye"] == -3
    assert popularity["Quux"] == -5


def test_new_items_that_may_not_be_suggested_are_left_out_and_bought_ones_are_not() -> None:
    def no_bread_or_tea(name: str, category: str) -> bool:
        return name not in ("Bread", "Tea")

    items = model().predict(NextBasketRequest(SHOPPER, TODAY, max_items=5), no_bread_or_tea).items
    assert {item.name for item in items} == {"Bread", "Apples", "Zorblax", "Jam", "Whole Milk"}


def test_max_items_are_returned_even_of_few_candidates() -> None:
    many = tuple(Item(f"thing {number}") for number in range(150))
    assert len(names_of(NextBasketRequest(SHOPPER, TODAY, BasketMode.EXPLORE, 100, many))) == 100
    assert len(names_of(NextBasketRequest(SHOPPER, TODAY, max_items=2))) == 2


def test_promotions_count_only_for_a_model_fitted_with_them() -> None:
    request = NextBasketRequest(SHOPPER, TODAY, promoted=frozenset({item_key("TEA")}))
    with_promotions, without = (model(uses_promotions=uses).predict(request).items for uses in (True, False))
    unknown = model().predict(replace(request, promoted=None)).items
    assert with_promotions != unknown
    assert without == unknown


def test_the_expected_trip_is_the_median_gap_after_the_latest() -> None:
    assert expected_trip(SHOPPER) == DAY
    assert expected_trip(history(("Bread", 7))) == DAY
    assert expected_trip(history(("Bread", 20), ("Bread", 17), ("Bread", 3))) == DAY - 3 + 9  # 8.5, rounded up
    with pytest.raises(ValueError, match="give the day"):
        expected_trip(history())


def test_purchases_after_the_day_are_not_used() -> None:
    later = replace(SHOPPER, days=SHOPPER.days + np.where(SHOPPER.item_indices == 1, 100, 0).astype(np.int32))
    without = history(("Bread", 21), ("Bread", 14), ("Bread", 7), ("Zorblax", 14), ("Zorblax", 7))
    one, other = (model().predict(NextBasketRequest(bought, TODAY, BasketMode.REPEAT)) for bought in (later, without))
    assert one.items == other.items


LINES = st.lists(
    st.tuples(st.sampled_from([*NAMES, "Zorblax", "Quux"]), st.integers(0, 200)), min_size=1, max_size=40, unique=True
)


@given(LINES, st.randoms(use_true_random=False))
def test_the_order_of_lines_and_of_items_does_not_matter(lines: list[tuple[str, int]], random: object) -> None:
    shuffled = list(lines)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    one, other = (basket_candidates(history(*ordered), DAY, statistics()) for ordered in (lines, shuffled))
    assert one.names == other.names
    np.testing.assert_array_equal(one.values, other.values)


@given(LINES)
def test_features_are_finite_or_unknown_and_every_bought_item_is_a_candidate(lines: list[tuple[str, int]]) -> None:
    found = basket_candidates(history(*lines), DAY, statistics())
    assert not np.isinf(found.values).any()
    assert {name for name, bought in zip(found.names, found.bought.tolist(), strict=True) if bought} == {
        name for name, _ in lines
    }
