"""The RPCs of the enrichment service."""

from collections.abc import AsyncIterator
from contextlib import aclosing

from pantree.enrichment.v1 import enrichment_service_pb2 as messages
from pantree.enrichment.v1 import enrichment_service_pb2_grpc as rpc
from pantree_enrichment import convert
from pantree_enrichment.core.enrichment import Enrichment
from pantree_runtime.grpc_types import Context


class EnrichmentServicer(rpc.EnrichmentServiceServicer):
    """Enriches the items of a request. Stateless."""

    def __init__(self, enrichment: Enrichment) -> None:
        self._enrichment = enrichment

    async def EnrichItems(
        self, request: messages.EnrichItemsRequest, context: Context
    ) -> AsyncIterator[messages.EnrichItemsResponse]:
        items = convert.items_to_enrich(request)
        async with aclosing(self._enrichment.stream(items)) as answers:
            async for index, item in answers:
                yield convert.enrich_items_response(index, item)
