"""Rate limits, stored responses and headers, with and without Redis."""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from redis.asyncio import Redis
from starlette.responses import Response
from structlog.testing import capture_logs
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from pantree.pipeline.v1 import pipeline_service_pb2 as messages
from pantree_gateway.app import REDIS_COOL_DOWN_SECONDS
from pantree_gateway.stores import Store
from pantree_gateway.transcoding.problem import ProblemError
from pantree_gateway.transcoding.stored_responses import IdempotencyStore, ResponseKey
from pantree_runtime import telemetry
from pantree_runtime.errors import ComponentUnavailable, DeadlineTooShort, NotFound, Overloaded
from tests.gateway.mesh import Mesh
from tests.redis_server import RedisServer, redis_server

BODY = {"customer_id": "a", "items": [{"name": "Bananas", "price": 1.99}], "seed": 7, "as_of": "2026-06-01"}


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with redis_server(tmp_path_factory.mktemp("redis")) as server:
        yield server


@contextlib.asynccontextmanager
async def clients(mesh: Mesh, count: int, **changes: object) -> AsyncIterator[list[httpx.AsyncClient]]:
    """Clients of `count` gateways."""
    async with contextlib.AsyncExitStack() as stack:
        yield [await stack.enter_async_context(mesh.client(**changes)) for _ in range(count)]


# Rate limit


async def test_request_over_the_limit_is_429(mesh: Mesh) -> None:
    async with mesh.client(rate_limit="2/hour") as client:
        first, second, third = [await client.get("/api/v1/config") for _ in range(3)]
        assert (await client.get("/health")).status_code == 200
    assert first.headers["ratelimit-policy"] == '"default";q=2;w=3600'
    assert re.fullmatch(r'"default";r=1;t=\d+', first.headers["ratelimit"])
    assert [first.status_code, second.status_code, third.status_code] == [200, 200, 429]
    assert third.json()["code"] == "TOO_MANY_REQUESTS"
    assert re.fullmatch(r'"default";r=0;t=\d+', third.headers["ratelimit"])
    assert 1 <= int(third.headers["retry-after"]) <= 3600
    assert "retry-after" not in second.headers


async def test_responses_without_a_rate_limit_have_no_rate_limit_headers(mesh: Mesh, client: httpx.AsyncClient) -> None:
    assert "ratelimit" not in (await client.get("/api/v1/config")).headers


async def test_every_request_of_a_websocket_is_counted(mesh: Mesh) -> None:
    async with mesh.gateway(rate_limit="2/hour") as gateway:
        async with connect(f"ws://{gateway.address}/ws/stream/a") as websocket:
            for _ in range(3):
                await websocket.send('{"id": 1, "items": []}')
            frames = []
            with contextlib.suppress(ConnectionClosed):
                while True:
                    frames.append(await websocket.recv())
        assert websocket.close_code == 4429
        assert "TOO_MANY_REQUESTS" in str(frames[-1])
        assert len(mesh.pipeline.requests) == 2
        # The next one is rejected after its handshake.
        async with connect(f"ws://{gateway.address}/ws/stream/a") as websocket:
            assert "TOO_MANY_REQUESTS" in str(await websocket.recv())
            await websocket.wait_closed()
        assert websocket.close_code == 4429


async def test_replicas_with_one_redis_share_the_limit(mesh: Mesh, redis: RedisServer) -> None:
    async with clients(mesh, 2, rate_limit="3/hour", redis_url=redis.url) as (one, other):
        codes = [(await client.get("/api/v1/config")).status_code for client in (one, other, one, other, one)]
    assert codes == [200, 200, 200, 429, 429]
    async with Redis.from_url(redis.url) as client:
        assert len(await client.client_list()) == 1, "a gateway that has stopped has open connections"


# Response cache


async def test_deterministic_request_is_answered_from_the_cache(mesh: Mesh) -> None:
    async with mesh.client() as client:
        first = await client.post("/api/v1/process", json=BODY)
        second = await client.post("/api/v1/process", json=dict(reversed(BODY.items())))
        fresh = await client.post("/api/v1/process", json=BODY, headers={"Cache-Control": "no-cache"})
    assert [response.headers["x-cache"] for response in (first, second, fresh)] == ["miss", "hit", "miss"]
    assert first.content == second.content
    assert second.headers["content-type"] == "application/json"
    assert len(mesh.pipeline.requests) == 2


