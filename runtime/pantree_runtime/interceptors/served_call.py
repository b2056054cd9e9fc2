"""Context manager around every served call.

On arrival it continues the trace and checks the caller, the deadline and the load. At the end it sets the status with
details, and records metrics, a span and a log line, but never the content of the call.
"""

import asyncio
import time
from dataclasses import InitVar, dataclass, field
from types import TracebackType

import grpc
import structlog
from grpc_status import rpc_status

from pantree_runtime import telemetry
from pantree_runtime.admission import ConcurrencyLimiter
from pantree_runtime.deadline import MIN_SECONDS, set_remaining_seconds
from pantree_runtime.errors import (
    ComponentUnavailable,
    DeadlineTooShort,
    InternalError,
    Overloaded,
    PantreeError,
    PermissionDenied,
)
from pantree_runtime.fair_shares import FairShares, Hold, Holder
from pantree_runtime.grpc_types import Context
from pantree_runtime.identity import Identity
from pantree_runtime.interceptors.requests import RequestMemory
from pantree_runtime.status import status_of
from pantree_runtime.tenants import set_allowed_tenants

_log = structlog.get_logger(__name__)

# Retrying a failure that a server itself reports does not help, and calls would multiply with each hop that retries. So
# callers retry only connection failures.
# https://github.com/grpc/proposal/blob/master/A6-client-retries.md
DEFAULT_HELD_MIB = 128
_BULK_RETRY_SECONDS = 5.0
# With the default capacity, 4 streams of one caller, which leave threads for other calls.
_BULK_DIVISOR = 4
_DO_NOT_RETRY = ("grpc-retry-pushback-ms", "-1")


@dataclass
class AdmissionPolicy:
    """Which calls a server admits."""

    limiter: ConcurrencyLimiter
    identity: Identity | None
    """None without TLS; then every caller is admitted."""
    part: str = ""
    costs: dict[str, int] = field(default_factory=dict)
    """Cost of a call, by RPC name; 1 if missing."""
    max_held_bytes: InitVar[int] = DEFAULT_HELD_MIB << 20
    memory: RequestMemory = field(init=False)
    """Limits the memory that requests hold."""
    bulk: FairShares = field(init=False)
    """Divides a quarter of the capacity among the callers of expensive calls, so that they never block the others."""
    is_open: bool = False
    """Whether the part has warmed up. Callers that do not check its health may call it before."""

    def __post_init__(self, max_held_bytes: int) -> None:
        self.memory = RequestMemory(max_held_bytes)
        self.bulk = FairShares(max(self.limiter.max_cost // _BULK_DIVISOR, *self.costs.values(), 1))


class Starting(ComponentUnavailable):
    """The part has not warmed up. Callers may retry, since another replica may be ready."""


class ServedMethod:
    """State shared by the calls of a method."""

    def __init__(self, path: str, policy: AdmissionPolicy) -> None:
        self.name = path[1:]
        self.policy = policy
        self.cost = policy.costs.get(path.rpartition("/")[2], 1)
        self.durations = telemetry.rpc_durations(telemetry.SERVER_CALLS, self.name)
        self.in_flight = telemetry.CALLS_IN_FLIGHT.labels(self.name)
        # Bound once, because binding a logger costs more than everything else here, even if nothing is logged.
        self.log = _log.bind(method=self.name)


class ServedCall:
    """Async context manager around one call, up to its last message or its error."""

    __slots__ = ("_admitted", "_began_at", "_context", "_method", "_share", "_span")

    def __init__(self, method: ServedMethod, context: Context) -> None:
        self._method = method
        self._context = context
        self._admitted = False
        self._share: Hold | None = None

    async def __aenter__(self) -> None:
        self._began_at = time.perf_counter()
        self._span = telemetry.server_span(self._method.name, self._context.invocation_metadata())
        self._method.in_flight.inc()
        try:
            self._check()
        except BaseException as error:
            await self.__aexit__(type(error), error, error.__traceback__)
            raise

    def _check(self) -> None:
        """Admits or refuses the call.

        Raises:
            Starting: if the part has not warmed up.
            PermissionDenied: if the caller may not call this part.
            DeadlineTooShort: if less than `MIN_SECONDS` is left.
            Overloaded: if too many calls are in flight.
        """
        method = self._method
        policy = method.policy
        if not policy.is_open:
            raise Starting(policy.part, f"{policy.part} is starting; try again in a second")
        if policy.identity is not None:
            try:
                tenants = policy.identity.check_caller(policy.part, self._context)
            except PermissionDenied as error:
                telemetry.CALLS_REFUSED.labels("permission_denied").inc()
                _log.warning("caller refused", reason=error.message)
                raise
            set_allowed_tenants(tenants)
        seconds = self._context.time_remaining()
        set_remaining_seconds(seconds)
        if seconds is not None and seconds < MIN_SECONDS:
            telemetry.CALLS_REFUSED.labels("deadline_too_short").inc()
            raise DeadlineTooShort(
                f"{method.name} was called with {max(seconds, 0) * 1000:.0f} ms left; "
                f"at least {MIN_SECONDS * 1000:.0f} ms are needed"
            )
        if method.cost > 1:
            self._share = Hold(policy.bulk, Holder(_peer_of(self._context)))
            if not self._share.resize(method.cost):
                telemetry.CALLS_REFUSED.labels("overloaded").inc()
                raise Overloaded("you have too many bulk streams here; wait for one to end", _BULK_RETRY_SECONDS)
        policy.limiter.enter(method.cost)
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
        if self._share is not None:
            self._share.release()
        if self._admitted:
            method.policy.limiter.leave(method.cost)
        method.in_flight.dec()
        method.durations(code).observe(seconds)
        self._span.end_rpc(code, is_server=True)
        method.log.info("call", code=code, duration_ms=round(seconds * 1000, 1))


def _peer_of(context: Context) -> str:
    """Who calls: the names in the certificate, and the address without its port."""
    names = context.auth_context().get("x509_subject_alternative_name", [])
    return f"{sorted(names)} {context.peer().rpartition(':')[0]}"


def _code_of(context: Context) -> str:
    return grpc.StatusCode(context.code()).name if context.code() else "UNKNOWN"


async def _abort(context: Context, error: PantreeError) -> None:
    """Ends a call with the status of an error. Always raises `grpc.aio.AbortError`."""
    status = rpc_status.to_status(status_of(error))
    trailing = tuple(status.trailing_metadata)
    if isinstance(error, ComponentUnavailable | PermissionDenied) and not isinstance(error, Starting):
        trailing += (_DO_NOT_RETRY,)
    await context.abort(status.code, status.details, trailing)
