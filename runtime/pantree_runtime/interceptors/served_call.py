"""What happens around every call that a server of ours serves.

On arrival: its trace, whether its caller may call, whether there is time and room for it. At its end: its status with
details, its place in counts, trace and log; never what it was about.
"""

import asyncio
import time
from dataclasses import dataclass, field
from types import TracebackType

import grpc
import structlog
from grpc_status import rpc_status

from pantree_runtime import telemetry
from pantree_runtime.admission import ConcurrencyLimiter
from pantree_runtime.deadline import MIN_SECONDS, set_remaining_seconds
from pantree_runtime.errors import ComponentUnavailable, DeadlineTooShort, InternalError, PantreeError, PermissionDenied
from pantree_runtime.grpc_types import Context
from pantree_runtime.identity import Identity
from pantree_runtime.status import status_of

_log = structlog.get_logger(__name__)

# A failure that a server tells of itself is not helped by asking it again at once, and every hop that did would
# multiply the calls. Only what gRPC finds on the way is tried again.
# https://github.com/grpc/proposal/blob/master/A6-client-retries.md
_DO_NOT_RETRY = ("grpc-retry-pushback-ms", "-1")


@dataclass
class AdmissionPolicy:
    """Who and what a server lets in."""

    admission: ConcurrencyLimiter
    identity: Identity | None
    """None when the server has no TLS, and anybody who reaches it may call."""
    part: str = ""
    costs: dict[str, int] = field(default_factory=dict)
    """Cost of a call by the name of its RPC; 1 for those that are missing."""
    is_open: bool = False
    """Whether the part is warm. A caller that does not look at health first may come too early."""


class Starting(ComponentUnavailable):
    """The part is not warm yet; another replica may be."""


class ServedMethod:
    """What all calls of a method have in common."""

    def __init__(self, path: str, gate: AdmissionPolicy) -> None:
        self.name = path[1:]
        self.gate = gate
        self.cost = gate.costs.get(path.rpartition("/")[2], 1)
        self.durations = telemetry.RpcDurations(telemetry.SERVER_CALLS, self.name)
        self.under_way = telemetry.CALLS_IN_FLIGHT.labels(self.name)
        # Bound once: a logger that is bound anew for each line costs more than all else here, though nothing be logged.
        self.log = _log.bind(method=self.name)


class ServedCall:
    """Async context manager around the handling of one call: entered before, left after its last message or error."""

    __slots__ = ("_admitted", "_began_at", "_context", "_method", "_observed")

    def __init__(self, method: ServedMethod, context: Context) -> None:
        self._method = method
        self._context = context
        self._admitted = False

    async def __aenter__(self) -> None:
        self._began_at = time.perf_counter()
        self._observed = telemetry.server_span(self._method.name, self._context.invocation_metadata())
        self._method.under_way.inc()
        try:
            self._check()
        except BaseException as error:
            await self.__aexit__(type(error), error, error.__traceback__)
            raise

    def _check(self) -> None:
        """Refuses what should not be begun.

        Raises:
            Starting: when the part is not warm yet.
            PermissionDenied: when the caller may not call this part.
            DeadlineTooShort: when less than `MIN_SECONDS` are left.
            Overloaded: when there is no room.
        """
        gate, method = self._method.gate, self._method
        if not gate.is_open:
            raise Starting(gate.part, f"{gate.part} is starting; try again in a second")
        if gate.identity is not None:
            gate.identity.check_caller(gate.part, self._context)
        seconds = self._context.time_remaining()
        set_remaining_seconds(seconds)
        if seconds is not None and seconds < MIN_SECONDS:
            telemetry.CALLS_REFUSED.labels("deadline_too_short").inc()
            raise DeadlineTooShort(
                f"{method.name} was called with {max(seconds, 0) * 1000:.0f} ms left; "
                f"at least {MIN_SECONDS * 1000:.0f} ms are needed"
            )
        gate.admission.enter(method.cost)
        self._admitted = True

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        code = "OK"
        try:
            if error is None or isinstance(error, GeneratorExit):
                return
            if isinstance(error, asyncio.CancelledError):
                code = "CANCELLED"
            elif isinstance(error, grpc.aio.AbortError):
                code = _code_of(self._context)
            elif isinstance(error, PantreeError):
                await _abort(self._context, error)
            elif isinstance(error, Exception):
                code = "INTERNAL"
                _log.error("unexpected error", method=self._method.name, exc_info=(kind, error, traceback))
                await _abort(self._context, InternalError("internal error"))
        except grpc.aio.AbortError:
            code = _code_of(self._context)
            raise
        finally:
            self._end("CANCELLED" if isinstance(error, GeneratorExit) else code)

    def _end(self, code: str) -> None:
        method = self._method
        seconds = time.perf_counter() - self._began_at
        if self._admitted:
            method.gate.admission.leave(method.cost)
        method.under_way.dec()
        method.durations.observe(code, seconds)
        failed = code not in ("OK", "CANCELLED")
        self._observed.end({telemetry.RPC_STATUS: code}, failed=failed)
        method.log.info("call", code=code, duration_ms=round(seconds * 1000, 1))


def _code_of(context: Context) -> str:
    return grpc.StatusCode(context.code()).name if context.code() else "UNKNOWN"


async def _abort(context: Context, error: PantreeError) -> None:
    """Ends a call with the status of an error.

    Raises:
        grpc.aio.AbortError: always.
    """
    status = rpc_status.to_status(status_of(error))
    trailing = tuple(status.trailing_metadata)
    if isinstance(error, ComponentUnavailable | PermissionDenied) and not isinstance(error, Starting):
        trailing += (_DO_NOT_RETRY,)
    await context.abort(status.code, status.details, trailing)
