"""What callers may hold of a server: memory, bulk streams, time."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import grpc
import pytest
from structlog.testing import capture_logs

from pantree.frequency.v1 import frequency_service_pb2 as messages
from pantree.frequency.v1 import frequency_service_pb2_grpc as rpc
from pantree.purchase.v1.purchase_pb2 import PurchaseColumns
from pantree_runtime.channel import open_channel
from pantree_runtime.grpc_types import Context
from pantree_runtime.interceptors import handlers, requests
from pantree_runtime.interceptors.requests import RequestMemory
from pantree_runtime.server import RunningService, ServiceSpec, running, start

SERVICE = "pantree.frequency.v1.FrequencyService"
NAMES = [f"{number:0200}" for number in range(4_000)]
LARGE = messages.AnalyzeHistoryRequest(purchases=PurchaseColumns(item_names=NAMES), as_of="2026-05-22")


class Servicer(rpc.FrequencyServiceServicer):
    """Answers a batch with many large responses; a single history once `may_answer` is set."""

    def __init__(self) -> None:
        self.may_answer = asyncio.Event()
        self.begun = 0
        self.ended = 0

    async def AnalyzeHistory(
        self, request: messages.AnalyzeHistoryRequest, context: Context
    ) -> messages.AnalyzeHistoryResponse:
        self.begun += 1
        await self.may_answer.wait()
        return messages.AnalyzeHistoryResponse()

    async def FindCadenceChanges(
        self, request: messages.FindCadenceChangesRequest, context: Context
    ) -> messages.FindCadenceChangesResponse:
        return messages.FindCadenceChangesResponse()

    async def AnalyzeHistories(
        self, request_iterator: AsyncIterator[messages.AnalyzeHistoriesRequest], context: Context
    ) -> AsyncIterator[messages.AnalyzeHistoriesResponse]:
        try:
            async for _ in request_iterator:
                for _ in range(100):
                    item = messages.HouseholdAnalysis(result=messages.AnalyzeHistoryResponse(as_of="x" * 500_000))
                    yield messages.AnalyzeHistoriesResponse(households=[item])
        finally:
            self.ended += 1


def part(servicer: Servicer) -> ServiceSpec:
    def add(server: grpc.aio.Server) -> None:
        rpc.add_FrequencyServiceServicer_to_server(servicer, server)

    return ServiceSpec("frequency", {SERVICE: add}, costs={"AnalyzeHistories": 16})


@contextlib.asynccontextmanager
async def stopping(server: RunningService) -> AsyncIterator[None]:
    try:
        yield
    finally:
        await server.stop(0)


async def batches(count: int = 1) -> AsyncIterator[messages.AnalyzeHistoriesRequest]:
    for _ in range(count):
        yield messages.AnalyzeHistoriesRequest()
    await asyncio.sleep(60)


async def test_stream_whose_responses_nobody_reads_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handlers, "MAX_UNREAD_SECONDS", 0.3)
    servicer = Servicer()
    async with running(part(servicer)) as server, open_channel(server.address, timeout_seconds=30) as channel:
        stalled = rpc.FrequencyServiceStub(channel).AnalyzeHistories(batches())
        await stalled.read()
        async with asyncio.timeout(10):
            while not servicer.ended:  # noqa: ASYNC110 # there is no event for it
                await asyncio.sleep(0.05)
        # One that is read goes on.
        read = rpc.FrequencyServiceStub(channel).AnalyzeHistories(batches())
        for _ in range(100):
            await read.read()
        read.cancel()


async def test_stream_that_sends_nothing_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requests, "MAX_IDLE_SECONDS", 0.2)
    async with running(part(Servicer())) as server, open_channel(server.address, timeout_seconds=30) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            async with asyncio.timeout(10):
                async for _ in rpc.FrequencyServiceStub(channel).AnalyzeHistories(batches(0)):
                    pass
    assert raised.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED


async def test_bulk_streams_of_one_caller_leave_room_for_others() -> None:
    servicer = Servicer()
    async with running(part(servicer)) as server, open_channel(server.address, timeout_seconds=30) as channel:
        stub = rpc.FrequencyServiceStub(channel)
        calls = [stub.AnalyzeHistories(batches()) for _ in range(32)]
        codes = []
        for call in calls:
            try:
                await call.read()
            except grpc.aio.AioRpcError as error:
                codes.append(error.code())
        assert codes == [grpc.StatusCode.RESOURCE_EXHAUSTED] * 28
        servicer.may_answer.set()
        await stub.AnalyzeHistory(messages.AnalyzeHistoryRequest(as_of="2026-05-22", purchases=PurchaseColumns()))
        for call in calls:
            call.cancel()


async def test_requests_that_hold_too_much_memory_are_refused() -> None:
    servicer = Servicer()
    server = await start(part(servicer), host="127.0.0.1", port=0, max_held_mib=32)
    async with stopping(server), open_channel(server.address, timeout_seconds=30) as channel:
        stub = rpc.FrequencyServiceStub(channel)
        calls = [asyncio.ensure_future(stub.AnalyzeHistory(LARGE)) for _ in range(12)]
        async with asyncio.timeout(10):
            while sum(call.done() for call in calls) < 7:  # noqa: ASYNC110 # there is no event for it
                await asyncio.sleep(0.02)
        servicer.may_answer.set()
        results = await asyncio.gather(*calls, return_exceptions=True)
        codes = [result.code() for result in results if isinstance(result, grpc.aio.AioRpcError)]
        assert codes == [grpc.StatusCode.RESOURCE_EXHAUSTED] * len(codes)
        # 800 kB, of which eight times are 6.4 MB.
        assert len(results) - len(codes) == servicer.begun == 5
        # What was held has been given back.
        await stub.AnalyzeHistory(LARGE)


def test_memory_of_a_request_is_free_once_it_is_collected() -> None:
    memory = RequestMemory(1 << 20)
    held = [memory.hold(32 * 1024) for _ in range(5)]
    assert [hold is not None for hold in held] == [True] * 4 + [False]
    held.clear()
    assert memory.hold(32 * 1024) is not None


@pytest.mark.parametrize("data", [b"\xff", b"\x0a\xff", b"\x12\x02\xc3\x28", b"\x0a" * 1_000, b"\x0b" * 200])
async def test_malformed_message_is_an_invalid_argument_without_a_traceback(data: bytes) -> None:
    async with running(part(Servicer())) as server, open_channel(server.address, timeout_seconds=30) as channel:
        call = channel.unary_unary(
            f"/{SERVICE}/AnalyzeHistory",
            request_serializer=lambda data: data,
            response_deserializer=messages.AnalyzeHistoryResponse.FromString,
        )
        with capture_logs() as events, pytest.raises(grpc.aio.AioRpcError) as raised:
            await call(data)
    assert raised.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert not [event for event in events if event["log_level"] == "error"]
