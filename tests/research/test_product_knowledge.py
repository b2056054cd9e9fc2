from pantree_research.product_knowledge import BEFORE_DAYS, WITHIN_DAYS, _bought_together, _quality, _queries, _Query


def test_query_has_what_is_new_within_thirty_days() -> None:
    household = {
        "Milk": [10, 100, 190],
        "Old": [100 - BEFORE_DAYS, 110],
        "New": [100 - BEFORE_DAYS - 1, 100 + WITHIN_DAYS],
        "Late": [100 + WITHIN_DAYS + 1],
    }
    (milk,) = [query for query in _queries([household]) if query.name == "Milk"]
    assert milk == _Query("Milk", known=frozenset({"Milk", "Old"}), bought=frozenset({"New"}))


def test_quality_counts_hits_and_the_share_of_ten_suggestions() -> None:
    queries = [_Query("A", frozenset(), frozenset({"B", "C"})), _Query("D", frozenset(), frozenset({"E"}))]
    quality = _quality("way", lambda name, known: ["B", "C", "X"], queries)
    assert (quality.hit_ratio, quality.precision, quality.suggestion_count) == (0.5, 0.1, 3)


def test_items_that_are_bought_together_more_often_than_by_chance_come_first() -> None:
    households = [{"A": [1], "B": [1]}] * 20 + [{"C": [1], "D": [1]}] * 20 + [{"A": [1], "D": [1]}]
    assert _bought_together(households)["A"] == ["B", "D", "C"]
