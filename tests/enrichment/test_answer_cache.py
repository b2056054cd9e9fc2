"""Tests of the cache with and without Redis."""

import contextlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.asyncio import Redis
from structlog.testing import capture_logs

from pantree_enrichment.backends.answer_cache import KEY_PREFIX, TieredCache
from pantree_enrichment.core.item import Failure, ModelItem
from pantree_enrichment.core.ports import AnswerCache
from pantree_runtime.shared_redis import SharedRedis
from tests.enrichment.answers import answer_about, model_item_of
from tests.enrichment.nim_server import silent_server
from tests.redis_server import RedisServer, redis_server
from tests.runtime.test_circuit_breaker import Clock

MILK, BREAD = model_item_of("milk"), model_item_of("bread", "bakery")


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with redis_server(tmp_path_factory.mktemp("redis")) as server:
        yield server


@contextlib.asynccontextmanager
async def redis_cache(
    url: str, *, clock: Clock | None = None, prompt_version: str = "v1", model: str = "m", seconds: float = 3600
) -> AsyncIterator[TieredCache]:
    clock = clock or Clock()
    cache = TieredCache(
        size=100,
        seconds=seconds,
        clock=clock,
        redis=SharedRedis(url, timeout_seconds=0.25, cool_down_seconds=30, shared="answers", clock=clock),
        prompt_version=prompt_version,
        model=model,
    )
    try:
        yield cache
    finally:
        await cache.close()


@pytest.fixture(params=["memory", "redis"])
async def cache(request: pytest.FixtureRequest) -> AsyncIterator[AnswerCache]:
    if request.param == "memory":
        yield TieredCache(size=100, seconds=3600, clock=Clock())
    else:
        server: RedisServer = request.getfixturevalue("redis")
        async with redis_cache(server.url, model=request.node.name) as cache:
            yield cache


async def test_answers_are_found_by_item(cache: AnswerCache) -> None:
    assert await cache.get([MILK]) == {}
    await cache.put({MILK: answer_about(MILK), BREAD: answer_about(BREAD, "bakery")})
    assert await cache.get([BREAD, MILK]) == {MILK: answer_about(MILK), BREAD: answer_about(BREAD, "bakery")}
    assert await cache.get([model_item_of("milk", "dairy"), model_item_of("bread")]) == {}


async def test_only_item_specific_failures_are_cached(cache: AnswerCache) -> None:
    await cache.put({MILK: Failure("down"), BREAD: Failure("wrong", is_item_specific=True)})
    assert await cache.get([MILK, BREAD]) == {BREAD: Failure("wrong", is_item_specific=True)}


async def test_later_answer_replaces_the_earlier_one(cache: AnswerCache) -> None:
    await cache.put({MILK: answer_about(MILK)})
    await cache.put({MILK: answer_about(MILK, "dairy")})
    assert await cache.get([MILK]) == {MILK: answer_about(MILK, "dairy")}


@pytest.mark.parametrize(
    "names", [("パン", "バン", "ハン"), ("दाल", "दिल"), ("7 Up", "Up"), ("Ananas", "Anana"), ("Crème", "Creme")]
)
async def test_different_names_in_any_script_have_their_own_answers(cache: AnswerCache, names: tuple[str, ...]) -> None:
    items = [model_item_of(name) for name in names]
    await cache.put({item: answer_about(item) for item in items})
    found = await cache.get(items)
    assert [found[item] for item in items] == [answer_about(item) for item in items]
    assert len(set(found.values())) == len(names)


async def test_empty_calls_succeed(cache: AnswerCache) -> None:
    await cache.put({})
    assert await cache.get([]) == {}


async def test_memory_drops_expired_outcomes() -> None:
    clock = Clock()
    cache = TieredCache(size=100, seconds=3600, clock=clock)
    await cache.put({MILK: answer_about(MILK), BREAD: Failure("wrong", is_item_specific=True)})
    clock.seconds += 600
    assert set(await cache.get([MILK, BREAD])) == {MILK}
    clock.seconds += 3000
    assert await cache.get([MILK, BREAD]) == {}


