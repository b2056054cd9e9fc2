import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import grpc
import httpx
import pytest
import pytest_asyncio
from fastapi import FastAPI

from pantree_gateway.transcoding.context import RouteContext
from pantree_gateway.transcoding.openapi import SchemaCollection
from pantree_gateway.transcoding.rest import add_rest_routes
from pantree_gateway.transcoding.streaming import prefers_events, with_keep_alive
from pantree_gateway.transcoding.upstream import Upstream
from tests.gateway.library import Library, client_of, served
from tests.gateway.schemas import assert_valid

EVENTS = {"Accept": "text/event-stream"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def served_library() -> AsyncIterator[tuple[Library, Upstream, httpx.AsyncClient]]:
    library = Library()
    async with served(library) as upstream, client_of(upstream) as client:
        yield library, upstream, client


@pytest.fixture
def library(served_library: tuple[Library, Upstream, httpx.AsyncClient]) -> Library:
    library = served_library[0]
    library.before = library.between = None
    return library


@pytest.fixture
def client(served_library: tuple[Library, Upstream, httpx.AsyncClient]) -> httpx.AsyncClient:
    return served_library[2]


def lines(response: httpx.Response) -> list[Any]:
    assert response.headers["content-type"] == "application/x-ndjson"
    return [json.loads(line) for line in response.text.splitlines()]


def events(response: httpx.Response) -> list[tuple[str, str, Any]]:
    """Id, name and data of each event."""
    assert response.headers["content-type"].startswith("text/event-stream")
    found = []
    for block in response.text.strip().split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines())
        found.append((fields["id"], fields["event"], json.loads(fields["data"])))
    return found


async def fail_after_two(context: Any, number: int) -> None:
    if number == 1:
        await context.abort(grpc.StatusCode.NOT_FOUND, "the book is lost")


async def fail_immediately(context: Any) -> None:
    await context.abort(grpc.StatusCode.NOT_FOUND, "the book is lost")


async def test_stream_is_lines_of_results(library: Library, client: httpx.AsyncClient) -> None:
    response = await client.get("/v1/books:watch?page_size=3")
    assert [line["result"]["name"] for line in lines(response)] == ["Volume 1", "Volume 2", "Volume 3"]
    assert library.requests[-1].page_size == 3


async def test_stream_is_server_sent_events_if_preferred(library: Library, client: httpx.AsyncClient) -> None:
    found = events(await client.get("/v1/books:watch", headers=EVENTS))
    assert [(number, name) for number, name, _ in found] == [("1", "result"), ("2", "result"), ("3", "result")]
    assert found[2][2]["result"]["name"] == "Volume 3"


async def test_stream_of_events_has_their_types(library: Library, client: httpx.AsyncClient) -> None:
    (first, *_) = lines(await client.get("/v1/books/8:follow"))
    assert first == {"type": "lent", "data": {"name": "Volume 1", "genre": "GENRE_UNSPECIFIED"}}
    assert events(await client.get("/v1/books/8:follow", headers=EVENTS))[0] == ("1", "lent", first)
    assert library.requests[-1].name == "8"


async def test_error_before_the_first_message_is_a_problem(library: Library, client: httpx.AsyncClient) -> None:
    library.before = fail_immediately
    for headers in ({}, EVENTS):
        response = await client.get("/v1/books:watch", headers=headers)
        assert response.status_code == 404
        assert response.headers["content-type"] == "application/problem+json"


async def test_error_in_mid_stream_is_the_last_line(library: Library, client: httpx.AsyncClient) -> None:
    library.between = fail_after_two
    found = lines(await client.get("/v1/books:watch"))
    assert [list(line) for line in found] == [["result"], ["result"], ["error"]]
    assert (found[2]["error"]["status"], found[2]["error"]["detail"]) == (404, "the book is lost")
    found = lines(await client.get("/v1/books/8:follow"))
    assert found[2]["type"] == "error"
    assert found[2]["error"] == found[2]["problem"]["detail"] == "the book is lost"
    assert events(await client.get("/v1/books/8:follow", headers=EVENTS))[2][:2] == ("3", "error")


async def test_wrong_request_is_a_problem(library: Library, client: httpx.AsyncClient) -> None:
    assert (await client.get("/v1/books:watch?page_size=x", headers=EVENTS)).status_code == 400


async def test_lines_match_the_openapi_document(
    library: Library, client: httpx.AsyncClient, served_library: tuple[Library, Upstream, httpx.AsyncClient]
) -> None:
    app, schemas = FastAPI(), SchemaCollection({})
    add_rest_routes(app.router, [served_library[1]], RouteContext(), schemas, {})
    components = {"components": {"schemas": schemas.components()}}
    library.between = fail_after_two
    for path, described in (("/v1/books:watch", "/v1/books:watch"), ("/v1/books/8:follow", "/v1/books/{name}:follow")):
        content = app.openapi()["paths"][described]["get"]["responses"]["200"]["content"]
        assert set(content) == {"application/x-ndjson", "text/event-stream"}
        for line in lines(await client.get(path)):
            assert_valid(line, {**content["application/x-ndjson"]["schema"], **components})


async def test_client_that_disconnects_cancels_the_upstream_call(library: Library, client: httpx.AsyncClient) -> None:
    async def wait(_context: Any, _number: int) -> None:
        await asyncio.Event().wait()

    library.between = wait
    app = FastAPI()
    received: asyncio.Queue[Any] = asyncio.Queue()
    received.put_nowait({"type": "http.request", "body": b"", "more_body": False})
    sent: asyncio.Queue[Any] = asyncio.Queue()
    async with served(library) as upstream:
        add_rest_routes(app.router, [upstream], RouteContext(), SchemaCollection({}), {})
        scope = {"type": "http", "method": "GET", "path": "/v1/books:watch", "headers": [], "query_string": b""}
        answering = asyncio.create_task(app(scope, received.get, sent.put))
        while (await sent.get())["type"] != "http.response.body":
            pass
        assert library.streams_open == 1
        received.put_nowait({"type": "http.disconnect"})
        await answering
        await library.all_streams_ended.wait()


async def test_silent_stream_of_events_sends_keep_alive_comments() -> None:
    may_go_on = asyncio.Event()

    async def chunks() -> AsyncIterator[bytes]:
        yield b"1"
        await may_go_on.wait()
        yield b"2"

    found = []
    async for chunk in with_keep_alive(chunks(), 0.01):
        found.append(chunk)
        if chunk.startswith(b":"):
            may_go_on.set()
    assert found[0] == b"1"
    assert found[1].startswith(b":")
    assert found[-1] == b"2"


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("", False),
        ("*/*", False),
        ("text/event-stream", True),
        ("text/event-stream, application/x-ndjson", False),
        ("application/x-ndjson;q=0.5, text/event-stream;q=0.9", True),
        ("Text/Event-Stream; q=1.0", True),
        ("text/event-stream;q=0", False),
        ("text/event-stream;q=most", False),
    ],
)
def test_accept_header_selects_the_format(accept: str, expected: bool) -> None:
    assert prefers_events(accept) is expected
