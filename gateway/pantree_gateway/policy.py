"""Admission of requests: host and origin, authentication, then the rate limits."""

import fnmatch
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import Scope

from pantree.error.v1 import error_pb2
from pantree_gateway.access import Authenticator, has_credentials
from pantree_gateway.console import CONSOLE_PATH
from pantree_gateway.rate_limit import RateLimiter, RateLimitResult
from pantree_gateway.transcoding.caller import caller_key, caller_of, set_caller
from pantree_gateway.transcoding.problem import ProblemError, problem_for

OPEN_PATHS = frozenset(
    {"/", CONSOLE_PATH, "/live", "/ready", "/health", "/metrics", "/docs", "/openapi.json", "/asyncapi.json"}
)
"""Paths without authentication or rate limit: probes, metrics and documents."""
PROBE_PATHS = frozenset({"/live", "/ready", "/health", "/metrics"})
"""Paths of probes and scrapes, which begin no traces."""
_OPEN_PREFIXES = ("/docs-assets/", f"{CONSOLE_PATH}/")
# The kubelet names a pod by its address.
_ANY_HOST_PATHS = frozenset({"/live", "/ready"})


def is_open_path(path: str) -> bool:
    """Whether a path needs no credentials."""
    return path in OPEN_PATHS or path.startswith(_OPEN_PREFIXES)


@dataclass(frozen=True)
class SitePolicy:
    """Hosts that requests may name, and origins whose pages may open WebSockets."""

    allowed_hosts: Sequence[str] = ()
    """Host names, or patterns such as `*.example.com`; empty for all."""
    allowed_origins: Sequence[str] = ("*",)

    def check(self, scope: Scope) -> None:
        """Raises a `ProblemError` with 400 for another host, with 403 for a WebSocket of another origin."""
        headers = Headers(scope=scope)
        host = headers.get("host", "").lower()
        name = host.rpartition(":")[0] if host.rpartition(":")[2].isdecimal() else host
        is_known = any(fnmatch.fnmatchcase(name, pattern.lower()) for pattern in self.allowed_hosts)
        if self.allowed_hosts and not is_known and scope["path"] not in _ANY_HOST_PATHS:
            detail = f"this gateway does not serve the host {name[:100]!r}"
            raise ProblemError(problem_for(error_pb2.ERROR_REASON_INVALID_INPUT, detail))
        origin = headers.get("origin")
        if scope["type"] != "websocket" or origin is None or "*" in self.allowed_origins:
            return
        # A browser sends the origin of the page; one of the gateway itself is not foreign.
        if origin not in self.allowed_origins and urlsplit(origin).netloc.lower() != host:
            detail = f"pages of {origin[:100]!r} may not open a WebSocket here"
            raise ProblemError(problem_for(error_pb2.ERROR_REASON_PERMISSION_DENIED, detail))


class RequestPolicy:
    """Checks hosts and origins, authenticates callers and applies their rate limits.

    Args:
        authenticator: identifies callers.
        limiter: counts the requests of callers.
        tenant_limiter: counts the requests of all callers of a tenant together.
        site: hosts and origins.
        signed_paths: paths whose routes check the signature of a body if a request has no credentials.
    """

    def __init__(
        self,
        authenticator: Authenticator,
        limiter: RateLimiter,
        tenant_limiter: RateLimiter | None = None,
        site: SitePolicy = SitePolicy(),  # immutable
        signed_paths: frozenset[str] = frozenset(),
    ) -> None:
        self._authenticator = authenticator
        self._limiter = limiter
        self._tenant_limiter = tenant_limiter
        self._site = site
        self._signed_paths = signed_paths
        self.is_open = not authenticator.required
        """Whether requests need no credentials."""

    async def admit(self, scope: Scope) -> dict[str, str]:
        """Admits a request: stores its caller in the scope, and returns headers for its response.

        Raises:
            ProblemError: 400 for another host, 401 without valid credentials, 403 for a WebSocket of another origin,
                429 over the rate limit, 503 without the issuer's keys.
        """
        self._site.check(scope)
        if is_open_path(scope["path"]):
            return {}
        if scope["path"] not in self._signed_paths or has_credentials(scope):
            set_caller(scope, await self._authenticator.authenticate(scope))
        return await self.check_rate_limit(scope)

    async def check_rate_limit(self, scope: Scope) -> dict[str, str]:
        """Counts a request, and returns headers for its response.

        Raises:
            ProblemError: 429 over the rate limit.
        """
        caller = caller_of(scope)
        if caller.tenant and self._tenant_limiter is not None:
            _raise_if_over(await self._tenant_limiter.hit(_hashed(f"tenant\0{caller.tenant}")), "of this tenant ")
        result = await self._limiter.hit(_hashed(caller_key(scope)), caller.rate_limit)
        _raise_if_over(result, "")
        return {} if result is None else result.headers()


def _hashed(key: str) -> str:
    """Hash of a key, since addresses and names are personal data and keys may be stored in Redis."""
    return hashlib.sha256(key.encode()).hexdigest()


def _raise_if_over(result: RateLimitResult | None, whose: str) -> None:
    if result is None or result.allowed:
        return
    limit = f"{result.limit} requests {whose}in {result.window_seconds} seconds"
    detail = f"more than {limit}; try again in {max(result.reset_seconds, 1)} seconds"
    raise ProblemError(problem_for(error_pb2.ERROR_REASON_TOO_MANY_REQUESTS, detail, headers=result.headers()))
