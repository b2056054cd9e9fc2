"""Who is calling: API keys, and JSON Web Tokens of an issuer.

Neither is asked for unless it is configured. A request names its key in `X-API-Key`, or its key or token in
`Authorization: Bearer …`. Pages of browsers, which cannot set headers on a WebSocket, offer the subprotocols `pantree`
and `bearer.<key or token>`.
"""

import asyncio
import hashlib
import ipaddress
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jwt
import structlog
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from starlette.datastructures import Headers
from starlette.types import Scope

from pantree_gateway.transcoding.problem import Problem, ProblemRaised

EVERYTHING = "*"
# Only signatures by a private key: with a shared secret, whoever can check a token could make one.
ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
# Clocks differ a little.
_LEEWAY_SECONDS = 30
_KEYS_FRESH_SECONDS = 300

_log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Caller:
    """Whom a request comes from."""

    name: str
    tenant: str = ""
    scopes: frozenset[str] = frozenset({EVERYTHING})
    """Parts whose methods may be called, such as `pipeline`; `*` for all."""
    rate_limit: str = ""
    """Own rate limit; empty for the general one."""

    def may_call(self, component: str) -> bool:
        """Whether the methods of a part may be called."""
        return EVERYTHING in self.scopes or component in self.scopes


def security_schemes(*, api_keys: bool, tokens: bool) -> dict[str, dict[str, str]]:
    """How callers say who they are, as OpenAPI and AsyncAPI documents tell it; nothing when nobody has to say.

    Args:
        api_keys: whether keys are taken.
        tokens: whether tokens of an issuer are taken.
    """
    schemes: dict[str, dict[str, str]] = {}
    if api_keys:
        schemes["ApiKey"] = {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "An API key."}
        schemes["BearerKey"] = {"type": "http", "scheme": "bearer", "description": "An API key as a bearer token."}
    if tokens:
        schemes["BearerToken"] = {
            "type": "http", "scheme": "bearer", "bearerFormat": "JWT",
            "description": "A token of the issuer; its `scope` names the parts whose methods may be called.",
        }  # fmt: skip
    return schemes


