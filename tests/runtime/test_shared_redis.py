"""Tests of commands on Redis and their fallbacks, with commands that can fail."""

from pathlib import Path
from typing import Any

import structlog.testing
from redis.exceptions import OutOfMemoryError

from pantree_runtime.shared_redis import SharedRedis
from scripts.make_certificates import Authority
from tests.redis_server import redis_server


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Command:
    def __init__(self) -> None:
        self.error: Exception | None = None
        self.count = 0

    async def __call__(self) -> str:
        self.count += 1
        if self.error is not None:
            raise self.error
        return "redis"


class Answering:
    """A client whose pings are answered."""

    async def ping(self) -> bool:
        return True


async def local() -> str:
    return "local"


def shared_redis(clock: Clock) -> SharedRedis:
    return SharedRedis("redis://127.0.0.1:1/0", timeout_seconds=0.1, cool_down_seconds=2, shared="caches", clock=clock)


async def test_fallback_answers_until_redis_works_again() -> None:
    clock, command = Clock(), Command()
    redis = shared_redis(clock)
    assert await redis.run("get", command, local) == "redis"
    assert redis.message == ""
    command.error = TimeoutError()
    assert await redis.run("get", command, local) == "local"
    assert redis.message == "redis is unavailable; caches are local to this replica"
    assert await redis.run("get", command, local) == "local"
    assert command.count == 2  # not called while the circuit is open
    command.error, clock.now = None, 2
    assert await redis.run("get", command, local) == "redis"
    assert redis.message == ""
    await redis.close()


async def test_failure_and_recovery_are_logged_once() -> None:
    clock, command = Clock(), Command()
    redis = shared_redis(clock)
    command.error = OSError()
    with structlog.testing.capture_logs() as logs:
        for clock.now in (0, 1, 2):
            await redis.run("get", command, local)
        command.error, clock.now = None, 4
        await redis.run("get", command, local)
        await redis.run("get", command, local)
    assert [entry["log_level"] for entry in logs] == ["warning", "info"]
    await redis.close()


async def test_server_that_does_not_listen_is_unavailable() -> None:
    redis = shared_redis(Clock())
    assert await redis.run("get", lambda: redis.client.get("key"), local) == "local"
    await redis.close()


async def test_redis_that_answers_and_stores_nothing_is_unhealthy_until_it_does() -> None:
    clock, write = Clock(), Command()
    redis = shared_redis(clock)
    redis.client = Answering()  # type: ignore[assignment]
    write.error = OutOfMemoryError("command not allowed when used memory > 'maxmemory'")
    await redis.run("set", write, local)
    assert "OutOfMemoryError" in await redis.check()
    assert redis.message
    clock.now += 3
    assert await redis.run("get", Command(), local) == "redis"
    assert "OutOfMemoryError" in await redis.check()
    write.error = None
    await redis.run("set", write, local)
    assert await redis.check() == ""
    assert redis.message == ""


async def test_redis_with_tls_and_a_password(tmp_path: Path) -> None:
    Authority().issue(tmp_path / "tls", "localhost")
    files = {"cert": "tls.crt", "key": "tls.key", "ca-cert": "ca.crt"}
    tls = [word for key, name in files.items() for word in (f"--tls-{key}-file", str(tmp_path / "tls" / name))]
    options = ["--port", "0", "--tls-port", "{port}", "--tls-auth-clients", "no", "--requirepass", "secret"]
    with redis_server(tmp_path, *options, *tls) as server:
        url = f"rediss://localhost:{server.port}/0?ssl_ca_certs={tmp_path}/tls/ca.crt"
        for password, expected in (("secret", "stored"), ("wrong", "local"), ("", "local")):
            redis = SharedRedis(url, password=password, timeout_seconds=5, cool_down_seconds=2, shared="caches")

            async def store(client: Any = redis.client) -> str:
                await client.set("key", "value")
                return "stored"

            assert await redis.run("set", store, local) == expected
            await redis.close()
