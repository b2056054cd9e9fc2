"""Authentication with API keys, and with JSON Web Tokens from an issuer.

Requests need credentials only if one of the two is configured. Clients send a key in `X-API-Key`, or a key or token in
`Authorization: Bearer …`. Browsers, which cannot set headers on a WebSocket, offer the subprotocols `pantree` and
`bearer.<key or token>`.
"""

import asyncio
import hashlib
import json
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Annotated

import jwt
import structlog
from jwt.algorithms import has_crypto
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from starlette.datastructures import Headers
from starlette.types import Scope

from pantree.error.v1 import error_pb2
from pantree_gateway.rate_limit import check_rate_limit
from pantree_gateway.transcoding.caller import ALL_SCOPES, ANONYMOUS, Caller, address_group
from pantree_gateway.transcoding.problem import ProblemError, problem_for
from pantree_runtime import telemetry
from pantree_runtime.cache import ExpiringCache

# Asymmetric signatures only: with a shared secret, anyone who can check a token could issue one.
ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
_CLOCK_SKEW_SECONDS = 30
_KEY_CACHE_SECONDS = 300
MAX_FAILURES = 20
"""Wrong credentials that an address may send in `_FAILURE_SECONDS`."""
_FAILURE_SECONDS = 60.0
_KNOWN_SECONDS = 3600.0
_MAX_ADDRESSES = 10_000

_log = structlog.get_logger(__name__)


def security_schemes(*, api_keys: bool, tokens: bool) -> dict[str, dict[str, str]]:
    """Security schemes of the OpenAPI and AsyncAPI documents; empty without authentication."""
    schemes: dict[str, dict[str, str]] = {}
    if api_keys:
        schemes["ApiKey"] = {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "An API key."}
        schemes["BearerKey"] = {"type": "http", "scheme": "bearer", "description": "An API key as a bearer token."}
    if tokens:
        schemes["BearerToken"] = {
            "type": "http", "scheme": "bearer", "bearerFormat": "JWT",
            "description": "A token of the issuer; its `scope` lists the parts whose methods it may call.",
        }  # fmt: skip
    return schemes


