"""Calls to the other services, with data that the pipeline has checked."""

import contextlib
from collections.abc import Iterator

import structlog

from pantree_runtime.errors import InternalError, InvalidInput
from pantree_runtime.status import calling

_log = structlog.get_logger(__name__)


@contextlib.contextmanager
def asking(component: str) -> Iterator[None]:
    """Turns the gRPC errors of the calls inside into Pantree's own.

    The caller's input was checked before any call; a part that refuses what the pipeline made of it shows a mistake of
    ours, and the fields that it names would mean nothing to the caller.

    Args:
        component: name of the part that is called.

    Raises:
        PantreeError: when a call inside fails.
    """
    try:
        with calling(component):
            yield
    except InvalidInput as refusal:
        _log.error("a part refused the pipeline's request", component=component, fields=refusal.message)
        raise InternalError(f"{component} refused the pipeline's request", {"component": component}) from refusal
