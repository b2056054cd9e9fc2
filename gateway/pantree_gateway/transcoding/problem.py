"""What went wrong, as `application/problem+json` (RFC 9457) and as a WebSocket's close code."""

import math
import re
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import Any, cast

import grpc
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status
from starlette.responses import Response
from starlette.types import Scope

from pantree_gateway.transcoding.json_codec import write_json
from pantree_runtime.errors import ComponentUnavailable, DeadlineExceeded, FieldViolation, InternalError, PantreeError
from pantree_runtime.status import status_of

MEDIA_TYPE = "application/problem+json"
TRACE_HEADER = "X-Trace-Id"

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
"""HTTP status of each gRPC status, after contracts.md §2."""

_CODES_BY_NUMBER = {code.value[0]: code for code in grpc.StatusCode}
_CLOSE_CODES = {401: 4401, 403: 4401, 404: 4404, 429: 4429}
_TRACE_PARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}.*")

PROBLEM_SCHEMA: dict[str, Any] = {
    "type": "object",
    "title": "Problem",
    "description": "What went wrong, after RFC 9457. Branch on `code`; texts may change.",
    "required": ["type", "title", "status", "detail", "instance", "code", "errors", "trace_id"],
    "properties": {
        "type": {"type": "string", "description": "Always `about:blank`: the status says which kind it is."},
        "title": {"type": "string", "description": "Name of the HTTP status."},
        "status": {"type": "integer", "description": "HTTP status."},
        "detail": {"type": "string", "description": "What is wrong and what to do, for people."},
        "instance": {"type": "string", "description": "Path of the request."},
        "code": {"type": "string", "description": "Stable reason, for programs, such as `INVALID_INPUT`."},
        "errors": {
            "type": "array",
            "description": "The wrong fields; empty when the problem is another one.",
            "items": {
                "type": "object",
                "required": ["field", "message"],
                "properties": {
                    "field": {
                        "type": "string",
                        "description": "Path in the JSON body, such as `items[0].price`; empty for the whole body.",
                    },
                    "message": {"type": "string", "description": "What is wrong with it and what to give instead."},
                },
            },
        },
        "trace_id": {"type": "string", "description": "Identifies the request in logs and traces."},
        "component": {"type": "string", "description": "The part that does not answer; absent for other problems."},
    },
}


@dataclass(frozen=True)
class Problem:
    """What went wrong with a request."""

    status: int
    code: str
    detail: str
    errors: tuple[FieldViolation, ...] = ()
    component: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    """Of its response."""

    def document(self, scope: Scope) -> dict[str, Any]:
        """The problem document for the request of an ASGI scope."""
        document: dict[str, Any] = {
            "type": "about:blank",
            "title": _title(self.status),
            "status": self.status,
            "detail": self.detail,
            "instance": scope["path"],
            "code": self.code,
            "errors": [{"field": error.field, "message": error.description} for error in self.errors],
            "trace_id": trace_id_of(scope),
        }
        return {**document, "component": self.component} if self.component else document

    def response(self, scope: Scope, headers: Mapping[str, str] | None = None) -> Response:
        """HTTP response with the problem document."""
        return Response(
            write_json(self.document(scope)), self.status, {**dict(self.headers), **(headers or {})}, MEDIA_TYPE
        )

    @property
    def close_code(self) -> int:
        """Close code of a WebSocket that ends with this problem."""
        return _CLOSE_CODES.get(self.status, 4400 if 400 <= self.status < 499 else 4500)


