"""Lets the calls that a request makes know how long it may take, and refuses requests that come too late."""

import contextlib
from collections.abc import AsyncIterator

from pantree_runtime.deadline import LEAST_SECONDS, set_remaining_seconds
from pantree_runtime.errors import DeadlineTooShort
from pantree_runtime.grpc_types import Context


@contextlib.asynccontextmanager
async def limit_to_deadline(method: str, context: Context) -> AsyncIterator[None]:
    """Notes the deadline of the call for the calls made inside.

    Raises:
        DeadlineTooShort: when less than `LEAST_SECONDS` are left.
    """
    seconds = context.time_remaining()
    if seconds is not None and seconds < LEAST_SECONDS:
        raise DeadlineTooShort(
            f"{method} was called with {max(seconds, 0) * 1000:.0f} ms left; "
            f"at least {LEAST_SECONDS * 1000:.0f} ms are needed"
        )
    set_remaining_seconds(seconds)
    yield
