"""Retries, timeouts and errors through a gateway, against scripted servers on loopback."""

import asyncio
import contextlib
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from http import HTTPStatus
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.http11 import Request, Response

from pantree_client import (
    ComponentUnavailable,
    DeadlineExceeded,
    DeadlineTooShort,
    FieldViolation,
    FirstPurchase,
    InternalError,
    InvalidInput,
    Item,
    NotFound,
    Overloaded,
    PantreeClient,
    PantreeError,
    PermissionDenied,
    Result,
    Started,
    StoreMismatch,
    TooLarge,
    Unauthenticated,
)
from tests.tcp import serving_tcp

BASKET = FirstPurchase("cust_001", [Item("Bananas", 1.99)])
STARTED = {"customer_id": "cust_001", "month_count": 1, "seed": 1, "as_of": "2026-11-23"}
RESULT = {"customer_id": "cust_001", "as_of": "2026-11-23", "newer_field": 1}
TRACE_ID = "0af7651916cd43dd8448eb211c80319c"


def problem(code: str, status: int, **more: Any) -> dict[str, Any]:
    return {"code": code, "status": status, "detail": "what is wrong", "errors": [], "trace_id": TRACE_ID, **more}


UNAVAILABLE = problem("COMPONENT_UNAVAILABLE", 503, component="frequency")

# Status, content type and body of each answer; the last one repeats.
Answers = Sequence[tuple[int, str, str]]


def json_answer(status: int, document: dict[str, Any]) -> tuple[int, str, str]:
    return status, "application/json" if status < 400 else "application/problem+json", json.dumps(document)


@contextlib.asynccontextmanager
async def http_server(answers: Answers) -> AsyncIterator[tuple[str, list[dict[str, str]]]]:
    """URL of a server, and the headers of each request that it received."""
    requests: list[dict[str, str]] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in head[1:] if line)
        await reader.readexactly(int(headers.get("content-length", 0)))
        status, kind, body = answers[min(len(requests), len(answers) - 1)]
        requests.append(headers)
        writer.write(
            f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\nContent-Type: {kind}\r\n"
            f"Content-Length: {len(body.encode())}\r\nConnection: close\r\n\r\n{body}".encode()
        )
        await writer.drain()
        writer.close()

    async with serving_tcp(answer) as port:
        yield f"http://127.0.0.1:{port}", requests


@contextlib.asynccontextmanager
async def websocket_server(script: Sequence[str]) -> AsyncIterator[tuple[str, list[str]]]:
    """URL of a server, and its action for each connection: refuse, drop, stop, cut, resume, hang or answer."""
    done: list[str] = []

    def handshake(connection: ServerConnection, request: Request) -> Response | None:
        done.append(script[len(done)])
        return connection.respond(HTTPStatus.SERVICE_UNAVAILABLE, "draining") if done[-1] == "refuse" else None

    async def handle(connection: ServerConnection) -> None:
        action = done[-1]
        request = json.loads(await connection.recv())
        if action == "drop":
            return
        if action == "cut":
            await connection.send(json.dumps({"type": "started", "data": STARTED, "resume_token": "after the first"}))
            connection.transport.close()  # without a close frame, as when a network fails
            return
        if action == "resume":
            assert request.pop("resume_token") == "after the first"
            assert request["items"][0]["name"] == "Bananas"
            await connection.send(json.dumps({"type": "completed", "data": RESULT, "resume_token": "after the last"}))
            return
        await connection.send(json.dumps({"type": "started", "data": STARTED}))
        if action == "hang":
            await connection.wait_closed()
        elif action == "stop":
            await connection.close(1012, "the gateway stops")
        else:
            await connection.send(json.dumps({"type": "completed", "data": RESULT}))

    async with serve(handle, "127.0.0.1", 0, process_request=handshake) as server:
        (socket,) = server.sockets
        yield f"http://127.0.0.1:{socket.getsockname()[1]}", done


async def with_client(url: str, use: Callable[[PantreeClient], Awaitable[Any]], **options: Any) -> Any:
    async with PantreeClient(url, **options) as client:
        return await use(client)


async def test_process_is_retried_while_a_part_is_unavailable() -> None:
    answers = [json_answer(503, UNAVAILABLE), json_answer(503, UNAVAILABLE), json_answer(200, RESULT)]
    async with http_server(answers) as (url, requests):
        result = await with_client(url, lambda client: client.process(BASKET), timeout_seconds=20)
    assert isinstance(result, Result)
    timeouts = [float(headers["x-request-timeout"]) for headers in requests]
    assert len(timeouts) == 3
    assert 20 >= timeouts[0] > timeouts[1] > timeouts[2]


