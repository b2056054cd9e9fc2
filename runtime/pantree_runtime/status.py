"""Converts Pantree's errors to gRPC statuses and back.

A status carries `google.rpc.ErrorInfo` (reason, domain `pantree`, metadata), for invalid input also
`google.rpc.BadRequest`, and for an overloaded server `google.rpc.RetryInfo`.

A status is sent in trailers, and gRPC randomly drops calls whose trailers exceed 8 KiB. So the size of a status is
limited: it lists the first violations, shortened if necessary, and the number of the others.
"""

import contextlib
import itertools
import string
from collections.abc import Iterator, Sequence
from urllib.parse import quote

import grpc
from google.protobuf import duration_pb2
from google.protobuf.message import DecodeError
from google.rpc import code_pb2, status_pb2
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo

from pantree_runtime.errors import (
    AlreadyExists,
    ComponentUnavailable,
    CustomerErased,
    DeadlineExceeded,
    DeadlineTooShort,
    EtagMismatch,
    FieldViolation,
    InternalError,
    InvalidInput,
    InvalidState,
    NotFound,
    Overloaded,
    PantreeError,
    PermissionDenied,
    QuotaExceeded,
    RequestIdReused,
    StoreMismatch,
    TooLarge,
    Unauthenticated,
)

DOMAIN = "pantree"
_DETAILS_KEY = "grpc-status-details-bin"
# Maximum size of a serialized status. Trailers contain it in base64, and its message once more.
MAX_STATUS_BYTES = 4_000
# Maximum size of the message of a status as gRPC sends it: percent-encoded, with up to 12 bytes per character.
_MAX_TEXT_BYTES = 1_000
_MAX_FIELD_BYTES, _MAX_DESCRIPTION_BYTES, _MAX_METADATA_BYTES = 200, 400, 200
# Room for "and 1,000,000 more", and for tags and lengths.
_MORE_BYTES = 64
_OMITTED_COUNT = "omitted_violations"
# Characters that gRPC does not percent-encode in a message.
_SENT_AS_IS = "".join(sorted(set(string.printable) - set(string.whitespace) - {"%"})) + " "
_FAILED_TO_SEND = 'Failed "execute_batch"'

_CODES: dict[type[PantreeError], int] = {
    InvalidInput: code_pb2.INVALID_ARGUMENT,
    NotFound: code_pb2.NOT_FOUND,
    AlreadyExists: code_pb2.ALREADY_EXISTS,
    CustomerErased: code_pb2.FAILED_PRECONDITION,
    InvalidState: code_pb2.FAILED_PRECONDITION,
    EtagMismatch: code_pb2.ABORTED,
    RequestIdReused: code_pb2.INVALID_ARGUMENT,
    QuotaExceeded: code_pb2.RESOURCE_EXHAUSTED,
    StoreMismatch: code_pb2.FAILED_PRECONDITION,
    TooLarge: code_pb2.OUT_OF_RANGE,
    DeadlineExceeded: code_pb2.DEADLINE_EXCEEDED,
    DeadlineTooShort: code_pb2.DEADLINE_EXCEEDED,
    Overloaded: code_pb2.RESOURCE_EXHAUSTED,
    Unauthenticated: code_pb2.UNAUTHENTICATED,
    PermissionDenied: code_pb2.PERMISSION_DENIED,
    ComponentUnavailable: code_pb2.UNAVAILABLE,
    InternalError: code_pb2.INTERNAL,
}

# Errors with only a message and metadata.
_PLAIN_ERRORS = {error.reason: error for error in _CODES if error.__init__ is PantreeError.__init__}


def status_of(error: PantreeError) -> status_pb2.Status:
    """Status of an error with its details, at most `MAX_STATUS_BYTES` long."""
    code = next(code for kind, code in _CODES.items() if isinstance(error, kind))
    info = ErrorInfo(reason=error.reason, domain=DOMAIN)
    for key, value in error.metadata.items():
        info.metadata[key] = _shortened(value, _MAX_METADATA_BYTES)
    if isinstance(error, InvalidInput):
        return _status_of_invalid_input(code, info, error)
    status = status_pb2.Status(code=code, message=_shortened_message(error.message))
    status.details.add().Pack(info)
    if isinstance(error, Overloaded):
        delay = duration_pb2.Duration()
        delay.FromMilliseconds(round(error.retry_after_seconds * 1000))
        status.details.add().Pack(RetryInfo(retry_delay=delay))
    return status


