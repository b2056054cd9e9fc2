"""The RPCs of the history service."""

import asyncio
from collections.abc import AsyncIterator

from pantree.history.v1 import history_service_pb2 as messages
from pantree.history.v1 import history_service_pb2_grpc as rpc
from pantree_history import convert
from pantree_history.core.history import History
from pantree_history.core.store import Household, Progress
from pantree_history.core.subscriptions.keeper import Subscriptions
from pantree_runtime.cpu import run_cpu
from pantree_runtime.grpc_types import Context
from pantree_runtime.tenants import tenant_of

DEFAULT_PAGE_SIZE = 100
# Measured with a history of 300 lines.
_MS_PER_LINE = 0.002


class HistoryServicer(rpc.HistoryServiceServicer):
    """Stores, reads and erases purchases; exports subscriptions with them."""

    def __init__(self, history: History, subscriptions: Subscriptions) -> None:
        self._history = history
        self._subscriptions = subscriptions

    async def AppendPurchases(
        self, request: messages.AppendPurchasesRequest, context: Context
    ) -> messages.AppendPurchasesResponse:
        household = Household(tenant_of(context), request.customer_id)
        lines = convert.lines_of(request.purchases)
        return convert.append_response(await self._history.append(household, lines, consent=request.new_consent))

    async def ImportPurchases(
        self, request_iterator: AsyncIterator[messages.ImportPurchasesRequest], context: Context
    ) -> AsyncIterator[messages.ImportPurchasesResponse]:
        tenant_id, import_id = tenant_of(context), None
        async for request in request_iterator:
            import_id = request.import_id if import_id is None else import_id
            if not request.days:
                yield messages.ImportPurchasesResponse(next_row=await self._history.next_row(tenant_id, import_id))
                continue
            rows, positions, rejected = await asyncio.to_thread(
                convert.import_rows, request, await self._history.days(tenant_id)
            )
            progress = None
            if import_id and not request.dry_run:
                progress = Progress(import_id, request.first_row + len(request.days))
            outcomes = await self._history.add_batch(tenant_id, rows, dry_run=request.dry_run, progress=progress)
            yield convert.import_response(request, positions, outcomes, rejected)

    async def ListChanged(self, request: messages.ListChangedRequest, context: Context) -> messages.ListChangedResponse:
        position, size = convert.changes_since(request.since), request.page_size or DEFAULT_PAGE_SIZE
        return convert.changes_response(await self._history.changed(tenant_of(context), position, size))

    async def StreamHistories(
        self, request: messages.StreamHistoriesRequest, context: Context
    ) -> AsyncIterator[messages.StreamHistoriesResponse]:
        as_of = convert.day_or_none(request.as_of)
        async for state, purchases in self._history.bucket(tenant_of(context), request.bucket, as_of):
            yield convert.bucket_response(state, purchases)

    async def CorrectPurchases(
        self, request: messages.CorrectPurchasesRequest, context: Context
    ) -> messages.CorrectPurchasesResponse:
        household = Household(tenant_of(context), request.customer_id)
        lines, removed = convert.lines_of(request.purchases), convert.keys_of(request.removed)
        return convert.correct_response(await self._history.correct(household, lines, removed))

    async def GetHistory(self, request: messages.GetHistoryRequest, context: Context) -> messages.GetHistoryResponse:
        household = Household(tenant_of(context), request.customer_id)
        known_on, as_of = convert.day_or_none(request.as_known_on), convert.day_or_none(request.as_of)
        state, purchases = await self._history.purchases(household, known_on, as_of)
        return await run_cpu(len(purchases.lines) * _MS_PER_LINE, convert.history_response, state, purchases)

    async def ListPurchases(
        self, request: messages.ListPurchasesRequest, context: Context
    ) -> messages.ListPurchasesResponse:
        household = Household(tenant_of(context), request.customer_id)
        stored = await self._history.lines(household, convert.day_or_none(request.as_known_on))
        return convert.purchases_page(stored, request.page_size or DEFAULT_PAGE_SIZE, request.page_token)

    async def ListCustomers(
        self, request: messages.ListCustomersRequest, context: Context
    ) -> messages.ListCustomersResponse:
        size, after = request.page_size or DEFAULT_PAGE_SIZE, convert.customer_after(request.page_token)
        return convert.customers_page(await self._history.households(tenant_of(context), after, size + 1), size)

    async def ExportCustomer(
        self, request: messages.ExportCustomerRequest, context: Context
    ) -> AsyncIterator[messages.ExportCustomerResponse]:
        household = Household(tenant_of(context), request.customer_id)
        offers, subscriptions = await self._subscriptions.export(household)
        pause = await self._subscriptions.household_pause(household)
        read = self._history.revisions if offers or subscriptions or pause else self._history.export
        stored = await read(household)
        merges = await self._history.merges(household)
        for response in convert.export_responses(stored, offers, subscriptions, merges, pause):
            yield response

    async def MergeCustomers(
        self, request: messages.MergeCustomersRequest, context: Context
    ) -> messages.MergeCustomersResponse:
        household = Household(tenant_of(context), request.customer_id)
        return convert.merge_response(await self._history.merge(household, request.merged_customer_id, request.actor))

    async def ApplyRetention(
        self, request: messages.ApplyRetentionRequest, context: Context
    ) -> messages.ApplyRetentionResponse:
        retention = await self._history.apply_retention(tenant_of(context), dry_run=request.dry_run)
        return convert.retention_response(retention)

    async def EraseCustomer(
        self, request: messages.EraseCustomerRequest, context: Context
    ) -> messages.EraseCustomerResponse:
        return convert.erase_response(await self._history.erase(Household(tenant_of(context), request.customer_id)))