@pytest.mark.parametrize(
    "changes",
    [{"seed": None}, {"as_of": ""}, {"seed": None, "as_of": ""}, {"include_suggestions": True}],
    ids=["no seed", "no day", "neither", "depends on other customers"],
)
async def test_response_that_may_differ_is_not_cached(changes: dict[str, Any], mesh: Mesh) -> None:
    async with mesh.client() as client:
        for _ in range(2):
            assert "x-cache" not in (await client.post("/api/v1/process", json={**BODY, **changes})).headers
    assert len(mesh.pipeline.requests) == 2


async def test_different_request_is_not_answered_from_the_cache(mesh: Mesh) -> None:
    async with mesh.client() as client:
        await client.post("/api/v1/process", json=BODY)
        other = await client.post("/api/v1/process", json={**BODY, "seed": 8})
    assert other.headers["x-cache"] == "miss"


async def test_response_with_warnings_is_not_cached(mesh: Mesh) -> None:
    mesh.pipeline.warnings = [messages.Warning(component="vector", code="COMPONENT_UNAVAILABLE", message="is down")]
    async with mesh.client() as client:
        for _ in range(2):
            assert (await client.post("/api/v1/process", json=BODY)).headers["x-cache"] == "miss"


async def test_response_with_a_warning_about_its_own_purchases_is_cached(mesh: Mesh) -> None:
    mesh.pipeline.warnings = [messages.Warning(component="history", code="STALE_HISTORY", message="is old")]
    async with mesh.client() as client:
        responses = [await client.post("/api/v1/process", json=BODY) for _ in range(2)]
    assert [response.headers["x-cache"] for response in responses] == ["miss", "hit"]


async def test_cache_can_be_turned_off(mesh: Mesh) -> None:
    async with mesh.client(cache_seconds=0) as client:
        assert "x-cache" not in (await client.post("/api/v1/process", json=BODY)).headers


async def test_replicas_with_one_redis_share_the_cache(mesh: Mesh, redis: RedisServer) -> None:
    async with clients(mesh, 2, redis_url=redis.url) as (one, other):
        first = await one.post("/api/v1/process", json={**BODY, "customer_id": "shared"})
        second = await other.post("/api/v1/process", json={**BODY, "customer_id": "shared"})
    assert (first.headers["x-cache"], second.headers["x-cache"]) == ("miss", "hit")
    assert first.content == second.content


# Idempotency-Key


@pytest.fixture(params=["memory", "redis"])
def store(request: pytest.FixtureRequest) -> dict[str, str]:
    if request.param == "memory":
        return {}
    server: RedisServer = request.getfixturevalue("redis")
    return {"redis_url": server.url}


async def test_same_key_gets_the_stored_response(store: dict[str, str], mesh: Mesh) -> None:
    body = {"customer_id": "a"}
    async with mesh.client(**store) as client:
        first, second = [
            await client.post("/api/v1/process", json=body, headers={"Idempotency-Key": "once"}) for _ in range(2)
        ]
        other = await client.post("/api/v1/process", json={"customer_id": "b"}, headers={"Idempotency-Key": "once"})
    assert (first.status_code, second.status_code, other.status_code) == (200, 200, 422)
    assert first.content == second.content
    assert second.headers["idempotency-replayed"] == "true"
    assert other.json()["code"] == "IDEMPOTENCY_KEY_REUSED"
    assert len(mesh.pipeline.requests) == 1


async def test_same_key_while_the_first_is_running_is_409(store: dict[str, str], mesh: Mesh) -> None:
    begun, may_end = asyncio.Event(), asyncio.Event()

    async def hold(_context: Any) -> None:
        begun.set()
        await may_end.wait()

    mesh.pipeline.before_answer = hold
    headers = {"Idempotency-Key": "running"}
    async with mesh.client(**store) as client:
        first = asyncio.create_task(client.post("/api/v1/process", json={"customer_id": "a"}, headers=headers))
        await begun.wait()
        second = await client.post("/api/v1/process", json={"customer_id": "a"}, headers=headers)
        may_end.set()
        assert (await first).status_code == 200
    assert (second.status_code, second.json()["code"]) == (409, "REQUEST_RUNNING")