def _status_of_invalid_input(code: int, info: ErrorInfo, error: InvalidInput) -> status_pb2.Status:
    """Status that lists as many violations as fit, in its details and, fewer, in its message."""
    named = error.violations[:-1] if error.omitted_count else error.violations
    shortened = [
        FieldViolation(_shortened(v.field, _MAX_FIELD_BYTES), _shortened(v.description, _MAX_DESCRIPTION_BYTES))
        for v in named
    ]
    in_message = _count_that_fits(
        [_sent_length(f"{v.field}: {v.description}; ") for v in shortened], _MAX_TEXT_BYTES - _MORE_BYTES
    )
    status = status_pb2.Status(code=code, message=_invalid_input(shortened[:in_message], error, named).message)
    # The tag and length of a violation take at most 3 bytes.
    room = MAX_STATUS_BYTES - status.ByteSize() - info.ByteSize() - 4 * _MORE_BYTES
    messages = [BadRequest.FieldViolation(field=v.field, description=v.description) for v in shortened]
    in_details = _count_that_fits([message.ByteSize() + 3 for message in messages], room)
    described = _invalid_input(shortened[:in_details], error, named)
    if described.omitted_count:
        info.metadata[_OMITTED_COUNT] = str(described.omitted_count)
        more = described.violations[-1]
        messages[in_details:] = [BadRequest.FieldViolation(field=more.field, description=more.description)]
    status.details.add().Pack(info)
    status.details.add().Pack(BadRequest(field_violations=messages))
    return status


def _invalid_input(
    shown: Sequence[FieldViolation], error: InvalidInput, named: Sequence[FieldViolation]
) -> InvalidInput:
    """The error with only some of its violations listed; the others are counted."""
    return InvalidInput(shown, error.omitted_count + len(named) - len(shown))


def _count_that_fits(sizes: Sequence[int], room: int) -> int:
    """Number of leading sizes whose total fits."""
    return sum(total <= room for total in itertools.accumulate(sizes))


def _sent_length(text: str) -> int:
    """Bytes of a text once percent-encoded."""
    return len(quote(text, safe=_SENT_AS_IS, errors="replace"))


def _shortened(text: str, max_bytes: int) -> str:
    """A text cut to a maximum number of bytes in UTF-8."""
    data = text.encode(errors="replace")
    if len(data) <= max_bytes:
        return data.decode()
    return data[: max_bytes - len("…".encode())].decode(errors="ignore") + "…"


def _shortened_message(message: str) -> str:
    """A message cut to `_MAX_TEXT_BYTES` as sent."""
    shortened = _shortened(message, _MAX_TEXT_BYTES)
    while _sent_length(shortened) > _MAX_TEXT_BYTES:
        shortened = shortened[: len(shortened) * 3 // 4] + "…"
    return shortened


def error_of(rpc_error: grpc.aio.AioRpcError, component: str) -> PantreeError:
    """Pantree error of a failed call to a part.

    Args:
        rpc_error: error raised by the call.
        component: name of the called part, for errors without details from its server.
    """
    status = _details_of(rpc_error)
    info, bad_request, retry = ErrorInfo(), BadRequest(), RetryInfo()
    for detail in status.details if status else ():
        detail.Unpack(info) or detail.Unpack(bad_request) or detail.Unpack(retry)
    message = rpc_error.details() or f"{component} failed without a message"
    if info.reason == InvalidInput.reason:
        violations = [FieldViolation(v.field, v.description) for v in bad_request.field_violations]
        omitted_count = int(info.metadata.get(_OMITTED_COUNT, 0))
        return InvalidInput(violations[:-1] if omitted_count else violations, omitted_count)
    if info.reason == ComponentUnavailable.reason:
        return ComponentUnavailable(info.metadata.get("component", component), message)
    if info.reason == Overloaded.reason:
        return Overloaded(message, retry.retry_delay.ToMilliseconds() / 1000, info.metadata)
    if info.reason in _PLAIN_ERRORS:
        return _PLAIN_ERRORS[info.reason](message, info.metadata)
    if rpc_error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
        return DeadlineExceeded(f"{component} did not answer in time")
    if rpc_error.code() is grpc.StatusCode.UNAUTHENTICATED:
        return Unauthenticated(message)
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

    Unlike `rpc_status.from_call`, this does not raise `ValueError` if its code or message differs from that of the
    call, which gRPC replaces if the trailers are too large.
    """
    for key, value in rpc_error.trailing_metadata() or ():
        if key == _DETAILS_KEY and isinstance(value, bytes):
            with contextlib.suppress(DecodeError):
                return status_pb2.Status.FromString(value)
    return None


def is_lost_connection(rpc_error: grpc.aio.AioRpcError) -> bool:
    """Whether a call failed because there was no connection or it was lost."""
    # If sending a message fails before the call's status arrives, grpc.aio reports an internal error
    # (`_StreamRequestMixin._write`).
    failed_to_send = _FAILED_TO_SEND in (rpc_error.debug_error_string() or "")
    return failed_to_send or rpc_error.code() is grpc.StatusCode.UNAVAILABLE


@contextlib.contextmanager
def translate_rpc_errors(component: str) -> Iterator[None]:
    """Context that converts the gRPC errors of calls to a part (`component`) to Pantree errors."""
    try:
        yield
    except grpc.aio.AioRpcError as rpc_error:
        raise error_of(rpc_error, component) from rpc_error