class ApiKey(BaseModel):
    """An entry in the file of API keys."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(min_length=1)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    tenant: str = Field(default="", pattern=r"^[\x21-\x7e]*$")
    scopes: list[str] = [ALL_SCOPES]
    rate_limit: Annotated[str, AfterValidator(check_rate_limit)] = ""


@dataclass(frozen=True)
class TokenRules:
    """Requirements for a valid token."""

    issuer: str
    audience: str
    keys: str
    """JWKS document: a file, or an http or https URL."""
    tenant_claim: str = "tenant"
    customer_claim: str = "customer_id"


class _FailedCredentials:
    """Limits how often an address may send wrong credentials.

    Over the limit, credentials are not even checked, or guessing would go on. Those that the address has used
    successfully before are still accepted, since many users may share an address.
    """

    def __init__(self) -> None:
        self._failures: ExpiringCache[str, list[float]] = ExpiringCache(_MAX_ADDRESSES)
        self._known: ExpiringCache[tuple[str, str], bool] = ExpiringCache(_MAX_ADDRESSES)

    def check(self, address: str, digest: str) -> None:
        """Raises a `ProblemError` with 429 when the address is over its limit."""
        failures = self._failures.get(address)
        if failures is None or len(failures) < MAX_FAILURES or self._known.get((address, digest)):
            return
        seconds = math.ceil(_FAILURE_SECONDS - (time.monotonic() - failures[0]))
        if seconds <= 0:
            return
        telemetry.CALLS_REFUSED.labels("wrong_credentials").inc()
        detail = f"too many wrong keys or tokens came from this address; try again in {seconds} seconds"
        headers = {"Retry-After": str(seconds)}
        raise ProblemError(problem_for(error_pb2.ERROR_REASON_TOO_MANY_REQUESTS, detail, headers=headers))

    def record_failure(self, address: str) -> None:
        """Counts wrong credentials."""
        now = time.monotonic()
        recent = [at for at in self._failures.get(address) or () if now - at < _FAILURE_SECONDS]
        self._failures.put(address, [*recent, now][-MAX_FAILURES:], _FAILURE_SECONDS)

    def record_success(self, address: str, digest: str) -> None:
        """Remembers credentials."""
        self._known.put((address, digest), True, _KNOWN_SECONDS)


class Authenticator:
    """Identifies callers by their credentials.

    Args:
        api_keys: callers by the SHA-256 of their keys.
        tokens: rules for tokens; None rejects all of them.

    Raises:
        ValueError: when the file of token keys cannot be read, or tokens cannot be checked.
    """

    def __init__(self, api_keys: Mapping[str, Caller], tokens: TokenRules | None) -> None:
        self._api_keys = api_keys
        self._failures = _FailedCredentials()
        self._tokens = tokens
        self._key_set: jwt.PyJWKSet | None = None
        self._key_client: jwt.PyJWKClient | None = None
        if tokens is not None and not has_crypto:
            raise ValueError("tokens need another package: pip install 'pantree[gateway]'")
        if tokens is not None and tokens.keys.startswith(("http://", "https://")):
            self._key_client = jwt.PyJWKClient(tokens.keys, lifespan=_KEY_CACHE_SECONDS, timeout=5)
        elif tokens is not None:
            self._key_set = _read_key_set(tokens.keys)

    @property
    def required(self) -> bool:
        """Whether requests need credentials."""
        return bool(self._api_keys) or self._tokens is not None

    async def authenticate(self, scope: Scope) -> Caller:
        """Caller of a request; anonymous when credentials are not required.

        Raises:
            ProblemError: 401 without valid credentials, 503 when the issuer's keys cannot be fetched.
        """
        if not self.required:
            return ANONYMOUS
        secret = _secret_of(scope)
        if not secret:
            raise _unauthenticated("the request has no credentials; send X-API-Key or Authorization: Bearer")
        digest = hashlib.sha256(secret.encode(errors="replace")).hexdigest()
        address = address_group(scope.get("client"))
        self._failures.check(address, digest)
        try:
            caller = self._api_keys.get(digest)
            if caller is None:
                if self._tokens is None or secret.count(".") != 2:
                    raise _unauthenticated("the key is unknown; ask the operator of this gateway for one")
                caller = await self._caller_of_token(secret, self._tokens)
        except ProblemError as error:
            if error.problem.status == HTTPStatus.UNAUTHORIZED:
                self._failures.record_failure(address)
            raise
        self._failures.record_success(address, digest)
        return caller

    async def _caller_of_token(self, token: str, rules: TokenRules) -> Caller:
        try:
            claims = jwt.decode(
                token,
                await self._signing_key(token),
                algorithms=ALGORITHMS,
                audience=rules.audience,
                issuer=rules.issuer,
                leeway=_CLOCK_SKEW_SECONDS,
                options={"require": ["exp", "iss", "aud", "sub"]},
            )
        except jwt.PyJWKClientConnectionError:
            _log.warning("cannot fetch the keys of the token issuer", url=rules.keys)
            detail = "the keys of the token issuer cannot be fetched; try again later"
            reason = error_pb2.ERROR_REASON_COMPONENT_UNAVAILABLE
            raise ProblemError(problem_for(reason, detail, component="token issuer")) from None
        except (jwt.PyJWTError, ValueError) as error:
            raise _unauthenticated(f"the token is not valid: {str(error)[:100] or type(error).__name__}") from None
        tenant = str(claims.get(rules.tenant_claim) or "")
        if not (tenant.isascii() and tenant.replace(" ", "").isprintable()):
            raise _unauthenticated(f"the token's claim {rules.tenant_claim} must be printable ASCII")
        scopes = claims.get("scope", claims.get("scp", ALL_SCOPES))
        granted = scopes.split() if isinstance(scopes, str) else scopes
        if not isinstance(granted, list):
            raise _unauthenticated("the token's claim scope must be a string or a list")
        customer_id = claims.get(rules.customer_claim, "")
        if not isinstance(customer_id, str):
            raise _unauthenticated(f"the token's claim {rules.customer_claim} must be a string")
        return Caller(
            str(claims["sub"]),
            tenant,
            "token",
            customer_id,
            float(claims["exp"]) + _CLOCK_SKEW_SECONDS,
            frozenset(map(str, granted)),
        )

    async def _signing_key(self, token: str) -> jwt.PyJWK:
        if self._key_client is not None:
            return await asyncio.to_thread(self._key_client.get_signing_key_from_jwt, token)
        assert self._key_set is not None
        key_id = jwt.get_unverified_header(token).get("kid")
        for key in self._key_set.keys:
            if key_id is None or key.key_id == key_id:
                return key
        raise jwt.InvalidKeyError("it is signed with an unknown key")


def read_api_keys(path: str) -> dict[str, Caller]:
    """Callers by the SHA-256 of their keys, from a JSON file with a list of `ApiKey` objects.

    Raises:
        ValueError: when the file cannot be read, or is not such a list.
    """
    try:
        entries = TypeAdapter(list[ApiKey]).validate_json(Path(path).read_bytes())
    except (OSError, ValidationError) as error:
        raise ValueError(f"cannot read the file of API keys {path}: {error}") from None
    if not entries:
        raise ValueError(f"the file of API keys {path} is empty; add a key, or unset the setting")
    return {
        entry.sha256: Caller(
            entry.name, entry.tenant, "key", scopes=frozenset(entry.scopes), rate_limit=entry.rate_limit
        )
        for entry in entries
    }


def _read_key_set(path: str) -> jwt.PyJWKSet:
    try:
        # Without a usable key, PyJWKSet raises.
        return jwt.PyJWKSet.from_dict(json.loads(Path(path).read_bytes()))
    except (OSError, ValueError, AttributeError, jwt.PyJWTError) as error:
        raise ValueError(f"cannot read the JWKS file {path}: {error}") from None


def has_credentials(scope: Scope) -> bool:
    """Whether a request has a key or a token, valid or not."""
    return bool(_secret_of(scope))


def _secret_of(scope: Scope) -> str:
    headers = Headers(scope=scope)
    if headers.get("x-api-key"):
        return headers["x-api-key"]
    scheme, _, credentials = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return credentials.strip()
    offered: list[str] = scope.get("subprotocols", [])
    return next((name.removeprefix("bearer.") for name in offered if name.startswith("bearer.")), "")


def _unauthenticated(detail: str) -> ProblemError:
    headers = {"WWW-Authenticate": "Bearer"}
    return ProblemError(problem_for(error_pb2.ERROR_REASON_UNAUTHENTICATED, detail, headers=headers))
