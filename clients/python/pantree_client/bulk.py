"""Bulk calls that go on after a lost connection.

`AnalyzeHistories`, `RecommendBatch` and `IndexHistories` may take hours. A rollout or a lost network ends the
connection of such a call in between; gRPC tries no stream again that has begun to answer.

    stub = FrequencyServiceStub(channel)
    async for response in answered("frequency", stub.AnalyzeHistories, batches):
        ...
"""

import asyncio
import random
import time
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable
from contextlib import suppress
from typing import Any, TypeVar

import grpc

from pantree.frequency.v1.frequency_service_pb2 import AnalyzeHistoriesRequest
from pantree.recommendation.v1.recommendation_service_pb2 import RecommendBatchRequest
from pantree.vector.v1.vector_service_pb2 import IndexHistoriesRequest, IndexHistoriesResponse
from pantree_runtime.errors import InternalError
from pantree_runtime.status import is_lost_connection, translate_rpc_errors

RequestT = TypeVar("RequestT", AnalyzeHistoriesRequest, RecommendBatchRequest, IndexHistoriesRequest)

DEFAULT_PATIENCE_SECONDS = 60.0
# Back-off between attempts that brought nothing, doubled each time.
_FIRST_WAIT_SECONDS = 0.1
_LONGEST_WAIT_SECONDS = 2.0


async def answered(
    part: str,
    call: Callable[..., Any],
    requests: Iterable[RequestT] | AsyncIterable[RequestT],
    *,
    patience_seconds: float = DEFAULT_PATIENCE_SECONDS,
) -> AsyncIterator[Any]:
    """Responses to all requests of a bulk call, in order, each household answered once.

    When the connection is lost, what was not answered yet is sent again, to another replica if there is one. What had
    been worked on by then is done twice, which changes nothing: these calls give the same answer each time.

    Args:
        part: name of the part that is called, such as `frequency`, for errors.
        call: of a stub: `AnalyzeHistories`, `RecommendBatch` or `IndexHistories`.
        requests: batches of households. They are read as the service takes them, and kept until they are answered.
        patience_seconds: how long to try without a single answer before giving up.

    Raises:
        ComponentUnavailable: when the part gave no answer for as long as there was patience.
        InternalError: when the service ended the call without an answer to every household.
        PantreeError: any other failure of the call, at once.
    """
    unanswered: deque[RequestT] = deque()
    source = _Source(requests, unanswered)
    answer_count = 0
    wait_seconds, tried_since = _FIRST_WAIT_SECONDS, time.monotonic()
    try:
        with translate_rpc_errors(part):
            while True:
                try:
                    async for response in call(source.unanswered_and_new()):
                        count = _answers_in(response)
                        if isinstance(response, IndexHistoriesResponse):
                            # The service counts from the beginning of its call, which may not be the first one.
                            for position, outcome in enumerate(response.outcomes):
                                outcome.history_index = answer_count + position
                        answer_count += count
                        _forget(unanswered, count)
                        wait_seconds, tried_since = _FIRST_WAIT_SECONDS, time.monotonic()
                        yield response
                        tried_since = time.monotonic()  # what the caller does with it costs no patience
                except grpc.aio.AioRpcError as error:
                    source.raise_own_failure()
                    is_over = time.monotonic() - tried_since >= patience_seconds
                    if is_over or not is_lost_connection(error):
                        raise
                    # Up to half as long again, so that many clients do not come back all at once.
                    await asyncio.sleep(wait_seconds * random.uniform(1.0, 1.5))  # noqa: S311
                    wait_seconds = min(2 * wait_seconds, _LONGEST_WAIT_SECONDS)
                else:
                    source.raise_own_failure()
                    if not source.is_exhausted or any(len(_questions(request)) for request in unanswered):
                        raise InternalError(f"{part} ended the call before every household was answered")
                    return
    finally:
        await source.close()


class _Source:
    """The requests, over several calls."""

    def __init__(self, requests: Iterable[Any] | AsyncIterable[Any], unanswered: deque[Any]) -> None:
        self._requests = aiter(requests) if isinstance(requests, AsyncIterable) else aiter(_each(requests))
        self._unanswered = unanswered
        self._call_number = 0
        # A call that ends while the next request is being made must not end the making of it.
        self._next: asyncio.Task[Any] | None = None
        self._failure: Exception | None = None
        self.is_exhausted = False
        """Whether all requests were made."""

    async def unanswered_and_new(self) -> AsyncIterator[Any]:
        """What was not answered in earlier calls, then what was never sent; ends when it is called again."""
        self._call_number = own_number = self._call_number + 1
        for request in tuple(self._unanswered):
            yield request
        while self._call_number == own_number:
            if self._next is None:
                self._next = asyncio.ensure_future(anext(self._requests, None))
            try:
                request = await asyncio.shield(self._next)
            except Exception as error:
                self._failure = error
                return
            if self._call_number != own_number:
                return
            if request is None:
                self.is_exhausted = True
                return
            self._next = None
            self._unanswered.append(request)
            yield request

    def raise_own_failure(self) -> None:
        """Raises what went wrong when a request was made: gRPC would tell it to the log alone."""
        if self._failure is not None:
            raise self._failure

    async def close(self) -> None:
        """Ends the making of a request that nobody waits for."""
        if self._next is not None:
            self._next.cancel()
            with suppress(asyncio.CancelledError, Exception):
                await self._next


async def _each(requests: Iterable[RequestT]) -> AsyncIterator[RequestT]:
    for request in requests:
        yield request


def _questions(request: Any) -> Any:
    return request.histories if isinstance(request, IndexHistoriesRequest) else request.households


def _answers_in(response: Any) -> int:
    return len(response.outcomes if isinstance(response, IndexHistoriesResponse) else response.households)


def _forget(unanswered: deque[Any], count: int) -> None:
    """Removes the first households: a batch may be answered in several responses."""
    while count:
        request = unanswered[0]
        size = len(_questions(request))
        if count < size:
            rest = type(request)()
            rest.CopyFrom(request)
            del _questions(rest)[:count]
            unanswered[0] = rest
            return
        unanswered.popleft()
        count -= size
