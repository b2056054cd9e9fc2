"""One way to wrap a gRPC handler, whatever its kind."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing
from typing import Any

import grpc

from pantree_runtime.grpc_types import Context, MethodHandler
from pantree_runtime.interceptors.served_call import AdmissionPolicy, ServedCall, ServedMethod

# Counts the work behind a response of an RPC.
Count = Callable[[Any], None]

# Health and reflection have manners of their own and need none of this.
OUR_METHODS = "/pantree."


class CallInterceptor(grpc.aio.ServerInterceptor):
    """Runs a `ServedCall` around every call of our services, unary or streaming.

    A streaming handler is iterated inside the context manager, so that an error between two messages passes through it,
    and is closed with it, so that a caller who leaves ends the work at once. gRPC asks for the handler with every call;
    what was wrapped once is kept.
    """

    def __init__(self, gate: AdmissionPolicy, counts: Mapping[str, Count]) -> None:
        """Takes what surrounds calls.

        Args:
            gate: who and what is let in.
            counts: what is done with each response, by name of the RPC.
        """
        self._gate = gate
        self._counts = counts
        self._wrapped: dict[str, MethodHandler] = {}

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[MethodHandler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> MethodHandler | None:
        """Handler of the call, wrapped; None for a method that nobody serves."""
        path = handler_call_details.method
        wrapped = self._wrapped.get(path)
        if wrapped is not None:
            return wrapped
        handler = await continuation(handler_call_details)
        if handler is None or not path.startswith(OUR_METHODS):
            return handler
        wrapped = self._wrapped[path] = self._wrap(path, handler)
        return wrapped

    def _wrap(self, path: str, handler: MethodHandler) -> MethodHandler:
        method = ServedMethod(path, self._gate)
        count = self._counts.get(path.rpartition("/")[2])
        # Exactly one of these is set; which one tells the kind of the call.
        behaviors = (handler.unary_unary, handler.stream_unary, handler.unary_stream, handler.stream_stream)
        behavior: Callable[..., Any] = next(behavior for behavior in behaviors if behavior)

        async def respond(request: Any, context: Context) -> Any:
            async with ServedCall(method, context):
                response = await behavior(request, context)
                if count is not None:
                    count(response)
                return response

        async def stream(request: Any, context: Context) -> AsyncIterator[Any]:
            async with ServedCall(method, context), aclosing(behavior(request, context)) as responses:
                async for response in responses:
                    yield response
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
            request_deserializer=handler.request_deserializer,
            response_serializer=handler.response_serializer,
        )
