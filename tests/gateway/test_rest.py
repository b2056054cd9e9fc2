import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest

from pantree_gateway.transcoding.problem import PROBLEM_SCHEMA
from tests.gateway.mesh import Mesh
from tests.gateway.schemas import assert_valid

CURL_BODY = b"""{
    "customer_id": "test_001",
    "items": [
      {"name": "Bananas", "price": 1.99},
      {"name": "Milk", "price": 5.49}
    ]
  }"""
JSON = {"Content-Type": "application/json"}


def fields_of(response: httpx.Response) -> list[str]:
    """Wrong fields in a problem; fails when the response is not a problem."""
    assert response.headers["content-type"] == "application/problem+json"
    assert_valid(response.json(), PROBLEM_SCHEMA)
    return [error["field"] for error in response.json()["errors"]]


async def test_original_example_gets_the_original_shape(mesh: Mesh, client: httpx.AsyncClient) -> None:
    response = await client.post("/api/v1/process", content=CURL_BODY, headers=JSON)
    assert response.status_code == 200
    answer = response.json()
    assert answer["customer_id"] == "test_001"
    assert answer["recommendations"]["recommendations"][0]["name"] == "Bananas"
    (request,) = mesh.pipeline.requests
    assert [(item.name, item.price, item.HasField("quantity")) for item in request.items] == [
        ("Bananas", 1.99, False),
        ("Milk", 5.49, False),
    ]


async def test_response_includes_fields_without_a_value(client: httpx.AsyncClient) -> None:
    answer = (await client.post("/api/v1/process", json={"customer_id": "a"})).json()
    assert answer["recommendations"] == {
        "recommendations": [],
        "omitted": [],
        "related": [],
        "cadence_changes": [],
        "suggestions": [],
        "near_misses": [],
        "forecasts": [],
        "binding_constraints": [],
        "plain_names": [],
    }
    assert answer["warnings"] == []


async def test_archetypes_are_listed_with_the_query(mesh: Mesh, client: httpx.AsyncClient) -> None:
    response = await client.get("/api/v1/archetypes", params={"page_size": 5, "pageToken": "x"})
    assert fields_of(response) == ["pageToken"]
    response = await client.get("/api/v1/archetypes", params={"page_size": 5, "page_token": "x"})
    assert response.json()["archetypes"][0]["id"] == "health_conscious"
    assert [(request.page_size, request.page_token) for request in mesh.simulation.requests] == [(5, "x")]


async def test_config_is_returned(client: httpx.AsyncClient) -> None:
    assert (await client.get("/api/v1/config")).json()["max_items"] == 100


async def test_unknown_field_is_named(client: httpx.AsyncClient) -> None:
    response = await client.post("/api/v1/process", json={"customer_id": "a", "months": 6, "items": [{"cost": 1}]})
    assert response.status_code == 400
    assert fields_of(response) == ["months", "items[0].cost"]
    assert response.json()["code"] == "INVALID_INPUT"


async def test_malformed_json_is_reported_with_its_position(client: httpx.AsyncClient) -> None:
    response = await client.post("/api/v1/process", content=b'{"customer_id": \n "a",', headers=JSON)
    assert response.status_code == 400
    assert "line 2, column" in response.json()["detail"]


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity"])
async def test_number_that_is_not_finite_is_named(number: str, client: httpx.AsyncClient) -> None:
    body = f'{{"customer_id": "a", "items": [{{"name": "Milk", "price": {number}}}]}}'
    response = await client.post("/api/v1/process", content=body, headers=JSON)
    assert response.status_code == 400
    assert fields_of(response) == ["items[0].price"]


async def test_name_of_5_mb_is_named(mesh: Mesh, client: httpx.AsyncClient) -> None:
    response = await client.post("/api/v1/process", json={"items": [{"name": "x" * 5_000_000, "price": 1}]})
    assert response.status_code == 400
    assert fields_of(response) == ["items[0].name"]
    assert len(response.content) < 1000
    assert not mesh.pipeline.requests


