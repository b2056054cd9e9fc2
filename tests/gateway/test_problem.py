import asyncio
import re
from pathlib import Path

import httpx
import pytest
from google.rpc import code_pb2

import pantree_gateway
from pantree.error.v1.error_pb2 import ErrorReason
from pantree_gateway.transcoding.problem import HTTP_STATUSES, PROBLEM_SCHEMA, STATUS_BY_REASON, Problem
from pantree_runtime.errors import ComponentUnavailable, FieldViolation, InvalidInput, NotFound, Overloaded
from pantree_runtime.grpc_types import Context
from tests.gateway.mesh import Mesh
from tests.gateway.schemas import assert_valid
from tests.gateway.servicers import aborting, raising

BODY = {"customer_id": "cust_001", "items": [{"name": "Bananas", "price": 1.99}]}

STATUSES = {
    "OK": 200,
    "CANCELLED": 499,
    "UNKNOWN": 500,
    "INVALID_ARGUMENT": 400,
    "DEADLINE_EXCEEDED": 504,
    "NOT_FOUND": 404,
    "ALREADY_EXISTS": 409,
    "PERMISSION_DENIED": 403,
    "RESOURCE_EXHAUSTED": 429,
    "FAILED_PRECONDITION": 400,
    "ABORTED": 409,
    "OUT_OF_RANGE": 400,
    "UNIMPLEMENTED": 501,
    "INTERNAL": 500,
    "UNAVAILABLE": 503,
    "DATA_LOSS": 500,
    "UNAUTHENTICATED": 401,
}


def test_table_has_every_status_of_grpc() -> None:
    assert {code.name: status for code, status in HTTP_STATUSES.items()} == STATUSES
    assert set(STATUSES) == set(code_pb2.Code.keys())


@pytest.mark.parametrize("name", [name for name in STATUSES if name != "OK"])
async def test_status_of_a_call_becomes_a_problem(name: str, mesh: Mesh, client: httpx.AsyncClient) -> None:
    mesh.pipeline.before_answer = aborting(name, "message of the server")
    response = await client.post("/api/v1/process", json=BODY)
    assert response.status_code == STATUSES[name]
    assert response.headers["content-type"] == "application/problem+json"
    problem = response.json()
    assert_valid(problem, PROBLEM_SCHEMA)
    assert problem["status"] == STATUSES[name]
    assert problem["instance"] == "/api/v1/process"


async def test_message_of_an_unexpected_error_is_hidden(mesh: Mesh, client: httpx.AsyncClient) -> None:
    mesh.pipeline.before_answer = aborting("UNKNOWN", "password is 1234")
    assert "1234" not in (await client.post("/api/v1/process", json=BODY)).text


async def test_violations_are_relative_to_the_body(mesh: Mesh, client: httpx.AsyncClient) -> None:
    mesh.pipeline.before_answer = raising(
        InvalidInput([FieldViolation("input.items[0].price", "is -1; give 0 or more"), FieldViolation("", "and more")])
    )
    problem = (await client.post("/api/v1/process", json=BODY)).json()
    assert problem["code"] == "INVALID_INPUT"
    assert problem["errors"] == [
        {"field": "items[0].price", "message": "is -1; give 0 or more"},
        {"field": "", "message": "and more"},
    ]
    assert problem["detail"] == "items[0].price: is -1; give 0 or more; and more"


async def test_unavailable_part_behind_the_pipeline_is_named(mesh: Mesh, client: httpx.AsyncClient) -> None:
    mesh.pipeline.before_answer = raising(ComponentUnavailable("frequency", "is not available; try again later"))
    response = await client.post("/api/v1/process", json=BODY)
    problem = response.json()
    assert response.status_code == 503
    assert (problem["code"], problem["component"]) == ("COMPONENT_UNAVAILABLE", "frequency")
    assert "frequency" in problem["detail"]


