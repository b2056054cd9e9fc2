"""What all routes of a gateway have in common, and where the gateway may step in."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Protocol

from google.protobuf.message import Message
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response

from pantree_gateway.transcoding.binding import BoundMethod
from pantree_gateway.transcoding.json_codec import JsonCodec
from pantree_gateway.transcoding.metadata import HeaderPolicy
from pantree_gateway.transcoding.upstream import Limits, Upstream

# Makes a response, and tells the message that it was made of.
Answer = Callable[[], Awaitable[tuple[Response, Message]]]


class Guard(Protocol):
    """Steps in before methods are called."""

    async def admit(self, connection: HTTPConnection, upstream: Upstream, *, first: bool) -> None:
        """Lets a request through.

        Args:
            connection: where it comes from.
            upstream: the service it is for.
            first: False for every request of a WebSocket but the first.

        Raises:
            ProblemRaised: when it may not pass.
        """

    async def respond(self, request: Request, bound: BoundMethod, message: Message, answer: Answer) -> Response:
        """Response to a request of a method that answers once."""


class OpenGuard:
    """Lets everything through."""

    async def admit(self, connection: HTTPConnection, upstream: Upstream, *, first: bool) -> None:
        """Lets a request through."""

    async def respond(self, request: Request, bound: BoundMethod, message: Message, answer: Answer) -> Response:
        """Response to a request, made anew."""
        return (await answer())[0]


@dataclass(frozen=True)
class Surroundings:
    """What all routes of a gateway have in common."""

    codec: JsonCodec = field(default_factory=JsonCodec)
    limits: Limits = field(default_factory=Limits)
    policy: HeaderPolicy = field(default_factory=HeaderPolicy)
    guard: Guard = field(default_factory=OpenGuard)
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when no further request is wanted."""
