"""Services of this process behind the interface of a gRPC channel: equal answers without a network or serialization.

The pipeline's stages call other services through channels. Here their servicers are called directly, so that a
household is scored by exactly the code that answers REST, whatever fields and calls are added to it later.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import Any, cast

import grpc

from pantree_runtime.server import ServiceSpec


class InProcessChannel:
    """Dispatches calls to the servicers of some services by the name of the method, such as `/package.Service/Call`."""

    def __init__(self, services: Iterable[ServiceSpec]) -> None:
        handlers: dict[str, Any] = {}
        for service in services:
            for add in service.services.values():
                add(cast(grpc.aio.Server, _HandlerCollector(handlers)))
        self._handlers = handlers

    def replace(self, method: str, answer: Callable[[Any], Awaitable[Any]]) -> None:
        """Answers a method with one response in another way."""

        async def call(request: Any, context: object) -> Any:
            return await answer(request)

        self._handlers[method] = grpc.unary_unary_rpc_method_handler(call)

    def stream(self, method: str, requests: AsyncIterator[Any]) -> AsyncIterator[Any]:
        """Responses of a method to a stream of requests."""
        return cast("AsyncIterator[Any]", self._handlers[method].stream_stream(requests, None))

    def unary_unary(self, method: str, *args: object, **kwargs: object) -> Callable[..., Awaitable[Any]]:
        """Callable for a method, as stubs want it."""

        async def call(request: Any, **options: object) -> Any:
            return await self._handlers[method].unary_unary(request, None)

        return call

    def unary_stream(self, method: str, *args: object, **kwargs: object) -> Callable[..., AsyncIterator[Any]]:
        """Callable for a method with a stream of responses, as stubs want it."""

        def call(request: Any, **options: object) -> AsyncIterator[Any]:
            return cast("AsyncIterator[Any]", self._handlers[method].unary_stream(request, None))

        return call

    def stream_unary(self, method: str, *args: object, **kwargs: object) -> Callable[..., Any]:
        """Callable for a method that no stage calls."""
        return _not_called(method)

    def stream_stream(self, method: str, *args: object, **kwargs: object) -> Callable[..., Any]:
        """Callable for a method that no stage calls."""
        return _not_called(method)


def _not_called(method: str) -> Callable[..., Any]:
    def call(*args: object, **kwargs: object) -> Any:
        raise NotImplementedError(f"stages of the pipeline don't call {method}")

    return call


class _HandlerCollector:
    """Takes handlers as a server does, and keeps them by the name of the method."""

    def __init__(self, handlers: dict[str, Any]) -> None:
        self._handlers = handlers

    def add_generic_rpc_handlers(self, handlers: object) -> None:
        """Does nothing: generated code also registers the same handlers by name."""

    def add_registered_method_handlers(self, service: str, handlers: dict[str, Any]) -> None:
        """Keeps the handlers of a service."""
        self._handlers |= {f"/{service}/{name}": handler for name, handler in handlers.items()}
