"""The history service over gRPC."""

import asyncio
from collections.abc import Sequence

import grpc

from pantree.history.v1 import history_service_pb2 as messages
from pantree.history.v1 import history_service_pb2_grpc as rpc
from pantree.subscription.v1 import subscription_service_pb2 as subscription
from pantree.subscription.v1 import subscription_service_pb2_grpc as subscription_rpc
from pantree_pipeline.backends.calls import translate_part_errors
from pantree_pipeline.core.ports import ErasedHistory, HistoryKeeper, StoredHistory, StoredSubscription
from pantree_runtime.tenants import tenant_metadata

_PAGE_SIZE = 1000
_CONCURRENT_CALLS = 8
_ENDED = (subscription.SUBSCRIPTION_STATUS_CANCELLED, subscription.SUBSCRIPTION_STATUS_EXPIRED)


class GrpcHistory(HistoryKeeper):
    """Calls the history service. The payload is a `PurchaseColumns` message."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = rpc.HistoryServiceStub(channel)
        self._subscriptions = subscription_rpc.SubscriptionServiceStub(channel)

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

    async def subscriptions(self, tenant_id: str, customer_id: str) -> Sequence[StoredSubscription]:
        request = subscription.ListSubscriptionsRequest(customer_id=customer_id, page_size=_PAGE_SIZE)
        running: list[subscription.CustomerSubscription] = []
        limit = asyncio.Semaphore(_CONCURRENT_CALLS)

        async def stored(one: subscription.CustomerSubscription) -> StoredSubscription | None:
            async with limit:
                deliveries = await self._deliveries(tenant_id, customer_id, one.subscription_id)
            return None if deliveries is None else StoredSubscription(one, deliveries)

        with translate_part_errors("history"):
            while True:
                page = await self._subscriptions.ListSubscriptions(request, metadata=tenant_metadata(tenant_id))
                running += [one for one in page.subscriptions if one.status not in _ENDED]
                if not page.next_page_token:
                    break
                request.page_token = page.next_page_token
            return [one for one in await asyncio.gather(*map(stored, running)) if one is not None]

    async def _deliveries(
        self, tenant_id: str, customer_id: str, subscription_id: str
    ) -> list[subscription.SubscriptionDelivery] | None:
        """Deliveries of a subscription; None if it was erased in between."""
        request = subscription.ListDeliveriesRequest(
            customer_id=customer_id, subscription_id=subscription_id, page_size=_PAGE_SIZE
        )
        found: list[subscription.SubscriptionDelivery] = []
        while True:
            try:
                page = await self._subscriptions.ListDeliveries(request, metadata=tenant_metadata(tenant_id))
            except grpc.aio.AioRpcError as error:
                if error.code() is grpc.StatusCode.NOT_FOUND:
                    return None
                raise
            found.extend(page.deliveries)
            if not page.next_page_token:
                return found
            request.page_token = page.next_page_token
