"""Problem documents (RFC 9457), with their HTTP statuses and WebSocket close codes."""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import Any, cast

import grpc
import orjson
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status
from starlette.responses import Response

from pantree.error.v1 import error_pb2
from pantree_runtime import telemetry
from pantree_runtime.errors import ComponentUnavailable, DeadlineExceeded, FieldViolation, InternalError, PantreeError
from pantree_runtime.status import status_of

MEDIA_TYPE = "application/problem+json"
TRACE_HEADER = "X-Trace-Id"
MAX_DOCUMENT_BYTES = 4096

HTTP_STATUSES: Mapping[grpc.StatusCode, int] = {
    grpc.StatusCode.OK: 200,
    grpc.StatusCode.CANCELLED: 499,
    grpc.StatusCode.UNKNOWN: 500,
    grpc.StatusCode.INVALID_ARGUMENT: 400,
    grpc.StatusCode.DEADLINE_EXCEEDED: 504,
    grpc.StatusCode.NOT_FOUND: 404,
    grpc.StatusCode.ALREADY_EXISTS: 409,
    grpc.StatusCode.PERMISSION_DENIED: 403,
    grpc.StatusCode.RESOURCE_EXHAUSTED: 429,
    grpc.StatusCode.FAILED_PRECONDITION: 400,
    grpc.StatusCode.ABORTED: 409,
    grpc.StatusCode.OUT_OF_RANGE: 400,
    grpc.StatusCode.UNIMPLEMENTED: 501,
    grpc.StatusCode.INTERNAL: 500,
    grpc.StatusCode.UNAVAILABLE: 503,
    grpc.StatusCode.DATA_LOSS: 500,
    grpc.StatusCode.UNAUTHENTICATED: 401,
}
"""HTTP status of each gRPC status, as grpc-gateway maps them."""

STATUS_BY_REASON: Mapping[error_pb2.ErrorReason.ValueType, int] = {
    error_pb2.ERROR_REASON_INVALID_INPUT: 400,
    error_pb2.ERROR_REASON_UNAUTHENTICATED: 401,
    error_pb2.ERROR_REASON_PERMISSION_DENIED: 403,
    error_pb2.ERROR_REASON_NOT_FOUND: 404,
    error_pb2.ERROR_REASON_METHOD_NOT_ALLOWED: 405,
    error_pb2.ERROR_REASON_REQUEST_TIMEOUT: 408,
    error_pb2.ERROR_REASON_REQUEST_RUNNING: 409,
    error_pb2.ERROR_REASON_TOO_LARGE: 413,
    error_pb2.ERROR_REASON_UNSUPPORTED_MEDIA_TYPE: 415,
    error_pb2.ERROR_REASON_IDEMPOTENCY_KEY_REUSED: 422,
    error_pb2.ERROR_REASON_TOO_MANY_REQUESTS: 429,
    error_pb2.ERROR_REASON_OVERLOADED: 429,
    error_pb2.ERROR_REASON_INTERNAL: 500,
    error_pb2.ERROR_REASON_COMPONENT_UNAVAILABLE: 503,
    error_pb2.ERROR_REASON_SHUTTING_DOWN: 503,
}
"""HTTP status of each reason that the gateway itself reports."""

# Reasons of parts with an HTTP status of their own: RFC 9110 for If-Match, and the IETF draft of Idempotency-Key.
_STATUS_OF_PART_REASON: Mapping[str, int] = {
    error_pb2.ErrorReason.Name(reason).removeprefix("ERROR_REASON_"): status
    for reason, status in (
        (error_pb2.ERROR_REASON_ETAG_MISMATCH, 412),
        (error_pb2.ERROR_REASON_IDEMPOTENCY_KEY_REUSED, 422),
    )
}

_CODES_BY_NUMBER = {code.value[0]: code for code in grpc.StatusCode}
_CLOSE_CODES = {401: 4401, 403: 4401, 404: 4404, 429: 4429}
# Size of `errors` and `detail` together, which have the same texts; the rest of a document takes up to 1,000 bytes.
_MAX_ERRORS_BYTES = 3000
_BYTES_PER_ERROR = len('{"field":,"message":},')
_MAX_DETAIL_CHARACTERS = 400
_MAX_INSTANCE_CHARACTERS = 100
_MORE = re.compile(r"and ([0-9,]+) more")

PROBLEM_SCHEMA: dict[str, Any] = {
    "type": "object",
    "title": "Problem",
    "description": "A problem document (RFC 9457). Branch on `code`; texts may change.",
    "required": ["type", "title", "status", "detail", "instance", "code", "errors", "trace_id"],
    "properties": {
        "type": {"type": "string", "description": "Always `about:blank`: the status describes the kind of problem."},
        "title": {"type": "string", "description": "Name of the HTTP status."},
        "status": {"type": "integer", "description": "HTTP status."},
        "detail": {"type": "string", "description": "What is wrong and what to do, for people."},
        "instance": {"type": "string", "description": "Path of the request."},
        "code": {"type": "string", "description": "Stable reason, for programs, such as `INVALID_INPUT`."},
        "errors": {
            "type": "array",
            "description": "The first wrong fields, then how many more there are; empty for other problems.",
            "items": {
                "type": "object",
                "required": ["field", "message"],
                "properties": {
                    "field": {
                        "type": "string",
                        "description": "Path in the JSON body, such as `items[0].price`; empty for the whole body.",
                    },
                    "message": {"type": "string", "description": "What is wrong with the field and what to send."},
                },
            },
        },
        "trace_id": {"type": "string", "description": "Identifies the request in logs and traces."},
        "component": {"type": "string", "description": "The unavailable part; absent for other problems."},
    },
}


