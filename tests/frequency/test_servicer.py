import grpc
import pytest

from pantree.frequency.v1 import frequency_service_pb2 as messages
from pantree.frequency.v1 import frequency_service_pb2_grpc as rpc
from pantree.purchase.v1.purchase_pb2 import PurchaseColumns
from pantree_frequency.__main__ import build
from pantree_frequency.settings import FrequencySettings
from pantree_runtime.errors import InvalidInput
from pantree_runtime.status import calling
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
        with calling("frequency"):
            return await rpc.FrequencyServiceStub(channel).AnalyzeHistory(request)


async def test_weekly_item_is_due_a_week_after_the_last_purchase() -> None:
    response = await analyze(messages.AnalyzeHistoryRequest(purchases=weekly_bananas(), as_of="2024-11-05"))
    (item,) = response.items
    assert (item.purchase_count, item.mean_interval_days, item.standard_deviation_days) == (5, 7.0, 0.0)
    assert (item.last_date, item.next_due_date) == ("2024-11-01", "2024-11-08")
    assert response.model.name == "heuristic"


async def test_empty_history_has_no_items() -> None:
    response = await analyze(messages.AnalyzeHistoryRequest(as_of="2024-11-05"))
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
