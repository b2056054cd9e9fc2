"""Server interceptor that wraps handlers of every kind of call."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing
from typing import Any

import grpc

from pantree_runtime import telemetry
from pantree_runtime.grpc_types import Context, MethodHandler
from pantree_runtime.interceptors.requests import request_reader, valid_request, valid_requests
from pantree_runtime.interceptors.served_call import AdmissionPolicy, ServedCall, ServedMethod
from pantree_runtime.validation import Rule

MAX_UNREAD_SECONDS = 60.0
"""How long the caller of a stream may leave its responses unread, before the stream is cancelled."""

# Records in metrics the work that went into a response.
Count = Callable[[Any], None]


def _end(task: asyncio.Task[Any]) -> None:
    telemetry.CALLS_REFUSED.labels("stalled_stream").inc()
    task.cancel()


class CallInterceptor(grpc.aio.ServerInterceptor):
    """Runs a `ServedCall` around every call of our services, unary or streaming.

    A streaming handler is iterated inside the context manager, so an error between two messages passes through it. It
    is also closed there, so work stops when the caller leaves. Wrapped handlers are cached, since gRPC looks up the
    handler for every call.

    Args:
        policy: which calls are admitted.
        counts: functions called with each response, by RPC name.
        rules: checks of requests in addition to the bounds of the contract, by RPC name.
    """

    def __init__(self, policy: AdmissionPolicy, counts: Mapping[str, Count], rules: Mapping[str, Rule]) -> None:
        self._policy = policy
        self._counts = counts
        self._rules = rules
        self._wrapped: dict[str, MethodHandler] = {}

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[MethodHandler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> MethodHandler | None:
        """Wrapped handler of the call; None if the method is unknown."""
        path = handler_call_details.method
        wrapped = self._wrapped.get(path)
        if wrapped is not None:
            return wrapped
        handler = await continuation(handler_call_details)
        if handler is None or not path.startswith("/pantree."):  # health and reflection are not wrapped
            return handler
        wrapped = self._wrapped[path] = self._wrap(path, handler)
        return wrapped

    def _wrap(self, path: str, handler: MethodHandler) -> MethodHandler:
        assert handler.request_deserializer is not None  # generated code always sets it
        method = ServedMethod(path, self._policy)
        rpc = path.rpartition("/")[2]
        count, rule = self._counts.get(rpc), self._rules.get(rpc)
        # Exactly one of these is set.
        behaviors = (handler.unary_unary, handler.stream_unary, handler.unary_stream, handler.stream_stream)
        behavior: Callable[..., Any] = next(behavior for behavior in behaviors if behavior)

        async def request_of(received: Any) -> Any:
            return valid_requests(received, rule) if handler.request_streaming else await valid_request(received, rule)

        async def respond(received: Any, context: Context) -> Any:
            async with ServedCall(method, context):
                response = await behavior(await request_of(received), context)
                if count is not None:
                    count(response)
                return response

        async def stream(received: Any, context: Context) -> AsyncIterator[Any]:
            loop, task = asyncio.get_running_loop(), asyncio.current_task()
            assert task is not None  # gRPC runs each call in a task
            async with (
                ServedCall(method, context),
                aclosing(behavior(await request_of(received), context)) as responses,
            ):
                async for response in responses:
                    # While the response is being sent, which waits for the caller to read earlier ones.
                    stalled = loop.call_later(MAX_UNREAD_SECONDS, _end, task)
                    try:
                        yield response
                    finally:
                        stalled.cancel()
                    if count is not None:
                        count(response)

        wrap: Callable[..., MethodHandler] = {
            (False, False): grpc.unary_unary_rpc_method_handler,
            (True, False): grpc.stream_unary_rpc_method_handler,
            (False, True): grpc.unary_stream_rpc_method_handler,
            (True, True): grpc.stream_stream_rpc_method_handler,
        }[handler.request_streaming, handler.response_streaming]
        return wrap(
            stream if handler.response_streaming else respond,
            request_deserializer=request_reader(handler.request_deserializer, self._policy.memory),
            response_serializer=handler.response_serializer,
        )
