"""The calls that one pipeline makes to the other parts, as they pass: how many messages, of how many bytes."""

from collections.abc import Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import grpc
from google.protobuf import json_format

from pantree.pipeline.v1.pipeline_service_pb2 import ProcessInput
from pantree_pipeline import convert
from pantree_pipeline.backends.enrichment import GrpcEnricher
from pantree_pipeline.backends.frequency import GrpcFrequencyAnalyzer
from pantree_pipeline.backends.recommendation import GrpcRecommender
from pantree_pipeline.backends.simulation import GrpcSimulator
from pantree_pipeline.backends.vector import GrpcVectorIndex
from pantree_pipeline.core.pipeline import Pipeline
from pantree_runtime.channel import open_channel
from tests.e2e.mesh import RunningMesh

PARTS = ("simulation", "vector", "frequency", "enrichment", "recommendation")


@dataclass
class RecordedCall:
    """Bytes of the messages of one call."""

    part: str
    request: int = 0
    responses: list[int] = field(default_factory=list)
    streamed: bool = False
    """Whether the method streams its responses."""


async def record(mesh: RunningMesh, body: Mapping[str, Any]) -> list[RecordedCall]:
    """Every call that the pipeline makes for a request, in the order in which they are begun.

    Args:
        mesh: whose parts are called.
        body: the request.

    Raises:
        AssertionError: when a part is not called exactly once: then the bare mesh has the wrong hops.
    """
    calls: list[RecordedCall] = []
    channels = {part: open_channel(mesh.address(part), timeout_seconds=30) for part in PARTS}
    recorders: dict[str, Any] = {part: _Recorder(part, channel, calls) for part, channel in channels.items()}
    pipeline = Pipeline(
        simulator=GrpcSimulator(recorders["simulation"]),
        frequency=GrpcFrequencyAnalyzer(recorders["frequency"]),
        recommender=GrpcRecommender(recorders["recommendation"]),
        vector=GrpcVectorIndex(recorders["vector"]),
        enricher=GrpcEnricher(recorders["enrichment"], timeout_seconds=30),
    )
    try:
        # Asked for once in the life of a pipeline.
        archetypes = await pipeline.archetypes()
        calls.clear()
        message = json_format.ParseDict(dict(body), ProcessInput())
        job = convert.job_of(message, archetypes, date.today(), message.seed)
        async with aclosing(pipeline.run(job)) as events:
            async for _ in events:
                pass
    finally:
        for channel in channels.values():
            await channel.close()
    assert sorted(call.part for call in calls) == sorted(PARTS), calls
    return calls


class _Recorder:
    """Channel that notes what passes."""

    def __init__(self, part: str, channel: grpc.aio.Channel, calls: list[RecordedCall]) -> None:
        self._part = part
        self._channel = channel
        self._calls = calls

    def unary_unary(self, method: str, **options: Any) -> Any:
        return self._channel.unary_unary(method, **self._noting(options, streamed=False))

    def unary_stream(self, method: str, **options: Any) -> Any:
        return self._channel.unary_stream(method, **self._noting(options, streamed=True))

    # Stubs make all their methods; the pipeline calls none of these.
    def stream_unary(self, method: str, **options: Any) -> Any:
        return self._channel.stream_unary(method, **options)

    def stream_stream(self, method: str, **options: Any) -> Any:
        return self._channel.stream_stream(method, **options)

    def _noting(self, options: dict[str, Any], *, streamed: bool) -> dict[str, Any]:
        serialize: Callable[[Any], bytes] = options["request_serializer"]
        deserialize: Callable[[bytes], Any] = options["response_deserializer"]
        own: list[RecordedCall] = []

        def request_serializer(message: Any) -> bytes:
            data = serialize(message)
            own.append(RecordedCall(self._part, len(data), streamed=streamed))
            self._calls.append(own[-1])
            return data

        def response_deserializer(data: bytes) -> Any:
            own[-1].responses.append(len(data))
            return deserialize(data)

        return {
            **options,
            "request_serializer": request_serializer,
            "response_deserializer": response_deserializer,
        }
