"""REST routes of methods with an ordinary HTTP verb: one answer, or a stream of them."""

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response
from google.protobuf.message import Message

from pantree_gateway.transcoding.binding import BoundMethod
from pantree_gateway.transcoding.openapi import SchemaCollection
from pantree_gateway.transcoding.problem import Problem, ProblemRaised
from pantree_gateway.transcoding.streaming import HttpStream
from pantree_gateway.transcoding.surroundings import Surroundings
from pantree_gateway.transcoding.upstream import (
    Upstream,
    bound_methods,
    request_of,
    timeout_of,
    too_large,
)

VERBS = frozenset({"GET", "PUT", "POST", "DELETE", "PATCH", "HEAD", "OPTIONS"})
"""Verbs that make a route; the last two are written as `custom { kind: "HEAD" path: … }`."""


def add_rest_routes(
    router: APIRouter,
    upstreams: Sequence[Upstream],
    surroundings: Surroundings,
    schemas: SchemaCollection,
    examples: Mapping[str, Mapping[str, Any]],
) -> None:
    """Adds a route for every binding of a method to an ordinary verb; a method that streams its request has none.

    Args:
        router: gets the routes.
        upstreams: the services.
        surroundings: what all routes have in common.
        schemas: gets the schemas of the messages.
        examples: request bodies by title, by full name of the method, for the OpenAPI document.
    """
    operation_counts: Counter[str] = Counter()
    for upstream, bound in bound_methods(upstreams, surroundings.codec):
        method, binding = bound.method, bound.binding
        if binding.verb not in VERBS or method.client_streaming:
            continue
        name = f"{method.containing_service.name}_{method.name}"
        operation_counts[name] += 1
        number = operation_counts[name]
        router.add_api_route(
            binding.template.route_path,
            _endpoint(upstream, bound, surroundings),
            methods=[binding.verb],
            operation_id=name if number == 1 else f"{name}_{number}",
            response_class=Response,
            openapi_extra=schemas.operation(bound, examples.get(method.full_name, {})),
            **schemas.operation_metadata(method),
        )


def _endpoint(
    upstream: Upstream, bound: BoundMethod, surroundings: Surroundings
) -> Callable[[Request], Awaitable[Response]]:
    limits, policy, guard = surroundings.limits, surroundings.policy, surroundings.guard
    stream = HttpStream(upstream, bound, surroundings.codec) if bound.method.server_streaming else None
    longest_seconds = limits.request_timeout_seconds if stream is None else limits.stream_timeout_seconds

    async def respond(request: Request) -> Response:
        try:
            await guard.admit(request, upstream, first=True)
            timeout_seconds = timeout_of(request.headers, longest_seconds)
            body = await _json_body(request, limits.body_bytes) if bound.has_body else b""
            message = await request_of(bound, request, body, limits)

            def call() -> Any:
                return upstream.call(bound, message, timeout_seconds, policy.metadata_of(request))

            async def answer() -> tuple[Response, Message]:
                calling = call()
                response = await calling
                headers = policy.headers_of(await calling.initial_metadata()) if policy.allowed else None
                return Response(
                    bound.write_response(response), headers=headers, media_type="application/json"
                ), response

            if stream is not None:
                return await stream.respond(request, call())
            return await guard.respond(request, bound, message, answer)
        except Exception as error:
            return upstream.problem_of(error, bound).response(request.scope)

    return respond


async def _json_body(request: Request, most_bytes: int) -> bytes:
    """Body of a request.

    Raises:
        ProblemRaised: when it is declared as something other than JSON, or too large.
    """
    kind = request.headers.get("content-type", "application/json").partition(";")[0].strip().lower()
    if kind != "application/json" and not kind.endswith("+json"):
        detail = f"the body is declared as {kind[:80]!r}; send JSON with Content-Type: application/json"
        raise ProblemRaised(Problem(415, "UNSUPPORTED_MEDIA_TYPE", detail))
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > most_bytes:
        raise ProblemRaised(too_large(f"the body has {int(declared):,} bytes", most_bytes))
    chunks: list[bytes] = []
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > most_bytes:
            raise ProblemRaised(too_large(f"the body has over {most_bytes:,} bytes", most_bytes))
        chunks.append(chunk)
    return b"".join(chunks)
