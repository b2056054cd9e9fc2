"""Tests of the server with its interceptors, on services whose behavior each test defines."""

import asyncio
import contextlib
import gc
import json
import os
import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from structlog.testing import capture_logs

from pantree.enrichment.v1 import enrichment_service_pb2 as messages
from pantree.enrichment.v1 import enrichment_service_pb2_grpc as rpc
from pantree.frequency.v1 import frequency_service_pb2, frequency_service_pb2_grpc
from pantree.purchase.v1.purchase_pb2 import PurchaseColumns
from pantree_runtime import telemetry
from pantree_runtime.channel import open_channel
from pantree_runtime.deadline import remaining_seconds
from pantree_runtime.errors import (
    ComponentUnavailable,
    DeadlineExceeded,
    InternalError,
    NotFound,
    Overloaded,
    PantreeError,
)
from pantree_runtime.grpc_types import Context
from pantree_runtime.server import ServiceSpec, running, serve_until_signal, start
from pantree_runtime.status import translate_rpc_errors
from tests.loopback import loopback

REQUEST = messages.EnrichItemsRequest(items=[messages.ItemToEnrich(name="Milk")])
HISTORY = frequency_service_pb2.AnalyzeHistoryRequest(purchases=PurchaseColumns(), as_of="2026-05-22")
SERVICE = "pantree.enrichment.v1.EnrichmentService"
Stream = Callable[[Context], AsyncIterator[messages.EnrichItemsResponse]]


class Streaming(rpc.EnrichmentServiceServicer):
    def __init__(self, behavior: Stream) -> None:
        self._behavior = behavior

    async def EnrichItems(
        self, request: messages.EnrichItemsRequest, context: Context
    ) -> AsyncIterator[messages.EnrichItemsResponse]:
        async for response in self._behavior(context):
            yield response


class Unary(frequency_service_pb2_grpc.FrequencyServiceServicer):
    def __init__(self, behavior: Callable[[], Awaitable[None]]) -> None:
        self._behavior = behavior

    async def AnalyzeHistory(
        self, request: frequency_service_pb2.AnalyzeHistoryRequest, context: Context
    ) -> frequency_service_pb2.AnalyzeHistoryResponse:
        await self._behavior()
        return frequency_service_pb2.AnalyzeHistoryResponse()

    async def AnalyzeHistories(
        self, request_iterator: AsyncIterator[frequency_service_pb2.AnalyzeHistoriesRequest], context: Context
    ) -> AsyncIterator[frequency_service_pb2.AnalyzeHistoriesResponse]:
        async for _ in request_iterator:
            yield frequency_service_pb2.AnalyzeHistoriesResponse()

    async def FindCadenceChanges(
        self, request: frequency_service_pb2.FindCadenceChangesRequest, context: Context
    ) -> frequency_service_pb2.FindCadenceChangesResponse:
        return frequency_service_pb2.FindCadenceChangesResponse()


async def nothing_to_do() -> None:
    pass


def streaming_part(
    behavior: Stream,
    warm_up: Callable[[], Awaitable[None]] = nothing_to_do,
    close: Callable[[], Awaitable[None]] = nothing_to_do,
) -> ServiceSpec:
    return ServiceSpec(
        "enrichment",
        {SERVICE: lambda server: rpc.add_EnrichmentServiceServicer_to_server(Streaming(behavior), server)},
        warm_up=warm_up,
        close=close,
    )


def unary_part(behavior: Callable[[], Awaitable[None]]) -> ServiceSpec:
    def add_to(server: grpc.aio.Server) -> None:
        frequency_service_pb2_grpc.add_FrequencyServiceServicer_to_server(Unary(behavior), server)

    return ServiceSpec("frequency", {"pantree.frequency.v1.FrequencyService": add_to})


def response(index: int) -> messages.EnrichItemsResponse:
    return messages.EnrichItemsResponse(item_index=index)


async def health_of(channel: grpc.aio.Channel, service: str = "") -> int:
    check = health_pb2_grpc.HealthStub(channel).Check  # type: ignore[attr-defined]
    return int((await check(health_pb2.HealthCheckRequest(service=service))).status)