async def test_20_000_rows_reach_the_pipeline(mesh: Mesh, client: httpx.AsyncClient) -> None:
    rows = [{"name": f"Item {number}", "date": "2026-05-22", "price": 1.99} for number in range(20_000)]
    response = await client.post("/api/v1/process", json={"customer_id": "a", "history": rows})
    assert response.status_code == 200
    assert len(mesh.pipeline.requests[0].history) == 20_000


async def test_message_larger_than_services_accept_is_413(client: httpx.AsyncClient) -> None:
    items = [{"name": "x" * 60_000, "price": 1.99}] * 80
    response = await client.post("/api/v1/process", json={"customer_id": "a", "items": items})
    assert (response.status_code, response.json()["code"]) == (413, "TOO_LARGE")


async def test_body_declared_too_large_is_413(client: httpx.AsyncClient) -> None:
    response = await client.post("/api/v1/process", content=b" " * (16 * 1024 * 1024 + 1), headers=JSON)
    assert response.status_code == 413
    assert fields_of(response) == []


async def test_oversized_body_without_a_length_is_413_without_reading_all(client: httpx.AsyncClient) -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while sent < 100 * 1024 * 1024:
            sent += 1024 * 1024
            yield b" " * 1024 * 1024

    response = await client.post("/api/v1/process", content=endless(), headers=JSON)
    assert response.status_code == 413
    assert sent < 20 * 1024 * 1024


async def test_body_that_is_not_declared_as_json_is_415(client: httpx.AsyncClient) -> None:
    response = await client.post("/api/v1/process", data={"customer_id": "a"})
    assert response.status_code == 415
    assert "application/json" in response.json()["detail"]


async def test_unknown_path_is_404(client: httpx.AsyncClient) -> None:
    response = await client.get("/api/v1/nothing")
    assert response.status_code == 404
    assert fields_of(response) == []


async def test_other_method_is_405(client: httpx.AsyncClient) -> None:
    response = await client.get("/api/v1/process")
    assert response.status_code == 405
    assert response.headers["allow"] == "POST"
    assert fields_of(response) == []


async def test_request_gets_the_default_deadline(mesh: Mesh) -> None:
    async with mesh.client(request_timeout_seconds=7.0) as client:
        await client.post("/api/v1/process", json={"customer_id": "a"})
    assert mesh.pipeline.seconds_left is not None
    assert 3 < mesh.pipeline.seconds_left < 8


async def test_header_sets_the_deadline(mesh: Mesh, client: httpx.AsyncClient) -> None:
    await client.post("/api/v1/process", json={"customer_id": "a"}, headers={"X-Request-Timeout": "60.5"})
    assert mesh.pipeline.seconds_left is not None
    assert 45 < mesh.pipeline.seconds_left < 62


async def test_response_that_is_not_ready_in_time_is_504(mesh: Mesh, client: httpx.AsyncClient) -> None:
    mesh.pipeline.before_answer = lambda _context: asyncio.sleep(3600)
    response = await client.post("/api/v1/process", json={"customer_id": "a"}, headers={"X-Request-Timeout": "0.2"})
    assert (response.status_code, response.json()["code"]) == (504, "DEADLINE_EXCEEDED")
    assert "pipeline" in response.json()["detail"]


@pytest.mark.parametrize("value", ["soon", "0", "-1", "nan", "inf", "1e9", ""])
async def test_invalid_timeout_is_named(value: str, client: httpx.AsyncClient) -> None:
    response = await client.get("/api/v1/config", headers={"X-Request-Timeout": value})
    assert response.status_code == 400
    assert fields_of(response) == ["X-Request-Timeout"]


async def test_every_response_has_a_trace_id(client: httpx.AsyncClient) -> None:
    trace_id = "0af7651916cd43dd8448eb211c80319c"
    headers = {"traceparent": f"00-{trace_id}-b7ad6b7169203331-01"}
    response = await client.get("/api/v1/nothing", headers=headers)
    assert response.headers["x-trace-id"] == response.json()["trace_id"] == trace_id
    response = await client.get("/api/v1/config")
    assert len(response.headers["x-trace-id"]) == 32
