"""Calls to the other services, with data that the pipeline has checked."""

from types import TracebackType

import grpc
import structlog

from pantree_runtime.errors import InternalError, InvalidInput
from pantree_runtime.status import error_of

_log = structlog.get_logger(__name__)


# A class, as every answer takes five calls: entering and leaving two nested generators takes twice as long.
class Asking:
    """Context manager that turns the gRPC errors of the calls inside into Pantree's own, as `calling` does.

    The caller's input was checked before any call; a part that refuses what the pipeline made of it shows a mistake of
    ours, and the fields that it names would mean nothing to the caller.

    Args:
        component: name of the part that is called.

    Raises:
        PantreeError: when a call inside fails.
    """

    __slots__ = ("_component",)

    def __init__(self, component: str) -> None:
        self._component = component

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if not isinstance(error, grpc.aio.AioRpcError):
            return
        component, ours = self._component, error_of(error, self._component)
        if isinstance(ours, InvalidInput):
            _log.error("a part refused the pipeline's request", component=component, fields=ours.message)
            raise InternalError(f"{component} refused the pipeline's request", {"component": component}) from ours
        raise ours from error
