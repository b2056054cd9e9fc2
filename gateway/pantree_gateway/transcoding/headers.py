"""Headers that affect a call: timeouts, and headers that are forwarded as metadata."""

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from starlette.datastructures import Headers
from starlette.requests import HTTPConnection

from pantree_gateway.transcoding.caller import caller_of
from pantree_runtime.errors import FieldViolation, InvalidInput
from pantree_runtime.tenants import TENANT_METADATA

Metadata = tuple[tuple[str, str], ...]

TIMEOUT_HEADER = "X-Request-Timeout"
GRPC_TIMEOUT_HEADER = "grpc-timeout"
MAX_TIMEOUT_SECONDS = 3600.0
# The format of gRPC's own header.
_GRPC_TIMEOUT = re.compile(r"([0-9]{1,8})([HMSmun])")
_GRPC_UNITS = {"H": 3600.0, "M": 60.0, "S": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9}
# Headers of the connection, and credentials for the gateway.
_NEVER_FORWARDED = frozenset(
    {"authorization", "connection", "content-length", "content-type", "cookie", "forwarded", "host", "te", "trailer",
     "transfer-encoding", "upgrade", "user-agent", "x-api-key"}
)  # fmt: skip
# `x-pantree-` is what services trust the gateway to set; the others belong to gRPC and to proxies.
_RESERVED_PREFIXES = (":", "grpc-", "x-pantree-", "x-forwarded-")


class CallOptions(NamedTuple):
    """Timeout and metadata of a call."""

    timeout_seconds: float
    metadata: Metadata = ()


@dataclass(frozen=True)
class HeaderPolicy:
    """The headers that are forwarded between clients and services.

    None is by default, since services trust the gateway's metadata.
    """

    allowed: frozenset[str] = frozenset()
    """Names in lower case, in addition to `tracestate`."""

    def call_options(self, connection: HTTPConnection, default_timeout_seconds: float) -> CallOptions:
        """Options of the call for a request. Clients cannot override the tenant.

        Raises:
            InvalidInput: when a timeout header is invalid.
        """
        tenant = caller_of(connection.scope).tenant
        headers = connection.headers
        timeout_seconds = _timeout(headers, default_timeout_seconds)
        forwarded = tuple(
            (name, headers[name])
            for name in ("tracestate", *sorted(self.allowed))
            # gRPC rejects a call with other characters.
            if name in headers and headers[name].isascii() and headers[name].isprintable()
            if not (tenant and name == TENANT_METADATA)
        )
        return CallOptions(timeout_seconds, (*forwarded, (TENANT_METADATA, tenant)) if tenant else forwarded)

    def headers_of(self, metadata: Iterable[tuple[str, Any]]) -> Mapping[str, str]:
        """HTTP headers for the metadata of a response."""
        return {name: value for name, value in metadata if name in self.allowed and isinstance(value, str)}


def parse_header_policy(names: str) -> HeaderPolicy:
    """Policy that forwards a comma-separated list of headers.

    Raises:
        ValueError: when one of them cannot be forwarded.
    """
    allowed = frozenset(name.strip().lower() for name in names.split(",") if name.strip())
    wrong = sorted(
        name
        for name in allowed
        if name.startswith(_RESERVED_PREFIXES) or name.endswith("-bin") or name in _NEVER_FORWARDED
    )
    if wrong:
        raise ValueError(f"{', '.join(wrong)} cannot be forwarded")
    return HeaderPolicy(allowed)


def _timeout(headers: Headers, default_seconds: float) -> float:
    """Timeout in seconds, from `X-Request-Timeout` or else `grpc-timeout`."""
    header = headers.get(TIMEOUT_HEADER)
    if header is None:
        header = headers.get(GRPC_TIMEOUT_HEADER)
        return default_seconds if header is None else _grpc_timeout(header)
    try:
        seconds = float(header)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds <= MAX_TIMEOUT_SECONDS:
        expected = f"must be a number of seconds above 0 and at most {MAX_TIMEOUT_SECONDS:g}, such as 2.5"
        raise InvalidInput([FieldViolation(TIMEOUT_HEADER, f"{expected}; is {header[:40]!r}")])
    return seconds


def _grpc_timeout(header: str) -> float:
    match = _GRPC_TIMEOUT.fullmatch(header)
    if match is None or int(match[1]) == 0:
        expected = "must be up to 8 digits and a unit of H, M, S, m, u or n, such as 2500m"
        raise InvalidInput([FieldViolation(GRPC_TIMEOUT_HEADER, f"{expected}; is {header[:40]!r}")])
    return min(int(match[1]) * _GRPC_UNITS[match[2]], MAX_TIMEOUT_SECONDS)
