"""Every feature of `google.api.http` in `sample.proto`, compared with grpc-gateway's behavior.

Two differences are intended: unknown query parameters, and bodies that contradict the path, are errors.
"""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio
from google.protobuf import text_format

from tests.gateway.library import Library, client_of, served
from tests.gateway.sample import message_class


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def library() -> AsyncIterator[tuple[Library, httpx.AsyncClient]]:
    library = Library()
    async with served(library) as upstream, client_of(upstream) as client:
        yield library, client


# Method, path, body, type of the message that the service receives, that message in text form.
CASES: list[tuple[str, str, Any, str, str]] = [
    # Path templates
    ("GET", "/v1/shelves/7/books/8", None, "GetBookRequest", 'name: "shelves/7/books/8"'),
    ("GET", "/v1/files/a", None, "GetBookRequest", 'name: "a"'),
    ("GET", "/v1/files/a/b/c", None, "GetBookRequest", 'name: "a/b/c"'),
    ("GET", "/v1/files/", None, "GetBookRequest", ""),
    ("GET", "/v1/shelves/a%20b/books/%C3%BC", None, "GetBookRequest", 'name: "shelves/a b/books/ü"'),
    ("GET", "/v1/shelves/7/books/a:b", None, "GetBookRequest", 'name: "shelves/7/books/a:b"'),
    ("DELETE", "/v1/anything/books/8", None, "GetBookRequest", 'name: "8"'),
    # Custom verbs, of paths and of HTTP
    ("POST", "/v1/books/8:archive", {}, "GetBookRequest", 'name: "8"'),
    ("POST", "/v1/books/8:archive", None, "GetBookRequest", 'name: "8"'),
    ("POST", "/v1/books/a:b:archive", {}, "GetBookRequest", 'name: "a:b"'),
    ("GET", "/v1/shelves/7/true:count", None, "CountBooksRequest", "shelf: 7 open: true"),
    ("GET", "/v1/shelves/7/T:count", None, "CountBooksRequest", "shelf: 7 open: true"),
    ("GET", "/v1/shelves/-7/0:count", None, "CountBooksRequest", "shelf: -7"),
    ("HEAD", "/v1/8:head", None, "GetBookRequest", 'name: "8"'),
    # Query parameters
    ("GET", "/v1/books", None, "ListBooksRequest", ""),
    ("GET", "/v1/books?page_size=5&loaned=1", None, "ListBooksRequest", "page_size: 5 loaned: true"),
    ("GET", "/v1/books?loaned=false", None, "ListBooksRequest", ""),
    (
        "GET",
        "/v1/books?genres=GENRE_NOVEL&genres=2",
        None,
        "ListBooksRequest",
        "genres: GENRE_NOVEL genres: GENRE_COOKBOOK",
    ),
    (
        "GET",
        "/v1/books?filter.author=G.%20Eliot&filter.years=1871&filter.years=1872&filter.inner.inner.author=x%26y",
        None,
        "ListBooksRequest",
        'filter { author: "G. Eliot" years: 1871 years: 1872 inner { inner { author: "x&y" } } }',
    ),
    ("GET", "/v1/books?since=1970-01-01T00:00:05Z", None, "ListBooksRequest", "since { seconds: 5 }"),
    (
        "GET",
        "/v1/everything?a_double=1e3&a_float=-0.5&an_int64=-9007199254740993&a_uint64=18446744073709551615"
        "&some_bytes=aGk%3D&a_string_value=x&an_int64_value=7&a_duration=1.5s&a_mask=aB,c&maybe_int32=0&strings=&strings=b",
        None,
        "Everything",
        'a_double: 1000 a_float: -0.5 an_int64: -9007199254740993 a_uint64: 18446744073709551615 some_bytes: "hi" '
        'a_string_value { value: "x" } an_int64_value { value: 7 } a_duration { seconds: 1 nanos: 500000000 } '
        'a_mask { paths: "a_b" paths: "c" } maybe_int32: 0 strings: "" strings: "b"',
    ),
    ("GET", "/v1/everything?chosen_book.name=x", None, "Everything", 'chosen_book { name: "x" }'),
    ("GET", "/v1/everything?inner.inner.an_int32=0x", None, "", "inner.inner.an_int32"),
    ("GET", "/v1/everything?chosen_text=x&chosen_number=1", None, "", "chosen_number"),
    ("GET", "/v1/everything?a_struct=x&inners=x", None, "", "a_struct inners"),
    # Bodies
    (
        "POST",
        "/v1/shelves/7/books?check_only=true",
        {"name": "Middlemarch", "genre": "GENRE_NOVEL"},
        "CreateBookRequest",
        'parent: "shelves/7" book { name: "Middlemarch" genre: GENRE_NOVEL } check_only: true',
    ),
    ("PATCH", "/v1/books/a", {"book": {"genre": 1}}, "UpdateBookRequest", 'book { name: "a" genre: GENRE_NOVEL }'),
    ("PATCH", "/v1/books/a?book.genre=1", {}, "", "book.genre"),
    # Additional bindings, sub-fields in paths, and the mask of a PATCH
    (
        "PUT",
        "/v1/shelves/7/books/8?allow_missing=true",
        {"genre": "GENRE_COOKBOOK"},
        "ReplaceBookRequest",
        'book { name: "shelves/7/books/8" genre: GENRE_COOKBOOK } allow_missing: true',
    ),
    (
        "PATCH",
        "/v1/shelves/7/books/8",
        {"genre": "GENRE_COOKBOOK"},
        "ReplaceBookRequest",
        'book { name: "shelves/7/books/8" genre: GENRE_COOKBOOK } update_mask { paths: "genre" }',
    ),
    (
        "PATCH",
        "/v1/shelves/7/books/8?update_mask=name",
        {"genre": "GENRE_COOKBOOK"},
        "ReplaceBookRequest",
        'book { name: "shelves/7/books/8" genre: GENRE_COOKBOOK } update_mask { paths: "name" }',
    ),
    (
        "POST",
        "/v1/shelves/7/books/8:replace",
        {"book": {"genre": 2}, "updateMask": "genre"},
        "ReplaceBookRequest",
        'book { name: "shelves/7/books/8" genre: GENRE_COOKBOOK } update_mask { paths: "genre" }',
    ),
]