async def call_unary(channel: grpc.aio.Channel, seconds: float | None = None) -> None:
    stub = frequency_service_pb2_grpc.FrequencyServiceStub(channel)
    with translate_rpc_errors("frequency"):
        await stub.AnalyzeHistory(HISTORY, timeout=seconds)


async def test_error_in_mid_stream_keeps_its_reason_and_earlier_messages() -> None:
    async def two_then_failure(context: Context) -> AsyncIterator[messages.EnrichItemsResponse]:
        yield response(0)
        yield response(1)
        raise ComponentUnavailable("nim", "nim is down")

    received = []
    async with loopback(streaming_part(two_then_failure)) as channel:
        with pytest.raises(ComponentUnavailable) as raised, translate_rpc_errors("enrichment"):
            async for item in rpc.EnrichmentServiceStub(channel).EnrichItems(REQUEST):
                received.append(item.item_index)
    assert received == [0, 1]
    assert raised.value.component == "nim"


async def test_details_of_an_unexpected_error_are_only_in_the_log() -> None:
    async def fail() -> None:
        raise RuntimeError("the secret inside")

    async with loopback(unary_part(fail)) as channel:
        with capture_logs() as logs, pytest.raises(InternalError) as raised:
            await call_unary(channel)
    assert "secret" not in raised.value.message
    assert any(log["event"] == "unexpected error" and log["exc_info"] for log in logs)


async def test_each_call_is_logged_with_its_code() -> None:
    async def fail() -> None:
        raise NotFound("nobody")

    async with loopback(unary_part(fail)) as channel:
        with capture_logs() as logs, contextlib.suppress(PantreeError):
            await call_unary(channel)
    (call,) = [log for log in logs if log["event"] == "call"]
    assert (call["method"], call["code"]) == ("pantree.frequency.v1.FrequencyService/AnalyzeHistory", "NOT_FOUND")


async def test_handler_knows_the_remaining_time() -> None:
    left: list[float | None] = []

    async def note() -> None:
        left.append(remaining_seconds())

    async with loopback(unary_part(note)) as channel:
        await call_unary(channel, seconds=20)
    assert left[0] is not None
    assert 0 < left[0] <= 21  # computed from the time of day, which may be adjusted meanwhile


async def test_call_with_too_little_time_left_is_refused_before_the_work() -> None:
    calls = []

    async def note() -> None:
        calls.append(1)

    async with loopback(unary_part(note)) as channel:
        await call_unary(channel)  # connects, so that the server sees the short deadline below
        calls.clear()
        with pytest.raises(DeadlineExceeded):
            await call_unary(channel, seconds=0.04)
    assert not calls


async def test_stream_stops_when_the_caller_leaves() -> None:
    closed = asyncio.Event()

    async def endless(context: Context) -> AsyncIterator[messages.EnrichItemsResponse]:
        try:
            while True:
                yield response(0)
                await asyncio.sleep(0.01)
        finally:
            closed.set()

    async with loopback(streaming_part(endless)) as channel:
        call = rpc.EnrichmentServiceStub(channel).EnrichItems(REQUEST)
        await anext(aiter(call))
        call.cancel()
        await asyncio.wait_for(closed.wait(), timeout=10)


async def test_part_is_serving_only_after_warm_up() -> None:
    warm = asyncio.Event()

    async def nothing(context: Context) -> AsyncIterator[messages.EnrichItemsResponse]:
        yield response(0)

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]

    async def warm_up() -> None:
        await warm.wait()

    starting = asyncio.create_task(start(streaming_part(nothing, warm_up=warm_up), host="127.0.0.1", port=port))
    # A plain channel, since ours connect only to parts that are SERVING.
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        await channel.channel_ready()
        stub = rpc.EnrichmentServiceStub(channel)
        with pytest.raises(ComponentUnavailable, match="enrichment is starting"), translate_rpc_errors("enrichment"):
            async for _ in stub.EnrichItems(REQUEST):
                pass
        assert await health_of(channel) == health_pb2.HealthCheckResponse.NOT_SERVING
        assert await health_of(channel, SERVICE) == health_pb2.HealthCheckResponse.NOT_SERVING
        warm.set()
        part = await starting
        assert await health_of(channel, SERVICE) == health_pb2.HealthCheckResponse.SERVING
    await part.stop(0)


