"""One way to wrap a gRPC handler, whatever its kind."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, aclosing
from typing import Any

import grpc

from pantree_runtime.grpc_types import Context, MethodHandler

# Around(method, context): entered before a call is handled, left after its last message or its error.
Around = Callable[[str, Context], AbstractAsyncContextManager[None]]

# Health and reflection have manners of their own and need none of this.
OUR_METHODS = "/pantree."


class CallInterceptor(grpc.aio.ServerInterceptor):
    """Runs an async context manager around every call of our services, unary or streaming.

    A streaming handler is iterated inside the context manager, so that an error between two messages passes through it,
    and is closed with it, so that a caller who leaves ends the work at once.
    """

    def __init__(self, around: Around) -> None:
        self._around = around

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[MethodHandler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> MethodHandler | None:
        """Handler of the call, wrapped; None for a method that nobody serves."""
        handler = await continuation(handler_call_details)
        method = handler_call_details.method
        if handler is None or not method.startswith(OUR_METHODS):
            return handler
        around = self._around
        # Exactly one of these is set; which one tells the kind of the call.
        behaviors = (handler.unary_unary, handler.stream_unary, handler.unary_stream, handler.stream_stream)
        behavior: Callable[..., Any] = next(behavior for behavior in behaviors if behavior)

        async def respond(request: Any, context: Context) -> Any:
            async with around(method, context):
                return await behavior(request, context)

        async def stream(request: Any, context: Context) -> AsyncIterator[Any]:
            async with around(method, context), aclosing(behavior(request, context)) as responses:
                async for response in responses:
                    yield response

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
