"""Tests of invalid requests in real calls: regardless of their number, violations result in INVALID_ARGUMENT."""

from collections.abc import AsyncIterator

import grpc
import pytest

from pantree.enrichment.v1 import enrichment_service_pb2 as enrichment
from pantree.enrichment.v1 import enrichment_service_pb2_grpc as enrichment_rpc
from pantree.frequency.v1 import frequency_service_pb2 as frequency
from pantree.frequency.v1 import frequency_service_pb2_grpc as frequency_rpc
from pantree.pipeline.v1.pipeline_service_pb2 import ProcessRequest
from pantree.purchase.v1.purchase_pb2 import PurchaseColumns
from pantree.recommendation.v1.recommendation_service_pb2 import RecommendBatchRequest, RecommendRequest
from pantree_runtime.errors import InvalidInput
from pantree_runtime.grpc_types import Context
from pantree_runtime.list_sizes import check_list_sizes
from pantree_runtime.server import ServiceSpec
from pantree_runtime.status import translate_rpc_errors
from pantree_runtime.validation import Violations
from tests.loopback import loopback


class Frequency(frequency_rpc.FrequencyServiceServicer):
    async def AnalyzeHistory(
        self, request: frequency.AnalyzeHistoryRequest, context: Context
    ) -> frequency.AnalyzeHistoryResponse:
        return frequency.AnalyzeHistoryResponse()

    async def AnalyzeHistories(
        self, request_iterator: AsyncIterator[frequency.AnalyzeHistoriesRequest], context: Context
    ) -> AsyncIterator[frequency.AnalyzeHistoriesResponse]:
        async for _ in request_iterator:
            yield frequency.AnalyzeHistoriesResponse()

    async def FindCadenceChanges(
        self, request: frequency.FindCadenceChangesRequest, context: Context
    ) -> frequency.FindCadenceChangesResponse:
        return frequency.FindCadenceChangesResponse()


class Enrichment(enrichment_rpc.EnrichmentServiceServicer):
    async def EnrichItems(
        self, request: enrichment.EnrichItemsRequest, context: Context
    ) -> AsyncIterator[enrichment.EnrichItemsResponse]:
        yield enrichment.EnrichItemsResponse()


def part() -> ServiceSpec:
    def add_to(server: grpc.aio.Server) -> None:
        frequency_rpc.add_FrequencyServiceServicer_to_server(Frequency(), server)
        enrichment_rpc.add_EnrichmentServiceServicer_to_server(Enrichment(), server)

    return ServiceSpec("frequency", {"pantree.frequency.v1.FrequencyService": add_to}, rules={"AnalyzeHistory": _rule})


def _rule(request: frequency.AnalyzeHistoryRequest, violations: Violations) -> None:
    if request.model_name == request.as_of:
        violations.add("model_name", "must differ from as_of")


def history(**columns: list[float]) -> frequency.AnalyzeHistoryRequest:
    return frequency.AnalyzeHistoryRequest(purchases=PurchaseColumns(**columns), as_of="2026-05-22")  # type: ignore[arg-type]


@pytest.mark.parametrize("count", [1, 2, 30, 60, 100, 300, 1_000, 10_000])
async def test_any_number_of_wrong_fields_is_invalid_argument(count: int) -> None:
    async with loopback(part()) as channel:
        stub = frequency_rpc.FrequencyServiceStub(channel)
        for _ in range(5):
            with pytest.raises(InvalidInput) as raised, translate_rpc_errors("frequency"):
                await stub.AnalyzeHistory(history(prices=[-1.0] * count))
            named = [violation.field for violation in raised.value.violations if violation.field]
            assert named == [f"purchases.prices[{index}]" for index in range(len(named))]
            assert len(named) + raised.value.omitted_count == count
            assert len(named) >= min(count, 20)


@pytest.mark.parametrize("name", ["", "x" * 10_000, "ß\n" * 5_000, "🍚\x00" * 5_000], ids=len)
async def test_any_wrong_text_is_invalid_argument_in_a_stream(name: str) -> None:
    request = enrichment.EnrichItemsRequest(items=[enrichment.ItemToEnrich(name=name, category=name)] * 60)
    async with loopback(part()) as channel:
        with pytest.raises(InvalidInput) as raised, translate_rpc_errors("enrichment"):
            async for _ in enrichment_rpc.EnrichmentServiceStub(channel).EnrichItems(request):
                pass
    assert raised.value.violations[0].field == "items[0].name"


