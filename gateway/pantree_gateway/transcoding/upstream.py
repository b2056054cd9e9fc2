"""Calls to the services behind the routes, and what a request may ask of them."""

import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import grpc
from google.protobuf.descriptor import ServiceDescriptor
from google.protobuf.message import Message
from starlette.datastructures import Headers
from starlette.requests import HTTPConnection

from pantree_gateway.transcoding.binding import BoundMethod
from pantree_gateway.transcoding.http_rule import bindings_of
from pantree_gateway.transcoding.json_codec import JsonCodec
from pantree_gateway.transcoding.metadata import Metadata
from pantree_gateway.transcoding.problem import Problem, ProblemRaised, problem_of_error, problem_of_rpc_error
from pantree_runtime.channel import MAX_MESSAGE_BYTES
from pantree_runtime.cpu import run_cpu
from pantree_runtime.errors import FieldViolation, InvalidInput, PantreeError

TIMEOUT_HEADER = "X-Request-Timeout"
GRPC_TIMEOUT_HEADER = "grpc-timeout"
LONGEST_TIMEOUT_SECONDS = 3600.0
# The form that gRPC's own header has on the wire.
_GRPC_TIMEOUT = re.compile(r"([0-9]{1,8})([HMSmun])")
_GRPC_UNITS = {"H": 3600.0, "M": 60.0, "S": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9}
# Estimated time to parse JSON.
_MS_PER_CHARACTER = 5.0 / (128 * 1024)

ResultT = TypeVar("ResultT")


@dataclass(frozen=True)
class Limits:
    """How large a request may be, and how long it may take."""

    body_bytes: int = 16 * 1024 * 1024
    """Most bytes of a body."""
    message_bytes: int = MAX_MESSAGE_BYTES
    """Most bytes of a request message; more than a server takes would only be refused there."""
    request_timeout_seconds: float = 30.0
    """Longest time for a request that names none."""
    stream_timeout_seconds: float = 300.0
    """Longest time for a stream that names none."""
    first_message_seconds: float = 30.0
    """How long a WebSocket client may take to send its request."""
    linger_seconds: float = 1.0
    """How long a WebSocket waits for another request after the answer to one without an id."""
    idle_seconds: float = 300.0
    """How long a WebSocket waits for another request after the answer to one with an id."""
    waiting_requests: int = 16
    """Most requests of one WebSocket that wait for their turn."""


@dataclass(frozen=True)
class Upstream:
    """A service whose methods get routes, and where calls to it go."""

    service: ServiceDescriptor
    component: str
    """Name of the part that serves it, for people."""
    channel: Callable[[], grpc.aio.Channel]
    """The channel to it; asked for with each call, since channels live inside an event loop."""
    _multi_callables: dict[str, tuple[Any, Any]] = field(default_factory=dict, init=False, compare=False, repr=False)
    """What makes the calls of each method, by path, and the channel that it belongs to."""

    def call(self, bound: BoundMethod, request: Message, timeout_seconds: float, metadata: Metadata = ()) -> Any:
        """A call of a method: to be awaited when it is unary, to be iterated when it streams."""
        channel = self.channel()
        made_by, multi_callable = self._multi_callables.get(bound.path, (None, None))
        if made_by is not channel:
            make = channel.unary_stream if bound.method.server_streaming else channel.unary_unary
            multi_callable = make(
                bound.path,
                request_serializer=type(request).SerializeToString,
                response_deserializer=bound.response_class.FromString,
            )
            self._multi_callables[bound.path] = channel, multi_callable
        return multi_callable(request, timeout=timeout_seconds, metadata=metadata)

    def problem_of(self, error: Exception, bound: BoundMethod) -> Problem:
        """Problem that an error of a request to this service stands for.

        Raises:
            Exception: the error itself when it is an unexpected one.
        """
        if isinstance(error, ProblemRaised):
            return error.problem
        if isinstance(error, PantreeError):
            return problem_of_error(error)
        if isinstance(error, grpc.aio.AioRpcError):
            return problem_of_rpc_error(error, self.component, bound.relative_to_body)
        raise error


def bound_methods(upstreams: Sequence[Upstream], codec: JsonCodec) -> Iterator[tuple[Upstream, BoundMethod]]:
    """Every annotated method of the services with each of its bindings, more specific paths first."""
    found = [
        (upstream, BoundMethod(method, binding, codec))
        for upstream in upstreams
        for method in upstream.service.methods
        for binding in bindings_of(method)
    ]
    yield from sorted(found, key=lambda pair: pair[1].binding.template.specificity)


def timeout_of(headers: Headers, otherwise: float) -> float:
    """Seconds that a request may take, from `X-Request-Timeout` or, when there is none, from `grpc-timeout`.

    Args:
        headers: of the request.
        otherwise: when there is neither.

    Raises:
        InvalidInput: when the value is no such number, not positive, or absurd.
    """
    header = headers.get(TIMEOUT_HEADER)
    if header is None:
        return _grpc_timeout(headers, otherwise)
    try:
        seconds = float(header)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds <= LONGEST_TIMEOUT_SECONDS:
        remedy = f"give seconds above 0 and up to {LONGEST_TIMEOUT_SECONDS:g}, such as 2.5"
        raise InvalidInput([FieldViolation(TIMEOUT_HEADER, f"is {header[:40]!r}; {remedy}")])
    return seconds


def _grpc_timeout(headers: Headers, otherwise: float) -> float:
    header = headers.get(GRPC_TIMEOUT_HEADER)
    if header is None:
        return otherwise
    match = _GRPC_TIMEOUT.fullmatch(header)
    if match is None or int(match[1]) == 0:
        remedy = "give up to 8 digits and a unit of H, M, S, m, u or n, such as 2500m"
        raise InvalidInput([FieldViolation(GRPC_TIMEOUT_HEADER, f"is {header[:40]!r}; {remedy}")])
    return min(int(match[1]) * _GRPC_UNITS[match[2]], LONGEST_TIMEOUT_SECONDS)


async def request_of(bound: BoundMethod, connection: HTTPConnection, body: bytes | str, limits: Limits) -> Message:
    """Request message of an HTTP request.

    Raises:
        InvalidInput: naming every wrong field.
        ProblemRaised: when the message is larger than servers take.
    """
    query = connection.query_params.multi_items()
    request = await run_parser(len(body), bound.request, connection.path_params, query, body)
    check_size(request, limits)
    return request


async def run_parser(length: int, function: Callable[..., ResultT], *arguments: Any) -> ResultT:
    """Result of a function that parses a text of some length."""
    return await run_cpu(length * _MS_PER_CHARACTER, function, *arguments)


def check_size(request: Message, limits: Limits) -> None:
    """Checks that servers will take a message.

    Raises:
        ProblemRaised: when it is too large.
    """
    size = request.ByteSize()
    if size > limits.message_bytes:
        raise ProblemRaised(too_large(f"the request makes a message of {size:,} bytes", limits.message_bytes))


def too_large(what: str, most: int) -> Problem:
    """Problem of something over a limit in bytes."""
    return Problem(413, "TOO_LARGE", f"{what}; send at most {most:,}")