@pytest.mark.parametrize(
    ("method", "path", "body", "kind", "expected"), CASES, ids=[f"{case[0]} {case[1][:60]}" for case in CASES]
)
async def test_request_becomes_the_message_that_grpc_gateway_makes(
    method: str, path: str, body: Any, kind: str, expected: str, library: tuple[Library, httpx.AsyncClient]
) -> None:
    service, client = library
    service.requests.clear()
    options: dict[str, Any] = {} if body is None else {"json": body}
    response = await client.request(method, path, **options)
    if not kind:
        assert response.status_code == 400
        assert [error["field"] for error in response.json()["errors"]] == expected.split()
        assert not service.requests
        return
    assert response.status_code == 200, response.text
    message = text_format.Parse(expected, message_class(kind)())
    assert service.requests == [message]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/shelves/7/books", 405),
        ("GET", "/v1/shelves/7/books/8/9", 404),
        ("GET", "/v1/shelves//books/8", 404),
        ("GET", "/v1/shelves/7/books/8:archive/x", 404),
        ("POST", "/v1/books/8:unarchive", 405),
        ("POST", "/v2/books/8:archive", 404),
    ],
)
async def test_request_without_a_matching_rule_is_rejected(
    method: str, path: str, status: int, library: tuple[Library, httpx.AsyncClient]
) -> None:
    service, client = library
    service.requests.clear()
    assert (await client.request(method, path)).status_code == status
    assert not service.requests


async def test_response_body_can_be_a_list(library: tuple[Library, httpx.AsyncClient]) -> None:
    assert [book["name"] for book in (await library[1].get("/v1/books")).json()] == ["Middlemarch", "Romola"]
