"""The enrichment service over gRPC."""

from collections import Counter
from collections.abc import Sequence

import grpc

from pantree.enrichment.v1 import enrichment_service_pb2 as messages
from pantree.enrichment.v1 import enrichment_service_pb2_grpc as rpc
from pantree_pipeline.backends.calls import translate_part_errors
from pantree_pipeline.core.ports import Enricher, Enrichment, EnrichmentResult, ItemToEnrich
from pantree_runtime.deadline import remaining_seconds
from pantree_runtime.errors import DeadlineExceeded

# Share of the remaining time; the rest is for recommendation, which comes next and is required.
_MAX_TIME_RATIO = 0.5


class GrpcEnricher(Enricher):
    """Calls the enrichment service. Payloads are `EnrichedItem` messages.

    Args:
        channel: channel to the enrichment service.
        timeout_seconds: timeout of a call, which also gets at most half of the request's remaining time.
    """

    def __init__(self, channel: grpc.aio.Channel, *, timeout_seconds: float) -> None:
        self._stub = rpc.EnrichmentServiceStub(channel)
        self._timeout_seconds = timeout_seconds

    async def enrich(self, items: Sequence[ItemToEnrich]) -> EnrichmentResult:
        request = messages.EnrichItemsRequest(
            items=[messages.ItemToEnrich(name=item.name, category=item.category) for item in items]
        )
        remaining = remaining_seconds()
        timeout = self._timeout_seconds
        if remaining is not None:
            timeout = min(timeout, remaining * _MAX_TIME_RATIO)
        enriched: dict[int, messages.EnrichedItem] = {}
        try:
            with translate_part_errors("enrichment"):
                async for response in self._stub.EnrichItems(request, timeout=timeout):
                    if response.HasField("item"):
                        enriched[response.item_index] = response.item
        except DeadlineExceeded:
            if not enriched:
                raise
        in_order = [item for _, item in sorted(enriched.items())]
        return EnrichmentResult(
            items=tuple(Enrichment(item.name, item.source, payload=item) for item in in_order),
            missing_count=len(items) - len(enriched),
            fallback_reason=_fallback_reason(in_order),
        )


def _fallback_reason(items: Sequence[messages.EnrichedItem]) -> str:
    """What the items lack and the most frequent reason for it; empty if they lack nothing."""
    reasons = Counter(item.fallback_reason for item in items if item.fallback_reason)
    if not reasons:
        return ""
    return f"the catalog alone describes {reasons.total()} of {len(items)} items: {reasons.most_common(1)[0][0]}"
