"""The requests of the original API have the answers that it documents.

Only a random seed is added: without one each history is different, and some have nothing to recommend.
"""

import json
from typing import Any

import httpx
import pytest
import websockets

from pantree_domain.cadence import LADDER
from tests.e2e.mesh import RunningMesh

SEED = 7

STEP_DAYS = {step.frequency: step.interval_days for step in LADDER}

# The body of the original curl example.
CURL_BODY = """{
    "customer_id": "test_001",
    "items": [
      {"name": "Bananas", "price": 1.99},
      {"name": "Milk", "price": 5.49}
    ]
  }"""

# The request of the original API reference.
REFERENCE_BODY = """{
  "customer_id": "cust_001",
  "customer_name": "John Doe",
  "archetype": "health_conscious",
  "items": [
    {"name": "Bananas", "price": 1.99, "quantity": 1},
    {"name": "Chicken Breast", "price": 12.99, "quantity": 1}
  ],
  "simulation_months": 6
}"""

# The message of the original JavaScript example for /ws/stream/cust_001.
JAVASCRIPT_BODY = {
    "items": [{"name": "Bananas", "price": 1.99}, {"name": "Milk", "price": 5.49}],
    "archetype": "health_conscious",
}


async def post(mesh: RunningMesh, body: str) -> httpx.Response:
    async with httpx.AsyncClient(base_url=mesh.http, timeout=30) as client:
        seeded = json.dumps({"seed": SEED, **json.loads(body)})
        return await client.post("/api/v1/process", content=seeded, headers={"Content-Type": "application/json"})


async def stream(mesh: RunningMesh, customer_id: str, body: dict[str, Any]) -> list[dict[str, Any]]:
    async with websockets.connect(f"{mesh.websocket}/ws/stream/{customer_id}", max_size=None) as socket:
        await socket.send(json.dumps({"seed": SEED, **body}))
        return [json.loads(message) async for message in socket]


# Each seed is another shopper, and histories end today: some buy nothing regularly enough.
@pytest.mark.parametrize("body", [CURL_BODY, REFERENCE_BODY])
async def test_process_has_the_original_shape(mesh: RunningMesh, body: str) -> None:
    answers = [await post(mesh, json.dumps({**json.loads(body), "seed": seed})) for seed in range(6)]
    documents = [answer.json() for answer in answers if answer.status_code == 200]
    assert len(documents) == 6, [answer.text for answer in answers]
    assert any(document["recommendations"]["recommendations"] for document in documents)
    for document in documents:
        check_shape(document, json.loads(body)["customer_id"])


def check_shape(document: dict[str, Any], customer_id: str) -> None:
    """Checks that an answer of `process` has the fields of the original API."""
    assert document["customer_id"] == customer_id
    recommendations = document["recommendations"]["recommendations"]
    for recommendation in recommendations:
        assert isinstance(recommendation["name"], str)
        assert 0 <= recommendation["confidence"] <= 100
        assert recommendation["count"] >= 2
        assert recommendation["avg_interval"] > 0
        subscription = recommendation["subscription"]
        assert subscription["interval_days"] == STEP_DAYS[subscription["frequency"]]
        assert subscription["estimated_annual_savings"] >= 0
        assert subscription["annual_cost"] > 0
        assert 0 < recommendation["cadence_probability"] <= 1
        # Absent where the prices paid don't support a claim.
        if savings := subscription.get("savings_vs_paid"):
            assert savings["low_annual_savings"] <= savings["expected_annual_savings"] <= savings["high_annual_savings"]
        assert [tier["discount_ratio"] for tier in subscription["tiers"]] == [0.05, 0.15]
    assert document["recommendations"]["plan"]["item_count"] == len(recommendations)
    assert document["recommendation_id"]
    assert set(document["model"]) == {"name", "version"}
    assert document["as_of"]
    assert document["warnings"] == []


@pytest.mark.parametrize("months", [None, 1, 13])
async def test_stream_has_started_then_every_month_then_completed(mesh: RunningMesh, months: int | None) -> None:
    body = (
        {**JAVASCRIPT_BODY, "seed": 3}
        if months is None
        else {**JAVASCRIPT_BODY, "simulation_months": months, "seed": 3}
    )
    first, *updates, last = await stream(mesh, "cust_001", body)
    assert first["type"] == "started"
    assert [update["type"] for update in updates] == ["monthly_update"] * (months or 6)
    assert all(update["data"]["month_display"] for update in updates)
    progress = [update["data"]["progress"] for update in updates]
    assert progress == sorted(progress)
    assert progress[-1] == 100
    assert last["type"] == "completed"
    assert last["data"]["recommendations"]["recommendations"] or months == 1


async def test_same_request_and_seed_have_the_same_bytes(mesh: RunningMesh) -> None:
    body = json.dumps({**json.loads(REFERENCE_BODY), "seed": 7})
    first, second = await post(mesh, body), await post(mesh, body)
    assert first.status_code == 200
    assert first.content == second.content
    other = await post(mesh, json.dumps({**json.loads(REFERENCE_BODY), "seed": 8}))
    assert other.json()["recommendation_id"] != first.json()["recommendation_id"]


async def test_rest_and_websocket_have_the_same_result(mesh: RunningMesh) -> None:
    body = {**json.loads(CURL_BODY), "seed": 11}
    rest = (await post(mesh, json.dumps(body))).json()
    *_, completed = await stream(mesh, "test_001", body)
    assert completed["data"] == rest


@pytest.mark.parametrize("path", ["/", "/health", "/api/v1/archetypes", "/api/v1/config", "/docs", "/openapi.json"])
async def test_every_original_page_is_found(mesh: RunningMesh, path: str) -> None:
    async with httpx.AsyncClient(base_url=mesh.http) as client:
        assert (await client.get(path)).status_code == 200


async def test_archetypes_are_the_original_ones(mesh: RunningMesh) -> None:
    async with httpx.AsyncClient(base_url=mesh.http) as client:
        document = (await client.get("/api/v1/archetypes")).json()
    gaps = {archetype["id"]: archetype["mean_trip_gap_days"] for archetype in document["archetypes"]}
    assert gaps == {"health_conscious": 8, "busy_family": 12, "budget_conscious": 12, "single_professional": 6}
    assert document["default_archetype"] in gaps