async def test_failed_warm_up_closes_the_part() -> None:
    closed = asyncio.Event()

    async def nothing(context: Context) -> AsyncIterator[messages.EnrichItemsResponse]:
        yield response(0)

    async def fail() -> None:
        raise ComponentUnavailable("store", "no store")

    async def close() -> None:
        closed.set()

    with pytest.raises(ComponentUnavailable):
        await start(streaming_part(nothing, warm_up=fail, close=close), host="127.0.0.1", port=0)
    assert closed.is_set()


async def test_garbage_collection_skips_objects_from_before_serving() -> None:
    frozen: list[int] = []

    class Served:
        address = "127.0.0.1:0"

        async def stop(self, grace_seconds: float) -> None:
            frozen.append(gc.get_freeze_count())

    async def begin() -> Served:
        asyncio.get_running_loop().call_soon(os.kill, os.getpid(), signal.SIGTERM)
        return Served()

    objects, thresholds = len(gc.get_objects()), gc.get_threshold()
    try:
        await serve_until_signal(begin, drain_seconds=0)
        assert gc.get_threshold() > thresholds
    finally:
        gc.unfreeze()
        gc.set_threshold(*thresholds)
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().remove_signal_handler(number)
    assert frozen[0] > objects / 2


async def test_stop_waits_for_a_stream() -> None:
    proceed = asyncio.Event()

    async def slow(context: Context) -> AsyncIterator[messages.EnrichItemsResponse]:
        yield response(0)
        await proceed.wait()
        yield response(1)

    async with running(streaming_part(slow)) as part, open_channel(part.address, timeout_seconds=30) as channel:
        stream = aiter(rpc.EnrichmentServiceStub(channel).EnrichItems(REQUEST))
        await anext(stream)
        stopping = asyncio.create_task(part.stop(10))
        await asyncio.sleep(0.1)
        assert not stopping.done()
        proceed.set()
        assert [item.item_index async for item in stream] == [1]
        await stopping


async def test_stream_that_outlasts_the_drain_fails_as_unavailable() -> None:
    async def endless(context: Context) -> AsyncIterator[messages.EnrichItemsResponse]:
        yield response(0)
        await asyncio.Event().wait()

    async with running(streaming_part(endless)) as part, open_channel(part.address, timeout_seconds=30) as channel:
        stream = aiter(rpc.EnrichmentServiceStub(channel).EnrichItems(REQUEST))
        await anext(stream)
        stopping = asyncio.create_task(part.stop(0.1))
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await anext(stream)
        assert raised.value.code() is grpc.StatusCode.UNAVAILABLE
        await stopping


@pytest.mark.parametrize("retries", [True, False])
async def test_no_call_fails_when_one_of_two_servers_stops(retries: bool) -> None:
    """Neither with the retries of `open_channel`, nor without them for a client that watches the health of servers."""

    async def brief() -> None:
        await asyncio.sleep(0.001)

    config = {"loadBalancingConfig": [{"round_robin": {}}], "healthCheckConfig": {"serviceName": ""}}
    for _ in range(5):
        first, second = [await start(unary_part(brief), host="127.0.0.1", port=0) for _ in range(2)]
        address = f"ipv4:{first.address},{second.address}"
        if retries:
            channel = open_channel(address, timeout_seconds=30)
        else:
            options = [("grpc.service_config", json.dumps(config)), ("grpc.enable_retries", 0)]
            channel = grpc.aio.insecure_channel(address, options=options)
        stub = frequency_service_pb2_grpc.FrequencyServiceStub(channel)
        stopped = asyncio.Event()

        async def work(stub: "frequency_service_pb2_grpc.FrequencyServiceAsyncStub", stopped: asyncio.Event) -> int:
            calls = 0
            while not stopped.is_set():
                await stub.AnalyzeHistory(HISTORY, timeout=10)
                calls += 1
            return calls

        async with channel, asyncio.TaskGroup() as group:
            workers = [group.create_task(work(stub, stopped)) for _ in range(16)]
            await asyncio.sleep(0.05)
            await first.stop(10)
            stopped.set()
        assert min(worker.result() for worker in workers) > 0
        await second.stop(0)


