"""The client itself."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from types import TracebackType
from typing import Self

import grpc

from pantree.pipeline.v1 import pipeline_service_pb2 as messages
from pantree.pipeline.v1 import pipeline_service_pb2_grpc as rpc
from pantree_client.requests import FirstPurchase, History
from pantree_client.results import Event, Result, Status, event_of, result_of, status_of
from pantree_runtime.channel import open_channel
from pantree_runtime.status import calling

_COMPONENT = "pipeline"


class PantreeClient:
    """Calls the pipeline service. Use it as an async context manager, inside a running event loop.

    Args:
        address: `host:port` of the pipeline service, or `dns:///name:port` for several replicas.
        timeout_seconds: longest time for one call, streams included.
    """

    def __init__(self, address: str = "127.0.0.1:50051", *, timeout_seconds: float = 60.0) -> None:
        self.address = address
        self._timeout_seconds = timeout_seconds
        self._channel: grpc.aio.Channel | None = None

    async def __aenter__(self) -> Self:
        self._channel = open_channel(self.address, longest_seconds=self._timeout_seconds)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._channel is not None:
            await self._channel.close()
            self._channel = None

    async def process(self, request: FirstPurchase | History) -> Result:
        """Recommendations for one household.

        Raises:
            InvalidInput: naming every wrong field.
            ComponentUnavailable: when a part that the answer needs does not answer.
            DeadlineExceeded: when it took too long.
        """
        with calling(_COMPONENT):
            response = await self._stub.Process(messages.ProcessRequest(input=request.message()))
        return result_of(response.result)

    async def stream(self, request: FirstPurchase | History) -> AsyncGenerator[Event]:
        """One `Started`, a `MonthlyUpdate` for each month as soon as it is there, and the `Result`.

        Raises:
            PantreeError: as `process`, at any moment of the stream.
        """
        async with aclosing(self.stream_message(request.message())) as events:
            async for event in events:
                yield event

    async def stream_message(self, message: messages.ProcessInput) -> AsyncGenerator[Event]:
        """As `stream`, for callers who have the contract's own message."""
        call = self._stub.StreamProcess(messages.StreamProcessRequest(input=message))
        try:
            with calling(_COMPONENT):
                async for response in call:
                    yield event_of(response)
        finally:
            call.cancel()  # does nothing after the last event

    async def status(self) -> Status:
        """The state of the whole.

        Raises:
            ComponentUnavailable: when the pipeline itself does not answer.
        """
        with calling(_COMPONENT):
            return status_of(await self._stub.GetStatus(messages.GetStatusRequest()))

    async def config(self) -> messages.GetConfigResponse:
        """How the pipeline is set up: defaults, limits, parts.

        Raises:
            ComponentUnavailable: when the pipeline or simulation does not answer.
        """
        with calling(_COMPONENT):
            return await self._stub.GetConfig(messages.GetConfigRequest())

    @property
    def _stub(self) -> "rpc.PipelineServiceAsyncStub":
        if self._channel is None:
            raise RuntimeError("use the client as an async context manager: async with PantreeClient(...) as client")
        return rpc.PipelineServiceStub(self._channel)
