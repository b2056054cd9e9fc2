"""The errors of Pantree, independent of any transport.

PantreeError
├── InvalidInput          fields of the request are invalid; `violations` lists them
├── NotFound              nothing is stored under this id
├── AlreadyExists         something else is stored under the keys of the request
├── CustomerErased        the customer was erased and has not consented again
├── InvalidState          what is stored is in a state in which the request cannot be done
├── EtagMismatch          what is stored changed since the caller read it
├── RequestIdReused       the id of the request was sent before with another request
├── QuotaExceeded         the tenant has as much as it may have; repeating the call does not help
├── StoreMismatch         a vector collection has a different embedding model or dimension
├── TooLarge              a message exceeds the size limit
├── DeadlineExceeded      the request ran out of time
│   └── DeadlineTooShort  too little time was left on arrival; no work was started
├── Overloaded            the server has too many calls; no work was started; try again after `retry_after_seconds`
├── Unauthenticated       the call has no credentials, or they are not valid
├── PermissionDenied      the caller may not call this part
├── ComponentUnavailable  a part or an external system is unavailable; `component` names it
└── InternalError         unexpected error; the log has the details

`reason` is the name of a `pantree.error.v1.ErrorReason` without its prefix (a test compares them). A message says what
is wrong and what to do about it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True)
class FieldViolation:
    """An invalid field: its path in the request, such as `items[0].price`, and what it must be."""

    field: str
    description: str


class PantreeError(Exception):
    """Base class of all errors that callers see. Raise one of the subclasses."""

    reason: ClassVar[str] = "INTERNAL"

    def __init__(self, message: str, metadata: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.metadata: dict[str, str] = dict(metadata or {})


class InvalidInput(PantreeError):
    """Fields of the request are invalid."""

    reason = "INVALID_INPUT"

    def __init__(self, violations: Sequence[FieldViolation], omitted_count: int = 0) -> None:
        """Violations to list, and the number of others."""
        more = [FieldViolation("", f"and {omitted_count:,} more")] if omitted_count else []
        self.violations = (*violations, *more)
        self.omitted_count = omitted_count
        super().__init__("; ".join(f"{v.field}: {v.description}".removeprefix(": ") for v in self.violations))


class NotFound(PantreeError):
    """Nothing is stored under this id."""

    reason = "NOT_FOUND"


class AlreadyExists(PantreeError):
    """Something else is stored under the keys of the request."""

    reason = "ALREADY_EXISTS"


class CustomerErased(PantreeError):
    """The customer was erased and has not consented again."""

    reason = "CUSTOMER_ERASED"


class InvalidState(PantreeError):
    """What is stored is in a state in which the request cannot be done."""

    reason = "INVALID_STATE"


class EtagMismatch(PantreeError):
    """What is stored changed since the caller read the `etag` that it sent."""

    reason = "ETAG_MISMATCH"


class RequestIdReused(PantreeError):
    """The id of the request was sent before with another request."""

    reason = "IDEMPOTENCY_KEY_REUSED"


class QuotaExceeded(PantreeError):
    """The tenant has as much as it may have; `quota` and `limit` of the metadata say of what."""

    reason = "QUOTA_EXCEEDED"


class StoreMismatch(PantreeError):
    """A vector collection has a different embedding model or dimension."""

    reason = "STORE_MISMATCH"


class TooLarge(PantreeError):
    """A message exceeds the size limit."""

    reason = "TOO_LARGE"


class DeadlineExceeded(PantreeError):
    """The request ran out of time."""

    reason = "DEADLINE_EXCEEDED"


class DeadlineTooShort(DeadlineExceeded):
    """Too little time was left on arrival; no work was started."""

    reason = "DEADLINE_TOO_SHORT"


class Overloaded(PantreeError):
    """The server has too many calls to answer in time; no work was started."""

    reason = "OVERLOADED"

    def __init__(self, message: str, retry_after_seconds: float, metadata: Mapping[str, str] | None = None) -> None:
        super().__init__(message, metadata)
        self.retry_after_seconds = retry_after_seconds


class Unauthenticated(PantreeError):
    """The call has no credentials, or they are not valid."""

    reason = "UNAUTHENTICATED"


class PermissionDenied(PantreeError):
    """The caller may not call this part."""

    reason = "PERMISSION_DENIED"


class ComponentUnavailable(PantreeError):
    """A part of the mesh or an external system is unavailable."""

    reason = "COMPONENT_UNAVAILABLE"

    def __init__(self, component: str, message: str, remedy: str = "") -> None:
        """`remedy` names hosts and settings: it is only for operators, and is not sent to callers."""
        super().__init__(message, {"component": component})
        self.component = component
        self.remedy = remedy


class InternalError(PantreeError):
    """Unexpected error."""

    reason = "INTERNAL"