async def test_process_gives_up_after_four_attempts() -> None:
    async with http_server([json_answer(503, UNAVAILABLE)]) as (url, requests):
        with pytest.raises(ComponentUnavailable) as raised:
            await with_client(url, lambda client: client.process(BASKET))
    assert len(requests) == 4
    assert raised.value.component == "frequency"
    assert raised.value.metadata["trace_id"] == TRACE_ID


async def test_invalid_input_is_not_retried() -> None:
    invalid = problem("INVALID_INPUT", 400, errors=[{"field": "items", "message": "must not be empty"}])
    async with http_server([json_answer(400, invalid)]) as (url, requests):
        with pytest.raises(InvalidInput) as raised:
            await with_client(url, lambda client: client.process(BASKET))
    assert raised.value.violations == (FieldViolation("items", "must not be empty"),)
    assert len(requests) == 1


@pytest.mark.parametrize(
    ("errors", "violations", "omitted_count"),
    [
        ([], [FieldViolation("", "what is wrong")], 0),
        (
            [{"field": "a", "message": "is unknown"}, {"field": "", "message": "and 1,200 more"}],
            [FieldViolation("a", "is unknown"), FieldViolation("", "and 1,200 more")],
            1_200,
        ),
    ],
)
async def test_invalid_input_has_a_text_and_counts_omitted_fields(
    errors: list[dict[str, str]], violations: list[FieldViolation], omitted_count: int
) -> None:
    async with http_server([json_answer(400, problem("INVALID_INPUT", 400, errors=errors))]) as (url, _):
        with pytest.raises(InvalidInput) as raised:
            await with_client(url, lambda client: client.process(BASKET))
    assert raised.value.violations == tuple(violations)
    assert raised.value.omitted_count == omitted_count


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (json_answer(404, problem("NOT_FOUND", 404)), NotFound),
        (json_answer(400, problem("STORE_MISMATCH", 400)), StoreMismatch),
        (json_answer(413, problem("TOO_LARGE", 413)), TooLarge),
        (json_answer(504, problem("DEADLINE_EXCEEDED", 504)), DeadlineExceeded),
        (json_answer(504, problem("DEADLINE_TOO_SHORT", 504)), DeadlineTooShort),
        (json_answer(500, problem("INTERNAL", 500)), InternalError),
        (json_answer(429, problem("OVERLOADED", 429)), Overloaded),
        (json_answer(403, problem("PERMISSION_DENIED", 403)), PermissionDenied),
        (json_answer(401, problem("UNAUTHENTICATED", 401)), Unauthenticated),
        (json_answer(504, problem("NEWER_REASON", 504)), DeadlineExceeded),
        ((413, "text/html", "<h1>too large</h1>"), TooLarge),
        ((418, "text/html", "<h1>teapot</h1>"), InternalError),
    ],
)
async def test_problem_becomes_its_error(answer: tuple[int, str, str], expected: type[PantreeError]) -> None:
    async with http_server([answer]) as (url, _):
        with pytest.raises(PantreeError) as raised:
            await with_client(url, lambda client: client.config())
    assert type(raised.value) is expected


async def test_status_raises_when_the_pipeline_is_unavailable() -> None:
    part = {"status": "unavailable", "required": True, "latency_ms": 1.0, "message": "pipeline is not available"}
    health = {"status": "unavailable", "components": {"pipeline": part}, "version": "1"}
    async with http_server([(503, "application/json", json.dumps(health))]) as (url, requests):
        with pytest.raises(ComponentUnavailable, match="pipeline is not available"):
            await with_client(url, lambda client: client.status())
    assert len(requests) == 1


async def events_of(client: PantreeClient) -> list[type]:
    return [type(event) async for event in client.stream(BASKET)]


async def test_stream_is_retried_before_its_first_event() -> None:
    async with websocket_server(["refuse", "drop", "answer"]) as (url, done):
        assert await with_client(url, events_of) == [Started, Result]
    assert done == ["refuse", "drop", "answer"]


async def test_stream_resumes_after_a_lost_connection() -> None:
    async with websocket_server(["cut", "refuse", "resume"]) as (url, done):
        assert await with_client(url, events_of) == [Started, Result]
    assert done == ["cut", "refuse", "resume"]


async def test_stream_without_resume_tokens_is_not_retried_after_its_first_event() -> None:
    async with websocket_server(["stop", "answer"]) as (url, done):
        with pytest.raises(ComponentUnavailable, match="the gateway stops"):
            await with_client(url, events_of)
    assert done == ["stop"]


async def test_stream_of_a_hanging_gateway_raises_deadline_exceeded() -> None:
    async with websocket_server(["hang"]) as (url, _):
        with pytest.raises(DeadlineExceeded):
            await with_client(url, events_of, timeout_seconds=0.5)


def test_ssl_context_without_https_is_rejected() -> None:
    for address in ("127.0.0.1:50051", "http://localhost:8000"):
        with pytest.raises(ValueError, match="https"):
            PantreeClient(address, ssl_context=ssl.create_default_context())
