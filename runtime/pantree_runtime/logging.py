"""Logging: readable lines on a terminal, JSON elsewhere; the same for our own and for library messages."""

import logging
import os
import sys

import structlog

from pantree_runtime.settings import PartSettings


def configure_logging(part: str, settings: PartSettings) -> None:
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
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.DEBUG if settings.debug else settings.log_level)
    for noisy in ("asyncio", "botocore", "urllib3", "httpcore", "httpx", "pymilvus", "milvus_lite", "grpc"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
