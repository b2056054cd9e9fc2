"""Histories over all days and sizes that the contract allows."""

import tracemalloc
from datetime import date

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pantree.frequency.v1 import frequency_service_pb2 as messages
from pantree.frequency.v1 import frequency_service_pb2_grpc as rpc
from pantree.recommendation.v1.recommendation_service_pb2 import Candidate, RecommendRequest
from pantree_domain.days import calendar_day, day_number
from pantree_domain.limits import MAX_PRICE, MAX_QUANTITY
from pantree_frequency import convert
from pantree_frequency.core import AnalysisRequest, Options, analyze_histories
from pantree_frequency.servicer import Analyzer, FrequencyServicer
from pantree_recommendation.rules import check_request
from pantree_runtime.server import ServiceSpec
from pantree_runtime.validation import FIRST_DAY, LAST_DAY, validate
from tests.frequency.histories import Line, bought_on, bundled_models, history_of
from tests.frequency.test_servicer import household
from tests.loopback import loopback

_FIRST, _LAST = day_number(FIRST_DAY), day_number(LAST_DAY)


def _line(name: str, day: int, quantity: int, price: float) -> Line:
    return name, day, quantity, price, 0.0


days = st.integers(_FIRST, _LAST)
any_lines = st.lists(
    st.builds(
        _line,
        st.sampled_from(["Bananas", "Milk", "Rice"]),
        days | st.sampled_from([_FIRST, _LAST, _LAST - 4_200, _LAST - 30_000]),
        st.sampled_from([1, MAX_QUANTITY]) | st.integers(1, MAX_QUANTITY),
        st.floats(0.01, MAX_PRICE) | st.sampled_from([0.01, MAX_PRICE]),
    ),
    min_size=1,
    max_size=12,
)


def candidates(rows: list[Line], as_of_day: int, types: list[str], category: str, model: str) -> RecommendRequest:
    """Analyzes a history, and returns the request to recommendation that the pipeline makes of the response."""
    history = history_of(rows, category)
    request = AnalysisRequest(history, as_of_day, tuple(types[: len(history.item_names)]))
    (analysis,) = analyze_histories([request], bundled_models(), Options(model))
    response = convert.analysis_response(analysis, as_of_day, messages.ITEM_FREQUENCY_VIEW_FULL)
    return RecommendRequest(candidates=[Candidate(frequency=item) for item in response.items], as_of=response.as_of)


@settings(deadline=None, max_examples=60)
@given(
    any_lines,
    days,
    st.lists(st.sampled_from(["", "fruit", "dairy"]), min_size=3, max_size=3),
    st.sampled_from(["", "pantry"]),
    st.sampled_from(sorted(bundled_models().by_name)),
)
def test_every_history_gets_a_forecast_that_recommendation_accepts(
    rows: list[Line], as_of_day: int, types: list[str], category: str, model: str
) -> None:
    as_of_day = max(as_of_day, *(day for _, day, *_ in rows))
    validate(candidates(rows, as_of_day, types, category, model), check_request)


@pytest.mark.parametrize("age_days", [4_199, 4_200, 8_400, 16_800, 80_000])
def test_old_purchase_of_an_item_with_a_type_has_a_forecast(age_days: int) -> None:
    request = candidates([_line("Bananas", _LAST - age_days, 1, 2.0)], _LAST, ["fruit"], "produce", "")
    assert 0 <= request.candidates[0].frequency.confidence <= 100


def test_forecast_may_be_later_than_the_last_day_of_a_request() -> None:
    rows = [_line("Bananas", _LAST - 20 + 10 * number, 1, 2.0) for number in range(3)]
    item = candidates(rows, _LAST, [""], "", "").candidates[0].frequency
    assert (item.last_date, item.next_due_date) == ("2199-12-31", "2200-01-10")
    assert date.fromisoformat(item.first_delivery.date) > calendar_day(_LAST)


