"""The caller of a request, and the parts that it may call."""

from dataclasses import dataclass
from typing import cast

from starlette.types import Scope

from pantree.error.v1 import error_pb2
from pantree_gateway.transcoding.problem import ProblemError, problem_for

ALL_SCOPES = "*"
_STATE_KEY = "caller"


@dataclass(frozen=True)
class Caller:
    """The owner of an API key or token; without a name, an anonymous caller."""

    name: str = ""
    tenant: str = ""
    scopes: frozenset[str] = frozenset({ALL_SCOPES})
    """Parts whose methods may be called, such as `pipeline`; `*` for all."""
    rate_limit: str = ""
    """Rate limit of this caller; empty for the general one."""

    def check_may_call(self, component: str) -> None:
        """Raises a `ProblemError` with 403 if the caller lacks the scope for a part."""
        if ALL_SCOPES not in self.scopes and component not in self.scopes:
            detail = f"the key or token lacks the scope {component}; use one that has it"
            raise ProblemError(problem_for(error_pb2.ERROR_REASON_PERMISSION_DENIED, detail))


ANONYMOUS = Caller()


def set_caller(scope: Scope, caller: Caller) -> None:
    """Stores the caller of a request in its ASGI scope."""
    scope.setdefault("state", {})[_STATE_KEY] = caller


def caller_of(scope: Scope) -> Caller:
    """The caller of a request; anonymous when authentication is off."""
    return cast(Caller, scope.get("state", {}).get(_STATE_KEY, ANONYMOUS))
