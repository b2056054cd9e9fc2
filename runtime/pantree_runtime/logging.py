"""Logging: readable lines on a terminal, JSON elsewhere; the same for our own and for library messages."""

import asyncio
import logging
import os
import re
import sys
import threading
from collections.abc import MutableMapping
from typing import Any

import structlog

from pantree_runtime import telemetry
from pantree_runtime.settings import ProgramSettings

_log = structlog.get_logger(__name__)

# What gRPC's core says of a TLS handshake that failed, such as
# `I1123 03:00:14.71 18863 ssl_transport_security.cc:2563] Handshake failed with error SSL_ERROR_SSL: error:1000007d:
# SSL routines:OPENSSL_internal:CERTIFICATE_VERIFY_FAILED: certificate has expired`.
_HANDSHAKE = re.compile(r"ssl_transport_security\.cc:\d+\] .*OPENSSL_internal:([A-Z_]+)(?:: (.*))?")
_WRONG_NAME = re.compile(r"ssl_transport_security\.cc:\d+\] No match found for server name: (.*)")
_REASONS = {
    "WRONG_VERSION_NUMBER": "it does not speak TLS",
    "HTTP_REQUEST": "it does not speak TLS",
    "PEER_DID_NOT_RETURN_A_CERTIFICATE": "it has no certificate",
}


def configure_logging(part: str, settings: ProgramSettings) -> None:
    """Sends all log messages of this process to standard error.

    Args:
        part: name of the part, on every line.
        settings: level and format.
    """
    # gRPC's core reads this when the first channel or server is made; its own chatter on connections is of no use here.
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
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
            foreign_pre_chain=shared,
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
        # Straight to the stream: the way through the standard library's logging costs several times as much.
        processors=[*shared, renderer],
        logger_factory=lambda *_: structlog.WriteLogger(sys.stderr),
        # What is not logged costs a call that does nothing.
        wrapper_class=structlog.make_filtering_bound_logger(level),
        cache_logger_on_first_use=False,
    )


def _is_not_cancellation(record: logging.LogRecord) -> bool:
    """Whether a record is about anything else than a call that was cancelled.

    gRPC tells of streams that are cut off when a server stops, such as those that watch its health, as of errors.
    """
    return not (record.exc_info and isinstance(record.exc_info[1], asyncio.CancelledError))


def _add_trace_id(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Adds the trace that the request being served belongs to, so that its lines can be found in all parts."""
    trace_id = telemetry.trace_id()
    if trace_id and "trace_id" not in event:
        event["trace_id"] = trace_id
    return event


def log_refused_handshakes() -> None:
    """Logs a line for each connection whose TLS handshake fails, with the reason. Call it before gRPC is used.

    gRPC's core tells of them on file descriptor 2 and nowhere else; from now on a thread reads what is written there,
    and this program's own output goes on to where it went.
    """
    os.environ["GRPC_VERBOSITY"] = "INFO"
    original = os.dup(2)
    reading, writing = os.pipe()
    os.dup2(writing, 2)
    os.close(writing)
    own = os.fdopen(original, "w", buffering=1, errors="backslashreplace")
    sys.stderr = own
    for handler in logging.getLogger().handlers:
        if isinstance(handler, logging.StreamHandler):
            handler.setStream(own)

    def read() -> None:
        with os.fdopen(reading, errors="replace") as lines:
            for line in lines:
                _tell(line.rstrip("\n"))

    threading.Thread(target=read, name="grpc-messages", daemon=True).start()


def _tell(line: str) -> None:
    """Logs what a line of gRPC's core means; passes on what is none of its chatter."""
    handshake, wrong_name = _HANDSHAKE.search(line), _WRONG_NAME.search(line)
    if handshake:
        code, text = handshake.groups()
        meaning = text if code == "CERTIFICATE_VERIFY_FAILED" and text else code.lower().replace("_", " ")
        _log.warning("TLS connection refused", reason=_REASONS.get(code, meaning))
    elif wrong_name:
        _log.warning("TLS connection refused", reason=f"the server's certificate is not for {wrong_name[1]}")
    elif not re.match(r"[IW]\d{4} |WARNING: All log messages before", line):
        print(line, file=sys.stderr)
