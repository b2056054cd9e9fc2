"""Suggestions for a new customer from similar customers, through the whole mesh."""

from datetime import date, timedelta
from typing import Any

import httpx
import pytest

from pantree.pipeline.v1 import pipeline_service_pb2 as messages
from pantree.pipeline.v1 import pipeline_service_pb2_grpc as rpc
from pantree.purchase.v1.purchase_pb2 import Purchase
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


@pytest.mark.asyncio(loop_scope="session")
async def test_new_customer_gets_suggestions_from_similar_customers(mesh: RunningMesh) -> None:
    newcomer = [
        *purchases("Rye Sourdough", "bakery", 7, 1, date(2026, 5, 30)),
        *purchases("Oat Kefir", "dairy", 7, 1, date(2026, 5, 30)),
    ]
    early = await process(mesh, "newcomer", newcomer, include_suggestions=True)
    # Customers of other tests may be stored, but none of them buys these items.
    assert not {"Rye Sourdough", "Oat Kefir"} & {item["name"] for item in early["recommendations"]["suggestions"]}
    for number in range(6):
        regular = [
            *purchases("Rye Sourdough", "bakery", 7, 12),
            *purchases("Oat Kefir", "dairy", 14, 6),
            *purchases("Quince Jelly", "pantry", 21, 4),
        ]
        await process(mesh, f"regular-{number}", regular)
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
