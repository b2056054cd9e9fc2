import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pantree_domain.cadence import LADDER
from pantree_domain.evidence import Need
from pantree_frequency.core import AnalysisRequest, ItemFrequency, Options, analyze_histories
from pantree_runtime.errors import InvalidInput
from tests.frequency.histories import AS_OF_DAY, Line, analyze, bought_on, bundled_models, history_of, lines

MODELS = sorted(bundled_models().by_name)
NO_DEADLINE = settings(deadline=None, max_examples=15)


def only_item(as_of_day: int, *days: int, model_name: str = "") -> ItemFrequency:
    (item,) = analyze(bought_on(*days), as_of_day, model_name).items
    return item


def test_due_date_with_one_purchase_is_unknown() -> None:
    item = only_item(110, 100)
    assert item.next_due_day is None
    assert item.recency_weight_ratio == 0.0
    assert 0 < item.confidence < 50


def test_due_date_is_the_last_purchase_plus_the_mean_interval() -> None:
    assert only_item(120, 100, 106, 114).next_due_day == 121


def test_recency_weight_halves_with_every_further_interval() -> None:
    weights = [only_item(day, 100, 107, 114).recency_weight_ratio for day in (121, 128, 135)]
    assert weights == pytest.approx([1.0, 0.5, 0.25])


def test_items_are_ordered_by_confidence_then_name() -> None:
    weekly = [(name, 100 + 7 * week, 1, 2.0, 0.0) for name in ("Tea", "Milk") for week in range(6)]
    analysis = analyze(history_of([("Soap", 20, 1, 2.0, 0.0), *weekly]), 140)
    assert [item.statistics.name for item in analysis.items] == ["Milk", "Tea", "Soap"]


def test_unknown_model_is_refused_with_the_names_of_those_there_are() -> None:
    with pytest.raises(InvalidInput, match="bg-nbd"):
        analyze(bought_on(100), 110, "crystal-ball")


def test_hazard_is_the_default_model() -> None:
    assert analyze(bought_on(100, 107), 110).model_name == "hazard"
    assert analyze(bought_on(100, 107), 110, "bg-nbd").model_name == "bg-nbd"


@pytest.mark.parametrize("model_name", MODELS)
@settings(deadline=None, max_examples=8)
@given(lines)
def test_probabilities_of_every_model_make_sense(model_name: str, rows: list[Line]) -> None:
    for item in analyze(history_of(rows), AS_OF_DAY, model_name).items:
        assert 0 <= item.confidence <= 100
        assert 0 <= item.recency_weight_ratio <= 1
        assert 0 <= item.options[0].stockout_probability <= 1
        assert 0 <= item.options[0].overstock_ratio <= 1
        assert 0 <= item.first_delivery.stockout_probability <= 1
        assert 0 <= item.first_delivery.overstock_ratio <= 1
        latest = item.options[0].interval_days if item.regularity_ratio > 0 else 84
        assert AS_OF_DAY < item.first_delivery.day <= AS_OF_DAY + latest
        assert 0 <= item.options[0].cadence_probability <= 1
        assert list(item.ladder_probabilities) == sorted(item.ladder_probabilities)
        assert item.ladder_probabilities[3] == pytest.approx(item.confidence / 100)
        assert item.options[0].interval_days in [step.interval_days for step in LADDER]
        assert sum(item.need_probabilities.values()) == pytest.approx(1)
        assert min(item.need_probabilities.values()) >= 0
        if item.need is not Need.ACTIVE or item.statistics.purchase_count == 1:
            assert item.need_probabilities[item.need] == max(item.need_probabilities.values())
        assert item.median_days is None or 0 < item.median_days <= 365
        assert 0 < item.expected_days <= 365


@NO_DEADLINE
@given(
    st.lists(st.integers(min_value=0, max_value=120), min_size=2, max_size=15, unique=True),
    st.lists(st.integers(min_value=0, max_value=60), min_size=2, max_size=2),
)
def test_confidence_never_rises_as_an_overdue_item_ages(days: list[int], waits: list[int]) -> None:
    last = max(days)
    # Overdue for certain: the shrunken interval lies between the pair's own and what others need, at most half a year.
    sooner, later = sorted(last + 180 + wait for wait in waits)
    assert only_item(later, *days).confidence <= only_item(sooner, *days).confidence + 1e-9


