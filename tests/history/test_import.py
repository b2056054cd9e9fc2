"""Imports of many customers, and what changed since."""

from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import pytest

from pantree.history.v1 import history_service_pb2 as messages
from pantree.history.v1 import history_service_pb2_grpc as rpc
from pantree_history.core.history import History, bucket_of
from pantree_history.core.lines import LineKey
from pantree_history.core.store import Household
from pantree_history.core.subscriptions.keeper import Subscriptions
from pantree_history.core.subscriptions.store import CombinedStore
from pantree_history.rules import RULES
from pantree_history.servicer import HistoryServicer
from pantree_runtime.errors import InvalidInput
from pantree_runtime.server import ServiceSpec
from pantree_runtime.status import translate_rpc_errors
from tests.history.receipts import FIRST_DAY, KEY, Clock, receipt
from tests.loopback import loopback

Stub = Any


@pytest.fixture
async def stub(make_store: Callable[[], CombinedStore], clock: Clock) -> AsyncIterator[Stub]:
    store = make_store()
    history = History(store, KEY, clock)
    servicer = HistoryServicer(history, Subscriptions(store.subscriptions, KEY, clock))
    spec = ServiceSpec(
        name="history",
        services={
            "pantree.history.v1.HistoryService": lambda server: rpc.add_HistoryServiceServicer_to_server(
                servicer, server
            )
        },
        warm_up=history.open,  # type: ignore[arg-type] # its result is not needed
        close=history.close,
        rules=RULES,
    )
    async with loopback(spec) as channel:
        yield rpc.HistoryServiceStub(channel)


def batch(first: int, count: int, **fields: Any) -> messages.ImportPurchasesRequest:
    """Rows of three customers and two items, one order per row."""
    rows = range(first, first + count)
    values: dict[str, Any] = {
        "import_id": "monday",
        "first_row": first,
        "customer_ids": ["a", "b", "c"],
        "customer_indices": [row % 3 for row in rows],
        "item_names": ["Milk", "Rice"],
        "item_variants": ["1 l", ""],
        "item_indices": [row % 2 for row in rows],
        "order_ids": [f"order-{row}" for row in rows],
        "line_ids": ["1"] * count,
        "days": [FIRST_DAY] * count,
        "quantities": [1] * count,
        "prices": [1.5] * count,
        "savings": [0.0] * count,
        **fields,
    }
    return messages.ImportPurchasesRequest(**values)


async def imported(
    stub: Stub, *requests: messages.ImportPurchasesRequest
) -> Sequence[messages.ImportPurchasesResponse]:
    return [response async for response in stub.ImportPurchases(iter(requests))]


async def line_count(stub: Stub) -> int:
    page = await stub.ListCustomers(messages.ListCustomersRequest())
    return sum(customer.line_count for customer in page.customers)


async def test_import_stores_each_row_once_and_resumes(stub: Stub) -> None:
    first = await imported(stub, batch(0, 700), batch(700, 300))
    assert [(one.next_row, one.added_count, one.duplicate_count) for one in first] == [(700, 700, 0), (1000, 300, 0)]
    (where,) = await imported(stub, messages.ImportPurchasesRequest(import_id="monday"))
    assert where.next_row == 1000
    (unknown,) = await imported(stub, messages.ImportPurchasesRequest(import_id="tuesday"))
    assert unknown.next_row == 0
    again = await imported(stub, batch(0, 700), batch(700, 301))
    assert [(one.added_count, one.duplicate_count) for one in again] == [(0, 700), (1, 300)]
    assert await line_count(stub) == 1001


async def test_rejected_rows_have_reasons_and_the_others_are_stored(stub: Stub) -> None:
    await imported(stub, batch(0, 3))
    await stub.EraseCustomer(messages.EraseCustomerRequest(customer_id="b"))
    wrong = batch(
        0,
        7,
        days=[FIRST_DAY, FIRST_DAY, FIRST_DAY, FIRST_DAY + 60, FIRST_DAY, FIRST_DAY, FIRST_DAY],
        quantities=[1, 1, 2, 1, 0, 1, 1],
        prices=[1.5] * 5 + [-1.0, 1.5],
        savings=[0.0] * 6 + [9.0],
    )
    (response,) = await imported(stub, wrong)
    assert (response.added_count, response.duplicate_count, response.rejected_count) == (0, 1, 6)
    assert [(one.row, one.code) for one in response.rejected] == [
        (1, "CUSTOMER_ERASED"),
        (2, "ALREADY_EXISTS"),
        (3, "INVALID_INPUT"),
        (4, "INVALID_INPUT"),
        (5, "INVALID_INPUT"),
        (6, "INVALID_INPUT"),
    ]
    assert "the day must not be after 2026-06-02" in response.rejected[2].message
    assert await line_count(stub) == 2


async def test_dry_run_checks_and_stores_nothing(stub: Stub) -> None:
    (response,) = await imported(stub, batch(0, 5, dry_run=True, quantities=[1, 1, 1, 1, 0]))
    assert (response.added_count, response.rejected_count) == (4, 1)
    assert await line_count(stub) == 0
    (where,) = await imported(stub, messages.ImportPurchasesRequest(import_id="monday"))
    assert where.next_row == 0


async def test_columns_that_do_not_fit_together_end_the_call(stub: Stub) -> None:
    for fields, field in (({"prices": [1.0]}, "prices"), ({"item_indices": [2, 0, 0]}, "item_indices")):
        with pytest.raises(InvalidInput) as raised, translate_rpc_errors("history"):
            await imported(stub, batch(0, 3, **fields))
        assert [violation.field for violation in raised.value.violations] == [field]


async def test_changes_are_listed_once_each(stub: Stub) -> None:
    await imported(stub, batch(0, 6))
    found, since = [], ""
    while True:
        page = await stub.ListChanged(messages.ListChangedRequest(since=since, page_size=2))
        since = page.next_since
        if not page.customers:
            break
        found += [customer.customer_id for customer in page.customers]
    assert sorted(found) == ["a", "b", "c"]
    removed = messages.LineKey(order_id="order-1", line_id="1")
    await stub.CorrectPurchases(messages.CorrectPurchasesRequest(customer_id="b", removed=[removed]))
    page = await stub.ListChanged(messages.ListChangedRequest(since=since))
    assert [customer.customer_id for customer in page.customers] == ["b"]
    with pytest.raises(InvalidInput), translate_rpc_errors("history"):
        await stub.ListChanged(messages.ListChangedRequest(since="yesterday"))


async def test_buckets_have_each_customer_once(history: History) -> None:
    ids = [f"customer {number}" for number in range(40)]
    for number, household_id in enumerate(ids):
        await history.append(Household("north", household_id), receipt(number, 0, "Milk"))
    await history.append(Household("south", ids[0]), receipt(0, 0, "Rice"))
    found: list[str] = []
    for bucket in sorted({bucket_of(one) for one in ids}):
        async for state, purchases in history.bucket("north", bucket, None):
            assert bucket_of(state.household_id) == bucket
            assert [line.name for line in purchases.lines] == ["Milk"]
            found.append(state.household_id)
    assert sorted(found) == sorted(ids)
    await history.correct(Household("north", ids[0]), [], [LineKey("order-0", "1")])