async def test_unavailable_pipeline_is_named(mesh: Mesh) -> None:
    async with mesh.client(pipeline_address="127.0.0.1:1") as client:
        response = await client.post("/api/v1/process", json=BODY)
    problem = response.json()
    assert response.status_code == 503
    assert (problem["code"], problem["component"]) == ("COMPONENT_UNAVAILABLE", "pipeline")
    assert "pipeline" in problem["detail"]
    assert "127.0.0.1" not in response.text


async def test_overloaded_part_sets_retry_after(mesh: Mesh, client: httpx.AsyncClient) -> None:
    mesh.pipeline.before_answer = raising(Overloaded("too much waits; try again in 1.2 s", 1.2))
    response = await client.post("/api/v1/process", json=BODY)
    assert (response.status_code, response.json()["code"]) == (429, "OVERLOADED")
    assert response.headers["retry-after"] == "2"


async def test_overloaded_gateway_rejects_requests_without_a_call(mesh: Mesh) -> None:
    begun, proceed = asyncio.Event(), asyncio.Event()

    async def hold(context: Context) -> None:
        begun.set()
        await proceed.wait()

    mesh.pipeline.before_answer = hold
    async with mesh.client(max_calls=1) as client:
        first = asyncio.create_task(client.post("/api/v1/process", json=BODY))
        await begun.wait()
        refused = await client.post("/api/v1/process", json=BODY)
        assert (refused.status_code, refused.json()["code"]) == (429, "OVERLOADED")
        assert refused.headers["retry-after"] == "1"
        assert (await client.get("/live")).status_code == 200
        proceed.set()
        assert (await first).status_code == 200


async def test_reason_of_an_error_is_the_code(mesh: Mesh, client: httpx.AsyncClient) -> None:
    mesh.pipeline.before_answer = raising(NotFound("nothing is stored under this id"))
    response = await client.post("/api/v1/process", json=BODY)
    assert (response.status_code, response.json()["code"]) == (404, "NOT_FOUND")


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, 4400),
        (413, 4400),
        (401, 4401),
        (403, 4401),
        (404, 4404),
        (429, 4429),
        (499, 4500),
        (503, 4500),
        (504, 4500),
    ],
)
def test_close_code_corresponds_to_the_status(status: int, code: int) -> None:
    assert Problem(status, "X", "x").close_code == code


def test_reasons_of_the_gateway_are_those_of_the_contract_and_of_the_readme() -> None:
    declared = {name.removeprefix("ERROR_REASON_") for name in ErrorReason.DESCRIPTOR.values_by_name} - {"UNSPECIFIED"}
    used = {ErrorReason.Name(reason).removeprefix("ERROR_REASON_") for reason in STATUS_BY_REASON}
    of_services = {
        "ALREADY_EXISTS",
        "CUSTOMER_ERASED",
        "DEADLINE_EXCEEDED",
        "DEADLINE_TOO_SHORT",
        "ETAG_MISMATCH",
        "INVALID_STATE",
        "QUOTA_EXCEEDED",
        "STORE_MISMATCH",
    }
    assert used | of_services == declared
    assert not used & of_services
    readme = (Path(__file__).parents[2] / "gateway" / "README.md").read_text()
    documented = {name: int(status) for name, status in re.findall(r"^\| `([A-Z_]+)` \| (\d+) \|", readme, re.M)}
    assert set(documented) == declared
    assert documented == documented | {
        ErrorReason.Name(reason).removeprefix("ERROR_REASON_"): status for reason, status in STATUS_BY_REASON.items()
    }


def test_code_of_a_problem_comes_from_the_contract() -> None:
    """No reason is spelled out in the code, so none can be missing from the contract."""
    sources = Path(pantree_gateway.__file__).parent.rglob("*.py")
    spelled_out = [
        (file.name, name)
        for file in sources
        for name in re.findall(r'"([A-Z]+(?:_[A-Z]+)*)"', file.read_text())
        if f"ERROR_REASON_{name}" in ErrorReason.DESCRIPTOR.values_by_name
    ]
    assert not spelled_out
