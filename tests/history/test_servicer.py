import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest

from pantree.history.v1 import history_service_pb2 as messages
from pantree.history.v1 import history_service_pb2_grpc as rpc
from pantree_history.__main__ import build, ledger_key_of
from pantree_history.settings import HistorySettings
from pantree_runtime.errors import InvalidInput, NotFound
from pantree_runtime.status import translate_rpc_errors
from pantree_runtime.tenants import tenant_metadata
from tests.loopback import loopback

Stub = "rpc.HistoryServiceAsyncStub"
MEMORY = "sqlite://:memory:"


@pytest.fixture
async def stub() -> AsyncIterator["rpc.HistoryServiceAsyncStub"]:
    async with loopback(await build(HistorySettings(store_url=MEMORY))) as channel:
        yield rpc.HistoryServiceStub(channel)


def purchase(order: str = "order-1", number: str = "1", name: str = "Milk", **fields: object) -> messages.PurchaseLine:
    content: dict[str, object] = {"date": "2026-05-02", "price": 1.49, **fields}
    return messages.PurchaseLine(order_id=order, line_id=number, name=name, **content)  # type: ignore[arg-type]


def append(*lines: messages.PurchaseLine, customer: str = "4711") -> messages.AppendPurchasesRequest:
    return messages.AppendPurchasesRequest(customer_id=customer, purchases=lines)


async def violations(call: object) -> set[str]:
    with pytest.raises(InvalidInput) as raised, translate_rpc_errors("history"):
        await call  # type: ignore[misc]
    return {violation.field for violation in raised.value.violations}


async def test_history_is_columnar_with_a_version(stub: "rpc.HistoryServiceAsyncStub") -> None:
    stored = await stub.AppendPurchases(
        append(
            purchase(variant="1 l", item_id="m-1", currency_code="EUR"),
            purchase(number="2", name="Bananas", quantity=3, saving=0.5, currency_code="EUR"),
            purchase("order-2", date="2026-05-09", variant="1 l", item_id="m-1", currency_code="EUR"),
        )
    )
    history = await stub.GetHistory(messages.GetHistoryRequest(customer_id="4711"))
    columns = history.purchases
    assert list(columns.item_names) == ["Milk", "Bananas"]
    assert (list(columns.item_ids), list(columns.item_variants)) == (["m-1", ""], ["1 l", ""])
    assert (list(columns.item_indices), list(columns.quantities)) == ([0, 1, 0], [1, 3, 1])
    assert (history.history_version, history.currency_code) == (stored.history_version, "EUR")
    earlier = await stub.GetHistory(messages.GetHistoryRequest(customer_id="4711", as_of="2026-05-08"))
    assert len(earlier.purchases.days) == 2


async def test_history_without_prices_has_no_price_columns(stub: "rpc.HistoryServiceAsyncStub") -> None:
    await stub.AppendPurchases(append(messages.PurchaseLine(order_id="1", line_id="1", name="Milk", date="2026-05-02")))
    history = await stub.GetHistory(messages.GetHistoryRequest(customer_id="4711"))
    assert not history.purchases.prices
    assert len(history.purchases.days) == 1


async def test_purchases_are_listed_in_pages(stub: "rpc.HistoryServiceAsyncStub") -> None:
    await stub.AppendPurchases(append(*(purchase(number=f"{number:02}") for number in range(7))))
    found, token = [], ""
    while True:
        request = messages.ListPurchasesRequest(customer_id="4711", page_size=3, page_token=token)
        page = await stub.ListPurchases(request)
        found += [line.line_id for line in page.purchases]
        token = page.next_page_token
        if not token:
            break
    assert found == [f"{number:02}" for number in range(7)]
    wrong = stub.ListPurchases(messages.ListPurchasesRequest(customer_id="4711", page_token="x"))
    assert await violations(wrong) == {"page_token"}


