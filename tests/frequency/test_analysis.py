import pytest
from hypothesis import given
from hypothesis import strategies as st

from pantree_frequency.core import ItemFrequency, analyze_history
from tests.frequency.histories import AS_OF_DAY, Line, bought_on, history_of, lines


def only_item(as_of_day: int, *days: int) -> ItemFrequency:
    (item,) = analyze_history(bought_on(*days), as_of_day).items
    return item


def test_due_date_with_one_purchase_is_unknown() -> None:
    item = only_item(110, 100)
    assert item.next_due_day is None
    assert (item.confidence, item.recency_weight_ratio) == (0.0, 0.0)


def test_due_date_is_the_last_purchase_plus_the_mean_interval() -> None:
    assert only_item(120, 100, 106, 114).next_due_day == 121


def test_recency_weight_halves_with_every_further_interval() -> None:
    weights = [only_item(day, 100, 107, 114).recency_weight_ratio for day in (121, 128, 135)]
    assert weights == pytest.approx([1.0, 0.5, 0.25])


def test_items_are_ordered_by_confidence_then_name() -> None:
    weekly = [(name, 100 + 7 * week, 1, 2.0, 0.0) for name in ("Tea", "Milk") for week in range(6)]
    analysis = analyze_history(history_of([("Soap", 130, 1, 2.0, 0.0), *weekly]), 140)
    assert [item.statistics.name for item in analysis.items] == ["Milk", "Tea", "Soap"]


@given(lines)
def test_confidence_and_ratios_stay_in_their_ranges(rows: list[Line]) -> None:
    for item in analyze_history(history_of(rows), AS_OF_DAY).items:
        assert 0 <= item.confidence <= 100
        assert 0 <= item.recency_weight_ratio <= 1
        assert 0 <= item.statistics.consistency_ratio <= 1


@given(lines, st.integers(min_value=0, max_value=300), st.integers(min_value=1, max_value=300))
def test_confidence_never_rises_as_time_passes_without_a_purchase(rows: list[Line], days: int, more: int) -> None:
    history = history_of(rows)
    sooner = {item.statistics.name: item for item in analyze_history(history, AS_OF_DAY + days).items}
    for item in analyze_history(history, AS_OF_DAY + days + more).items:
        assert item.confidence <= sooner[item.statistics.name].confidence + 1e-12


@given(st.integers(min_value=3, max_value=20), st.integers(min_value=2, max_value=40))
def test_a_regular_item_is_surer_than_an_irregular_one_bought_as_often(intervals: int, mean: int) -> None:
    regular = [mean * number for number in range(intervals + 1)]
    # Swings around the same mean; the last day is the same, so that only regularity differs.
    irregular = [day + (mean - 1 if 0 < number < intervals and number % 2 else 0) for number, day in enumerate(regular)]
    as_of_day = regular[-1]
    assert only_item(as_of_day, *regular).confidence > only_item(as_of_day, *irregular).confidence


@given(lines, st.integers(min_value=AS_OF_DAY - 400, max_value=AS_OF_DAY))
def test_adding_a_purchase_never_makes_the_last_one_earlier(rows: list[Line], day: int) -> None:
    def last_day(history: list[Line]) -> int:
        return max(
            item.statistics.last_day
            for item in analyze_history(history_of(history), AS_OF_DAY).items
            if item.statistics.name == rows[0][0]
        )

    assert last_day([*rows, (rows[0][0], day, 1, 2.0, 0.0)]) >= last_day(rows)
