"""HTTP headers as metadata of calls, and metadata of answers as HTTP headers: only those that are allowed."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from starlette.requests import HTTPConnection

from pantree_gateway.transcoding.problem import trace_parent_of

Metadata = tuple[tuple[str, str], ...]

TRACE_PARENT = "traceparent"
TRACE_STATE = "tracestate"
CALLER_METADATA = "caller_metadata"
"""Key in an ASGI scope's state of what the edge found out about the caller, as metadata."""


@dataclass(frozen=True)
class HeaderPolicy:
    """Which headers pass.

    Passing on any header would let clients speak for the gateway; so there is none unless somebody says otherwise.
    """

    allowed: frozenset[str] = frozenset()
    """Names in lower case, besides `traceparent` and `tracestate`."""

    def metadata_of(self, connection: HTTPConnection) -> Metadata:
        """Metadata for calls that serve a request; nobody can set what the edge says about the caller."""
        caller: Metadata = tuple(connection.scope.get("state", {}).get(CALLER_METADATA, ()))
        taken = {TRACE_PARENT, *(name for name, _ in caller)}
        headers = connection.headers
        passed = tuple(
            (name, headers[name])
            for name in (TRACE_STATE, *sorted(self.allowed))
            if name in headers and name not in taken and _is_printable(headers[name])
        )
        return ((TRACE_PARENT, trace_parent_of(connection.scope)), *passed, *caller)

    def headers_of(self, metadata: Iterable[tuple[str, Any]]) -> Mapping[str, str]:
        """HTTP headers of the metadata of an answer."""
        return {name: value for name, value in metadata if name in self.allowed and isinstance(value, str)}


def _is_printable(text: str) -> bool:
    """Whether gRPC takes a text as metadata: it refuses the whole call otherwise."""
    return text.isascii() and text.isprintable()


def header_policy_of(names: str) -> HeaderPolicy:
    """Policy that allows the headers of a list separated by commas.

    Raises:
        ValueError: when one of them may never be passed on.
    """
    allowed = frozenset(name.strip().lower() for name in names.split(",") if name.strip())
    wrong = sorted(
        name for name in allowed if name.startswith((":", "grpc-")) or name.endswith("-bin") or name in _NEVER
    )
    if wrong:
        raise ValueError(f"{', '.join(wrong)} cannot be passed on")
    return HeaderPolicy(allowed)


# These belong to the connection or to the gateway itself.
_NEVER = frozenset(
    {"authorization", "connection", "content-length", "content-type", "cookie", "host", "te", "trailer",
     "transfer-encoding", "upgrade", "user-agent", "x-api-key"}
)  # fmt: skip
