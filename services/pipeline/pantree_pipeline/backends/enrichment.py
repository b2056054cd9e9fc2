"""The enrichment service over gRPC."""

import math
from collections.abc import Sequence

import grpc

from pantree.enrichment.v1 import enrichment_service_pb2 as messages
from pantree.enrichment.v1 import enrichment_service_pb2_grpc as rpc
from pantree_pipeline.backends.calls import translate_part_errors
from pantree_pipeline.core.ports import Enricher, Enrichment, EnrichmentResult, ItemToEnrich
from pantree_runtime.deadline import remaining_seconds
from pantree_runtime.errors import DeadlineExceeded

NAME = "enrichment"
# Of the remaining time; recommendation, which is required, follows enrichment.
_MAX_TIME_RATIO = 0.5


class GrpcEnricher(Enricher):
    """Calls the enrichment service. Payloads are `EnrichedItem` messages.

    Args:
        channel: channel to the enrichment service.
        timeout_seconds: longest time of a call, which is also limited to half of the request's remaining time.
    """

    def __init__(self, channel: grpc.aio.Channel, *, timeout_seconds: float) -> None:
        self._stub = rpc.EnrichmentServiceStub(channel)
        self._timeout_seconds = timeout_seconds

    async def enrich(self, items: Sequence[ItemToEnrich]) -> EnrichmentResult:
        """The enrichments that arrive before the call's deadline.

        Raises:
            PantreeError: when the call fails, or none arrives in time.
        """
        request = messages.EnrichItemsRequest(
            items=[messages.ItemToEnrich(name=item.name, category=item.category) for item in items]
        )
        enriched: dict[int, messages.EnrichedItem] = {}
        try:
            with translate_part_errors(NAME):
                async for response in self._stub.EnrichItems(request, timeout=self._timeout()):
                    if response.HasField("item"):
                        enriched[response.item_index] = response.item
        except DeadlineExceeded:
            if not enriched:
                raise
        in_order = [item for _, item in sorted(enriched.items())]
        return EnrichmentResult(
            items=tuple(Enrichment(item.name, item.source, payload=item) for item in in_order),
            missing_count=len(items) - len(enriched),
            fallback_reason=next((item.fallback_reason for item in in_order if item.fallback_reason), ""),
        )

    def _timeout(self) -> float:
        remaining = remaining_seconds()
        limit = math.inf if remaining is None else remaining * _MAX_TIME_RATIO
        return min(self._timeout_seconds, limit)
