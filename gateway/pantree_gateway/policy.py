"""Admission of requests: authentication, then the rate limit."""

import hashlib

from starlette.types import Scope

from pantree.error.v1 import error_pb2
from pantree_gateway.access import Authenticator
from pantree_gateway.rate_limit import RateLimiter
from pantree_gateway.transcoding.caller import caller_of, set_caller
from pantree_gateway.transcoding.problem import ProblemError, problem_for

OPEN_PATHS = frozenset({"/", "/live", "/ready", "/health", "/metrics", "/docs", "/openapi.json", "/asyncapi.json"})
"""Paths without authentication or rate limit: probes, metrics and documents."""
_OPEN_PREFIX = "/docs-assets/"


class RequestPolicy:
    """Authenticates callers and applies their rate limits."""

    def __init__(self, authenticator: Authenticator, limiter: RateLimiter) -> None:
        self._authenticator = authenticator
        self._limiter = limiter

    async def admit(self, scope: Scope) -> dict[str, str]:
        """Admits a request: stores its caller in the scope, and returns headers for its response.

        Raises:
            ProblemError: 401 without valid credentials, 429 over the rate limit, 503 without the issuer's keys.
        """
        if scope["path"] in OPEN_PATHS or scope["path"].startswith(_OPEN_PREFIX):
            return {}
        set_caller(scope, await self._authenticator.authenticate(scope))
        return await self.check_rate_limit(scope)

    async def check_rate_limit(self, scope: Scope) -> dict[str, str]:
        """Counts a request, and returns headers for its response.

        Raises:
            ProblemError: 429 over the rate limit.
        """
        caller = caller_of(scope)
        address = scope["client"][0] if scope.get("client") else ""
        # Hashed, since addresses are personal data and keys may be stored in Redis.
        key = caller.name or hashlib.sha256(address.encode()).hexdigest()
        result = await self._limiter.hit(key, caller.rate_limit)
        if result is None:
            return {}
        if not result.allowed:
            limit = f"{result.limit} requests in {result.window_seconds} seconds"
            detail = f"more than {limit}; try again in {max(result.reset_seconds, 1)} seconds"
            reason = error_pb2.ERROR_REASON_TOO_MANY_REQUESTS
            raise ProblemError(problem_for(reason, detail, headers=result.headers()))
        return result.headers()
