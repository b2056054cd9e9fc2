"""The RPCs of the vector service."""

import asyncio
from collections.abc import AsyncIterator

from pantree.vector.v1 import vector_service_pb2 as messages
from pantree.vector.v1 import vector_service_pb2_grpc as rpc
from pantree_runtime.errors import InvalidInput
from pantree_runtime.grpc_types import Context
from pantree_runtime.streams import map_ordered
from pantree_vector import convert
from pantree_vector.core import HistoryToIndex, IndexedHistory, Similarity

# While a store is asked what it has of one batch, it can store another. More would keep its threads from answering
# searches, and each message may take 4 MiB.
_BATCHES_AT_ONCE = 3

_CheckedBatch = list[HistoryToIndex | InvalidInput]


class VectorServicer(rpc.VectorServiceServicer):
    """Answers from the points that were stored."""

    def __init__(self, similarity: Similarity) -> None:
        self._similarity = similarity

    async def EmbedItems(self, request: messages.EmbedItemsRequest, context: Context) -> messages.EmbedItemsResponse:
        """A unit vector for each name."""
        names = convert.names_to_embed(request)
        vectors = await self._similarity.embed(names)
        return convert.embed_response(names, vectors, self._similarity.model)

    async def SearchItems(self, request: messages.SearchItemsRequest, context: Context) -> messages.SearchItemsResponse:
        """The stored items most alike to a text."""
        search = convert.item_search(request)
        matches = await self._similarity.search_items(
            search.tenant_id, search.text, limit=search.limit, wanted=search.wanted, diversity=search.diversity
        )
        return convert.items_response(matches)

    async def IndexHistory(
        self, request: messages.IndexHistoryRequest, context: Context
    ) -> messages.IndexHistoryResponse:
        """Stores a household's items and its profile."""
        to_index = convert.history_to_index(request)
        indexed = await self._similarity.index_history(
            to_index.tenant_id, to_index.customer_id, to_index.history, to_index.as_of_day
        )
        return convert.index_response(indexed, self._similarity.model)

    async def IndexHistories(
        self, request_iterator: AsyncIterator[messages.IndexHistoriesRequest], context: Context
    ) -> AsyncIterator[messages.IndexHistoriesResponse]:
        """Stores households batch by batch, some of them at a time."""
        checked = (await asyncio.to_thread(convert.histories_to_index, request) async for request in request_iterator)
        first_index = 0
        async for batch, indexed in map_ordered(checked, self._index_batch, concurrency=_BATCHES_AT_ONCE):
            yield convert.outcomes_response(first_index, batch, indexed, self._similarity.model)
            first_index += len(batch)

    async def _index_batch(self, batch: _CheckedBatch) -> tuple[_CheckedBatch, list[IndexedHistory]]:
        right = [one for one in batch if isinstance(one, HistoryToIndex)]
        return batch, await self._similarity.index_histories(right)

    async def GetCustomerProfile(
        self, request: messages.GetCustomerProfileRequest, context: Context
    ) -> messages.GetCustomerProfileResponse:
        """The stored profile of a customer."""
        customer = convert.customer_name(request)
        profile = await self._similarity.customer_profile(customer.tenant_id, customer.customer_id)
        return convert.profile_response(profile)

    async def SearchCustomers(
        self, request: messages.SearchCustomersRequest, context: Context
    ) -> messages.SearchCustomersResponse:
        """The customers most alike to a stored customer."""
        search = convert.customer_search(request)
        matches = await self._similarity.search_customers(search.tenant_id, search.customer_id, limit=search.limit)
        return convert.customers_response(matches)

    async def DescribeNeighborhood(
        self, request: messages.DescribeNeighborhoodRequest, context: Context
    ) -> messages.DescribeNeighborhoodResponse:
        """What the customers most alike to a stored customer buy again and again."""
        search = convert.customer_search(request)
        neighborhood = await self._similarity.neighborhood(search.tenant_id, search.customer_id, limit=search.limit)
        return convert.neighborhood_response(neighborhood)

    async def DeleteCustomer(
        self, request: messages.DeleteCustomerRequest, context: Context
    ) -> messages.DeleteCustomerResponse:
        """Removes every trace of a customer."""
        customer = convert.customer_name(request)
        removed_count = await self._similarity.delete_customer(customer.tenant_id, customer.customer_id)
        return convert.delete_response(removed_count)
