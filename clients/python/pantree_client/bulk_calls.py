"""Bulk calls that resume after a lost connection.

`AnalyzeHistories`, `RecommendBatch` and `IndexHistories` may take hours. A rollout or a network failure ends their
connection, and gRPC does not retry a stream that has received a response::

    stub = FrequencyServiceStub(channel)
    async for response in bulk_responses("frequency", stub.AnalyzeHistories, batches):
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
_INITIAL_BACKOFF_SECONDS = 0.1
_MAX_BACKOFF_SECONDS = 2.0


async def bulk_responses(
    part: str,
    call: Callable[..., Any],
    requests: Iterable[RequestT] | AsyncIterable[RequestT],
    *,
    patience_seconds: float = DEFAULT_PATIENCE_SECONDS,
) -> AsyncIterator[Any]:
    """Yields the responses of a bulk call in order, with exactly one answer per household.

    After a lost connection, unanswered requests are sent again, to another replica if there is one. Some work may be
    done twice, which does no harm because these calls are idempotent.

    Args:
        part: name of the part, such as `frequency`, for errors.
        call: `AnalyzeHistories`, `RecommendBatch` or `IndexHistories` of a stub.
        requests: batches of households. They are read as the service consumes them, and kept until they are answered.
        patience_seconds: maximum time without any response.

    Raises:
        ComponentUnavailable: when the part sent no response for `patience_seconds`.
        InternalError: when the service ended the call before every household was answered.
        PantreeError: any other error of the call, without a retry.
    """
    pending = _PendingRequests(requests)
    answer_count = 0
    backoff, last_response_at = _INITIAL_BACKOFF_SECONDS, time.monotonic()
    try:
        with translate_rpc_errors(part):
            while True:
                try:
                    async for response in call(pending.pending_then_new()):
                        if isinstance(response, IndexHistoriesResponse):
                            # The service counts the histories of one call, which may not be the first one.
                            for position, outcome in enumerate(response.outcomes):
                                outcome.history_index = answer_count + position
                            count = len(response.outcomes)
                        else:
                            count = len(response.households)
                        answer_count += count
                        pending.mark_answered(count)
                        backoff = _INITIAL_BACKOFF_SECONDS
                        yield response
                        last_response_at = time.monotonic()  # excludes the time that the caller spent on the response
                except grpc.aio.AioRpcError as error:
                    pending.raise_source_error()
                    is_over = time.monotonic() - last_response_at >= patience_seconds
                    if is_over or not is_lost_connection(error):
                        raise
                    # Jitter, so that many clients do not retry at the same moment.
                    await asyncio.sleep(backoff * random.uniform(1.0, 1.5))  # noqa: S311 # not security-relevant
                    backoff = min(2 * backoff, _MAX_BACKOFF_SECONDS)
                else:
                    pending.raise_source_error()
                    if not pending.is_complete:
                        raise InternalError(f"{part} ended the call before every household was answered")
                    return
    finally:
        await pending.close()


class _PendingRequests:
    """The unanswered requests, over several calls."""

    def __init__(self, requests: Iterable[Any] | AsyncIterable[Any]) -> None:
        self._source = aiter(requests) if isinstance(requests, AsyncIterable) else aiter(_async_iterator(requests))
        self._pending: deque[Any] = deque()
        self._call_number = 0
        # A task, since the end of a call must not cancel the creation of the next request.
        self._next: asyncio.Task[Any] | None = None
        self._source_error: Exception | None = None
        self._is_exhausted = False

    @property
    def is_complete(self) -> bool:
        """Whether every household is answered."""
        return self._is_exhausted and not any(len(_households(request)) for request in self._pending)

    async def pending_then_new(self) -> AsyncIterator[Any]:
        """Yields the unanswered requests of earlier calls, then new ones, until it is called again."""
        self._call_number = own_number = self._call_number + 1
        for request in tuple(self._pending):
            yield request
        while self._call_number == own_number:
            if self._next is None:
                self._next = asyncio.ensure_future(anext(self._source, None))
            try:
                request = await asyncio.shield(self._next)
            except Exception as error:
                self._source_error = error
                return
            if self._call_number != own_number:
                return
            if request is None:
                self._is_exhausted = True
                return
            self._next = None
            self._pending.append(request)
            yield request

    def mark_answered(self, count: int) -> None:
        """Removes the first `count` households; several responses may answer one batch."""
        while count:
            request = self._pending[0]
            size = len(_households(request))
            if count < size:
                rest = type(request)()
                rest.CopyFrom(request)
                del _households(rest)[:count]
                self._pending[0] = rest
                return
            self._pending.popleft()
            count -= size

    def raise_source_error(self) -> None:
        """Raises the error of the caller's iterator, if any; gRPC would only log it."""
        if self._source_error is not None:
            raise self._source_error

    async def close(self) -> None:
        """Cancels the creation of the next request."""
        if self._next is not None:
            self._next.cancel()
            with suppress(asyncio.CancelledError, Exception):
                await self._next


async def _async_iterator(requests: Iterable[RequestT]) -> AsyncIterator[RequestT]:
    for request in requests:
        yield request


def _households(request: Any) -> Any:
    return request.histories if isinstance(request, IndexHistoriesRequest) else request.households
