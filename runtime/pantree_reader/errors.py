"""Errors of a reader."""

from collections.abc import Sequence
from typing import NoReturn

from pantree_runtime.errors import FieldViolation, InvalidInput

# Further violations are only counted.
_MAX_VIOLATIONS = 20


def invalid_file(violations: Sequence[FieldViolation]) -> InvalidInput:
    """Error that names the first violations and counts the others."""
    return InvalidInput(violations[:_MAX_VIOLATIONS], max(len(violations) - _MAX_VIOLATIONS, 0))


def refuse(field: str, description: str) -> NoReturn:
    """Raises `InvalidInput` with one violation."""
    raise InvalidInput([FieldViolation(field, description)]) from None


def shortened(text: str) -> str:
    """A cell as a message shows it."""
    return repr(text if len(text) <= 40 else f"{text[:39]}…")
