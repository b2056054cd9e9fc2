"""Bad input is an error that names each bad field; the mesh keeps running."""

import json
from typing import Any

import httpx
import pytest
import websockets

from tests.e2e.mesh import RunningMesh

BANANAS = {"name": "Bananas", "price": 1.99}


def request(**changes: Any) -> dict[str, Any]:
    return {"customer_id": "cust_001", "items": [BANANAS], **changes}


CASES: dict[str, tuple[str, set[str]]] = {
    "empty items": (json.dumps(request(items=[])), {"items"}),
    "no items": (json.dumps({"customer_id": "cust_001"}), {"items"}),
    "no customer": (json.dumps({"items": [BANANAS]}), {"customer_id"}),
    "negative price": (json.dumps(request(items=[{**BANANAS, "price": -1}])), {"items[0].price"}),
    "NaN price": ('{"customer_id": "c", "items": [{"name": "Bananas", "price": NaN}]}', {"items[0].price"}),
    "NaN price as text": (json.dumps(request(items=[{**BANANAS, "price": "NaN"}])), {"items[0].price"}),
    "no price": (json.dumps(request(items=[{"name": "Bananas"}])), {"items[0].price"}),
    "quantity 0": (json.dumps(request(items=[{**BANANAS, "quantity": 0}])), {"items[0].quantity"}),
    "half a unit": (json.dumps(request(items=[{**BANANAS, "quantity": 0.5}])), {"items[0].quantity"}),
    "months 0": (json.dumps(request(simulation_months=0)), {"simulation_months"}),
    "months 1000": (json.dumps(request(simulation_months=1000)), {"simulation_months"}),
    "unknown archetype": (json.dumps(request(archetype="astronaut")), {"archetype"}),
    "10,000 items": (json.dumps(request(items=[BANANAS] * 10_000)), {"items"}),
    "broken JSON": ('{"customer_id": "cust_001", "items": [', {""}),
    "not an object": ("[1, 2]", {""}),  # the body as a whole
    "a name of 5 MB": (json.dumps(request(items=[{**BANANAS, "name": "x" * 5_000_000}])), {"items[0].name"}),
    "unknown field": (json.dumps(request(flavor="red")), {"flavor"}),
    "price as text": (json.dumps(request(items=[{**BANANAS, "price": "cheap"}])), {"items[0].price"}),
    "items and history": (
        json.dumps(request(history=[{"name": "Milk", "date": "2026-01-01", "price": 1}])),
        {"items"},
    ),
    "many at once": (
        json.dumps(
            request(
                customer_id="",
                archetype="astro\nnaut",
                simulation_months=0,
                items=[{"name": " ", "price": -1, "quantity": 0}, {"name": "Milk", "price": 2e9}],
            )
        ),
        {
            "customer_id",
            "archetype",
            "simulation_months",
            "items[0].name",
            "items[0].price",
            "items[0].quantity",
            "items[1].price",
        },
    ),
    "wrong history": (
        json.dumps({"customer_id": "c", "history": [{"name": "Milk", "date": "01/02/2026", "price": 1, "saving": 5}]}),
        {"history[0].date", "history[0].saving"},
    ),
}


@pytest.mark.parametrize("case", CASES)
async def test_bad_request_is_400_and_names_each_bad_field(mesh: RunningMesh, case: str) -> None:
    body, fields = CASES[case]
    async with httpx.AsyncClient(base_url=mesh.http, timeout=30) as client:
        answer = await client.post("/api/v1/process", content=body, headers={"Content-Type": "application/json"})
        assert answer.status_code == 400, answer.text[:500]
        assert answer.headers["content-type"] == "application/problem+json"
        problem = answer.json()
        assert problem["status"] == 400
        assert problem["detail"]
        assert {error["field"] for error in problem.get("errors", [])} == fields
        assert all(error["message"] for error in problem.get("errors", []))
        assert len(answer.content) < 100_000
        assert (await client.get("/health")).json()["status"] == "healthy"


async def answer_of(mesh: RunningMesh, body: str) -> tuple[dict[str, Any], int | None]:
    """The only event of a stream, and its close code."""
    async with websockets.connect(f"{mesh.websocket}/ws/stream/cust_001", max_size=None) as socket:
        await socket.send(body)
        event = json.loads(await socket.recv())
        with pytest.raises(websockets.ConnectionClosed):
            await socket.recv()
    return event, socket.close_code


@pytest.mark.parametrize("case", [case for case in CASES if case != "no customer"])
async def test_bad_message_is_an_error_event_and_closes_the_socket(mesh: RunningMesh, case: str) -> None:
    body, _ = CASES[case]
    event, close_code = await answer_of(mesh, body.replace('"customer_id": ""', '"customer_id": "cust_001"'))
    assert event["type"] == "error"
    assert isinstance(event["error"], str)
    assert close_code == 4400


async def test_customer_in_path_and_body_must_agree(mesh: RunningMesh) -> None:
    event, close_code = await answer_of(mesh, json.dumps(request(customer_id="cust_002")))
    assert event["type"] == "error"
    assert "customer_id" in event["error"]
    assert close_code == 4400
