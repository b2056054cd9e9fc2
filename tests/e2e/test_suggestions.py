"""Suggestions for a new customer from similar customers, through the whole mesh."""

from datetime import date, timedelta
from typing import Any

import httpx
import pytest

from pantree.pipeline.v1 import pipeline_service_pb2 as messages
from pantree.pipeline.v1 import pipeline_service_pb2_grpc as rpc
from pantree.purchase.v1.purchase_pb2 import Purchase, PurchaseColumns
from pantree.vector.v1 import vector_service_pb2 as vector_pb2
from pantree.vector.v1 import vector_service_pb2_grpc as vector_rpc
from pantree_runtime.channel import open_channel
from tests.e2e.mesh import RunningMesh

FIRST = date(2026, 3, 2)


def purchases(name: str, category: str, every_days: int, count: int, first: date = FIRST) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "category": category,
            "date": (first + timedelta(days=every_days * number)).isoformat(),
            "price": 3,
        }
        for number in range(count)
    ]


async def process(mesh: RunningMesh, customer: str, history: list[dict[str, Any]], **changes: Any) -> dict[str, Any]:
    body = {"customer_id": customer, "history": history, "as_of": "2026-06-01", **changes}
    async with httpx.AsyncClient(base_url=mesh.http, timeout=40) as client:
        answer = await client.post("/api/v1/process", json=body)
        assert answer.status_code == 200, answer.text
        result: dict[str, Any] = answer.json()
        return result


async def load(mesh: RunningMesh, customers: list[str], lines: list[dict[str, Any]]) -> None:
    """Stores customers with the same purchases in bulk, as a back end does."""
    names = sorted({line["name"] for line in lines})
    columns = PurchaseColumns(
        item_names=names,
        item_categories=[next(line["category"] for line in lines if line["name"] == name) for name in names],
        item_indices=[names.index(line["name"]) for line in lines],
        days=[(date.fromisoformat(line["date"]) - date(1970, 1, 1)).days for line in lines],
        quantities=[1] * len(lines),
        prices=[line["price"] for line in lines],
        savings=[0] * len(lines),
    )
    histories = [
        vector_pb2.IndexHistoryRequest(customer_id=customer, purchases=columns, as_of="2026-06-01")
        for customer in customers
    ]
    async with open_channel(mesh.address("vector"), timeout_seconds=30) as channel:
        batches = iter([vector_pb2.IndexHistoriesRequest(histories=histories)])
        responses = [response async for response in vector_rpc.VectorServiceStub(channel).IndexHistories(batches)]
    outcomes = [outcome.item_count for response in responses for outcome in response.outcomes]
    assert outcomes == [len(names)] * len(customers)


@pytest.mark.asyncio(loop_scope="session")
async def test_new_customer_gets_suggestions_from_similar_customers(mesh: RunningMesh) -> None:
    newcomer = [
        *purchases("Rye Sourdough", "bakery", 7, 1, date(2026, 5, 30)),
        *purchases("Oat Kefir", "dairy", 7, 1, date(2026, 5, 30)),
    ]
    early = await process(mesh, "newcomer", newcomer, include_suggestions=True)
    # Customers of other tests may be stored, but none of them buys these items.
    assert not {"Rye Sourdough", "Oat Kefir"} & {item["name"] for item in early["recommendations"]["suggestions"]}
    regular = [
        *purchases("Rye Sourdough", "bakery", 7, 12),
        *purchases("Oat Kefir", "dairy", 14, 6),
        *purchases("Quince Jelly", "pantry", 21, 4),
    ]
    for number in range(6):
        await process(mesh, f"regular-{number}", regular)
    unknown = await process(mesh, "newcomer", newcomer, include_suggestions=True)
    assert not {"Rye Sourdough", "Oat Kefir"} & {item["name"] for item in unknown["recommendations"]["suggestions"]}
    await load(mesh, [f"regular-{number}" for number in range(6)], regular)  # now somebody vouches for them
    later = await process(mesh, "newcomer", newcomer, include_suggestions=True)
    assert later["recommendations"]["recommendations"] == []
    assert {item["name"] for item in later["recommendations"]["near_misses"]} == {"Rye Sourdough", "Oat Kefir"}
    suggestions = {item["name"]: item for item in later["recommendations"]["suggestions"]}
    assert {"Rye Sourdough", "Oat Kefir"} <= set(suggestions)
    bread = suggestions["Rye Sourdough"]
    assert (bread["source"], bread["count"]) == ("similar_customers", 1)
    assert (bread["low_interval_days"], bread["high_interval_days"]) == (7, 7)
    assert bread["reasons"][0]["code"] == "KEPT_BY_SIMILAR_CUSTOMERS"
    assert "subscription" not in bread
    assert "confidence" not in bread
    without = await process(mesh, "newcomer", newcomer)
    assert without["recommendations"]["suggestions"] == []

    async with open_channel(mesh.address("pipeline"), timeout_seconds=30) as channel:
        stub = rpc.PipelineServiceStub(channel)
        request = messages.ProcessRequest(
            input=messages.ProcessInput(
                customer_id="newcomer",
                history=[Purchase(**line) for line in newcomer],
                as_of="2026-06-01",
                include_suggestions=True,
            )
        )
        here = (await stub.Process(request)).result.recommendations
        elsewhere = (await stub.Process(request, metadata=[("x-pantree-tenant", "north")])).result
    assert "Rye Sourdough" in {item.name for item in here.suggestions}
    # Customers of another retailer are not neighbors.
    assert not elsewhere.recommendations.suggestions
    assert [warning.code for warning in elsewhere.warnings] == ["FEW_NEIGHBORS"]
