"""Configures logging, of libraries too: readable lines on a terminal, JSON elsewhere."""

import asyncio
import logging
import os
import sys
from collections.abc import Callable, MutableMapping
from typing import Any

import structlog

from pantree_runtime import telemetry
from pantree_runtime.settings import PartSettings, ProgramSettings


def configure_logging(part: str, settings: ProgramSettings) -> None:
    """Logs to standard error, with the name of the part on every line. Call it before using gRPC."""
    # gRPC logs why a TLS handshake failed only at INFO. It writes to standard error itself.
    has_tls = isinstance(settings, PartSettings) and settings.tls_dir is not None
    os.environ.setdefault("GRPC_VERBOSITY", "INFO" if has_tls else "ERROR")
    as_text = settings.log_format == "text" or (settings.log_format == "auto" and sys.stderr.isatty())
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        lambda _logger, _method, event: {"part": part, **event},
        _add_trace_id,
        structlog.processors.TimeStamper(fmt="%H:%M:%S" if as_text else "iso", utc=not as_text),
        structlog.processors.StackInfoRenderer(),
    ]
    if not as_text:
        shared.append(structlog.processors.format_exc_info)
    renderer: structlog.typing.Processor = (
        structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty()) if as_text else structlog.processors.JSONRenderer()
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            # Fields of the lines of `pantree_runtime.identity`; libraries attach all kinds of objects.
            foreign_pre_chain=[structlog.stdlib.ExtraAdder(allow=["dir", "reason"]), *shared],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    handler.addFilter(_is_not_cancellation)
    root = logging.getLogger()
    root.handlers = [handler]
    level = logging.DEBUG if settings.debug else logging.getLevelNamesMapping()[settings.log_level]
    root.setLevel(level)
    for noisy in ("asyncio", "botocore", "urllib3", "httpcore", "httpx", "pymilvus", "milvus_lite", "grpc"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    structlog.configure(
        # Written directly to the stream: the standard library's logging is several times slower.
        processors=[*shared, renderer],
        logger_factory=lambda *_: structlog.WriteLogger(sys.stderr),
        wrapper_class=structlog.make_filtering_bound_logger(level),
        cache_logger_on_first_use=False,
    )


# Time between two log lines about the same failure, and the number of different failures that are remembered.
_REPEAT_SECONDS = 10.0
_MAX_FAILURES = 256


class RateLimitedLog:
    """Logs a failure once in a while, however often it repeats.

    A line that follows others that were not logged has their number as `repeated`.

    Args:
        log: logger from structlog.
        clock: monotonic time in seconds.
        seconds: minimum time between two lines with the same event and cause.
    """

    def __init__(self, log: Any, clock: Callable[[], float], seconds: float = _REPEAT_SECONDS) -> None:
        self._log = log
        self._clock = clock
        self._seconds = seconds
        self._failures: dict[tuple[str, str], tuple[float, int]] = {}

    def warning(self, event: str, *, cause: str, **fields: Any) -> None:
        """Logs a failure as a warning unless the same one was logged a short while ago."""
        self._emit(self._log.warning, event, cause, fields)

    def info(self, event: str, *, cause: str, **fields: Any) -> None:
        """Like `warning`, at level info."""
        self._emit(self._log.info, event, cause, fields)

    def _emit(self, emit: Callable[..., Any], event: str, cause: str, fields: dict[str, Any]) -> None:
        now = self._clock()
        next_at, repeated = self._failures.get((event, cause), (now, 0))
        if now < next_at:
            self._failures[event, cause] = (next_at, repeated + 1)
            return
        if len(self._failures) >= _MAX_FAILURES:
            self._failures.clear()
        self._failures[event, cause] = (now + self._seconds, 0)
        if repeated:
            fields["repeated"] = repeated
        emit(event, cause=cause, **fields)


def _is_not_cancellation(record: logging.LogRecord) -> bool:
    """Filter for canceled calls: gRPC logs an error for each stream that is canceled by its caller or at the end."""
    if record.msg.__class__ is str and record.msg.startswith("ExecuteBatchError raised in core"):
        return False  # the caller left while a response was being sent
    return not (record.exc_info and isinstance(record.exc_info[1], asyncio.CancelledError))


def _add_trace_id(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Adds the trace id of the current request, which connects its log lines across parts."""
    trace_id = telemetry.trace_id()
    if trace_id and "trace_id" not in event:
        event["trace_id"] = trace_id
    return event
