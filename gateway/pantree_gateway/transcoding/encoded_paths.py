"""Matches routes with the path as the client sent it, so that a value in a path may hold an encoded slash."""

from collections.abc import Callable
from typing import Any
from urllib.parse import unquote

from fastapi.routing import APIRoute
from starlette.routing import Match
from starlette.types import Scope

Matcher = Callable[[Any], tuple[Match, Any]]


def match_encoded(match_path: Matcher, scope: Scope) -> tuple[Match, Any]:
    """The result of a route's `matches`, whose path parameters are decoded.

    Segments end where the path as sent has a slash. A customer id such as `shop/17` is sent with an encoded one.
    """
    encoded = _encoded_path(scope)
    match, child_scope = match_path(scope if encoded is None else {**scope, "path": encoded})
    if encoded is not None and match is not Match.NONE:
        child_scope["path_params"] = {
            name: unquote(value) if isinstance(value, str) else value
            for name, value in child_scope["path_params"].items()
        }
    return match, child_scope


def _encoded_path(scope: Scope) -> str | None:
    """Path as the client sent it, percent-encoded; None if the server does not keep it."""
    encoded = (scope.get("raw_path") or b"").partition(b"?")[0].decode("latin-1")
    return encoded if unquote(encoded) == scope["path"] else None


class EncodedRoute(APIRoute):
    """FastAPI's route for such paths."""

    def matches(self, scope: Any) -> tuple[Match, Any]:
        """Matches the path as the client sent it."""
        return match_encoded(super().matches, scope)
