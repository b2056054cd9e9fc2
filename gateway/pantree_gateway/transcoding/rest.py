"""REST routes for methods with an ordinary HTTP verb, with a single response or a stream."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response
from google.protobuf.message import Message
from starlette.requests import ClientDisconnect

from pantree_gateway.transcoding.caller import caller_of
from pantree_gateway.transcoding.context import RouteContext
from pantree_gateway.transcoding.encoded_paths import EncodedRoute
from pantree_gateway.transcoding.openapi import SchemaCollection
from pantree_gateway.transcoding.request_headers import fill_from_headers, has_request_id
from pantree_gateway.transcoding.stored_responses import KEY_HEADER
from pantree_gateway.transcoding.streaming import HttpStream
from pantree_gateway.transcoding.upstream import Upstream, UpstreamMethod, upstream_methods

VERBS = frozenset({"GET", "PUT", "POST", "DELETE", "PATCH", "HEAD", "OPTIONS"})
"""Verbs that get routes. In the contract, the last two are `custom { kind: "HEAD" path: … }`."""


def add_rest_routes(
    router: APIRouter,
    upstreams: Sequence[Upstream],
    context: RouteContext,
    schemas: SchemaCollection,
    examples: Mapping[str, Mapping[str, Any]],
) -> None:
    """Adds a route for every binding to an ordinary verb, unless the method streams its request.

    Adds the schemas of the messages to `schemas`. `examples` are request bodies for the OpenAPI document, by title, by
    full name of the method.
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
            route_class_override=EncodedRoute,
            openapi_extra=schemas.operation(method.bound, examples.get(descriptor.full_name, {})),
            **schemas.operation_metadata(descriptor),
        )


class RestEndpoint:
    """Answers HTTP requests with one call to a method each."""

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
            method.check_caller(caller_of(request.scope))
            options = headers.call_options(request, self._timeout_seconds)
            message = await bound.read_request(request, context.limits)
            caller_of(request.scope).check_customer(message)
            fill_from_headers(message, request.headers)
            if self._stream is not None:
                return await self._stream.respond(request, method.call(message, options))
            # A request with an id is answered once by its part, for all gateways and for good.
            has_idempotency_key = (
                request.method == "POST" and KEY_HEADER in request.headers and not has_request_id(message)
            )
            responses = context.idempotency if has_idempotency_key else context.cache
            key = responses.key(request, bound, message)
            if key is not None and (stored := await responses.find(key)) is not None:
                return stored
            try:
                call = method.call(message, options)
                answer = await call
                method.hide_from(caller_of(request.scope), answer)
                if key is not None:
                    responses.warn(answer)
                forwarded = headers.headers_of(await call.initial_metadata()) if headers.allowed else None
                response = Response(bound.write_response(answer), headers=forwarded, media_type="application/json")
                if request.method == "DELETE":
                    # Afterward, so that none of the customer's requests stores a response in between.
                    for erased in _with_merged_ids(message, answer):
                        try:
                            await context.cache.forget_customers(request, erased)
                        finally:
                            await context.idempotency.forget_customers(request, erased)
                if key is not None:
                    await responses.store(key, response, answer)
            except Exception as error:
                problem = method.problem_of(error)
                response = problem.response(request.scope["path"])
                if key is not None:
                    await responses.store_problem(key, response, problem)
            except BaseException:
                if key is not None:
                    await responses.release(key)
                raise
            return response
        except ClientDisconnect:
            raise
        except Exception as error:
            return method.problem_of(error).response(request.scope["path"])


def _with_merged_ids(message: Message, answer: Message) -> Iterator[Message]:
    """A request that erased a customer, and the same for each of its other ids."""
    yield message
    for customer_id in getattr(answer, "merged_customer_ids", ()):
        other: Any = type(message)()
        other.CopyFrom(message)
        other.customer_id = customer_id
        yield other
