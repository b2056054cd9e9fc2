from typing import Any

import pytest

from pantree.pipeline.v1 import pipeline_service_pb2
from pantree_gateway.transcoding.binding import BoundMethod
from pantree_gateway.transcoding.http_rule import HttpBinding, bindings_of, parse_template
from pantree_gateway.transcoding.json_codec import JsonCodec
from pantree_runtime.errors import InvalidInput
from tests.gateway.sample import LIBRARY, Book, message_class

PIPELINE = pipeline_service_pb2.DESCRIPTOR.services_by_name["PipelineService"]


def library(method: str, number: int = 0) -> BoundMethod:
    descriptor = LIBRARY.methods_by_name[method]
    return BoundMethod(descriptor, bindings_of(descriptor)[number], JsonCodec())


def stream_process() -> BoundMethod:
    descriptor = PIPELINE.methods_by_name["StreamProcess"]
    return BoundMethod(descriptor, bindings_of(descriptor)[0], JsonCodec())


def violations_of(bound: BoundMethod, *arguments: Any) -> dict[str, str]:
    with pytest.raises(InvalidInput) as raised:
        bound.request(*arguments)
    return {violation.field: violation.description for violation in raised.value.violations}


def test_path_sets_a_field_of_many_segments() -> None:
    request: Any = library("GetBook").request({"name_1": "7", "name_2": "8"}, [], b"")
    assert request.name == "shelves/7/books/8"


def test_additional_binding_reads_its_own_path() -> None:
    request: Any = library("GetBook", 1).request({"name": "a/b/c"}, [], b"")
    assert request.name == "a/b/c"


def test_query_sets_the_remaining_fields() -> None:
    query = [
        ("page_size", "5"),
        ("genres", "GENRE_NOVEL"),
        ("genres", "GENRE_COOKBOOK"),
        ("filter.author", "Eliot"),
        ("filter.years", "1871"),
        ("filter.years", "1872"),
        ("filter.inner.author", "Evans"),
        ("since", "1871-12-01T00:00:00Z"),
        ("loaned", "true"),
    ]
    request: Any = library("ListBooks").request({}, query, b"")
    assert (request.page_size, list(request.genres), request.loaned) == (5, [1, 2], True)
    assert (request.filter.author, list(request.filter.years)) == ("Eliot", [1871, 1872])
    assert request.filter.inner.author == "Evans"
    assert request.since.ToJsonString() == "1871-12-01T00:00:00Z"


def test_every_wrong_query_parameter_is_named() -> None:
    query = [
        ("page_size", "many"),
        ("filter", "{}"),
        ("page", "2"),
        ("loaned", "true"),
        ("loaned", "false"),
        ("since", "?"),
    ]
    violations = violations_of(library("ListBooks"), {}, query, b"")
    assert set(violations) == {"page_size", "filter", "page", "loaned", "since"}
    assert "page_size, genres, filter, since, loaned" in violations["page"]


def test_body_field_path_and_query_are_combined() -> None:
    request: Any = library("CreateBook").request({"parent": "7"}, [("check_only", "true")], b'{"name": "Middlemarch"}')
    assert (request.parent, request.book.name, request.check_only) == ("shelves/7", "Middlemarch", True)


def test_field_in_the_path_is_not_a_query_parameter() -> None:
    violations = violations_of(library("CreateBook"), {"parent": "7"}, [("parent", "x"), ("book.name", "y")], b"{}")
    assert set(violations) == {"parent", "book.name"}


def test_query_is_rejected_when_the_body_is_the_whole_request() -> None:
    assert set(violations_of(library("UpdateBook"), {"name": "a"}, [("book.genre", "1")], b"{}")) == {"book.genre"}


def test_path_sets_a_field_of_the_body() -> None:
    request: Any = library("UpdateBook").request({"name": "a"}, [], b'{"book": {"genre": "GENRE_NOVEL"}}')
    assert request.book == Book(name="a", genre=1)


def test_path_sets_numbers_and_booleans() -> None:
    request: Any = library("CountBooks").request({"shelf": "7", "open": "true"}, [], b"")
    assert (request.shelf, request.open) == (7, True)
    assert set(violations_of(library("CountBooks"), {"shelf": "x", "open": "y"}, [], b"")) == {"shelf", "open"}


def test_same_id_in_path_and_body_is_accepted() -> None:
    request: Any = stream_process().request({"customer_id": "a"}, [], '{"customer_id": "a"}')
    assert request.input.customer_id == "a"


def test_different_ids_in_path_and_body_are_rejected() -> None:
    violations = violations_of(stream_process(), {"customer_id": "a"}, [], '{"customer_id": "b"}')
    assert list(violations) == ["customer_id"]


def test_null_as_body_is_rejected() -> None:
    assert list(violations_of(stream_process(), {"customer_id": "a"}, [], "null")) == [""]


def test_paths_of_upstream_violations_become_relative_to_the_body() -> None:
    bound = stream_process()
    paths = ["input.items[0].price", "input", "other", "inputs.a"]
    assert [bound.relative_to_body(path) for path in paths] == ["items[0].price", "", "other", "inputs.a"]


def test_only_the_response_body_is_returned() -> None:
    response = message_class("ListBooksResponse")(books=[Book(name="a")])
    assert library("ListBooks").write_response(response) == b'[{"name":"a","genre":"GENRE_UNSPECIFIED"}]'


@pytest.mark.parametrize(
    ("path", "body", "response_body"),
    [("/v1/{title}", "", ""), ("/v1/{book}", "", ""), ("/v1", "title", ""), ("/v1", "*", "title")],
)
def test_binding_with_an_unknown_field_is_rejected(path: str, body: str, response_body: str) -> None:
    binding = HttpBinding("POST", parse_template(path), body, response_body)
    with pytest.raises(ValueError, match="CreateBook"):
        BoundMethod(LIBRARY.methods_by_name["CreateBook"], binding, JsonCodec())
