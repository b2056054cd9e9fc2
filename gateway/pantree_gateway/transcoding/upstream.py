"""Calls to the services behind the routes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import grpc
import structlog
from google.protobuf.descriptor import ServiceDescriptor
from google.protobuf.message import Message

from pantree.error.v1 import error_pb2
from pantree_gateway.transcoding.binding import BoundMethod
from pantree_gateway.transcoding.caller import Caller
from pantree_gateway.transcoding.headers import CallOptions
from pantree_gateway.transcoding.http_rule import bindings_of
from pantree_gateway.transcoding.json_codec import JsonCodec
from pantree_gateway.transcoding.problem import (
    Problem,
    ProblemError,
    problem_for,
    problem_of_error,
    problem_of_rpc_error,
    too_large,
)
from pantree_runtime import telemetry
from pantree_runtime.channel import MAX_MESSAGE_BYTES
from pantree_runtime.errors import PantreeError

_log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Upstream:
    """A service whose methods get routes."""

    service: ServiceDescriptor
    component: str
    """Name of the part that serves it."""
    channel: Callable[[], grpc.aio.Channel]
    """Returns its channel. Called for each request, since a channel belongs to an event loop."""
    shop_methods: frozenset[str] = frozenset()
    """Names of the methods that state what only the shop knows; see `Caller.check_may_state`."""
    hide: Callable[[Any], None] | None = None
    """Removes from an answer what only the shop may read."""


class UpstreamMethod:
    """A method of a service, with one of its HTTP bindings."""

    def __init__(self, upstream: Upstream, bound: BoundMethod) -> None:
        self.component = upstream.component
        self.bound = bound
        self._is_for_shop = bound.method.name in upstream.shop_methods
        self._hide = upstream.hide
        self._connect = upstream.channel
        self._channel: grpc.aio.Channel | None = None
        self._multi_callable: Any = None

    def check_caller(self, caller: Caller) -> None:
        """Raises a `ProblemError` with 403 if a caller may not call this method."""
        caller.check_may_call(self.component)
        if self._is_for_shop:
            caller.check_may_state(self.bound.method.name)

    def hide_from(self, caller: Caller, answer: Message) -> None:
        """Removes from an answer what the caller may not read."""
        if self._hide is not None and not caller.is_shop:
            self._hide(answer)

    def call(self, request: Message, options: CallOptions) -> Any:
        """Starts a call, which the caller awaits or, for a stream, iterates over.

        Raises:
            ProblemError: 413 when the message is larger than the services accept.
        """
        size = request.ByteSize()
        if size > MAX_MESSAGE_BYTES:
            raise too_large(f"the request as a message has {size:,} bytes", MAX_MESSAGE_BYTES)
        channel = self._connect()
        if channel is not self._channel:
            make = channel.unary_stream if self.bound.method.server_streaming else channel.unary_unary
            self._multi_callable = make(
                self.bound.path,
                request_serializer=type(request).SerializeToString,
                response_deserializer=self.bound.response_class.FromString,
            )
            self._channel = channel
        return self._multi_callable(request, timeout=options.timeout_seconds, metadata=options.metadata)

    def problem_of(self, error: Exception) -> Problem:
        """Problem for an error in a request to this method. Logs unexpected errors."""
        if isinstance(error, ProblemError):
            return error.problem
        if isinstance(error, PantreeError):
            return problem_of_error(error)
        if isinstance(error, grpc.aio.AioRpcError):
            return problem_of_rpc_error(error, self.component, self.bound.relative_to_body)
        method = self.bound.method.full_name
        _log.error("unexpected error", method=method, trace_id=telemetry.trace_id(), exc_info=error)
        return problem_for(error_pb2.ERROR_REASON_INTERNAL, "internal error")


def upstream_methods(upstreams: Sequence[Upstream], codec: JsonCodec) -> list[UpstreamMethod]:
    """Every binding of every annotated method, more specific paths first."""
    methods = [
        UpstreamMethod(upstream, BoundMethod(method, binding, codec))
        for upstream in upstreams
        for method in upstream.service.methods
        for binding in bindings_of(method)
    ]
    return sorted(methods, key=lambda method: method.bound.binding.template.specificity)
