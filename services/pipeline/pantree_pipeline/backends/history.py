"""The history service over gRPC."""

import grpc

from pantree.history.v1 import history_service_pb2 as messages
from pantree.history.v1 import history_service_pb2_grpc as rpc
from pantree_pipeline.backends.calls import translate_part_errors
from pantree_pipeline.core.ports import ErasedHistory, HistoryKeeper, StoredHistory
from pantree_runtime.tenants import tenant_metadata


class GrpcHistory(HistoryKeeper):
    """Calls the history service. The payload is a `PurchaseColumns` message."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = rpc.HistoryServiceStub(channel)

    async def history(self, tenant_id: str, customer_id: str, as_of: str, as_known_on: str) -> StoredHistory:
        request = messages.GetHistoryRequest(customer_id=customer_id, as_of=as_of, as_known_on=as_known_on)
        with translate_part_errors("history"):
            response = await self._stub.GetHistory(request, metadata=tenant_metadata(tenant_id))
        return StoredHistory(
            response.purchases, response.history_version, response.omitted_count, response.currency_code
        )

    async def erase(self, tenant_id: str, customer_id: str) -> ErasedHistory:
        request = messages.EraseCustomerRequest(customer_id=customer_id)
        with translate_part_errors("history"):
            response = await self._stub.EraseCustomer(request, metadata=tenant_metadata(tenant_id))
        return ErasedHistory(
            response.erased_at, response.ledger_entry_id, response.removed_line_count, response.merged_customer_ids
        )
