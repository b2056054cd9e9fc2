"""Memory that requests hold, which is limited and divided fairly among callers."""

from starlette.types import Scope

from pantree.error.v1 import error_pb2
from pantree_gateway.transcoding.problem import ProblemError, problem_for
from pantree_runtime import telemetry
from pantree_runtime.fair_shares import Hold

_STATE_KEY = "hold"
# Measured: a body with its message and the serialized message takes up to 4 times its size; large bodies less, because
# the message has at most 4 MiB.
_FACTOR = 4
_MAX_EXTRA_BYTES = 8 * 1024 * 1024


def set_hold(scope: Scope, hold: Hold) -> None:
    """Stores what a request holds in its ASGI scope."""
    scope.setdefault("state", {})[_STATE_KEY] = hold


def hold_body(scope: Scope, body_bytes: int) -> None:
    """Changes what a request holds to the memory that a body of this size takes.

    Raises:
        ProblemError: 429 when the caller holds too much.
    """
    hold: Hold | None = scope.get("state", {}).get(_STATE_KEY)
    if hold is None or hold.resize(min(_FACTOR * body_bytes, _MAX_EXTRA_BYTES + body_bytes)):
        return
    telemetry.CALLS_REFUSED.labels("overloaded").inc()
    detail = "the requests in flight, yours or those of all callers, are too large; try again in a second"
    raise ProblemError(problem_for(error_pb2.ERROR_REASON_OVERLOADED, detail, headers={"Retry-After": "1"}))
