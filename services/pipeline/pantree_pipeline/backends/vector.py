"""The vector service over gRPC."""

from datetime import date

import grpc

from pantree.vector.v1 import vector_service_pb2 as messages
from pantree.vector.v1 import vector_service_pb2_grpc as rpc
from pantree_domain.limits import max_items
from pantree_domain.purchases import PurchaseHistory
from pantree_pipeline.backends.calls import translate_part_errors
from pantree_pipeline.core.ports import Neighborhood, VectorIndex
from pantree_runtime.purchase_columns import columns_of

# As many as allowed, because the recommendation service drops the items that the household already buys.
_MAX_NEIGHBOR_ITEMS = max_items("pantree.vector.v1.Neighborhood.items")


class GrpcVectorIndex(VectorIndex):
    """Calls the vector service. Payloads are `CustomerProfile` and `Neighborhood` messages."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = rpc.VectorServiceStub(channel)

    async def index(self, tenant_id: str, customer_id: str, history: PurchaseHistory, as_of: date) -> object:
        request = messages.IndexHistoryRequest(
            tenant_id=tenant_id, customer_id=customer_id, purchases=columns_of(history), as_of=as_of.isoformat()
        )
        with translate_part_errors("vector"):
            response = await self._stub.IndexHistory(request)
        return response.profile

    async def neighborhood(self, tenant_id: str, customer_id: str) -> Neighborhood:
        request = messages.DescribeNeighborhoodRequest(
            tenant_id=tenant_id, customer_id=customer_id, limit=_MAX_NEIGHBOR_ITEMS
        )
        with translate_part_errors("vector"):
            response = await self._stub.DescribeNeighborhood(request)
        neighborhood = response.neighborhood
        return Neighborhood(neighborhood.neighbor_count, len(neighborhood.items), neighborhood)

    async def delete(self, tenant_id: str, customer_id: str) -> int:
        request = messages.DeleteCustomerRequest(tenant_id=tenant_id, customer_id=customer_id)
        with translate_part_errors("vector"):
            return (await self._stub.DeleteCustomer(request)).removed_count