async def test_customers_are_listed_in_pages(stub: "rpc.HistoryServiceAsyncStub") -> None:
    for number in range(3):
        await stub.AppendPurchases(append(purchase(f"order-{number}"), customer=f"customer-{number}"))
    first = await stub.ListCustomers(messages.ListCustomersRequest(page_size=2))
    second = await stub.ListCustomers(messages.ListCustomersRequest(page_size=2, page_token=first.next_page_token))
    assert [one.customer_id for page in (first, second) for one in page.customers] == [
        "customer-0", "customer-1", "customer-2",
    ]  # fmt: skip
    assert not second.next_page_token


async def test_tenant_comes_from_metadata(stub: "rpc.HistoryServiceAsyncStub") -> None:
    await stub.AppendPurchases(append(purchase()), metadata=tenant_metadata("north"))
    request = messages.GetHistoryRequest(customer_id="4711")
    await stub.GetHistory(request, metadata=tenant_metadata("north"))
    for other in ("", "south", "North"):
        with pytest.raises(NotFound), translate_rpc_errors("history"):
            await stub.GetHistory(request, metadata=tenant_metadata(other))
    assert await violations(stub.GetHistory(request, metadata=tenant_metadata("x" * 129))) == {"x-pantree-tenant"}


async def test_rules_that_compare_fields_are_checked(stub: "rpc.HistoryServiceAsyncStub") -> None:
    request = append(
        purchase(saving=2.0),
        purchase(),
        purchase(number="3", weight=1.0),
        purchase(number="4", weight=1.0, weight_unit="t"),
        purchase(number="5", returned_order_id="order-0"),
    )
    assert await violations(stub.AppendPurchases(request)) == {
        "purchases[0].saving",
        "purchases[1].line_id",
        "purchases[2].weight_unit",
        "purchases[3].weight_unit",
        "purchases[4].returned_line_id",
    }
    assert await violations(stub.CorrectPurchases(messages.CorrectPurchasesRequest(customer_id="4711"))) == {
        "purchases"
    }


async def test_export_and_erasure(stub: "rpc.HistoryServiceAsyncStub") -> None:
    await stub.AppendPurchases(append(*(purchase(number=str(number)) for number in range(900))))
    request = messages.ExportCustomerRequest(customer_id="4711")
    batches = [batch async for batch in stub.ExportCustomer(request)]
    assert [len(batch.stored_lines.lines) for batch in batches] == [0, 500, 400]
    assert batches[0].customer.line_count == 900
    assert batches[1].stored_lines.lines[0].recorded_at.endswith("Z")
    receipt = await stub.EraseCustomer(messages.EraseCustomerRequest(customer_id="4711"))
    assert receipt.removed_line_count == 900
    assert "4711" not in bytes.fromhex(receipt.ledger_entry_id).decode(errors="replace")
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await stub.AppendPurchases(append(purchase()))
    assert raised.value.code() is grpc.StatusCode.FAILED_PRECONDITION


def test_key_of_the_ledger_is_created_once_and_private(tmp_path: Path) -> None:
    settings = HistorySettings(store_url=f"sqlite://{tmp_path}/data/history.db")
    key = ledger_key_of(settings)
    assert ledger_key_of(settings) == key
    assert len(key) == 64
    assert (tmp_path / "data" / "history.key").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("url", ["sqlite://host/path", "sqlite://", "mysql://host/db", "sqlite:///x?mode=ro"])
def test_other_urls_are_refused(url: str) -> None:
    with pytest.raises(ValueError, match="is not the URL of a store"):
        HistorySettings(store_url=url)


def test_demo_prints_its_answers_and_keeps_nothing(tmp_path: Path) -> None:
    environment = {**os.environ, "XDG_DATA_HOME": str(tmp_path)}
    command = [sys.executable, "-m", "pantree_history", "--demo"]
    result = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
    answers = json.loads(result.stdout)
    assert answers["erasure"]["removed_line_count"] == 4
    assert list(tmp_path.iterdir()) == []
