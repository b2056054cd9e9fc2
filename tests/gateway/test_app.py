import re

import httpx
import pytest
from starlette.types import Message
from structlog.testing import capture_logs

from pantree.pipeline.v1 import pipeline_service_pb2 as messages
from pantree_gateway.app import create_app
from tests.gateway.mesh import Mesh

PREFLIGHT = {"Origin": "https://shop.example", "Access-Control-Request-Method": "POST"}


async def test_root_returns_name_version_and_links(client: httpx.AsyncClient) -> None:
    answer = (await client.get("/")).json()
    assert (answer["name"], answer["status"]) == ("Pantree", "running")
    assert answer["version"]
    for link in answer["links"].values():
        assert (await client.get(link)).status_code == 200


@pytest.mark.parametrize(
    ("state", "status", "word"),
    [
        (messages.COMPONENT_STATE_SERVING, 200, "healthy"),
        (messages.COMPONENT_STATE_DEGRADED, 200, "degraded"),
        (messages.COMPONENT_STATE_UNAVAILABLE, 503, "unavailable"),
        (messages.COMPONENT_STATE_UNSPECIFIED, 503, "unavailable"),
    ],
)
async def test_health_returns_the_overall_state(
    state: messages.ComponentState.ValueType, status: int, word: str, mesh: Mesh, client: httpx.AsyncClient
) -> None:
    mesh.pipeline.state.state = state
    response = await client.get("/health")
    assert (response.status_code, response.json()["status"]) == (status, word)


async def test_health_lists_every_component(mesh: Mesh, client: httpx.AsyncClient) -> None:
    mesh.pipeline.state.components.add(
        name="vector",
        state=messages.COMPONENT_STATE_UNAVAILABLE,
        latency_ms=1.5,
        message="vector is not available",
    )
    mesh.pipeline.state.components.add(name="frequency", state=messages.COMPONENT_STATE_SERVING, required=True)
    mesh.pipeline.state.components.add(name="enrichment", state=messages.COMPONENT_STATE_DISABLED)
    components = (await client.get("/health")).json()["components"]
    assert components["vector"] == {
        "status": "unavailable",
        "required": False,
        "latency_ms": 1.5,
        "message": "vector is not available",
    }
    assert (components["frequency"]["status"], components["frequency"]["required"]) == ("healthy", True)
    assert components["enrichment"]["status"] == "disabled"
    assert components["pipeline"]["status"] == "healthy"


async def test_health_without_a_pipeline_is_503_and_names_it(mesh: Mesh) -> None:
    async with mesh.client(pipeline_address="127.0.0.1:1") as client:
        response = await client.get("/health")
    assert response.status_code == 503
    assert list(response.json()["components"]) == ["pipeline"]
    assert response.json()["components"]["pipeline"]["status"] == "unavailable"
    assert response.json()["components"]["pipeline"]["message"]


async def test_probes_do_not_depend_on_the_pipeline(mesh: Mesh) -> None:
    async with mesh.client(pipeline_address="127.0.0.1:1") as client:
        assert (await client.get("/live")).json() == {"status": "live"}
        assert (await client.get("/ready")).json() == {"status": "ready"}


async def test_any_origin_is_allowed_by_default(client: httpx.AsyncClient) -> None:
    response = await client.options("/api/v1/process", headers=PREFLIGHT)
    assert response.status_code == 200
    assert response.headers["access-control-allow-origin"] == "*"


async def test_only_configured_origins_are_allowed(mesh: Mesh) -> None:
    async with mesh.client(cors_origins="https://shop.example, https://other.example") as client:
        allowed = await client.options("/api/v1/process", headers=PREFLIGHT)
        refused = await client.options("/api/v1/process", headers={**PREFLIGHT, "Origin": "https://evil.example"})
    assert allowed.headers["access-control-allow-origin"] == "https://shop.example"
    assert "access-control-allow-origin" not in refused.headers


async def test_pages_can_read_problems(client: httpx.AsyncClient) -> None:
    response = await client.get("/api/v1/nothing", headers={"Origin": "https://shop.example"})
    assert response.headers["access-control-allow-origin"] == "*"
    assert "X-Trace-Id" in response.headers["access-control-expose-headers"]


async def test_unexpected_error_is_a_problem_without_details(mesh: Mesh) -> None:
    # The lifespan did not open the channels.
    app = create_app(mesh.settings())
    transport = httpx.ASGITransport(app)
    with capture_logs() as events:
        async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
            response = await client.get("/api/v1/config", headers={"Origin": "https://shop.example"})
    assert response.status_code == 500
    assert (response.json()["code"], response.json()["detail"]) == ("INTERNAL", "internal error")
    assert response.headers["access-control-allow-origin"] == "*"
    assert events[0]["trace_id"] == response.json()["trace_id"]
    assert events[0]["log_level"] == "error"


async def test_access_log_has_the_route_but_no_customer(client: httpx.AsyncClient) -> None:
    with capture_logs() as events:
        await client.post("/api/v1/process", json={"customer_id": "cust_001"})
        await client.get("/api/v1/shoppers/cust_001")
    # The loopback services log their calls, too.
    accesses = [event for event in events if event["event"] == "request"]
    assert [(event["method"], event["route"], event["status"]) for event in accesses] == [
        ("POST", "/api/v1/process", 200),
        ("GET", "unknown", 404),
    ]
    assert "cust_001" not in str(events)


async def test_client_that_disconnects_during_its_body_is_not_an_error(mesh: Mesh) -> None:
    async def receive() -> Message:
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        pytest.fail(f"the client disconnected before {message}")

    scope = {"type": "http", "method": "POST", "path": "/api/v1/process", "headers": [], "query_string": b""}
    with capture_logs() as events:
        await create_app(mesh.settings())(scope, receive, send)
    assert [(event["event"], event["status"]) for event in events] == [("request", 499)]


async def test_docs_page_loads_all_files_from_the_gateway(client: httpx.AsyncClient) -> None:
    page = await client.get("/docs")
    assert page.status_code == 200
    assert "'openapi.json'" in page.text
    loaded = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert len(loaded) == 3
    for path in loaded:
        assert not path.startswith("/")
        assert (await client.get(f"/{path}")).status_code == 200
