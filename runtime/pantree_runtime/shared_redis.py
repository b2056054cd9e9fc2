"""A Redis server shared by replicas, with a local fallback while it is unavailable."""

import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import structlog

from pantree_runtime.circuit_breaker import CircuitBreaker
from pantree_runtime.telemetry import external_call

_log = structlog.get_logger(__name__)

# Without new attempts, a failure of an operation says nothing about Redis after this time.
_FAILURE_SECONDS = 5.0

ResultT = TypeVar("ResultT")
FallbackT = TypeVar("FallbackT")


class SharedRedis:
    """Runs commands on Redis, or their fallbacks while it is unavailable. Connects at the first command.

    Args:
        url: `redis://`, `rediss://` or `unix://` URL.
        password: overridden by one in the URL; empty for none.
        timeout_seconds: timeout of connecting and of each command. A nearby server responds within milliseconds.
        cool_down_seconds: how long the circuit stays open after a failure.
        shared: what replicas share, such as `limits and caches`, for the log.
        clock: monotonic time in seconds.

    Raises:
        OSError: if the package is not installed, which is only needed with a server.
    """

    def __init__(
        self,
        url: str,
        *,
        password: str = "",
        timeout_seconds: float,
        cool_down_seconds: float,
        shared: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        try:
            from redis.asyncio import Redis
            from redis.asyncio.retry import Retry
            from redis.backoff import NoBackoff
            from redis.exceptions import RedisError
        except ModuleNotFoundError:
            raise OSError("Redis needs another package: pip install 'pantree[gateway,enrichment]'") from None
        self._errors = (RedisError, OSError)
        # No retries: it is better that a replica falls back than that it waits.
        options: dict[str, Any] = {
            "socket_timeout": timeout_seconds,
            "socket_connect_timeout": timeout_seconds,
            "retry": Retry(NoBackoff(), 0),
        }
        if password:
            options["password"] = password
        self.client = Redis.from_url(url, **options)
        self._shared = shared
        self._breaker = CircuitBreaker(cool_down_seconds, clock)
        self._clock = clock
        self._is_up = True
        """Result of the last check."""
        self._failed: dict[str, tuple[float, str]] = {}
        """Time and cause of the last failure of each operation that did not succeed since."""

    @property
    def message(self) -> str:
        """Description of the problem with Redis; empty while it works."""
        if self._breaker.is_closed and self._is_up:
            return ""
        return f"redis is unavailable; {self._shared} are local to this replica"

    async def run(
        self,
        operation: str,
        command: Callable[[], Awaitable[ResultT]],
        fallback: Callable[[], Awaitable[FallbackT]],
        *,
        errors: tuple[type[Exception], ...] | None = None,
    ) -> ResultT | FallbackT:
        """Result of a command on Redis, or of its fallback while Redis is unavailable.

        Args:
            operation: name in traces and metrics; must have few distinct values.
            command: sends the command.
            fallback: does the same in this process.
            errors: errors which mean that Redis is unavailable; None for those of its client.
        """
        if self._breaker.allows():
            failures = errors or self._errors
            try:
                with external_call("redis", operation):
                    result = await command()
            except failures as error:
                self._failed[operation] = (self._clock(), f"{operation}: {type(error).__name__}: {error}")
                self._record_failure(error)
            else:
                self._failed.pop(operation, None)
                self._record_success()
                return result
        return await fallback()

    async def check(self) -> str:
        """What is wrong with Redis, for operators; empty if it answers, which also ends the cool-down.

        A failed check does not open the circuit: a busy process may miss the short timeout of one check.
        """
        try:
            await self.client.ping()
        except self._errors as error:
            self._is_up = False
            return f"{type(error).__name__}: {error}"
        # A full server answers pings and reads, but stores nothing.
        failing = [cause for at, cause in self._failed.values() if self._clock() - at < _FAILURE_SECONDS]
        self._is_up = not failing
        if failing:
            return failing[-1]
        self._record_success()
        return ""

    def _record_failure(self, error: Exception) -> None:
        if self._breaker.is_closed:
            _log.warning(f"redis failed; {self._shared} are local to this replica", error=type(error).__name__)
        self._breaker.record_failure()

    def _record_success(self) -> None:
        if not self._breaker.is_closed:
            _log.info(f"redis works again; {self._shared} are shared")
        self._breaker.record_success()

    async def close(self) -> None:
        """Closes the connections."""
        await self.client.aclose()
