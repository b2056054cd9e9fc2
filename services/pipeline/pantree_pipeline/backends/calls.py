"""Translates the errors of calls to the other services."""

import contextlib
from collections.abc import Iterator

import grpc
import structlog

from pantree_runtime.errors import InternalError, InvalidInput
from pantree_runtime.status import error_of

_log = structlog.get_logger(__name__)


@contextlib.contextmanager
def translate_part_errors(component: str) -> Iterator[None]:
    """Context manager that raises the gRPC errors of the calls inside as Pantree errors.

    A part that rejects a request of the pipeline reveals a bug here, since the caller's input is valid; the fields that
    the part names would mean nothing to the caller.

    Args:
        component: name of the part that is called.

    Raises:
        PantreeError: when a call inside fails.
    """
    try:
        yield
    except grpc.aio.AioRpcError as rpc_error:
        error = error_of(rpc_error, component)
        if isinstance(error, InvalidInput):
            _log.error("part rejected the pipeline's request", component=component, fields=error.message)
            raise InternalError(f"{component} rejected the pipeline's request", {"component": component}) from error
        raise error from rpc_error