async def test_failure_is_the_answer_to_its_key_too(store: dict[str, str], mesh: Mesh) -> None:
    async def fail(context: Any) -> None:
        raise RuntimeError

    mesh.pipeline.before_answer = fail
    headers = {"Idempotency-Key": "failed"}
    async with mesh.client(**store) as client:
        first = await client.post("/api/v1/process", json={"customer_id": "a"}, headers=headers)
        mesh.pipeline.before_answer = None
        again = await client.post("/api/v1/process", json={"customer_id": "a"}, headers=headers)
    assert (first.status_code, again.status_code) == (500, 500)
    assert again.json() == first.json()
    assert again.headers["idempotency-replayed"] == "true"


@pytest.mark.parametrize(
    "error",
    [NotFound("no"), Overloaded("later", 1), ComponentUnavailable("vector", "later"), DeadlineTooShort("soon")],
)
async def test_key_of_a_refused_request_may_be_used_again(error: Exception, mesh: Mesh) -> None:
    async def fail(context: Any) -> None:
        raise error

    mesh.pipeline.before_answer = fail
    headers = {"Idempotency-Key": "refused"}
    async with mesh.client() as client:
        first = await client.post("/api/v1/process", json={"customer_id": "a"}, headers=headers)
        mesh.pipeline.before_answer = None
        again = await client.post("/api/v1/process", json={"customer_id": "a"}, headers=headers)
    assert first.status_code >= 400
    assert again.status_code == 200


@pytest.mark.parametrize("key", ["", "x" * 256, '""', "a\tb"])
async def test_invalid_key_is_named(key: str, mesh: Mesh, client: httpx.AsyncClient) -> None:
    response = await client.post("/api/v1/process", json={"customer_id": "a"}, headers={"Idempotency-Key": key})
    assert response.status_code == 400
    assert response.json()["errors"][0]["field"] == "Idempotency-Key"


async def test_key_released_between_two_lookups_has_one_owner() -> None:
    first = ResponseKey("key", "fingerprint")

    class Racing(Store):
        """Stores for three requests: the first fails, and the third comes first, while the second looks it up."""

        third: Response | None = Response()

        async def get(self, partition: str, key: str) -> bytes | None:
            if self.third is None:
                return await super().get(partition, key)
            await self.delete(partition, key)
            self.third = await responses.find(first)
            return None

    store = Racing()
    responses = IdempotencyStore(store)
    assert await responses.find(first) is None
    with pytest.raises(ProblemError) as raised:
        await responses.find(first)
    assert store.third is None
    assert raised.value.problem.status == 409


# Unavailable Redis


async def test_gateway_falls_back_to_local_limits_while_redis_is_unavailable(tmp_path: Path, mesh: Mesh) -> None:
    with redis_server(tmp_path) as server:
        changes = {"rate_limit": "3/hour", "redis_url": server.url}
        async with clients(mesh, 2, **changes) as (one, other):
            assert (await one.get("/api/v1/config")).status_code == 200
            assert (await one.get("/health")).json()["components"]["redis"]["status"] == "healthy"
            server.kill()
            with capture_logs() as events:
                codes = [
                    (await client.get("/api/v1/config")).status_code for client in (one, other, one, other, one, one)
                ]
                health = await one.get("/health")
            assert codes == [200, 200, 200, 200, 200, 429]
            assert health.status_code == 200
            assert health.json()["status"] == "degraded"
            assert "local to this replica" in health.json()["components"]["redis"]["message"]
            assert len([event for event in events if event["log_level"] == "warning"]) == 2
            assert (await one.get("/live")).status_code == 200
            server.start()
            with capture_logs() as events:
                async with asyncio.timeout(REDIS_COOL_DOWN_SECONDS * 10):
                    while (await other.get("/health")).json()["status"] != "healthy":
                        await other.get("/api/v1/config")
                        await asyncio.sleep(0.1)
            assert "redis works again; limits and stored responses are shared" in [event["event"] for event in events]


