"""The RPCs of the history service."""

from collections.abc import AsyncIterator

from pantree.history.v1 import history_service_pb2 as messages
from pantree.history.v1 import history_service_pb2_grpc as rpc
from pantree_history import convert
from pantree_history.core.history import History
from pantree_history.core.store import Household
from pantree_runtime.cpu import run_cpu
from pantree_runtime.grpc_types import Context
from pantree_runtime.tenants import tenant_of

DEFAULT_PAGE_SIZE = 100
# Measured with a history of 300 lines.
_MS_PER_LINE = 0.002


class HistoryServicer(rpc.HistoryServiceServicer):
    """Stores, reads and erases purchases."""

    def __init__(self, history: History) -> None:
        self._history = history

    async def AppendPurchases(
        self, request: messages.AppendPurchasesRequest, context: Context
    ) -> messages.AppendPurchasesResponse:
        household = Household(tenant_of(context), request.customer_id)
        lines = convert.lines_of(request.purchases)
        return convert.append_response(await self._history.append(household, lines, consent=request.new_consent))

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
        stored = await self._history.export(Household(tenant_of(context), request.customer_id))
        for response in convert.export_responses(stored):
            yield response

    async def EraseCustomer(
        self, request: messages.EraseCustomerRequest, context: Context
    ) -> messages.EraseCustomerResponse:
        entry, removed = await self._history.erase(Household(tenant_of(context), request.customer_id))
        return convert.erase_response(entry, removed)
