"""The vector service over gRPC."""

from datetime import date

import grpc

from pantree.vector.v1 import vector_service_pb2 as messages
from pantree.vector.v1 import vector_service_pb2_grpc as rpc
from pantree_domain.purchases import PurchaseHistory
from pantree_pipeline.backends.calls import Asking
from pantree_pipeline.core import Neighborhood
from pantree_runtime.purchase_columns import columns_of

NAME = "vector"
# As many as a request for recommendations may hold: what the household buys by now falls away there.
NEIGHBOR_ITEMS = 100


class GrpcVectorIndex:
    """Asks the vector service. A profile is handed on as its message, `CustomerProfile`, a neighborhood likewise."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = rpc.VectorServiceStub(channel)

    async def index(self, tenant_id: str, customer_id: str, history: PurchaseHistory, as_of: date) -> object:
        """Stores a history and returns the customer's profile.

        Raises:
            PantreeError: when the service fails.
        """
        request = messages.IndexHistoryRequest(
            tenant_id=tenant_id, customer_id=customer_id, purchases=columns_of(history), as_of=as_of.isoformat()
        )
        with Asking(NAME):
            response = await self._stub.IndexHistory(request)
        return response.profile

    async def neighborhood(self, tenant_id: str, customer_id: str) -> Neighborhood:
        """What customers similar to a stored one buy.

        Raises:
            PantreeError: when the service fails.
        """
        request = messages.DescribeNeighborhoodRequest(
            tenant_id=tenant_id, customer_id=customer_id, limit=NEIGHBOR_ITEMS
        )
        with Asking(NAME):
            response = await self._stub.DescribeNeighborhood(request)
        found = response.neighborhood
        return Neighborhood(found.neighbor_count, len(found.items), found)
