"""The RPCs of the vector service."""

import asyncio
from collections.abc import AsyncIterator

from pantree.vector.v1 import vector_service_pb2 as messages
from pantree.vector.v1 import vector_service_pb2_grpc as rpc
from pantree_runtime.errors import InvalidInput
from pantree_runtime.grpc_types import Context
from pantree_runtime.streams import map_ordered
from pantree_vector import convert
from pantree_vector.core.household_points import HistoryToIndex
from pantree_vector.core.similarity import IndexedHistory, Similarity

# The store can store one batch while it looks up what it has of another. More batches would occupy the threads that
# answer searches, and each may take 4 MiB.
_MAX_CONCURRENT_BATCHES = 3
DEFAULT_LIMIT = 10

_CheckedBatch = list[HistoryToIndex | InvalidInput]


class VectorServicer(rpc.VectorServiceServicer):
    """Indexes and searches items and customers."""

    def __init__(self, similarity: Similarity) -> None:
        self._similarity = similarity

    async def EmbedItems(self, request: messages.EmbedItemsRequest, context: Context) -> messages.EmbedItemsResponse:
        names = list(request.names)
        vectors = await self._similarity.embed(names)
        return convert.embed_response(names, vectors, self._similarity.model)

    async def SearchItems(self, request: messages.SearchItemsRequest, context: Context) -> messages.SearchItemsResponse:
        matches = await self._similarity.search_items(
            request.tenant_id,
            request.text,
            limit=request.limit or DEFAULT_LIMIT,
            item_filter=convert.item_filter(request),
            diversity=request.diversity,
        )
        return convert.items_response(matches)

    async def IndexHistory(
        self, request: messages.IndexHistoryRequest, context: Context
    ) -> messages.IndexHistoryResponse:
        indexed = await self._similarity.index_history(convert.history_to_index(request))
        return convert.index_response(indexed, self._similarity.model)

    async def IndexHistories(
        self, request_iterator: AsyncIterator[messages.IndexHistoriesRequest], context: Context
    ) -> AsyncIterator[messages.IndexHistoriesResponse]:
        checked = (await asyncio.to_thread(convert.histories_to_index, request) async for request in request_iterator)
        first_index = 0
        async for batch, indexed in map_ordered(checked, self._index_batch, concurrency=_MAX_CONCURRENT_BATCHES):
            yield convert.outcomes_response(first_index, batch, indexed, self._similarity.model)
            first_index += len(batch)

    async def _index_batch(self, batch: _CheckedBatch) -> tuple[_CheckedBatch, list[IndexedHistory]]:
        valid = [one for one in batch if isinstance(one, HistoryToIndex)]
        return batch, await self._similarity.index_histories(valid)

    async def GetCustomerProfile(
        self, request: messages.GetCustomerProfileRequest, context: Context
    ) -> messages.GetCustomerProfileResponse:
        profile = await self._similarity.customer_profile(request.tenant_id, request.customer_id)
        return convert.profile_response(profile)

    async def SearchCustomers(
        self, request: messages.SearchCustomersRequest, context: Context
    ) -> messages.SearchCustomersResponse:
        matches = await self._similarity.search_customers(
            request.tenant_id, request.customer_id, limit=request.limit or DEFAULT_LIMIT
        )
        return convert.customers_response(matches)

    async def DescribeNeighborhood(
        self, request: messages.DescribeNeighborhoodRequest, context: Context
    ) -> messages.DescribeNeighborhoodResponse:
        neighborhood = await self._similarity.neighborhood(
            request.tenant_id, request.customer_id, limit=request.limit or DEFAULT_LIMIT
        )
        return convert.neighborhood_response(neighborhood)

    async def DeleteCustomer(
        self, request: messages.DeleteCustomerRequest, context: Context
    ) -> messages.DeleteCustomerResponse:
        removed_count = await self._similarity.delete_customer(request.tenant_id, request.customer_id)
        return messages.DeleteCustomerResponse(removed_count=removed_count)
