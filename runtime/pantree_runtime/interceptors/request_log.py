"""Logs one line for every call: method, status code, duration. Never what the call was about."""

import contextlib
import time
from collections.abc import AsyncIterator

import grpc
import structlog

from pantree_runtime.grpc_types import Context

_log = structlog.get_logger(__name__)


@contextlib.asynccontextmanager
async def log_request(method: str, context: Context) -> AsyncIterator[None]:
    """Logs the call when it ends, however it ends."""
    started = time.perf_counter()
    code = "CANCELLED"
    try:
        yield
        code = "OK"
    except grpc.aio.AbortError:
        code = grpc.StatusCode(context.code()).name if context.code() else "UNKNOWN"
        raise
    finally:
        duration_ms = round((time.perf_counter() - started) * 1000, 1)
        _log.info("call", method=method, code=code, duration_ms=duration_ms)
