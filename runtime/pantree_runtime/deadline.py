"""The time that is left for the request being served, as the calls that it makes must know it."""

import contextvars
import time

# Below this, a hop could not even carry an answer back: contracts.md asks for about 50 ms.
MIN_SECONDS = 0.05
# What a hop keeps for itself, so that it can still tell its caller that the next one was too slow.
HOP_RESERVE_SECONDS = 0.02

_ends_at: contextvars.ContextVar[float | None] = contextvars.ContextVar("pantree_deadline", default=None)


def set_remaining_seconds(seconds: float | None) -> None:
    """Sets how long the current request may still take; None means no limit."""
    _ends_at.set(None if seconds is None else time.monotonic() + seconds)


def remaining_seconds() -> float | None:
    """Seconds left for the current request; None means no limit, and it may be negative."""
    ends_at = _ends_at.get()
    return None if ends_at is None else ends_at - time.monotonic()


def call_timeout(longest: float | None) -> float | None:
    """Timeout of a call made on behalf of the current request: what is left, less this hop's share.

    Args:
        longest: timeout when the request has no deadline or a later one; None means none.
    """
    remaining = remaining_seconds()
    if remaining is None:
        return longest
    left = max(remaining - HOP_RESERVE_SECONDS, 0.001)
    return left if longest is None else min(longest, left)
