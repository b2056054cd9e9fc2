"""Bulk calls to real services over connections that are lost."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator

import grpc
import pytest

from pantree.frequency.v1 import frequency_service_pb2 as frequency
from pantree.frequency.v1.frequency_service_pb2_grpc import FrequencyServiceStub
from pantree.frequency.v1.frequency_service_pb2_grpc import add_FrequencyServiceServicer_to_server as add_frequency_to
from pantree.purchase.v1.purchase_pb2 import PurchaseColumns
from pantree.recommendation.v1 import recommendation_service_pb2 as recommendation
from pantree.recommendation.v1.recommendation_service_pb2_grpc import RecommendationServiceStub
from pantree.vector.v1 import vector_service_pb2 as vector
from pantree.vector.v1.vector_service_pb2_grpc import VectorServiceStub
from pantree_client.bulk_calls import bulk_responses
from pantree_frequency.__main__ import build as build_frequency
from pantree_frequency.settings import FrequencySettings
from pantree_recommendation.__main__ import build as build_recommendation
from pantree_recommendation.settings import RecommendationSettings
from pantree_runtime.channel import open_channel
from pantree_runtime.errors import ComponentUnavailable, InternalError, InvalidInput
from pantree_runtime.grpc_types import Context
from pantree_runtime.server import ServiceSpec, running, start
from pantree_vector.__main__ import build as build_vector
from pantree_vector.settings import VectorSettings
from tests.faults.proxy import Proxy
from tests.loopback import loopback
from tests.runtime.test_server import Unary, nothing_to_do

MAX_SECONDS = 60
BATCHES, HOUSEHOLDS = 12, 3


@contextlib.asynccontextmanager
async def behind_proxy(part: ServiceSpec) -> AsyncIterator[tuple[Proxy, grpc.aio.Channel]]:
    async with running(part) as served:
        proxy = Proxy(int(served.address.rsplit(":", 1)[1]))
        await proxy.open()
        try:
            async with open_channel(f"127.0.0.1:{proxy.port}", timeout_seconds=MAX_SECONDS) as channel:
                yield proxy, channel
        finally:
            await proxy.close()


def purchases(number: int) -> PurchaseColumns:
    """Purchases of one item every `2 + number` days."""
    days = [20_000 + (2 + number) * time for time in range(5)]
    same = len(days)
    return PurchaseColumns(
        item_names=[f"Item {number}"],
        item_categories=["pantry"],
        item_indices=[0] * same,
        days=days,
        quantities=[1] * same,
        prices=[2.5] * same,
        savings=[0] * same,
    )


def frequency_batches() -> Iterator[frequency.AnalyzeHistoriesRequest]:
    for batch in range(BATCHES):
        numbers = range(batch * HOUSEHOLDS, (batch + 1) * HOUSEHOLDS)
        yield frequency.AnalyzeHistoriesRequest(
            households=[frequency.HouseholdHistory(purchases=purchases(n), as_of="2026-06-30") for n in numbers]
        )


def vector_batches() -> Iterator[vector.IndexHistoriesRequest]:
    for batch in range(BATCHES):
        numbers = range(batch * HOUSEHOLDS, (batch + 1) * HOUSEHOLDS)
        yield vector.IndexHistoriesRequest(
            histories=[
                vector.IndexHistoryRequest(customer_id=f"household {n}", purchases=purchases(n), as_of="2026-06-30")
                for n in numbers
            ]
        )


def recommendation_batches() -> Iterator[recommendation.RecommendBatchRequest]:
    for batch in range(BATCHES):
        numbers = range(batch * HOUSEHOLDS, (batch + 1) * HOUSEHOLDS)
        items = [
            frequency.ItemFrequency(
                name=f"Item {n}", purchase_count=8, mean_interval_days=7.0, consistency_ratio=0.9,
                recency_weight_ratio=1.0, trend=frequency.TREND_STABLE, confidence=85.0, last_date="2026-06-28",
                next_due_date="2026-07-05", latest_unit_price=2.5, typical_quantity=1,
            )
            for n in numbers
        ]  # fmt: skip
        yield recommendation.RecommendBatchRequest(
            households=[
                recommendation.RecommendRequest(
                    candidates=[recommendation.Candidate(frequency=item)], as_of="2026-06-30"
                )
                for item in items
            ]
        )


async def test_frequency_answers_each_household_once_and_in_order() -> None:
    intervals: list[float] = []
    async with behind_proxy(await build_frequency(FrequencySettings())) as (proxy, channel):
        call = FrequencyServiceStub(channel).AnalyzeHistories
        async for response in bulk_responses("frequency", call, frequency_batches()):
            intervals += [one.result.items[0].mean_interval_days for one in response.households]
            await proxy.drop_connections()
    assert intervals == [2.0 + number for number in range(BATCHES * HOUSEHOLDS)]


async def test_recommendation_answers_each_household_once_and_in_order() -> None:
    names: list[str] = []
    settings = RecommendationSettings(sagemaker_endpoint="")
    async with behind_proxy(await build_recommendation(settings)) as (proxy, channel):
        call = RecommendationServiceStub(channel).RecommendBatch
        async for response in bulk_responses("recommendation", call, recommendation_batches()):
            names += [one.result.recommendations[0].name for one in response.households]
            await proxy.drop_connections()
    assert names == [f"Item {number}" for number in range(BATCHES * HOUSEHOLDS)]


async def test_vector_numbers_histories_across_connections() -> None:
    positions: list[int] = []
    async with behind_proxy(await build_vector(VectorSettings(store_url="memory://"))) as (proxy, channel):
        call = VectorServiceStub(channel).IndexHistories
        async for response in bulk_responses("vector", call, vector_batches()):
            assert {one.item_count for one in response.outcomes} == {1}
            positions += [one.history_index for one in response.outcomes]
            await proxy.drop_connections()
    assert positions == list(range(BATCHES * HOUSEHOLDS))


class OneByOne(Unary):
    """Answers one household per response, and hangs after a number of answers."""

    def __init__(self, max_answers: int) -> None:
        super().__init__(nothing_to_do)
        self._remaining = max_answers
        self.seen: list[list[str]] = []
        """Item names of each request."""

    async def AnalyzeHistories(
        self, request_iterator: AsyncIterator[frequency.AnalyzeHistoriesRequest], context: Context
    ) -> AsyncIterator[frequency.AnalyzeHistoriesResponse]:
        async for request in request_iterator:
            self.seen.append([household.purchases.item_names[0] for household in request.households])
            for household in request.households:
                if not self._remaining:
                    await asyncio.Event().wait()
                self._remaining -= 1
                analysis = frequency.AnalyzeHistoryResponse(
                    items=[frequency.ItemFrequency(name=household.purchases.item_names[0])]
                )
                yield frequency.AnalyzeHistoriesResponse(households=[frequency.HouseholdAnalysis(result=analysis)])

    def part(self) -> ServiceSpec:
        return ServiceSpec(
            "frequency", {"pantree.frequency.v1.FrequencyService": lambda server: add_frequency_to(self, server)}
        )


async def test_partly_answered_batch_resumes_on_the_next_server() -> None:
    first, second = OneByOne(max_answers=4), OneByOne(max_answers=1_000)
    served = await start(first.part(), host="127.0.0.1", port=0)
    port = int(served.address.rsplit(":", 1)[1])
    names: list[str] = []
    async with open_channel(served.address, timeout_seconds=MAX_SECONDS) as channel:
        async for response in bulk_responses(
            "frequency", FrequencyServiceStub(channel).AnalyzeHistories, frequency_batches()
        ):
            names.append(response.households[0].result.items[0].name)
            if len(names) == 4:
                await served.stop(0)
                served = await start(second.part(), host="127.0.0.1", port=port)
    await served.stop(0)
    assert names == [f"Item {number}" for number in range(BATCHES * HOUSEHOLDS)]
    assert second.seen[0] == ["Item 4", "Item 5"]


class EndsEarly(Unary):
    """Answers the first request and ends the call with OK."""

    async def AnalyzeHistories(
        self, request_iterator: AsyncIterator[frequency.AnalyzeHistoriesRequest], context: Context
    ) -> AsyncIterator[frequency.AnalyzeHistoriesResponse]:
        request = await anext(request_iterator)
        yield frequency.AnalyzeHistoriesResponse(households=[frequency.HouseholdAnalysis()] * len(request.households))


async def test_call_that_ends_early_raises_an_error() -> None:
    servicer = EndsEarly(nothing_to_do)
    part = ServiceSpec(
        "frequency", {"pantree.frequency.v1.FrequencyService": lambda server: add_frequency_to(servicer, server)}
    )
    async with loopback(part) as channel:
        with pytest.raises(InternalError, match="before every household was answered"):
            async for _ in bulk_responses(
                "frequency", FrequencyServiceStub(channel).AnalyzeHistories, frequency_batches()
            ):
                pass


async def test_unavailable_part_raises_after_patience_seconds() -> None:
    async with open_channel("127.0.0.1:1", timeout_seconds=MAX_SECONDS) as channel:
        call = FrequencyServiceStub(channel).AnalyzeHistories
        with pytest.raises(ComponentUnavailable, match="frequency is not available"):
            async for _ in bulk_responses("frequency", call, frequency_batches(), patience_seconds=0.5):
                pass


async def test_other_errors_are_not_retried() -> None:
    requests = [frequency.AnalyzeHistoriesRequest(model_name="none")]
    async with loopback(await build_frequency(FrequencySettings())) as channel:
        with pytest.raises(InvalidInput):
            async for _ in bulk_responses("frequency", FrequencyServiceStub(channel).AnalyzeHistories, requests):
                pass


async def test_error_of_the_request_iterator_is_raised() -> None:
    async def broken() -> AsyncIterator[frequency.AnalyzeHistoriesRequest]:
        yield next(frequency_batches())
        raise LookupError("the file ends here")

    async with loopback(await build_frequency(FrequencySettings())) as channel:
        with pytest.raises(LookupError, match="the file ends here"):
            async for _ in bulk_responses("frequency", FrequencyServiceStub(channel).AnalyzeHistories, broken()):
                pass