def _part(analyzer: Analyzer) -> ServiceSpec:
    return ServiceSpec(
        "frequency",
        {
            "pantree.frequency.v1.FrequencyService": lambda server: rpc.add_FrequencyServiceServicer_to_server(
                FrequencyServicer(analyzer), server
            )
        },
    )


async def test_bulk_answers_each_household_alone_whatever_another_one_raises() -> None:
    class FailsForOldOnes(Analyzer):
        def analyze(self, requests, options):  # type: ignore[no-untyped-def]
            if any(request.history.days.min() < 100 for request in requests):
                raise ZeroDivisionError
            return super().analyze(requests, options)

    analyzer = FailsForOldOnes()
    analyzer.load(bundled_models())
    households = [household(), household(days=[1, 8, 15, 22, 29]), household()]
    async with loopback(_part(analyzer)) as channel:
        call = rpc.FrequencyServiceStub(channel).AnalyzeHistories(
            iter([messages.AnalyzeHistoriesRequest(households=households)])
        )
        outcomes = [outcome async for response in call for outcome in response.households]
    assert [outcome.WhichOneof("outcome") for outcome in outcomes] == ["result", "error", "result"]
    assert outcomes[1].error.message == "internal error"
    assert outcomes[0].result == outcomes[2].result


def test_a_history_of_one_old_day_is_analyzed_alone_and_together_alike() -> None:
    requests = [
        AnalysisRequest(bought_on(10_000), _LAST, ("fruit",)),
        AnalysisRequest(bought_on(20_000, 20_010), 20_020, ("fruit",)),
    ]
    together = analyze_histories(requests, bundled_models(), Options())
    assert together == [analyze_histories([one], bundled_models(), Options())[0] for one in requests]


def _large(item_count: int) -> AnalysisRequest:
    rows = [_line(f"Item {number}", 19_900 - number % 90, 1, 2.0) for number in range(item_count)]
    return AnalysisRequest(history_of(rows), 20_000)


def test_long_batch_is_answered_as_each_household_alone() -> None:
    requests = [
        _large(700),
        *(AnalysisRequest(bought_on(19_980 - day, 19_990), 20_000) for day in range(1, 40)),
        _large(900),
    ]
    together = analyze_histories(requests, bundled_models(), Options())
    assert together == [analyze_histories([one], bundled_models(), Options())[0] for one in requests]


def test_memory_of_a_forecast_does_not_grow_with_the_items() -> None:
    def temporary_bytes(item_count: int) -> int:
        request = _large(item_count)
        tracemalloc.start()
        try:
            result = analyze_histories([request], bundled_models(), Options())
            kept, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert len(result[0].items) == item_count
        return peak - kept

    temporary_bytes(10)
    few, many = temporary_bytes(1_000), temporary_bytes(6_000)
    # Features and statistics take about 1 KiB an item; curves of all days would add 4.5.
    assert many < few + 5_000 * 2_500


async def test_batch_of_many_items_is_answered_in_parts_and_in_order() -> None:
    sizes = [200, 200, 200, 1, 700, 3]
    households = [
        household(
            item_names=[f"Item {number}" for number in range(size)], item_categories=[""] * size,
            item_indices=range(size), days=[10] * size, quantities=[1] * size, prices=[2.0] * size,
            savings=[0.0] * size,
        )
        for size in sizes
    ]  # fmt: skip
    requested = []

    class Counting(Analyzer):
        def analyze(self, requests, options):  # type: ignore[no-untyped-def]
            requested.append([len(request.history.item_names) for request in requests])
            return super().analyze(requests, options)

    analyzer = Counting()
    analyzer.load(bundled_models())
    async with loopback(_part(analyzer)) as channel:
        call = rpc.FrequencyServiceStub(channel).AnalyzeHistories(
            iter([messages.AnalyzeHistoriesRequest(households=households)])
        )
        outcomes = [outcome async for response in call for outcome in response.households]
    assert [len(outcome.result.items) for outcome in outcomes] == sizes
    assert requested == [[200, 200], [200, 1], [700], [3]]
