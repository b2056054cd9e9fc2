from datetime import date
from pathlib import Path

import grpc
import pytest

from pantree.frequency.v1 import frequency_service_pb2 as messages
from pantree.frequency.v1 import frequency_service_pb2_grpc as rpc
from pantree.purchase.v1.purchase_pb2 import PurchaseColumns
from pantree.recommendation.v1.recommendation_service_pb2 import Candidate, RecommendRequest
from pantree_domain.cadence import LADDER
from pantree_frequency.__main__ import build
from pantree_frequency.settings import FrequencySettings
from pantree_recommendation import convert as recommendation_convert
from pantree_runtime.errors import InvalidInput
from pantree_runtime.status import translate_rpc_errors
from tests.loopback import loopback


def weekly_bananas(**changes: object) -> PurchaseColumns:
    columns = PurchaseColumns(
        item_names=["Bananas"],
        item_categories=["produce"],
        item_indices=[0] * 5,
        days=[20_000, 20_007, 20_014, 20_021, 20_028],
        quantities=[1] * 5,
        prices=[1.99] * 5,
        savings=[0.0] * 5,
    )
    for name, value in changes.items():
        columns.ClearField(name)  # type: ignore[arg-type]
        getattr(columns, name).extend(value)
    return columns


async def analyze(request: messages.AnalyzeHistoryRequest) -> messages.AnalyzeHistoryResponse:
    async with loopback(await build(FrequencySettings())) as channel:
        with translate_rpc_errors("frequency"):
            return await rpc.FrequencyServiceStub(channel).AnalyzeHistory(request)


async def test_weekly_item_is_due_a_week_after_the_last_purchase() -> None:
    response = await analyze(messages.AnalyzeHistoryRequest(purchases=weekly_bananas(), as_of="2024-11-05"))
    (item,) = response.items
    assert (item.purchase_count, item.mean_interval_days, item.standard_deviation_days) == (5, 7.0, 0.0)
    assert (item.last_date, item.next_due_date) == ("2024-11-01", "2024-11-08")


async def test_empty_history_has_no_items() -> None:
    response = await analyze(messages.AnalyzeHistoryRequest(purchases=PurchaseColumns(), as_of="2024-11-05"))
    assert not response.items


async def test_every_wrong_field_is_named() -> None:
    purchases = weekly_bananas(quantities=[1, 0, 1, 1, 1], prices=[1.99, 1.99, float("nan"), 1.99, -1.0])
    with pytest.raises(InvalidInput) as raised:
        await analyze(messages.AnalyzeHistoryRequest(purchases=purchases, as_of="2024-10-31"))
    assert {violation.field for violation in raised.value.violations} >= {
        "purchases.days[4]",
        "purchases.quantities[1]",
        "purchases.prices[2]",
        "purchases.prices[4]",
    }


async def test_unknown_date_is_invalid_argument() -> None:
    async with loopback(await build(FrequencySettings())) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await rpc.FrequencyServiceStub(channel).AnalyzeHistory(messages.AnalyzeHistoryRequest(as_of="yesterday"))
    assert raised.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "2026-05-22" in (raised.value.details() or "")


def household(**changes: object) -> messages.HouseholdHistory:
    return messages.HouseholdHistory(purchases=weekly_bananas(**changes), as_of="2024-11-05")


async def test_answer_says_which_model_spoke_and_how_sure_it_is() -> None:
    response = await analyze(messages.AnalyzeHistoryRequest(purchases=weekly_bananas(), as_of="2024-11-05"))
    (item,) = response.items
    assert (response.model.name, bool(response.model.version)) == ("hazard", True)
    assert [step.horizon_days for step in item.purchase_probabilities] == [step.interval_days for step in LADDER]
    assert item.purchase_probabilities[3].probability == pytest.approx(item.confidence / 100)
    assert sum(entry.probability for entry in item.need_probabilities) == pytest.approx(1)
    assert item.recommended_interval_days in [step.interval_days for step in LADDER]


async def test_first_delivery_is_a_day_after_the_question_with_its_risks() -> None:
    response = await analyze(messages.AnalyzeHistoryRequest(purchases=weekly_bananas(), as_of="2024-11-05"))
    (item,) = response.items
    assert date(2024, 11, 5) < date.fromisoformat(item.first_delivery.date) <= date(2025, 1, 28)
    assert 0 < item.first_delivery.stockout_probability < 1
    assert 0 < item.first_delivery.overstock_ratio < 1