async def test_answer_says_when_an_idempotency_key_cannot_be_shared(tmp_path: Path, mesh: Mesh) -> None:
    headers, body = {"Idempotency-Key": "once"}, {"customer_id": "a"}

    async def post(client: httpx.AsyncClient) -> httpx.Response:
        return await client.post("/api/v1/process", json=body, headers=headers)

    def promises(response: httpx.Response) -> tuple[bool, bool, bool]:
        """Whether an answer says that its key is not shared, in a header and a warning, and that it is a repetition."""
        codes = [warning["code"] for warning in response.json()["warnings"]]
        return (
            response.headers.get("Idempotency-Scope") == "replica",
            "IDEMPOTENCY_LOCAL" in codes,
            "Idempotency-Replayed" in response.headers,
        )

    with redis_server(tmp_path) as server:
        async with clients(mesh, 2, redis_url=server.url) as (one, other):
            server.kill()
            assert promises(await post(one)) == (True, True, False)
            assert promises(await post(other)) == (True, True, False)
            assert promises(await post(one)) == (True, True, True)
            assert len(mesh.pipeline.requests) == 2
            server.start()
            async with asyncio.timeout(REDIS_COOL_DOWN_SECONDS * 10):
                for client in (one, other):
                    while (await client.get("/health")).json()["status"] != "healthy":  # noqa: ASYNC110 - another process
                        await asyncio.sleep(0.1)
            # It still knows its own key, and what was promised with it.
            assert promises(await post(one)) == (False, True, True)
            assert len(mesh.pipeline.requests) == 2
            headers["Idempotency-Key"] = "twice"
            assert promises(await post(one)) == (False, False, False)
            assert promises(await post(other)) == (False, False, True)


# Memory store


async def test_memory_store_evicts_and_expires() -> None:
    store = Store(max_bytes=30)
    await store.put("", "a", b"x" * 14, 60)
    assert not await store.add("", "a", b"y", 60)
    await store.put("", "b", b"x" * 14, 60)
    await store.put("", "c", b"x" * 14, 60)
    assert [await store.get("", key) is not None for key in "abc"] == [False, True, True]
    await store.put("", "d", b"", -1)
    assert await store.get("", "d") is None


async def test_partition_cannot_evict_what_another_stores() -> None:
    store = Store(max_bytes=1_000)
    await store.put("quiet", "a", b"x" * 100, 60)
    for number in range(200):
        await store.put("loud", str(number), b"x" * 100, 60)
    assert await store.get("quiet", "a") == b"x" * 100
    assert await store.get("loud", "199") is not None


# Headers and metrics


async def test_every_response_has_security_headers(mesh: Mesh, client: httpx.AsyncClient) -> None:
    for path in ("/api/v1/config", "/nothing", "/docs"):
        headers = (await client.get(path)).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        assert "'none'" in headers["content-security-policy"]
        assert "strict-transport-security" not in headers
    response = await client.get("https://gateway/live")
    assert "max-age" in response.headers["strict-transport-security"]


async def test_metrics_have_routes_but_no_customers(mesh: Mesh) -> None:
    async with mesh.client() as client:
        await client.post("/api/v1/process", json={"customer_id": "cust_001"})
        await client.get("/api/v1/shoppers/cust_001")
        await client.request("BREW", "/api/v1/shoppers/cust_001")
        text = (await client.get("/metrics")).text
    assert 'pantree_gateway_requests_total{method="POST",route="/api/v1/process",status="200"} 1.0' in text
    assert 'pantree_gateway_requests_total{method="any",route="unknown",status="404"} 2.0' in text
    assert 'pantree_gateway_request_duration_seconds_count{method="POST",route="/api/v1/process"} 1.0' in text
    assert 'pantree_gateway_requests_in_flight{kind="http"} 1.0' in text
    assert "cust_001" not in text


async def test_allowed_headers_are_forwarded_both_ways(mesh: Mesh) -> None:
    mesh.pipeline.initial_metadata = (("x-request-tag", "back"), ("x-other", "hidden"))
    headers = {"X-Request-Tag": "there", "X-Other": "hidden", "tracestate": "a=b", "Cookie": "secret=1"}
    async with mesh.client(forwarded_headers="X-Request-Tag") as client:
        response = await client.post("/api/v1/process", json={"customer_id": "a"}, headers=headers)
    assert mesh.pipeline.metadata["x-request-tag"] == "there"
    assert mesh.pipeline.metadata["tracestate"] == "a=b"
    assert not {"x-other", "cookie"} & set(mesh.pipeline.metadata)
    assert response.headers["x-request-tag"] == "back"
    assert "x-other" not in response.headers