@NO_DEADLINE
@given(st.integers(min_value=4, max_value=14), st.integers(min_value=5, max_value=28))
def test_each_further_regular_purchase_makes_surer(purchases: int, interval: int) -> None:
    fewer = [interval * number for number in range(purchases)]
    more = [interval * number for number in range(purchases + 4)]
    # Trees are steps: a tenth of a point may be lost at an edge where ten are gained.
    assert only_item(more[-1] + 1, *more).confidence > only_item(fewer[-1] + 1, *fewer).confidence - 0.5


@NO_DEADLINE
@given(st.integers(min_value=4, max_value=12), st.integers(min_value=6, max_value=28))
def test_a_regular_item_is_surer_than_an_irregular_one_bought_as_often(intervals: int, mean: int) -> None:
    regular = [mean * number for number in range(intervals + 1)]
    # Swings around the same mean; the last day is the same, so that only regularity differs.
    irregular = [day + (mean - 1 if 0 < number < intervals and number % 2 else 0) for number, day in enumerate(regular)]
    as_of_day = regular[-1]
    name = "heuristic"
    regular_item = only_item(as_of_day, *regular, model_name=name)
    assert regular_item.confidence > only_item(as_of_day, *irregular, model_name=name).confidence


@NO_DEADLINE
@given(lines)
def test_line_in_two_halves_is_the_same_purchase(rows: list[Line]) -> None:
    twice: list[Line] = [(name, day, 2 * units, price, saving) for name, day, units, price, saving in rows]
    halves: list[Line] = [(name, day, units, price, saving / 2) for name, day, units, price, saving in rows] * 2
    whole = {item.statistics.name: item for item in analyze(history_of(twice), AS_OF_DAY).items}
    for item in analyze(history_of(halves), AS_OF_DAY).items:
        one, other = item.statistics, whole[item.statistics.name].statistics
        assert (one.purchase_count, one.total_quantity, one.typical_quantity) == (
            other.purchase_count, other.total_quantity, other.typical_quantity
        )  # fmt: skip
        assert (one.mean_interval_days, one.median_interval_days, one.standard_deviation_days) == (
            other.mean_interval_days, other.median_interval_days, other.standard_deviation_days
        )  # fmt: skip
        assert one.total_spend == pytest.approx(other.total_spend, abs=1e-9)
        assert item.confidence == pytest.approx(whole[one.name].confidence, abs=1e-6)
        assert item.options[0].interval_days == whole[one.name].options[0].interval_days


@NO_DEADLINE
@given(lines, st.integers(min_value=AS_OF_DAY - 400, max_value=AS_OF_DAY))
def test_adding_a_purchase_never_makes_the_last_one_earlier(rows: list[Line], day: int) -> None:
    def last_day(history: list[Line]) -> int:
        return max(
            item.statistics.last_day
            for item in analyze(history_of(history), AS_OF_DAY).items
            if item.statistics.name == rows[0][0]
        )

    assert last_day([*rows, (rows[0][0], day, 1, 2.0, 0.0)]) >= last_day(rows)


@NO_DEADLINE
@given(lines, st.integers(min_value=-300, max_value=300))
def test_moving_everything_in_time_changes_no_confidence(rows: list[Line], shift: int) -> None:
    moved: list[Line] = [(name, day + shift, *rest) for name, day, *rest in rows]  # type: ignore[misc]
    before = {item.statistics.name: item.confidence for item in analyze(history_of(rows), AS_OF_DAY).items}
    after = {item.statistics.name: item.confidence for item in analyze(history_of(moved), AS_OF_DAY + shift).items}
    assert after == before