class ApiKey(BaseModel):
    """One entry of the file of API keys."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(min_length=1)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    tenant: str = Field(default="", pattern=r"^[\x21-\x7e]*$")
    scopes: list[str] = [EVERYTHING]
    rate_limit: str = ""


@dataclass(frozen=True)
class TokenRules:
    """What a token must be to be believed."""

    issuer: str
    audience: str
    keys: str
    """JWKS document: path of a file, or an http or https URL."""
    tenant_claim: str = "tenant"


class Authenticator:
    """Tells callers by what they bring along.

    Args:
        api_keys: callers by the SHA-256 of their keys.
        tokens: rules for tokens; None takes none.

    Raises:
        ValueError: when the file of token keys cannot be read.
    """

    def __init__(self, api_keys: Mapping[str, Caller], tokens: TokenRules | None) -> None:
        self._api_keys = api_keys
        self._tokens = tokens
        self._key_set: jwt.PyJWKSet | None = None
        self._key_client: jwt.PyJWKClient | None = None
        if tokens is not None and tokens.keys.startswith(("http://", "https://")):
            self._key_client = jwt.PyJWKClient(tokens.keys, lifespan=_KEYS_FRESH_SECONDS, timeout=5)
        elif tokens is not None:
            self._key_set = _read_key_set(tokens.keys)

    @property
    def required(self) -> bool:
        """Whether callers must say who they are."""
        return bool(self._api_keys) or self._tokens is not None

    async def caller_of(self, scope: Scope) -> Caller | None:
        """Whom a request comes from; None when nobody has to say.

        Raises:
            ProblemRaised: 401 when it does not say it well enough, 503 when the issuer's keys cannot be had.
        """
        if not self.required:
            return None
        secret = _secret_of(scope)
        if not secret:
            raise _unauthenticated("the request says not who it comes from; send X-API-Key or Authorization: Bearer")
        found = self._api_keys.get(hashlib.sha256(secret.encode(errors="replace")).hexdigest())
        if found is not None:
            return found
        if self._tokens is None or secret.count(".") != 2:
            raise _unauthenticated("the key is unknown; ask whoever runs this gateway for one")
        return await self._caller_of_token(secret, self._tokens)

    async def _caller_of_token(self, token: str, rules: TokenRules) -> Caller:
        try:
            claims = jwt.decode(
                token,
                await self._signing_key(token),
                algorithms=ALGORITHMS,
                audience=rules.audience,
                issuer=rules.issuer,
                leeway=_LEEWAY_SECONDS,
                options={"require": ["exp", "iss", "aud", "sub"]},
            )
        except jwt.PyJWKClientConnectionError:
            _log.warning("keys of the token issuer cannot be fetched", url=rules.keys)
            detail = "the keys of the token issuer cannot be fetched; try again later"
            raise ProblemRaised(Problem(503, "COMPONENT_UNAVAILABLE", detail, component="token issuer")) from None
        except (jwt.PyJWTError, ValueError) as error:
            raise _unauthenticated(f"the token is not valid: {str(error)[:100] or type(error).__name__}") from None
        scopes = claims.get("scope", claims.get("scp", EVERYTHING))
        tenant = str(claims.get(rules.tenant_claim, ""))
        if not (tenant.isascii() and tenant.replace(" ", "").isprintable()):
            raise _unauthenticated(f"the token's claim {rules.tenant_claim} is no plain text")
        granted = scopes.split() if isinstance(scopes, str) else [str(scope) for scope in scopes]
        return Caller(str(claims["sub"]), tenant, frozenset(granted))

    async def _signing_key(self, token: str) -> jwt.PyJWK:
        if self._key_client is not None:
            return await asyncio.to_thread(self._key_client.get_signing_key_from_jwt, token)
        assert self._key_set is not None
        wanted = jwt.get_unverified_header(token).get("kid")
        for key in self._key_set.keys:
            if wanted is None or key.key_id == wanted:
                return key
        raise jwt.InvalidKeyError("its key is unknown")


def read_api_keys(path: str) -> dict[str, Caller]:
    """Callers by the SHA-256 of their keys, from a JSON file: a list of objects as `ApiKey` describes them.

    Raises:
        ValueError: when the file cannot be read or says something else.
    """
    try:
        entries = TypeAdapter(list[ApiKey]).validate_json(Path(path).read_bytes())
    except (OSError, ValidationError) as error:
        raise ValueError(f"the file of API keys {path} cannot be read: {error}") from None
    if not entries:
        raise ValueError(f"the file of API keys {path} has none; nobody could call")
    return {
        entry.sha256: Caller(entry.name, entry.tenant, frozenset(entry.scopes), entry.rate_limit) for entry in entries
    }


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def _read_key_set(path: str) -> jwt.PyJWKSet:
    try:
        document: dict[str, Any] = json.loads(Path(path).read_bytes())
        return jwt.PyJWKSet.from_dict(document)
    except (OSError, ValueError, AttributeError, jwt.PyJWTError) as error:
        raise ValueError(f"the JWKS file {path} cannot be read: {error}") from None


def _secret_of(scope: Scope) -> str:
    headers = Headers(scope=scope)
    scheme, _, rest = headers.get("authorization", "").partition(" ")
    if headers.get("x-api-key"):
        return headers["x-api-key"]
    if scheme.lower() == "bearer":
        return rest.strip()
    offered: list[str] = scope.get("subprotocols", [])
    return next((one.removeprefix("bearer.") for one in offered if one.startswith("bearer.")), "")


def _unauthenticated(detail: str) -> ProblemRaised:
    return ProblemRaised(Problem(401, "UNAUTHENTICATED", detail, headers=(("WWW-Authenticate", "Bearer"),)))
