"""Converts Pantree's errors to gRPC statuses, and back.

A status carries `google.rpc.ErrorInfo` (reason, domain `pantree`, metadata), for invalid input
`google.rpc.BadRequest`, and for overload `google.rpc.RetryInfo`, so that nothing is lost from hop to hop.
"""

import contextlib
from collections.abc import Iterator

import grpc
from google.protobuf import duration_pb2
from google.protobuf.message import DecodeError, Message
from google.rpc import code_pb2, status_pb2
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo

from pantree_runtime.errors import (
    ComponentUnavailable,
    DeadlineExceeded,
    DeadlineTooShort,
    FieldViolation,
    InternalError,
    InvalidInput,
    NotFound,
    Overloaded,
    PantreeError,
    PermissionDenied,
    StoreMismatch,
    TooLarge,
)

DOMAIN = "pantree"
_DETAILS_KEY = "grpc-status-details-bin"
_FAILED_TO_SEND = 'Failed "execute_batch"'

_CODES: dict[type[PantreeError], int] = {
    InvalidInput: code_pb2.INVALID_ARGUMENT,
    NotFound: code_pb2.NOT_FOUND,
    StoreMismatch: code_pb2.FAILED_PRECONDITION,
    TooLarge: code_pb2.OUT_OF_RANGE,
    DeadlineExceeded: code_pb2.DEADLINE_EXCEEDED,
    DeadlineTooShort: code_pb2.DEADLINE_EXCEEDED,
    Overloaded: code_pb2.RESOURCE_EXHAUSTED,
    PermissionDenied: code_pb2.PERMISSION_DENIED,
    ComponentUnavailable: code_pb2.UNAVAILABLE,
    InternalError: code_pb2.INTERNAL,
}

# Errors with a message and metadata only.
_PLAIN_ERRORS = {error.reason: error for error in _CODES if error.__init__ is PantreeError.__init__}


def status_of(error: PantreeError) -> status_pb2.Status:
    """Status message of an error, with its details."""
    details: list[Message] = [ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=error.metadata)]
    if isinstance(error, InvalidInput):
        violations = [
            BadRequest.FieldViolation(field=wrong.field, description=wrong.description) for wrong in error.violations
        ]
        details.append(BadRequest(field_violations=violations))
    if isinstance(error, Overloaded):
        delay = duration_pb2.Duration()
        delay.FromMilliseconds(round(error.retry_after_seconds * 1000))
        details.append(RetryInfo(retry_delay=delay))
    code = next(code for kind, code in _CODES.items() if isinstance(error, kind))
    status = status_pb2.Status(code=code, message=error.message)
    for detail in details:
        status.details.add().Pack(detail)
    return status


def error_of(rpc_error: grpc.aio.AioRpcError, component: str) -> PantreeError:
    """Pantree error of a failed call to a part.

    Args:
        rpc_error: error that the call raised.
        component: name of the called part, for errors that its server could not describe.
    """
    status = _details_of(rpc_error)
    info, bad_request, retry = ErrorInfo(), BadRequest(), RetryInfo()
    for detail in status.details if status else ():
        detail.Unpack(info) or detail.Unpack(bad_request) or detail.Unpack(retry)
    message = rpc_error.details() or f"{component} failed without a message"
    if info.reason == InvalidInput.reason:
        return InvalidInput([FieldViolation(v.field, v.description) for v in bad_request.field_violations])
    if info.reason == ComponentUnavailable.reason:
        return ComponentUnavailable(info.metadata.get("component", component), message)
    if info.reason == Overloaded.reason:
        return Overloaded(message, retry.retry_delay.ToMilliseconds() / 1000, info.metadata)
    if info.reason in _PLAIN_ERRORS:
        return _PLAIN_ERRORS[info.reason](message, info.metadata)
    if rpc_error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
        return DeadlineExceeded(f"{component} did not answer in time")
    if rpc_error.code() is grpc.StatusCode.INVALID_ARGUMENT:
        return InvalidInput([FieldViolation("request", message)])
    if rpc_error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED and "metadata size" in message:
        return TooLarge(f"{component} failed, and its error details exceed gRPC's size limit; check the request")
    if rpc_error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED:
        return TooLarge(f"{component}: {message}")
    if is_lost_connection(rpc_error) or rpc_error.code() in (grpc.StatusCode.CANCELLED, grpc.StatusCode.UNIMPLEMENTED):
        return ComponentUnavailable(component, f"{component} is not available; try again later")
    return InternalError(f"{component} failed: {message}", {"component": component})


def _details_of(rpc_error: grpc.aio.AioRpcError) -> status_pb2.Status | None:
    """Status in the trailers of a failed call, if any.

    `rpc_status.from_call` raises `ValueError` when code or message differ from those of the call. gRPC replaces them if
    the trailers are too large.
    """
    for key, value in rpc_error.trailing_metadata() or ():
        if key == _DETAILS_KEY and isinstance(value, bytes):
            with contextlib.suppress(DecodeError):
                return status_pb2.Status.FromString(value)
    return None


def is_lost_connection(rpc_error: grpc.aio.AioRpcError) -> bool:
    """Whether a call failed because the connection could not be made or was lost."""
    # grpc.aio reports an internal error if sending a message fails before the call's status arrives
    # (`_StreamRequestMixin._write`).
    failed_to_send = _FAILED_TO_SEND in (rpc_error.debug_error_string() or "")
    return failed_to_send or rpc_error.code() is grpc.StatusCode.UNAVAILABLE


@contextlib.contextmanager
def translate_rpc_errors(component: str) -> Iterator[None]:
    """Context that raises the gRPC errors of the calls inside as Pantree errors.

    Args:
        component: name of the called part.

    Raises:
        PantreeError: if a call inside fails.
    """
    try:
        yield
    except grpc.aio.AioRpcError as rpc_error:
        raise error_of(rpc_error, component) from rpc_error