@NO_DEADLINE
@given(st.lists(lines, min_size=2, max_size=5))
def test_households_together_are_answered_as_each_alone(households: list[list[Line]]) -> None:
    questions = [AnalysisRequest(history_of(rows), AS_OF_DAY) for rows in households]
    together = analyze_histories(questions, bundled_models(), Options())
    for question, analysis in zip(questions, together, strict=True):
        (alone,) = analyze_histories([question], bundled_models(), Options())
        assert [item.statistics for item in analysis.items] == [item.statistics for item in alone.items]
        for one, other in zip(analysis.items, alone.items, strict=True):
            assert one.confidence == pytest.approx(other.confidence, abs=1e-9)
            assert one.ladder_probabilities == pytest.approx(other.ladder_probabilities, abs=1e-9)
            assert (one.options, one.need) == (other.options, other.need)


def test_item_bought_every_week_is_wanted_and_one_given_up_is_not() -> None:
    days = [100 + 7 * week for week in range(16)]
    assert only_item(days[-1] + 2, *days).need is Need.ACTIVE
    gone = only_item(days[-1] + 200, *days)
    assert gone.need is Need.ENDED
    assert gone.need_probabilities[Need.ACTIVE] == 0.0


def test_item_replaced_by_another_of_its_type_is_switched() -> None:
    rows = [("Brand A", 100 + 7 * week, 1, 2.0, 0.0) for week in range(12)]
    rows += [("Brand B", 184 + 7 * week, 1, 2.0, 0.0) for week in range(22)]
    question = AnalysisRequest(history_of(rows, category="dairy"), 184 + 7 * 21 + 2, ("milk", "milk"))
    (analysis,) = analyze_histories([question], bundled_models(), Options())
    by_name = {item.statistics.name: item for item in analysis.items}
    assert by_name["Brand A"].need is Need.SWITCHED
    assert by_name["Brand B"].need is Need.ACTIVE


def test_more_tolerance_for_running_out_never_means_more_supply() -> None:
    # About every twelve days: two every three weeks are a little too much, one every two weeks is a little too little.
    history = history_of([("Milk", 88 + day, 1, 2.0, 0.0) for day in (0, 11, 24, 35, 49, 60, 72)])
    supplies = [
        analyze(history, 165, stockout_tolerance=tolerance).items[0].options[0].supply_ratio
        for tolerance in np.linspace(0.05, 0.95, 10)
    ]
    assert supplies == sorted(supplies, reverse=True)
    assert supplies[0] > supplies[-1]


@pytest.mark.parametrize(
    ("gaps", "interval_days"),
    [
        ([7, 7, 7, 8, 7, 7, 7], 7),
        ([7, 8] * 10, 7),
        ([14] * 6, 14),
        ([21] * 11, 21),
        ([28] * 5, 28),
        ([28] * 11, 28),
        ([42] * 7, 42),
        ([56] * 5, 56),
        ([84] * 5, 84),
    ],
)
def test_regular_item_is_delivered_as_often_as_it_is_bought(gaps: list[int], interval_days: int) -> None:
    days = [int(day) for day in np.cumsum([AS_OF_DAY - 2 - sum(gaps), *gaps])]
    assert only_item(AS_OF_DAY, *days).options[0].interval_days == interval_days


@pytest.mark.parametrize(("interval", "passed"), [(7, 1), (14, 5), (21, 7), (28, 7), (28, 21)])
def test_first_delivery_of_a_regular_item_comes_about_when_it_is_due(interval: int, passed: int) -> None:
    days = [AS_OF_DAY - passed - interval * number for number in range(12, -1, -1)]
    due = AS_OF_DAY + interval - passed
    assert abs(only_item(AS_OF_DAY, *days).first_delivery.day - due) <= max(7, interval / 2)


def test_what_is_long_overdue_is_not_delivered_at_once() -> None:
    days = [AS_OF_DAY - 150 - 14 * number for number in range(10, -1, -1)]
    item = only_item(AS_OF_DAY, *days)
    assert item.next_due_day is not None
    assert item.next_due_day < AS_OF_DAY
    assert item.need is not Need.ACTIVE
    assert item.first_delivery.day == AS_OF_DAY + 14
