"""Error translation for calls to the other services."""

import contextlib
from collections.abc import Iterator

import grpc
import structlog

from pantree_runtime.errors import InternalError, InvalidInput
from pantree_runtime.status import error_of

_log = structlog.get_logger(__name__)


@contextlib.contextmanager
def translate_part_errors(component: str) -> Iterator[None]:
    """Context manager that converts the gRPC errors of calls to a part to Pantree errors.

    If a part rejects a request, the pipeline has a bug, because the caller's input is already validated. The rejected
    fields are only logged: they would mean nothing to the caller.
    """
    try:
        yield
    except grpc.aio.AioRpcError as rpc_error:
        error = error_of(rpc_error, component)
        if isinstance(error, InvalidInput):
            _log.error("part rejected the pipeline's request", component=component, fields=error.message)
            raise InternalError(f"{component} rejected the pipeline's request", {"component": component}) from error
        raise error from rpc_error
