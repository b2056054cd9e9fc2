"""Ranks items on a SageMaker endpoint: in parts under the body limit, in time, and not while the endpoint is down.

What the endpoint says is checked; whatever is wrong with it becomes a `RankerFailure`.
"""

import asyncio
import random
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import structlog

from pantree_recommendation.backends.bodies import MAX_BODY_BYTES, BodyFormat, predictions, request_bodies
from pantree_recommendation.backends.endpoint import Endpoint, EndpointFailure
from pantree_recommendation.core import ItemFeatures, ModelName, RankerFailure
from pantree_runtime import telemetry
from pantree_runtime.circuit_breaker import CircuitBreaker
from pantree_runtime.deadline import MIN_SECONDS, remaining_seconds

_log = structlog.get_logger(__name__)

# What is kept of a request's time, so that the embedded model can still answer when SageMaker does not.
SECONDS_KEPT_FOR_FALLBACK = 0.25
# The wait before another attempt is drawn evenly from 0 up to this, and up to twice as much each time.
_FIRST_WAIT_SECONDS = 0.1


class _NotAsked(RankerFailure):
    """The endpoint was not asked, so this says nothing about it."""


class SageMakerRanker:
    """Scores of a model behind a SageMaker endpoint."""

    source = "sagemaker"

    def __init__(
        self,
        endpoint: Endpoint,
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
        """Takes what it asks with.

        Args:
            endpoint: the model; closed by `close`.
            timeout_seconds: how long a request waits at most, all calls and attempts together.
            max_calls: how many calls run at a time; each blocks a thread.
            total_max_attempts: attempts per call, the first included, after failures that pass.
            body_format: how items are sent and scores asked for.
            max_body_bytes: a larger request is sent in parts.
            cool_down_seconds: how long the endpoint is left alone after too many failures.
            failure_threshold: how many requests in a row fail before it is left alone.
            clock: seconds, never going backwards.
            draw: a number from 0 to 1, by which waits are spread.
        """
        self.model = ModelName(endpoint.name, "")
        self._endpoint = endpoint
        self._timeout_seconds = timeout_seconds
        self._total_max_attempts = total_max_attempts
        self._body_format = body_format
        self._max_body_bytes = max_body_bytes
        self._draw = draw
        self._breaker = CircuitBreaker(cool_down_seconds, clock, failure_threshold=failure_threshold)
        self._last_failure = ""
        self._threads = ThreadPoolExecutor(max_calls, thread_name_prefix="sagemaker")

    async def scores(self, items: Sequence[ItemFeatures]) -> Sequence[float]:
        """Score of each item, in the order of the items, 0 to 1.

        Raises:
            RankerFailure: when SageMaker cannot answer, not in time, or not with one usable score per item.
        """
        if not items:
            return []
        seconds = self._seconds_to_wait()
        if not self._breaker.allows():
            raise _NotAsked(f"SageMaker was not asked, since it failed before: {self._last_failure}")
        try:
            async with asyncio.timeout(seconds):
                scores = await self._asked(items)
        except TimeoutError:
            failure = RankerFailure("SageMaker did not answer in the time there was")
        except RankerFailure as raised:
            failure = raised
        else:
            self._breaker.record_success()
            return scores
        self._last_failure = str(failure)
        self._breaker.record_failure()
        _log.warning("sagemaker failed", reason=str(failure), left_alone=not self._breaker.is_closed)
        raise failure

    async def close(self) -> None:
        """Lets go of connections and threads; calls that nobody waits for any more end by their own timeouts."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._endpoint.close()

    def _seconds_to_wait(self) -> float:
        remaining = remaining_seconds()
        if remaining is None:
            return self._timeout_seconds
        left = remaining - SECONDS_KEPT_FOR_FALLBACK
        if left < MIN_SECONDS:
            raise _NotAsked("SageMaker was not asked: too little of the request's time was left")
        return min(left, self._timeout_seconds)

    async def _asked(self, items: Sequence[ItemFeatures]) -> list[float]:
        """Scores of all items, part by part."""
        bodies = await asyncio.to_thread(lambda: list(request_bodies(items, self._body_format, self._max_body_bytes)))
        scores: list[float] = []
        for body, count in bodies:
            reply = await self._reply(body)
            scores += await asyncio.to_thread(predictions, reply, count, self._body_format)
        return scores

    async def _reply(self, body: bytes) -> bytes:
        """Answer to one body, after as many attempts as it takes and is allowed."""
        loop = asyncio.get_running_loop()
        for attempt in range(1, self._total_max_attempts + 1):
            try:
                with telemetry.external_call("sagemaker", "InvokeEndpoint"):
                    return await loop.run_in_executor(self._threads, self._endpoint.invoke, body, self._body_format)
            except EndpointFailure as failure:
                if not failure.is_passing or attempt == self._total_max_attempts:
                    attempts = f" in {attempt} attempts" if attempt > 1 else ""
                    raise RankerFailure(f"SageMaker did not answer{attempts}: {failure}") from failure
            await asyncio.sleep(self._draw() * _FIRST_WAIT_SECONDS * 2 ** (attempt - 1))
        raise AssertionError("there is at least one attempt")
