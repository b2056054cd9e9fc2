"""Ranks items on a SageMaker endpoint, within its body limit and the request's deadline, behind a circuit breaker."""

import asyncio
import math
import random
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import structlog

from pantree_domain.evidence import ModelName
from pantree_recommendation.backends.bodies import MAX_BODY_BYTES, BodyFormat, predictions, request_bodies
from pantree_recommendation.backends.endpoint import BotoEndpoint, EndpointFailure
from pantree_recommendation.core.ranking import ItemFeatures, RankerFailure
from pantree_runtime import telemetry
from pantree_runtime.circuit_breaker import CircuitBreaker
from pantree_runtime.deadline import MIN_SECONDS, remaining_seconds
from pantree_runtime.logging import RateLimitedLog

_log = structlog.get_logger(__name__)

# Time of a request that is reserved for the embedded model, in case SageMaker fails.
FALLBACK_SECONDS = 0.25
# A request that takes longer degrades the health: most have less time for all parts together.
_SLOW_SECONDS = 3.0
# Checks that may hang at the same time: with the default timeout, one of them always ends before the next begins.
_MAX_CHECKS = 2
# A check that repeats one within this time, to rule out a short disturbance, makes no call.
_MIN_SECONDS_BETWEEN_CHECKS = 2.0
# Maximum of the random wait before the first retry; it doubles with each attempt.
_FIRST_WAIT_SECONDS = 0.1


class SageMakerRanker:
    """Scores of a model behind a SageMaker endpoint.

    Args:
        endpoint: closed by `close`.
        timeout_seconds: maximum time of a request, all calls and attempts together.
        max_calls: maximum number of concurrent calls; each blocks a thread.
        total_max_attempts: maximum number of attempts per call, including the first.
        body_format: content type of requests and responses.
        max_body_bytes: larger requests are split.
        cool_down_seconds: how long the circuit stays open.
        failure_threshold: consecutive failed requests that open the circuit.
        clock: monotonic seconds.
        draw: random number from 0 to 1, for the waits between attempts.
    """

    source = "sagemaker"

    def __init__(
        self,
        endpoint: BotoEndpoint,
        *,
        timeout_seconds: float,
        max_calls: int,
        total_max_attempts: int,
        body_format: BodyFormat = BodyFormat.JSON,
        max_body_bytes: int = MAX_BODY_BYTES,
        cool_down_seconds: float = 30.0,
        failure_threshold: int = 3,
        clock: Callable[[], float] = time.monotonic,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self.model = ModelName(endpoint.name, "")
        self._endpoint = endpoint
        self._timeout_seconds = timeout_seconds
        self._total_max_attempts = total_max_attempts
        self._body_format = body_format
        self._max_body_bytes = max_body_bytes
        self._draw = draw
        self._breaker = CircuitBreaker(cool_down_seconds, clock, failure_threshold=failure_threshold)
        self._log = RateLimitedLog(_log, clock)
        self._clock = clock
        self._last_failure = ""
        self._last_failed: Sequence[ItemFeatures] = ()
        """An item of the last failed request."""
        self._checked_at = -math.inf
        self._began_at: dict[object, float] = {}
        """Start time of each request in flight."""
        self._threads = ThreadPoolExecutor(max_calls, thread_name_prefix="sagemaker")
        # Of their own, so that calls that hang do not delay them.
        self._check_threads = ThreadPoolExecutor(_MAX_CHECKS, thread_name_prefix="sagemaker-check")

    async def scores(self, items: Sequence[ItemFeatures]) -> Sequence[float]:
        if not items:
            return []
        seconds = self._available_seconds()
        if not self._breaker.allows():
            raise RankerFailure(f"SageMaker was not called because its circuit is open: {self._last_failure}")
        call = object()
        self._began_at[call] = self._clock()
        try:
            async with asyncio.timeout(seconds):
                scores = await self._scores_of_all(items)
        except TimeoutError:
            failure = RankerFailure("SageMaker did not answer in time")
        except RankerFailure as raised:
            failure = raised
        else:
            self._succeed()
            return scores
        finally:
            del self._began_at[call]
        self._last_failure, self._last_failed = str(failure), items[:1]
        self._breaker.record_failure()
        self._log.warning("sagemaker failed", cause=str(failure), circuit_open=not self._breaker.is_closed)
        raise failure

    async def check(self) -> str:
        """What is wrong with a call in flight or the last one, for operators; empty if it succeeded.

        SageMaker has no call that shows whether an endpoint works except inference. So nothing is called while requests
        succeed; after a failed one, one of its items is ranked at each check, until that succeeds. That also closes the
        circuit.
        """
        waiting = max((self._clock() - began_at for began_at in self._began_at.values()), default=0.0)
        if waiting > _SLOW_SECONDS:
            return f"a call has had no answer for {waiting:.0f} s"
        if not self._last_failure or self._clock() - self._checked_at < _MIN_SECONDS_BETWEEN_CHECKS:
            return self._last_failure
        self._checked_at = self._clock()
        items = self._last_failed
        [(body, count)] = request_bodies(items, self._body_format, self._max_body_bytes)
        try:
            loop = asyncio.get_running_loop()
            response = await loop.run_in_executor(self._check_threads, self._endpoint.invoke, body, self._body_format)
            predictions(response, count, self._body_format)
        except (EndpointFailure, RankerFailure):
            return self._last_failure
        _log.info("sagemaker works again")
        self._succeed()
        return ""

    async def close(self) -> None:
        """Closes connections and threads. Abandoned calls end when they time out."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._check_threads.shutdown(wait=False, cancel_futures=True)
        self._endpoint.close()

    def _succeed(self) -> None:
        self._last_failure = ""
        self._breaker.record_success()

    def _available_seconds(self) -> float:
        remaining = remaining_seconds()
        if remaining is None:
            return self._timeout_seconds
        available = remaining - FALLBACK_SECONDS
        if available < MIN_SECONDS:
            raise RankerFailure("SageMaker was not called: too little of the request's time was left")
        return min(available, self._timeout_seconds)

    async def _scores_of_all(self, items: Sequence[ItemFeatures]) -> list[float]:
        bodies = await asyncio.to_thread(lambda: list(request_bodies(items, self._body_format, self._max_body_bytes)))
        scores: list[float] = []
        for body, count in bodies:
            response = await self._invoke(body)
            scores += await asyncio.to_thread(predictions, response, count, self._body_format)
        return scores

    async def _invoke(self, body: bytes) -> bytes:
        """Response to one body, with retries."""
        loop = asyncio.get_running_loop()
        for attempt in range(1, self._total_max_attempts + 1):
            try:
                with telemetry.external_call("sagemaker", "InvokeEndpoint"):
                    return await loop.run_in_executor(self._threads, self._endpoint.invoke, body, self._body_format)
            except EndpointFailure as failure:
                if not failure.is_retryable or attempt == self._total_max_attempts:
                    attempts = f" after {attempt} attempts" if attempt > 1 else ""
                    raise RankerFailure(f"SageMaker did not answer{attempts}: {failure}") from failure
            await asyncio.sleep(self._draw() * _FIRST_WAIT_SECONDS * 2 ** (attempt - 1))
        raise AssertionError("there is at least one attempt")