async def test_wrong_message_of_a_request_stream_ends_the_stream() -> None:
    async with loopback(part()) as channel:
        call = frequency_rpc.FrequencyServiceStub(channel).AnalyzeHistories()
        await call.write(frequency.AnalyzeHistoriesRequest())
        assert await call.read() == frequency.AnalyzeHistoriesResponse()
        await call.write(frequency.AnalyzeHistoriesRequest(stockout_tolerance_ratio=2))
        with pytest.raises(InvalidInput) as raised, translate_rpc_errors("frequency"):
            await call.read()
    (violation,) = raised.value.violations
    assert violation.description == "must be a number above 0 and below 1; is 2"


async def test_rule_of_an_rpc_is_checked_with_the_bounds() -> None:
    async with loopback(part()) as channel:
        with pytest.raises(InvalidInput) as raised, translate_rpc_errors("frequency"):
            await frequency_rpc.FrequencyServiceStub(channel).AnalyzeHistory(frequency.AnalyzeHistoryRequest())
    assert [violation.field for violation in raised.value.violations] == ["purchases", "as_of", "model_name"]


async def test_list_far_over_its_limit_is_invalid_argument() -> None:
    async with loopback(part()) as channel:
        stub = frequency_rpc.FrequencyServiceStub(channel)
        with pytest.raises(InvalidInput) as raised, translate_rpc_errors("frequency"):
            await stub.AnalyzeHistory(history(days=[1] * 1_000_000))
    (violation,) = raised.value.violations
    assert (violation.field, violation.description) == (
        "purchases.days",
        "must have at most 100,000 elements; has more",
    )


def field(number: int, value: bytes) -> bytes:
    """A length-delimited field on the wire."""
    size, length = len(value), b""
    while size > 127:
        length, size = length + bytes([size & 127 | 128]), size >> 7
    return bytes([number << 3 | 2]) + length + bytes([size]) + value


NEIGHBORHOOD = field(7, field(2, b"") * 40_000)
HISTORY_TAG, BATCH_TAG = 6, 1
OVERSIZED = {
    "rows": (ProcessRequest.DESCRIPTOR, field(1, field(HISTORY_TAG, b"") * 40_000), "input.history"),
    "candidates": (RecommendRequest.DESCRIPTOR, field(1, b"") * 40_000, "candidates"),
    "nested in a message": (RecommendRequest.DESCRIPTOR, NEIGHBORHOOD, "neighborhood.items"),
    "nested in a list": (
        RecommendBatchRequest.DESCRIPTOR,
        field(1, b"") * 3 + field(1, NEIGHBORHOOD),
        "households[3].neighborhood.items",
    ),
    "spread over a batch": (
        RecommendBatchRequest.DESCRIPTOR,
        field(1, field(1, b"") * 9_999) * 20,
        "households[6].candidates",
    ),
    "spread over small households": (
        RecommendBatchRequest.DESCRIPTOR,
        field(1, field(1, b"") * 300) * 900,
        "households[217].candidates",
    ),
    "packed varints": (PurchaseColumns.DESCRIPTOR, field(4, b"\x80\x01" * 100_001), "days"),
    "packed varints in parts": (PurchaseColumns.DESCRIPTOR, field(4, b"\x01" * 60_000) * 2, "days"),
    "packed doubles": (PurchaseColumns.DESCRIPTOR, field(6, b"\0" * 8 * 100_001), "prices"),
    "single varints": (PurchaseColumns.DESCRIPTOR, b"\x20\x01" * 100_001, "days"),
    "long tags": (PurchaseColumns.DESCRIPTOR, b"\x8a\x00\x00" * 40_000, "item_names"),
}


@pytest.mark.parametrize("case", OVERSIZED)
def test_oversized_list_is_found_in_the_serialized_message(case: str) -> None:
    message, data, path = OVERSIZED[case]
    with pytest.raises(InvalidInput) as raised:
        check_list_sizes(data, message)
    assert [violation.field for violation in raised.value.violations] == [path]


def test_lists_at_their_limits_and_damaged_messages_pass() -> None:
    full = PurchaseColumns(
        item_names=[str(number) for number in range(8_000)],
        days=[1] * 100_000,
        prices=[1.0] * 100_000,
        quantities=[300] * 100_000,
    ).SerializeToString()
    batch = RecommendBatchRequest(households=[RecommendRequest(as_of="2026-05-22")] * 1_000).SerializeToString()
    check_list_sizes(full, PurchaseColumns.DESCRIPTOR)
    check_list_sizes(batch, RecommendBatchRequest.DESCRIPTOR)
    for damaged in (full[:-3], b"\xff" * 70_000, full + b"\x0b", b"\x0a\xff\xff\xff\x7f" + full):
        check_list_sizes(damaged, PurchaseColumns.DESCRIPTOR)
