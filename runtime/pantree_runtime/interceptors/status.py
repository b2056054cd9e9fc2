"""Turns errors into gRPC statuses with details, before the first message and in mid-stream alike."""

import contextlib
from collections.abc import AsyncIterator

import grpc
import structlog
from grpc_status import rpc_status

from pantree_runtime.errors import InternalError, PantreeError
from pantree_runtime.grpc_types import Context
from pantree_runtime.status import status_of

_log = structlog.get_logger(__name__)


@contextlib.asynccontextmanager
async def abort_with_status(method: str, context: Context) -> AsyncIterator[None]:
    """Ends the call with the status of the error raised inside; unexpected errors are told to the log alone."""
    try:
        yield
    except grpc.aio.AbortError:
        raise
    except PantreeError as error:
        await context.abort_with_status(rpc_status.to_status(status_of(error)))
    except Exception:
        _log.exception("unexpected error", method=method)
        await context.abort_with_status(rpc_status.to_status(status_of(InternalError("internal error"))))