@given(st.lists(st.integers(min_value=0, max_value=20), max_size=60), st.integers(min_value=1, max_value=10))
async def test_full_memory_cache_drops_the_oldest_use_first(numbers: list[int], size: int) -> None:
    cache = TieredCache(size=size, seconds=3600, clock=Clock())
    used: list[ModelItem] = []
    for number in numbers:
        item = model_item_of(str(number))
        if not await cache.get([item]):
            await cache.put({item: answer_about(item)})
        used = [item, *(other for other in used if other != item)][:size]
    assert set(await cache.get([model_item_of(str(number)) for number in range(21)])) == set(used)


async def test_replicas_share_answers_which_survive_a_restart(redis: RedisServer) -> None:
    async with redis_cache(redis.url, model="shared") as one, redis_cache(redis.url, model="shared") as other:
        await one.put({MILK: answer_about(MILK)})
        assert await other.get([MILK, BREAD]) == {MILK: answer_about(MILK)}


@pytest.mark.parametrize("changes", [{"prompt_version": "v2"}, {"model": "other"}])
async def test_answers_of_other_prompts_and_models_are_not_found(redis: RedisServer, changes: dict[str, str]) -> None:
    async with redis_cache(redis.url) as one, redis_cache(redis.url, **changes) as other:  # type: ignore[arg-type]
        await one.put({MILK: answer_about(MILK)})
        assert await other.get([MILK]) == {}


async def test_answers_in_redis_expire(redis: RedisServer) -> None:
    client = Redis.from_url(redis.url)
    async with redis_cache(redis.url, model="old", seconds=100) as cache:
        before = set(await client.keys(f"{KEY_PREFIX}*"))
        await cache.put({MILK: answer_about(MILK)})
        (key,) = set(await client.keys(f"{KEY_PREFIX}*")) - before
        assert 0 < await client.ttl(key) <= 100
    await client.aclose()


@pytest.mark.parametrize(
    "text", [b"", b"\xff", b"null", b"{}", b'{"category": "weapons"}', b"[" * 100_000, b'"milk is pet food"']
)
async def test_values_that_are_not_answers_are_ignored(redis: RedisServer, text: bytes) -> None:
    client = Redis.from_url(redis.url)
    async with redis_cache(redis.url, model="invalid") as one, redis_cache(redis.url, model="invalid") as other:
        await client.flushdb()
        await one.put({MILK: answer_about(MILK)})
        (key,) = await client.keys(f"{KEY_PREFIX}*")
        await client.set(key, text)
        assert await other.get([MILK]) == {}
    await client.aclose()


async def test_memory_works_while_redis_is_down_and_redis_is_used_again_afterwards(tmp_path: Path) -> None:
    clock = Clock()
    with redis_server(tmp_path) as server, capture_logs() as logs:
        async with redis_cache(server.url, clock=clock) as cache:
            await cache.put({MILK: answer_about(MILK)})
            server.kill()
            assert await cache.get([MILK, BREAD]) == {MILK: answer_about(MILK)}
            await cache.put({BREAD: answer_about(BREAD)})
            assert set(await cache.get([MILK, BREAD])) == {MILK, BREAD}
            assert [log["log_level"] for log in logs] == ["warning"]

            clock.seconds += 30
            await cache.get([model_item_of("jam")])
            assert [log["log_level"] for log in logs] == ["warning"]

            server.start()
            clock.seconds += 30
            await cache.put({MILK: answer_about(MILK)})
            assert [log["event"] for log in logs][1:] == ["redis works again; answers are shared"]
        async with redis_cache(server.url) as other:
            assert set(await other.get([MILK])) == {MILK}


async def test_silent_redis_costs_its_timeout_once() -> None:
    async with silent_server() as silent:
        async with redis_cache(f"redis://127.0.0.1:{silent.port}") as cache:
            for _ in range(20):
                assert await cache.get([MILK]) == {}
            await cache.put({MILK: answer_about(MILK)})
            assert await cache.get([MILK]) == {MILK: answer_about(MILK)}
        assert silent.connections == 1


async def test_password_of_redis_is_never_logged() -> None:
    with capture_logs() as logs:
        async with redis_cache("redis://:not-a-real-password@127.0.0.1:1/0") as cache:
            await cache.get([MILK])
    assert len(logs) == 1
    assert "password" not in str(logs)
