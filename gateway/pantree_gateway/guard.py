"""Who may call what, how often, and which answers need not be made again."""

import hashlib

from google.protobuf.message import Message
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response
from starlette.types import Scope

from pantree_gateway.access import Authenticator, Caller
from pantree_gateway.rate_limit import RateLimiter, Verdict
from pantree_gateway.repeats import Repeats
from pantree_gateway.transcoding.binding import BoundMethod
from pantree_gateway.transcoding.metadata import CALLER_METADATA
from pantree_gateway.transcoding.problem import Problem, ProblemRaised
from pantree_gateway.transcoding.surroundings import Answer
from pantree_gateway.transcoding.upstream import Upstream

TENANT_METADATA = "x-pantree-tenant"
OPEN_PATHS = frozenset({"/", "/live", "/ready", "/health", "/metrics", "/docs", "/openapi.json", "/asyncapi.json"})
"""Paths that anybody may ask for, as often as they like: probes, counts and documents."""
_OPEN_PREFIX = "/docs-assets/"
_CALLER = "caller"


class EdgeGuard:
    """The guard of a gateway: `enter` before a request is routed, the rest once its method is known."""

    def __init__(self, authenticator: Authenticator, limiter: RateLimiter, repeats: Repeats) -> None:
        self._authenticator = authenticator
        self._limiter = limiter
        self._repeats = repeats

    async def enter(self, scope: Scope) -> dict[str, str]:
        """Lets a request in, and returns headers for its response.

        Raises:
            ProblemRaised: when it does not say whom it comes from, or is one too many.
        """
        if scope["path"] in OPEN_PATHS or scope["path"].startswith(_OPEN_PREFIX):
            return {}
        caller = await self._authenticator.caller_of(scope)
        state = scope.setdefault("state", {})
        state[_CALLER] = caller
        if caller is not None and caller.tenant:
            state[CALLER_METADATA] = ((TENANT_METADATA, caller.tenant),)
        verdict = await self._count(scope)
        return verdict.headers() if verdict is not None else {}

    async def admit(self, connection: HTTPConnection, upstream: Upstream, *, first: bool) -> None:
        """Lets a request through to its method.

        Raises:
            ProblemRaised: when its caller has not the scope for it, or when it is one too many.
        """
        if not first:
            await self._count(connection.scope)
        caller = _caller_of(connection)
        if caller is not None and not caller.may_call(upstream.component):
            detail = f"the key or token has not the scope {upstream.component}; ask for one that has it"
            raise ProblemRaised(Problem(403, "PERMISSION_DENIED", detail))

    async def respond(self, request: Request, bound: BoundMethod, message: Message, answer: Answer) -> Response:
        """Response to a request, from what is kept where that may be."""
        return await self._repeats.respond(request, bound, message, _caller_of(request), answer)

    async def _count(self, scope: Scope) -> Verdict | None:
        caller: Caller | None = scope["state"].get(_CALLER)
        address = scope["client"][0] if scope.get("client") else ""
        # Addresses are personal data; what is kept in a store is not the address.
        key = caller.name if caller else hashlib.sha256(address.encode()).hexdigest()
        verdict = await self._limiter.judge(key, caller.rate_limit if caller else "")
        if verdict is not None and not verdict.allowed:
            each = f"{verdict.most} requests in {verdict.window_seconds} seconds"
            detail = f"more than {each}; try again in {max(verdict.reset_seconds, 1)} seconds"
            raise ProblemRaised(Problem(429, "TOO_MANY_REQUESTS", detail, headers=tuple(verdict.headers().items())))
        return verdict


def _caller_of(connection: HTTPConnection) -> Caller | None:
    caller: Caller | None = connection.scope["state"].get(_CALLER)
    return caller