@dataclass(frozen=True)
class Problem:
    """The reason why a request failed."""

    status: int
    code: str
    detail: str
    errors: tuple[FieldViolation, ...] = ()
    component: str = ""
    headers: Mapping[str, str] | None = None
    """Additional headers of the response."""

    def document(self, path: str) -> dict[str, Any]:
        """The problem document for the current request."""
        document: dict[str, Any] = {
            "type": "about:blank",
            "title": _title(self.status),
            "status": self.status,
            "detail": self.detail,
            "instance": path[:_MAX_INSTANCE_CHARACTERS],
            "code": self.code,
            "errors": [{"field": error.field, "message": error.description} for error in self.errors],
            "trace_id": telemetry.trace_id(),
        }
        return {**document, "component": self.component} if self.component else document

    def response(self, path: str, headers: Mapping[str, str] | None = None) -> Response:
        """HTTP response with the problem document."""
        return Response(
            orjson.dumps(self.document(path)), self.status, {**(self.headers or {}), **(headers or {})}, MEDIA_TYPE
        )

    @property
    def close_code(self) -> int:
        """Close code of a WebSocket that ends with this problem."""
        return _CLOSE_CODES.get(self.status, 4400 if 400 <= self.status < 499 else 4500)


class ProblemError(Exception):
    """Error that ends a request with a problem that no `PantreeError` describes."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.detail)
        self.problem = problem


def problem_for(
    reason: error_pb2.ErrorReason.ValueType,
    detail: str,
    *,
    component: str = "",
    headers: Mapping[str, str] | None = None,
) -> Problem:
    """Problem with a reason from the contract and its HTTP status."""
    code = error_pb2.ErrorReason.Name(reason).removeprefix("ERROR_REASON_")
    return Problem(STATUS_BY_REASON[reason], code, detail, component=component, headers=headers)


def too_large(subject: str, max_bytes: int) -> ProblemError:
    """Error for something over a limit in bytes."""
    return ProblemError(problem_for(error_pb2.ERROR_REASON_TOO_LARGE, f"{subject}; send at most {max_bytes:,}"))


def problem_of_error(error: PantreeError) -> Problem:
    """Problem for a `PantreeError`."""
    return _problem_of_status(status_of(error), lambda field: field)


def problem_of_rpc_error(
    rpc_error: grpc.aio.AioRpcError, component: str, relative_to_body: Callable[[str], str]
) -> Problem:
    """Problem for a failed call.

    Args:
        rpc_error: error of the call.
        component: name of the part that was called.
        relative_to_body: converts the path of a field in the request message to its path in the JSON body.
    """
    # from_call rejects a status that contradicts the call's own code.
    try:
        status = rpc_status.from_call(cast(grpc.Call, rpc_error))
    except ValueError:
        status = None
    if status is None:
        return _problem_of_bare_code(rpc_error.code(), rpc_error.details() or "", component)
    return _problem_of_status(status, relative_to_body)


def _problem_of_bare_code(code: grpc.StatusCode, message: str, component: str) -> Problem:
    """Problem for a call whose status has no details."""
    status = HTTP_STATUSES[code]
    if code is grpc.StatusCode.UNAVAILABLE:
        return problem_of_error(ComponentUnavailable(component, f"{component} is unavailable; try again later"))
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return problem_of_error(DeadlineExceeded(f"{component} did not answer in time"))
    if status >= 500 and code is not grpc.StatusCode.UNIMPLEMENTED:
        # The message of an unexpected error may contain personal data.
        return replace(problem_of_error(InternalError("internal error")), status=status)
    return Problem(status, code.name, message[:_MAX_DETAIL_CHARACTERS] or f"{component} answered {code.name}")


def _problem_of_status(status: status_pb2.Status, relative_to_body: Callable[[str], str]) -> Problem:
    info = error_details_pb2.ErrorInfo()
    bad_request = error_details_pb2.BadRequest()
    retry = error_details_pb2.RetryInfo()
    for detail in status.details:
        detail.Unpack(info) or detail.Unpack(bad_request) or detail.Unpack(retry)
    code = _CODES_BY_NUMBER[status.code]
    errors = _first_errors(
        [
            FieldViolation(relative_to_body(violation.field), violation.description)
            for violation in bad_request.field_violations
        ]
    )
    component = info.metadata.get("component", "")
    text = "; ".join(f"{error.field}: {error.description}" if error.field else error.description for error in errors)
    text = text or status.message[:_MAX_DETAIL_CHARACTERS]
    if component not in text:
        text = f"{component}: {text}"
    seconds = math.ceil(retry.retry_delay.ToMilliseconds() / 1000)
    headers = {"Retry-After": str(seconds)} if seconds else None
    return Problem(
        _STATUS_OF_PART_REASON.get(info.reason, HTTP_STATUSES[code]),
        info.reason or code.name,
        text,
        errors,
        component,
        headers,
    )


def _first_errors(errors: Sequence[FieldViolation]) -> tuple[FieldViolation, ...]:
    """The errors that fit into a problem document, then how many more there are."""
    # If a status omits violations, the last one says how many.
    more = _MORE.fullmatch(errors[-1].description) if errors and not errors[-1].field else None
    omitted = int(more[1].replace(",", "")) if more else 0
    named = errors[:-1] if more else errors
    size = 0
    for position, error in enumerate(named):
        size += 2 * len(orjson.dumps([error.field, error.description])) + _BYTES_PER_ERROR
        if size > _MAX_ERRORS_BYTES:
            omitted += len(named) - position
            named = named[:position]
            break
    return (*named, FieldViolation("", f"and {omitted:,} more")) if omitted else tuple(named)


def _title(status: int) -> str:
    # 499 is nginx's status, which grpc-gateway uses for CANCELLED; it is not registered.
    return "Client Closed Request" if status == 499 else HTTPStatus(status).phrase
