"""One suite for both caches, and what Redis alone must show."""

import contextlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from pantree_enrichment.backends.cache import AnswerCache, MemoryCache
from pantree_enrichment.backends.redis_cache import KEY_PREFIX, RedisCache, open_redis
from pantree_enrichment.core import ItemToEnrich, Unanswered
from tests.enrichment.answers import answer_about
from tests.enrichment.nim_server import accepting_and_silent
from tests.redis_server import RedisServer, redis_server
from tests.runtime.test_circuit_breaker import Clock

MILK, BREAD = ItemToEnrich("milk"), ItemToEnrich("bread", "bakery")


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with redis_server(tmp_path_factory.mktemp("redis")) as server:
        yield server


@contextlib.asynccontextmanager
async def redis_cache(
    url: str, *, clock: Clock | None = None, prompt_version: str = "v1", model: str = "m", seconds: float = 3600
) -> AsyncIterator[RedisCache]:
    clock = clock or Clock()
    cache = RedisCache(
        open_redis(url),
        MemoryCache(size=100, seconds_to_keep=seconds, clock=clock),
        prompt_version=prompt_version,
        model=model,
        seconds_to_keep=seconds,
        clock=clock,
    )
    try:
        yield cache
    finally:
        await cache.close()


@pytest.fixture(params=["memory", "redis"])
async def cache(request: pytest.FixtureRequest) -> AsyncIterator[AnswerCache]:
    if request.param == "memory":
        yield MemoryCache(size=100, seconds_to_keep=3600, clock=Clock())
    else:
        server: RedisServer = request.getfixturevalue("redis")
        async with redis_cache(server.url, model=request.node.name) as cache:
            yield cache


async def test_answers_are_found_by_their_questions(cache: AnswerCache) -> None:
    assert await cache.get([MILK]) == {}
    await cache.put({MILK: answer_about(MILK), BREAD: answer_about(BREAD, "bakery")})
    assert await cache.get([BREAD, MILK]) == {MILK: answer_about(MILK), BREAD: answer_about(BREAD, "bakery")}
    assert await cache.get([ItemToEnrich("milk", "dairy"), ItemToEnrich("bread")]) == {}


async def test_failures_are_kept_when_they_concern_one_item_alone(cache: AnswerCache) -> None:
    await cache.put({MILK: Unanswered("down"), BREAD: Unanswered("wrong", concerns_item_alone=True)})
    assert await cache.get([MILK, BREAD]) == {BREAD: Unanswered("wrong", concerns_item_alone=True)}


async def test_later_answer_replaces_the_earlier_one(cache: AnswerCache) -> None:
    await cache.put({MILK: answer_about(MILK)})
    await cache.put({MILK: answer_about(MILK, "dairy")})
    assert await cache.get([MILK]) == {MILK: answer_about(MILK, "dairy")}


async def test_nothing_is_asked_and_kept_without_complaint(cache: AnswerCache) -> None:
    await cache.put({})
    assert await cache.get([]) == {}


async def test_memory_forgets_what_is_too_old() -> None:
    clock = Clock()
    cache = MemoryCache(size=100, seconds_to_keep=3600, clock=clock)
    await cache.put({MILK: answer_about(MILK), BREAD: Unanswered("wrong", concerns_item_alone=True)})
    clock.seconds += 600
    assert set(await cache.get([MILK, BREAD])) == {MILK}
    clock.seconds += 3000
    assert await cache.get([MILK, BREAD]) == {}


@given(st.lists(st.integers(min_value=0, max_value=20), max_size=60), st.integers(min_value=1, max_value=10))
async def test_memory_keeps_what_was_used_last(numbers: list[int], size: int) -> None:
    cache = MemoryCache(size=size, seconds_to_keep=3600, clock=Clock())
    used: list[ItemToEnrich] = []
    for number in numbers:
        question = ItemToEnrich(str(number))
        if not await cache.get([question]):
            await cache.put({question: answer_about(question)})
        used = [question, *(other for other in used if other != question)][:size]
    assert set(await cache.get([ItemToEnrich(str(number)) for number in range(21)])) == set(used)


async def test_replicas_share_answers_and_a_restart_keeps_them(redis: RedisServer) -> None:
    async with redis_cache(redis.url, model="shared") as one, redis_cache(redis.url, model="shared") as other:
        await one.put({MILK: answer_about(MILK)})
        assert await other.get([MILK, BREAD]) == {MILK: answer_about(MILK)}


@pytest.mark.parametrize("changes", [{"prompt_version": "v2"}, {"model": "other"}])
async def test_answers_of_other_prompts_and_models_are_not_found(redis: RedisServer, changes: dict[str, str]) -> None:
    async with redis_cache(redis.url) as one, redis_cache(redis.url, **changes) as other:  # type: ignore[arg-type]
        await one.put({MILK: answer_about(MILK)})
        assert await other.get([MILK]) == {}


async def test_redis_is_told_how_long_to_keep_an_answer(redis: RedisServer) -> None:
    client = open_redis(redis.url)
    async with redis_cache(redis.url, model="old", seconds=100) as cache:
        before = set(await client.keys(f"{KEY_PREFIX}*"))
        await cache.put({MILK: answer_about(MILK)})
        (key,) = set(await client.keys(f"{KEY_PREFIX}*")) - before
        assert 0 < await client.ttl(key) <= 100
    await client.aclose()


@pytest.mark.parametrize(
    "text", [b"", b"\xff", b"null", b"{}", b'{"category": "weapons"}', b"[" * 100_000, b'"milk is pet food"']
)
async def test_what_others_wrote_is_nothing(redis: RedisServer, text: bytes) -> None:
    client = open_redis(redis.url)
    async with redis_cache(redis.url, model="spoilt") as one, redis_cache(redis.url, model="spoilt") as other:
        await client.flushdb()
        await one.put({MILK: answer_about(MILK)})
        (key,) = await client.keys(f"{KEY_PREFIX}*")
        await client.set(key, text)
        assert await other.get([MILK]) == {}
    await client.aclose()


async def test_memory_works_alone_while_redis_is_down_and_redis_is_used_again_after_it(tmp_path: Path) -> None:
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
            await cache.get([ItemToEnrich("jam")])
            assert [log["log_level"] for log in logs] == ["warning"]

            server.start()
            clock.seconds += 30
            await cache.put({MILK: answer_about(MILK)})
            assert [log["event"] for log in logs][1:] == ["redis works again"]
        async with redis_cache(server.url) as other:
            assert set(await other.get([MILK])) == {MILK}


async def test_redis_that_does_not_answer_costs_its_time_once() -> None:
    async with accepting_and_silent() as silent:
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
