"""Time left for the request being handled, which limits the calls made on its behalf."""

import contextvars
import time

MIN_SECONDS = 0.05
"""With less time left, not even a response would arrive in time."""
# Each hop keeps this much, to report to its caller that the next hop was too slow.
_HOP_RESERVE_SECONDS = 0.02

_ends_at: contextvars.ContextVar[float | None] = contextvars.ContextVar("pantree_deadline", default=None)


def set_remaining_seconds(seconds: float | None) -> None:
    """Sets the time left for the current request; None means no limit."""
    _ends_at.set(None if seconds is None else time.monotonic() + seconds)


def remaining_seconds() -> float | None:
    """Time left for the current request, which may be negative; None means no limit."""
    ends_at = _ends_at.get()
    return None if ends_at is None else ends_at - time.monotonic()


def call_timeout(max_seconds: float | None) -> float | None:
    """Timeout of a call made on behalf of the current request: the time left, less this hop's reserve.

    Args:
        max_seconds: largest timeout; None means no limit.
    """
    remaining = remaining_seconds()
    if remaining is None:
        return max_seconds
    left = max(remaining - _HOP_RESERVE_SECONDS, 0.001)
    return left if max_seconds is None else min(max_seconds, left)
