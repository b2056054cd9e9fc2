"""The errors of Pantree, free of any transport.

PantreeError
├── InvalidInput          fields of the request are wrong; `violations` names each of them
├── NotFound              nothing is stored under the given id
├── StoreMismatch         a vector collection was made by another model or dimension
├── TooLarge              a message is over the size limit
├── DeadlineExceeded      the caller's time ran out
├── DeadlineTooShort      too little time was left to begin
├── Overloaded            the server has too much to do; `retry_after_seconds` says when to try again
├── PermissionDenied      the caller may not call this part
├── ComponentUnavailable  a part or an outside system does not answer; `component` names it
└── InternalError         something unexpected; the log has the details

`reason` is a name of `pantree.error.v1.ErrorReason` without its prefix (a test compares the two). A message says what
is wrong and what to do about it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True)
class FieldViolation:
    """One wrong field: its path in the request, such as `items[0].price`, and what to do about it."""

    field: str
    description: str


class PantreeError(Exception):
    """Anything that Pantree tells a caller about. Raise one of the subclasses."""

    reason: ClassVar[str] = "INTERNAL"

    def __init__(self, message: str, metadata: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.metadata: dict[str, str] = dict(metadata or {})


class InvalidInput(PantreeError):
    """Fields of the request are wrong."""

    reason = "INVALID_INPUT"

    def __init__(self, violations: Sequence[FieldViolation], omitted_count: int = 0) -> None:
        """Wrong fields.

        Args:
            violations: the wrong fields to name.
            omitted_count: number of other wrong fields.
        """
        more = [FieldViolation("", f"and {omitted_count:,} more")] if omitted_count else []
        self.violations = (*violations, *more)
        self.omitted_count = omitted_count
        super().__init__("; ".join(f"{v.field}: {v.description}".removeprefix(": ") for v in self.violations))


class NotFound(PantreeError):
    """Nothing is stored under the given id."""

    reason = "NOT_FOUND"


class StoreMismatch(PantreeError):
    """A vector collection was made by another embedding model or dimension."""

    reason = "STORE_MISMATCH"


class TooLarge(PantreeError):
    """A message is over the size limit."""

    reason = "TOO_LARGE"


class DeadlineExceeded(PantreeError):
    """The caller's time ran out before the answer was ready."""

    reason = "DEADLINE_EXCEEDED"


class DeadlineTooShort(DeadlineExceeded):
    """So little time was left on arrival that the work was not begun."""

    reason = "DEADLINE_TOO_SHORT"


class Overloaded(PantreeError):
    """The server has too much to do to answer in time; nothing was begun."""

    reason = "OVERLOADED"

    def __init__(self, message: str, retry_after_seconds: float, metadata: Mapping[str, str] | None = None) -> None:
        super().__init__(message, metadata)
        self.retry_after_seconds = retry_after_seconds


class PermissionDenied(PantreeError):
    """The caller may not call this part."""

    reason = "PERMISSION_DENIED"


class ComponentUnavailable(PantreeError):
    """A part of the mesh or a system behind it does not answer."""

    reason = "COMPONENT_UNAVAILABLE"

    def __init__(self, component: str, message: str) -> None:
        super().__init__(message, {"component": component})
        self.component = component


class InternalError(PantreeError):
    """Something unexpected happened."""

    reason = "INTERNAL"