async def test_header_that_grpc_cannot_carry_is_dropped(mesh: Mesh) -> None:
    async with mesh.client(forwarded_headers="X-Request-Tag") as client:
        headers = {b"X-Request-Tag": "für".encode("latin-1")}
        response = await client.post("/api/v1/process", json={"customer_id": "a"}, headers=headers)
    assert response.status_code == 200
    assert "x-request-tag" not in mesh.pipeline.metadata


async def test_trace_continues_upstream(mesh: Mesh, client: httpx.AsyncClient) -> None:
    given = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    await client.post("/api/v1/process", json={"customer_id": "a"}, headers={"traceparent": given})
    assert mesh.pipeline.metadata["traceparent"] == given
    response = await client.post("/api/v1/process", json={"customer_id": "a"}, headers={"traceparent": "nonsense"})
    begun = str(mesh.pipeline.metadata["traceparent"])
    assert re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-01", begun)
    assert begun.split("-")[1] == response.headers["x-trace-id"]


# Deadlines


@pytest.mark.parametrize(
    ("value", "min_seconds", "max_seconds"),
    [("5S", 3, 7), ("1M", 50, 65), ("4000m", 2, 6), ("9000000u", 7, 11), ("1H", 3000, 3700)],
)
async def test_grpc_timeout_sets_the_deadline(
    value: str, min_seconds: float, max_seconds: float, mesh: Mesh, client: httpx.AsyncClient
) -> None:
    await client.post("/api/v1/process", json={"customer_id": "a"}, headers={"grpc-timeout": value})
    assert mesh.pipeline.seconds_left is not None
    assert min_seconds < mesh.pipeline.seconds_left <= max_seconds


@pytest.mark.parametrize("value", ["5", "S", "0S", "123456789m", "1.5S", "-1S", "5s", ""])
async def test_invalid_grpc_timeout_is_named(value: str, mesh: Mesh, client: httpx.AsyncClient) -> None:
    response = await client.get("/api/v1/config", headers={"grpc-timeout": value})
    assert response.status_code == 400
    assert response.json()["errors"][0]["field"] == "grpc-timeout"


async def test_request_timeout_overrides_grpc_timeout(mesh: Mesh, client: httpx.AsyncClient) -> None:
    headers = {"grpc-timeout": "5S", "X-Request-Timeout": "60"}
    await client.post("/api/v1/process", json={"customer_id": "a"}, headers=headers)
    assert mesh.pipeline.seconds_left is not None
    assert mesh.pipeline.seconds_left > 30


async def test_budget_of_50_ms_is_504_and_ends_the_call(mesh: Mesh, client: httpx.AsyncClient) -> None:
    ended = asyncio.Event()

    async def hold(context: Any) -> None:
        try:
            await asyncio.sleep(3600)
        finally:
            ended.set()

    mesh.pipeline.before_answer = hold
    response = await client.post("/api/v1/process", json={"customer_id": "a"}, headers={"X-Request-Timeout": "0.05"})
    assert (response.status_code, response.json()["title"]) == (504, "Gateway Timeout")
    # The call was either rejected for lack of time, or cancelled.
    if mesh.pipeline.requests:
        await ended.wait()


# Traces


@pytest.mark.parametrize(
    ("path", "is_probe"),
    [("/live", True), ("/ready", True), ("/health", True), ("/metrics", True), ("/api/v1/config", False)],
)
async def test_probes_and_scrapes_begin_no_traces(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch, path: str, is_probe: bool
) -> None:
    begin, probes = telemetry.http_span, []

    def http_span(method: str, traceparent: str, *, is_probe: bool) -> object:
        probes.append(is_probe)
        return begin(method, traceparent, is_probe=is_probe)

    monkeypatch.setattr(telemetry, "http_span", http_span)
    assert (await client.get(path)).status_code == 200
    assert probes == [is_probe]
