"""The enrichment service over gRPC."""

from collections.abc import Sequence

import grpc

from pantree.enrichment.v1 import enrichment_service_pb2 as messages
from pantree.enrichment.v1 import enrichment_service_pb2_grpc as rpc
from pantree_pipeline.backends.calls import Asking
from pantree_pipeline.core import Enrichment, EnrichmentResult, ItemToEnrich
from pantree_runtime.deadline import remaining_seconds
from pantree_runtime.errors import DeadlineExceeded

NAME = "enrichment"
# The recommendation comes after enrichment and is the one that must not be late.
_SHARE_OF_TIME_LEFT = 0.5


class GrpcEnricher:
    """Asks the enrichment service. What it knows is handed on as its message, `EnrichedItem`."""

    def __init__(self, channel: grpc.aio.Channel, *, longest_seconds: float) -> None:
        """Takes whom it asks.

        Args:
            channel: to the enrichment service.
            longest_seconds: how long a call may take, and never more than half of what is left for the request.
        """
        self._stub = rpc.EnrichmentServiceStub(channel)
        self._longest_seconds = longest_seconds

    async def enrich(self, items: Sequence[ItemToEnrich]) -> EnrichmentResult:
        """What is known about items; what did not come before the call's deadline is counted as missing.

        Raises:
            PantreeError: when the service fails, or nothing at all came in time.
        """
        request = messages.EnrichItemsRequest(
            items=[messages.ItemToEnrich(name=item.name, category=item.category) for item in items]
        )
        enriched: dict[int, messages.EnrichedItem] = {}
        try:
            with Asking(NAME):
                async for response in self._stub.EnrichItems(request, timeout=self._seconds()):
                    if response.HasField("item"):
                        enriched[response.item_index] = response.item
        except DeadlineExceeded:
            if not enriched:
                raise
        return EnrichmentResult(
            items=tuple(Enrichment(item.name, item.source, payload=item) for _, item in sorted(enriched.items())),
            missing_count=len(items) - len(enriched),
            fallback_reason=next(
                (item.fallback_reason for _, item in sorted(enriched.items()) if item.fallback_reason), ""
            ),
        )

    def _seconds(self) -> float:
        remaining = remaining_seconds()
        if remaining is None:
            return self._longest_seconds
        return min(self._longest_seconds, remaining * _SHARE_OF_TIME_LEFT)