async def test_call_that_a_stopping_server_did_not_begin_is_retried() -> None:
    codes = [grpc.StatusCode.CANCELLED, grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED]
    calls = []

    async def answer(request: bytes, context: Context) -> bytes:
        calls.append(request)
        if codes:
            await context.abort(codes.pop())
        return b""

    server = grpc.aio.server()
    handler: grpc.RpcMethodHandler[bytes, bytes] = grpc.unary_unary_rpc_method_handler(answer)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("x.Example", {"Answer": handler}),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with open_channel(f"127.0.0.1:{port}", timeout_seconds=30) as channel:
        call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary("/x.Example/Answer")
        await call(b"")
    assert len(calls) == 4
    await server.stop(0)


async def test_call_that_its_caller_cancels_is_not_retried() -> None:
    begun, calls = asyncio.Event(), []

    async def hold() -> None:
        calls.append(1)
        begun.set()
        await asyncio.Event().wait()

    async with loopback(unary_part(hold)) as channel:
        call = asyncio.create_task(call_unary(channel))
        await begun.wait()
        call.cancel()
        await asyncio.wait([call])
        await asyncio.sleep(0.5)
    assert call.cancelled()
    assert len(calls) == 1


async def test_port_in_use_is_an_error_that_names_the_setting() -> None:
    async def nothing() -> None:
        pass

    async with running(unary_part(nothing)) as part:
        port = int(part.address.rsplit(":", 1)[1])
        with pytest.raises(OSError, match="PANTREE_FREQUENCY_PORT"):
            await start(unary_part(nothing), host="127.0.0.1", port=port)


async def test_health_answers_without_our_interceptors() -> None:
    async def nothing() -> None:
        pass

    async with loopback(unary_part(nothing)) as channel:
        with capture_logs() as logs:
            assert await health_of(channel) == health_pb2.HealthCheckResponse.SERVING
    assert not [log for log in logs if log["event"] == "call"]


async def test_call_beyond_the_limit_is_refused_with_a_time_to_retry() -> None:
    proceed, begun = asyncio.Event(), asyncio.Event()

    async def hold() -> None:
        begun.set()
        await proceed.wait()

    part = await start(unary_part(hold), host="127.0.0.1", port=0, max_calls=1)
    async with open_channel(part.address, timeout_seconds=30) as channel:
        first = asyncio.create_task(call_unary(channel))
        await begun.wait()
        with pytest.raises(Overloaded) as refused:
            await call_unary(channel)
        assert refused.value.retry_after_seconds == 1.0
        proceed.set()
        await first
        await call_unary(channel)
    await part.stop(0)


async def test_failure_that_a_server_reports_itself_is_not_retried() -> None:
    calls = []

    async def fail() -> None:
        calls.append(1)
        raise ComponentUnavailable("store", "no store")

    async with loopback(unary_part(fail)) as channel:
        with pytest.raises(ComponentUnavailable):
            await call_unary(channel)
    assert len(calls) == 1


TRACE_ID, SPAN_ID = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


@pytest.mark.parametrize(
    ("traceparent", "is_continued"),
    [
        (f"00-{TRACE_ID}-{SPAN_ID}-01", True),
        (f"00-{TRACE_ID}-{'0' * 16}-01", False),
        (f"00-{TRACE_ID[:-1]}-{SPAN_ID}-01", False),
        ("nonsense", False),
    ],
)
async def test_trace_of_the_caller_is_continued(traceparent: str, is_continued: bool) -> None:
    seen = []

    async def note() -> None:
        seen.append((telemetry.trace_id(), telemetry.client_span("next").headers()[telemetry.TRACEPARENT]))

    async with loopback(unary_part(note)) as channel:
        await frequency_service_pb2_grpc.FrequencyServiceStub(channel).AnalyzeHistory(
            HISTORY, metadata=((telemetry.TRACEPARENT, traceparent),)
        )
    ((trace_id, sent),) = seen
    assert (trace_id == TRACE_ID) == is_continued
    assert (sent == traceparent) == is_continued  # without a collector there is no span of this process in between
    assert sent.startswith(f"00-{trace_id}-")
    assert sent.endswith("-01")
    assert trace_id.strip("0")