async def test_model_and_trade_off_can_be_chosen() -> None:
    request = messages.AnalyzeHistoryRequest(purchases=weekly_bananas(), as_of="2024-11-05", model_name="bg-nbd")
    assert (await analyze(request)).model.name == "bg-nbd"
    request.stockout_tolerance_ratio = 1.5
    request.item_types.extend(["fruit", "one too many"])
    with pytest.raises(InvalidInput) as raised:
        await analyze(request)
    assert {violation.field for violation in raised.value.violations} == {"item_types", "stockout_tolerance_ratio"}


NOT_IN_BASIC_VIEW = (
    "median_interval_days", "standard_deviation_days", "coefficient_of_variation", "trend_slope_days", "trend_p_value",
    "first_date", "total_quantity", "total_spend", "mean_unit_price", "purchase_probabilities", "expected_days",
    "median_days",
)  # fmt: skip


async def test_basic_view_holds_what_recommendation_reads() -> None:
    request = messages.AnalyzeHistoryRequest(purchases=weekly_bananas(), as_of="2024-11-05")
    full = (await analyze(request)).items[0]
    request.view = messages.ITEM_FREQUENCY_VIEW_FULL
    assert (await analyze(request)).items[0] == full
    request.view = messages.ITEM_FREQUENCY_VIEW_BASIC
    basic = (await analyze(request)).items[0]
    requests = [RecommendRequest(candidates=[Candidate(frequency=item)], as_of="2024-11-05") for item in (basic, full)]
    from_basic, from_full = map(recommendation_convert.recommendation_request, requests)
    assert from_basic == from_full
    for name in NOT_IN_BASIC_VIEW:
        full.ClearField(name)  # type: ignore[arg-type]
    only = [entry for entry in full.need_probabilities if entry.need == full.need]
    del full.need_probabilities[:]
    full.need_probabilities.extend(only)
    assert basic == full


async def test_basic_view_has_no_forecast_of_items_bought_once() -> None:
    """Nothing recommends them, and most items of a household are such; the forecasts of the others stay the same."""
    purchases = weekly_bananas(
        item_names=["Bananas", "Pears", "Apples"],
        item_categories=["produce"] * 3,
        item_indices=[*[0] * 5, 1, 2],
        days=[20_000, 20_007, 20_014, 20_021, 20_028, 20_030, 20_031],
        quantities=[1] * 7,
        prices=[*[1.99] * 5, 2.5, 2.5],
        savings=[0.0] * 7,
    )
    request = messages.AnalyzeHistoryRequest(purchases=purchases, as_of="2024-11-05")
    full = {item.name: item for item in (await analyze(request)).items}
    request.view = messages.ITEM_FREQUENCY_VIEW_BASIC
    bananas, *others = (await analyze(request)).items
    assert bananas.confidence == full["Bananas"].confidence
    assert bananas.recommended_interval_days == full["Bananas"].recommended_interval_days
    assert full["Pears"].recommended_interval_days
    assert [(item.name, item.purchase_count, item.last_date, item.latest_unit_price) for item in others] == [
        ("Apples", 1, "2024-11-04", 2.5),
        ("Pears", 1, "2024-11-03", 2.5),
    ]
    for item in others:
        assert (item.confidence, item.recommended_interval_days) == (0, 0)
        assert not item.HasField("first_delivery")


async def test_view_of_a_batch_holds_for_each_household() -> None:
    batch = messages.AnalyzeHistoriesRequest(households=[household()] * 2, view=messages.ITEM_FREQUENCY_VIEW_BASIC)
    async with loopback(await build(FrequencySettings())) as channel:
        (response,) = [one async for one in rpc.FrequencyServiceStub(channel).AnalyzeHistories(iter([batch]))]
    assert [len(one.result.items[0].purchase_probabilities) for one in response.households] == [0, 0]


