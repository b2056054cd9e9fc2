"""Erasing a customer also deletes the responses that gateways have stored for it."""

import asyncio
import base64
import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from redis.asyncio import Redis

from pantree_gateway.stores import Store
from pantree_runtime.shared_redis import SharedRedis
from tests.gateway.mesh import Mesh
from tests.redis_server import RedisServer, redis_server

_NAME = "Ada Lovelace"
_BODY = {"customer_name": _NAME, "items": [{"name": "Bananas", "price": 1.99}], "seed": 7, "as_of": "2026-06-01"}


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with redis_server(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture(params=["memory", "redis"])
def store(request: pytest.FixtureRequest) -> dict[str, str]:
    return {} if request.param == "memory" else {"redis_url": request.getfixturevalue("redis").url}


async def _process(client: httpx.AsyncClient, customer_id: str, key: str = "") -> httpx.Response:
    headers = {"Idempotency-Key": key} if key else {}
    return await client.post("/api/v1/process", json={**_BODY, "customer_id": customer_id}, headers=headers)


async def _stored_text(url: str) -> str:
    """Everything in a Redis, with the bodies of responses."""
    texts = []
    client: Any
    async with Redis.from_url(url) as client:
        async for key in client.scan_iter():
            texts.append(key.decode())
            if await client.type(key) == b"string":
                value = str(await client.get(key), "utf-8")
                texts.append(value)
                if value.startswith("{"):
                    texts.append(base64.b64decode(json.loads(value).get("body", "")).decode())
    return "\n".join(texts)


async def test_nothing_is_replayed_after_an_erasure(store: dict[str, str], mesh: Mesh) -> None:
    async with mesh.client(**store) as client:
        for customer in ("erased", "other"):
            await _process(client, customer)
            await _process(client, customer, f"key of {customer}")
        if store:
            assert "erased" in await _stored_text(store["redis_url"])
        assert (await client.delete("/api/v1/customers/erased")).status_code == 200
        if store:
            assert "erased" not in await _stored_text(store["redis_url"])
        again = [await _process(client, "erased"), await _process(client, "erased", "key of erased")]
        other = [await _process(client, "other"), await _process(client, "other", "key of other")]
    assert again[0].headers["x-cache"] == "miss"
    assert "idempotency-replayed" not in again[1].headers
    assert other[0].headers["x-cache"] == "hit"
    assert other[1].headers["idempotency-replayed"] == "true"


async def test_a_request_that_runs_meanwhile_stores_nothing(store: dict[str, str], mesh: Mesh) -> None:
    begun, may_end = asyncio.Event(), asyncio.Event()

    async def hold(_context: Any) -> None:
        begun.set()
        await may_end.wait()

    mesh.pipeline.before_answer = hold
    async with mesh.client(**store) as client:
        for key in ("", "key of running"):
            begun.clear()
            may_end.clear()
            running = asyncio.create_task(_process(client, "running", key))
            await begun.wait()
            mesh.pipeline.before_answer = None
            await client.delete("/api/v1/customers/running")
            may_end.set()
            assert (await running).status_code == 200
            again = await _process(client, "running", key)
            assert again.headers.get("x-cache", "miss") == "miss"
            assert "idempotency-replayed" not in again.headers
            mesh.pipeline.before_answer = hold


async def test_erasure_by_one_replica_reaches_the_others(redis: RedisServer, mesh: Mesh) -> None:
    async with mesh.client(redis_url=redis.url) as one, mesh.client(redis_url=redis.url) as other:
        await _process(one, "shared")
        await _process(one, "shared", "key of shared")
        await other.delete("/api/v1/customers/shared")
        assert (await _process(one, "shared")).headers["x-cache"] == "miss"
        assert "idempotency-replayed" not in (await _process(one, "shared", "key of shared")).headers


async def test_value_of_an_outage_is_deleted_by_another_replica(redis: RedisServer) -> None:
    shared = SharedRedis(redis.url, timeout_seconds=0.5, cool_down_seconds=0, shared="values")
    away = SharedRedis("redis://127.0.0.1:1", timeout_seconds=0.5, cool_down_seconds=0, shared="values")
    times = iter((1.0, 2.0, 3.0))
    one, other = (Store("a", away), Store("a", shared, clock=lambda: next(times)))
    await one.put("", "key", b"value", 60, subjects=frozenset({"ada"}), began_at=0.5)
    assert await one.get("", "key") == b"value"
    await other.forget("ada", 60)
    one._redis = shared  # Redis is back
    assert await one.get("", "key") is None
    assert await one.add("", "key", b"new", 60)
    await away.close()
    await shared.close()


async def test_erasure_without_redis_says_to_repeat_it(mesh: Mesh) -> None:
    async with mesh.client(redis_url="redis://127.0.0.1:1") as client:
        await _process(client, "a", "local")
        response = await client.delete("/api/v1/customers/a")
        again = await _process(client, "a", "local")
    assert (response.status_code, response.json()["component"]) == (503, "redis")
    assert "repeat" in response.json()["detail"]
    assert "idempotency-replayed" not in again.headers
