"""REST routes of methods with an ordinary HTTP verb, with one response or a stream of them."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response
from starlette.requests import ClientDisconnect

from pantree.error.v1 import error_pb2
from pantree_gateway.transcoding.caller import caller_of
from pantree_gateway.transcoding.context import RouteContext
from pantree_gateway.transcoding.headers import timeout_of
from pantree_gateway.transcoding.openapi import SchemaCollection
from pantree_gateway.transcoding.problem import ProblemError, problem_for, too_large
from pantree_gateway.transcoding.streaming import HttpStream
from pantree_gateway.transcoding.upstream import Upstream, UpstreamMethod, upstream_methods

VERBS = frozenset({"GET", "PUT", "POST", "DELETE", "PATCH", "HEAD", "OPTIONS"})
"""Verbs that become routes; the contract writes the last two as `custom { kind: "HEAD" path: … }`."""


def add_rest_routes(
    router: APIRouter,
    upstreams: Sequence[Upstream],
    context: RouteContext,
    schemas: SchemaCollection,
    examples: Mapping[str, Mapping[str, Any]],
) -> None:
    """Adds a route for every binding of a method to an ordinary verb, unless the method streams its request.

    Args:
        router: receives the routes.
        upstreams: the services.
        context: what all routes share.
        schemas: receives the schemas of the messages.
        examples: request bodies for the OpenAPI document, by title, by full name of the method.
    """
    operation_counts: Counter[str] = Counter()
    for method in upstream_methods(upstreams, context.codec):
        descriptor, binding = method.bound.method, method.bound.binding
        if binding.verb not in VERBS or descriptor.client_streaming:
            continue
        name = f"{descriptor.containing_service.name}_{descriptor.name}"
        operation_counts[name] += 1
        number = operation_counts[name]
        router.add_api_route(
            binding.template.route_path,
            RestEndpoint(method, context).respond,
            methods=[binding.verb],
            operation_id=name if number == 1 else f"{name}_{number}",
            response_class=Response,
            openapi_extra=schemas.operation(method.bound, examples.get(descriptor.full_name, {})),
            **schemas.operation_metadata(descriptor),
        )


class RestEndpoint:
    """Answers HTTP requests by one call to a method."""

    def __init__(self, method: UpstreamMethod, context: RouteContext) -> None:
        self._method = method
        self._context = context
        self._stream = HttpStream(method, context.codec) if method.bound.method.server_streaming else None
        limits = context.limits
        self._timeout_seconds = limits.stream_timeout_seconds if self._stream else limits.request_timeout_seconds

    async def respond(self, request: Request) -> Response:
        """Response of the method, or a problem document."""
        method, context = self._method, self._context
        bound, headers = method.bound, context.headers
        try:
            caller_of(request.scope).check_may_call(method.component)
            timeout_seconds = timeout_of(request.headers, self._timeout_seconds)
            body = await read_body(request, context.limits.body_bytes) if bound.has_body else b""
            message = await bound.read_request(request.path_params, request.query_params.multi_items(), body)
            if self._stream is not None:
                call = method.call(message, timeout_seconds, headers.metadata_of(request))
                return await self._stream.respond(request, call)
            entry = context.idempotency.entry(request, bound, message) or context.cache.entry(request, bound, message)
            if entry is not None and (stored := await entry.find()) is not None:
                return stored
            try:
                call = method.call(message, timeout_seconds, headers.metadata_of(request))
                answer = await call
                forwarded = headers.headers_of(await call.initial_metadata()) if headers.allowed else None
                response = Response(bound.write_response(answer), headers=forwarded, media_type="application/json")
                if entry is not None:
                    await entry.store(response, answer)
            except BaseException:
                if entry is not None:
                    await entry.release()
                raise
            return response
        except ClientDisconnect:
            raise
        except Exception as error:
            return method.problem_of(error).response(request.scope["path"])


async def read_body(request: Request, max_bytes: int) -> bytes:
    """Body of a request.

    Raises:
        ProblemError: 415 when it is not declared as JSON, 413 when it is too large.
    """
    media_type = request.headers.get("content-type", "application/json").partition(";")[0].strip().lower()
    if media_type != "application/json" and not media_type.endswith("+json"):
        detail = f"Content-Type is {media_type[:80]!r}; send JSON with Content-Type: application/json"
        raise ProblemError(problem_for(error_pb2.ERROR_REASON_UNSUPPORTED_MEDIA_TYPE, detail))
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > max_bytes:
        raise too_large(f"the body has {int(declared):,} bytes", max_bytes)
    chunks: list[bytes] = []
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > max_bytes:
            raise too_large(f"the body has over {max_bytes:,} bytes", max_bytes)
        chunks.append(chunk)
    return b"".join(chunks)
