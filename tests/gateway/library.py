"""The service of `sample.proto`, served on loopback, and the routes made from its annotations."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
import httpx
from fastapi import FastAPI
from google.protobuf.message_factory import GetMessageClass

from pantree_gateway.transcoding.context import RouteContext
from pantree_gateway.transcoding.openapi import SchemaCollection
from pantree_gateway.transcoding.rest import add_rest_routes
from pantree_gateway.transcoding.upstream import Upstream
from pantree_runtime.channel import open_channel
from tests.gateway.sample import LIBRARY, Book, message_class

BookEvent = message_class("BookEvent")


class Library:
    """Records its requests. Streams end after three messages, unless `between` fails or waits."""

    def __init__(self) -> None:
        self.requests: list[Any] = []
        self.metadata: list[dict[str, str | bytes]] = []
        self.before: Callable[[Any], Awaitable[None]] | None = None
        self.between: Callable[[Any, int], Awaitable[None]] | None = None
        self.streams_open = 0
        self.all_streams_ended = asyncio.Event()

    async def answer(self, request: Any, context: Any) -> Any:
        self._record(request, context)
        if self.before is not None:
            await self.before(context)
        return request.book if hasattr(request, "book") else Book(name="Middlemarch")

    async def answer_list(self, request: Any, context: Any) -> Any:
        self._record(request, context)
        return message_class("ListBooksResponse")(books=[Book(name="Middlemarch"), Book(name="Romola")])

    async def stream(self, request: Any, context: Any) -> AsyncIterator[Any]:
        self._record(request, context)
        self.streams_open += 1
        self.all_streams_ended.clear()
        try:
            if self.before is not None:
                await self.before(context)
            for number in range(3):
                book = Book(name=f"Volume {number + 1}")
                yield book if isinstance(request, message_class("ListBooksRequest")) else BookEvent(lent=book)
                if self.between is not None:
                    await self.between(context, number)
        finally:
            self.streams_open -= 1
            if not self.streams_open:
                self.all_streams_ended.set()

    def _record(self, request: Any, context: Any) -> None:
        self.requests.append(request)
        self.metadata.append(dict(context.invocation_metadata()))

    def handler(self) -> grpc.GenericRpcHandler:
        """Handlers of all methods."""
        handlers = {}
        for method in LIBRARY.methods:
            make = (
                grpc.unary_stream_rpc_method_handler if method.server_streaming else grpc.unary_unary_rpc_method_handler
            )
            respond = self.answer_list if method.name == "ListBooks" else self.answer
            handlers[method.name] = make(
                self.stream if method.server_streaming else respond,
                request_deserializer=GetMessageClass(method.input_type).FromString,
                response_serializer=GetMessageClass(method.output_type).SerializeToString,
            )
        handler: grpc.GenericRpcHandler = grpc.method_handlers_generic_handler(LIBRARY.full_name, handlers)
        return handler


@contextlib.asynccontextmanager
async def served(library: Library) -> AsyncIterator[Upstream]:
    """The library on loopback, as an upstream."""
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((library.handler(),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with open_channel(f"127.0.0.1:{port}", timeout_seconds=30) as channel:
            yield Upstream(LIBRARY, "library", lambda: channel)
    finally:
        await server.stop(0)


@contextlib.asynccontextmanager
async def client_of(upstream: Upstream) -> AsyncIterator[httpx.AsyncClient]:
    """Client of the REST routes, without a server."""
    app = FastAPI()
    add_rest_routes(app.router, [upstream], RouteContext(), SchemaCollection({}), {})
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://gateway") as client:
        yield client
