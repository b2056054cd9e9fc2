"""The enrichment service over gRPC."""

from collections.abc import Sequence

import grpc

from pantree.enrichment.v1 import enrichment_service_pb2 as messages
from pantree.enrichment.v1 import enrichment_service_pb2_grpc as rpc
from pantree_pipeline.backends.calls import asking
from pantree_pipeline.core import Enrichment, EnrichmentResult, ItemEvidence
from pantree_runtime.errors import DeadlineExceeded

NAME = "enrichment"


class GrpcEnricher:
    """Asks the enrichment service. What it knows is handed on as its message, `EnrichedItem`."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = rpc.EnrichmentServiceStub(channel)

    async def enrich(self, items: Sequence[ItemEvidence]) -> EnrichmentResult:
        """What is known about items; what did not come before the call's deadline is counted as missing.

        Raises:
            PantreeError: when the service fails, or nothing at all came in time.
        """
        request = messages.EnrichItemsRequest(
            items=[messages.ItemToEnrich(name=item.name, category=item.category) for item in items]
        )
        enriched: dict[int, messages.EnrichedItem] = {}
        try:
            with asking(NAME):
                async for response in self._stub.EnrichItems(request):
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