class ProblemRaised(Exception):
    """Ends a request with a problem that no error of Pantree stands for."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.detail)
        self.problem = problem


def keep_trace_parent(scope: Scope, trace_parent: str) -> None:
    """Notes the W3C `traceparent` under which the request of an ASGI scope is traced."""
    scope.setdefault("state", {}).update(trace_id=trace_parent[3:35], trace_parent=trace_parent)


def trace_id_of(scope: Scope) -> str:
    """Id of the trace that the request of an ASGI scope belongs to: W3C `traceparent` if given, otherwise a new one."""
    state = scope.setdefault("state", {})
    if "trace_id" not in state:
        headers = dict(scope["headers"])
        match = _TRACE_PARENT.fullmatch(headers.get(b"traceparent", b"").decode("latin-1"))
        given = match.group(1) if match else ""
        # All zeros means no trace.
        state["trace_id"] = given if given.strip("0") else secrets.token_hex(16)
    return cast(str, state["trace_id"])


def trace_parent_of(scope: Scope) -> str:
    """W3C `traceparent` for calls that serve the request of an ASGI scope: the given one, or a new one."""
    kept: str | None = scope.setdefault("state", {}).get("trace_parent")
    if kept is not None:
        return kept
    trace_id = trace_id_of(scope)
    given = dict(scope["headers"]).get(b"traceparent", b"").decode("latin-1")
    return given if f"-{trace_id}-" in given else f"00-{trace_id}-{secrets.token_hex(8)}-01"


def problem_of_error(error: PantreeError) -> Problem:
    """Problem that an error of our own stands for."""
    return _problem_of_status(status_of(error), lambda field: field)


def problem_of_rpc_error(
    rpc_error: grpc.aio.AioRpcError, component: str, relative_to_body: Callable[[str], str]
) -> Problem:
    """Problem that a failed call stands for.

    Args:
        rpc_error: what the call raised.
        component: name of the part that was called.
        relative_to_body: makes the path of a field in the JSON body of its path in the request message.
    """
    # A status that does not fit the call's own code is not to be trusted; from_call refuses it.
    try:
        status = rpc_status.from_call(cast(grpc.Call, rpc_error))
    except ValueError:
        status = None
    if status is None:
        return _problem_of_bare_code(rpc_error.code(), rpc_error.details() or "", component)
    return _problem_of_status(status, relative_to_body)


def _problem_of_bare_code(code: grpc.StatusCode, message: str, component: str) -> Problem:
    """Problem of a call whose server did not get to describe it, or is none of ours."""
    status = HTTP_STATUSES[code]
    if code is grpc.StatusCode.UNAVAILABLE:
        return problem_of_error(ComponentUnavailable(component, f"{component} is not available; try again later"))
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return problem_of_error(DeadlineExceeded(f"{component} did not answer in time"))
    if status >= 500 and code is not grpc.StatusCode.UNIMPLEMENTED:
        # What a server did not mean to say may hold anything.
        return replace(problem_of_error(InternalError("internal error")), status=status)
    return Problem(status, code.name, message or f"{component} answered {code.name}")


def _problem_of_status(status: status_pb2.Status, relative_to_body: Callable[[str], str]) -> Problem:
    info = error_details_pb2.ErrorInfo()
    bad_request = error_details_pb2.BadRequest()
    retry = error_details_pb2.RetryInfo()
    for detail in status.details:
        detail.Unpack(info) or detail.Unpack(bad_request) or detail.Unpack(retry)
    seconds = math.ceil(retry.retry_delay.ToMilliseconds() / 1000)
    code = _CODES_BY_NUMBER[status.code]
    errors = tuple(
        FieldViolation(relative_to_body(violation.field), violation.description)
        for violation in bad_request.field_violations
    )
    component = info.metadata.get("component", "")
    detail_text = (
        "; ".join(f"{e.field}: {e.description}" if e.field else e.description for e in errors) or status.message
    )
    if component not in detail_text:
        detail_text = f"{component}: {detail_text}"
    headers = (("Retry-After", str(seconds)),) if seconds else ()
    return Problem(HTTP_STATUSES[code], info.reason or code.name, detail_text, errors, component, headers)


def _title(status: int) -> str:
    # nginx's status, which gRPC's mapping uses, is not in the register.
    return "Client Closed Request" if status == 499 else HTTPStatus(status).phrase