async def test_bulk_answers_in_order_and_a_wrong_household_stops_nobody() -> None:
    batches = [
        messages.AnalyzeHistoriesRequest(households=[household(), household(quantities=[1, 0, 1, 1, 1])]),
        messages.AnalyzeHistoriesRequest(households=[household(item_names=["Pears"])], model_name="hawkes"),
        messages.AnalyzeHistoriesRequest(),
    ]
    async with loopback(await build(FrequencySettings())) as channel:
        stub = rpc.FrequencyServiceStub(channel)
        answers = [answer async for answer in stub.AnalyzeHistories(iter(batches))]
        alone = await stub.AnalyzeHistory(
            messages.AnalyzeHistoryRequest(purchases=weekly_bananas(), as_of="2024-11-05")
        )
    first, second, third = [outcome for answer in answers for outcome in answer.households]
    assert first.result == alone
    assert second.error.code == grpc.StatusCode.INVALID_ARGUMENT.value[0]
    assert "quantities[1]" in second.error.message
    assert third.result.items[0].name == "Pears"
    assert third.result.model.name == "hawkes"


async def test_bulk_reads_the_next_batch_only_when_the_last_is_answered() -> None:
    async with loopback(await build(FrequencySettings())) as channel:
        call = rpc.FrequencyServiceStub(channel).AnalyzeHistories()
        for _ in range(3):
            await call.write(messages.AnalyzeHistoriesRequest(households=[household()]))
            answer = await call.read()
            assert isinstance(answer, messages.AnalyzeHistoriesResponse)
            assert len(answer.households) == 1
        await call.done_writing()
        assert await call.read() is grpc.aio.EOF


async def test_bulk_with_an_unknown_model_is_invalid_argument() -> None:
    async with loopback(await build(FrequencySettings())) as channel:
        batches = [messages.AnalyzeHistoriesRequest(households=[household()], model_name="crystal-ball")]
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            [answer async for answer in rpc.FrequencyServiceStub(channel).AnalyzeHistories(iter(batches))]
    assert raised.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "model_name" in (raised.value.details() or "")


async def test_service_without_model_files_does_not_start(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        async with loopback(await build(FrequencySettings(model_dir=tmp_path))):
            pass


async def find_changes(history: PurchaseColumns, *names: str) -> messages.FindCadenceChangesResponse:
    request = messages.AnalyzeHistoryRequest(purchases=history, as_of="2024-11-02")
    async with loopback(await build(FrequencySettings())) as channel:
        with translate_rpc_errors("frequency"):
            stub = rpc.FrequencyServiceStub(channel)
            return await stub.FindCadenceChanges(messages.FindCadenceChangesRequest(history=request, item_names=names))


async def test_cadence_change_has_numbers_and_a_text() -> None:
    (change,) = (await find_changes(weekly_bananas(), "Bananas")).changes
    assert change.name == "Bananas"
    assert change.interval_days > change.recommended_interval_days
    day = date.fromisoformat(change.after_date)
    assert day >= date(2024, 11, 2)
    assert change.text.startswith("Would become ")
    assert change.text.endswith(f"if the next purchase comes after {day.day} {day:%B %Y}.")


@pytest.mark.parametrize(
    ("names", "field"), [([], "item_names"), (["Bananas"] * 2, "item_names[1]"), (["Caviar"], "item_names[0]")]
)
async def test_wrong_items_of_cadence_changes_are_named(names: list[str], field: str) -> None:
    with pytest.raises(InvalidInput) as raised:
        await find_changes(weekly_bananas(), *names)
    assert [violation.field for violation in raised.value.violations] == [field]


async def test_wrong_history_of_cadence_changes_is_named_by_its_path() -> None:
    with pytest.raises(InvalidInput) as raised:
        await find_changes(weekly_bananas(quantities=[1, 0, 1, 1, 1]), "Bananas")
    assert [violation.field for violation in raised.value.violations] == ["history.purchases.quantities[1]"]


async def test_two_spellings_of_one_item_are_one_item() -> None:
    history = weekly_bananas(
        item_names=["Bananas", "BANANAS "], item_categories=["", "produce"], item_indices=[0, 1] * 2 + [0]
    )
    request = messages.AnalyzeHistoryRequest(purchases=history, as_of="2024-11-05", item_types=["", "fruit"])
    one = messages.AnalyzeHistoryRequest(purchases=weekly_bananas(), as_of="2024-11-05", item_types=["fruit"])
    assert list((await analyze(request)).items) == list((await analyze(one)).items)
    assert [change.name for change in (await find_changes(history, "bananas")).changes] == ["bananas"]
