"""Collects everything that is wrong with a request, so that the caller can mend it in one go."""

import math
import re
from datetime import date

from pantree_domain.limits import MAX_ID_CHARACTERS, MAX_NAME_CHARACTERS, MAX_PRICE, MAX_QUANTITY
from pantree_runtime.errors import FieldViolation, InvalidInput

# The years whose days are accepted.
FIRST_YEAR, LAST_YEAR = 1970, 2199
# A request with thousands of bad rows is told about the first ones only.
MAX_VIOLATIONS = 50
_CONTROL_CHARACTER = re.compile(r"[\x00-\x1f\x7f]")


def is_text(value: str, *, longest: int = MAX_NAME_CHARACTERS, required: bool = True) -> bool:
    """Whether a text is there (if required), not too long, and free of control characters."""
    if len(value) > longest or (required and not value.strip()):
        return False
    # No control character is printable, and few texts hold anything that is not.
    return value.isprintable() or not _CONTROL_CHARACTER.search(value)


def day_named(value: str) -> date | None:
    """The calendar day that an ISO 8601 text names, or None when it names none from 1970 to 2199."""
    try:
        day = date.fromisoformat(value) if len(value) == len("2026-05-22") else None
    except ValueError:
        return None
    return day if day is not None and FIRST_YEAR <= day.year <= LAST_YEAR else None


class Violations:
    """The wrong fields of one request. Each check returns whether its field is right."""

    def __init__(self) -> None:
        self._violations: list[FieldViolation] = []
        self._count = 0

    def add(self, field: str, description: str) -> None:
        """Notes that a field is wrong.

        Args:
            field: path in the request, such as `items[0].price`.
            description: what is expected, in a form that tells the remedy.
        """
        self._count += 1
        if len(self._violations) < MAX_VIOLATIONS:
            self._violations.append(FieldViolation(field, description))

    def within(self, path: str) -> "Violations":
        """The same violations, for checks that name fields as they stand in the message at a path.

        The full path of a field is made only when something is wrong with it: of thousands of rows most are right.

        Args:
            path: of the message in the request, such as `items[0]`.
        """
        return _ViolationsWithin(self, path)

    def text(self, field: str, value: str, *, longest: int = MAX_NAME_CHARACTERS, required: bool = True) -> bool:
        """Whether a text is there (if required), not too long, and free of control characters."""
        if is_text(value, longest=longest, required=required):
            return True
        if required and not value.strip():
            self.add(field, "is required; give a text that is not blank")
        elif len(value) > longest:
            self.add(field, f"has {len(value):,} characters; shorten it to at most {longest}")
        else:
            self.add(field, "has control characters; remove them")
        return False

    def identifier(self, field: str, value: str, *, required: bool = True) -> bool:
        """Whether an id is there (if required) and not too long."""
        return self.text(field, value, longest=MAX_ID_CHARACTERS, required=required)

    def whole_number(self, field: str, value: int, least: int, most: int) -> bool:
        """Whether a whole number lies between two others, both included."""
        if least <= value <= most:
            return True
        self.add(field, f"is {value:,}; give a whole number from {least:,} to {most:,}")
        return False

    def number(self, field: str, value: float, least: float, most: float) -> bool:
        """Whether a number is finite and lies between two others, both included."""
        if math.isfinite(value) and least <= value <= most:
            return True
        self.add(field, f"is {value:g}; give a number from {least:,g} to {most:,.10g}")
        return False

    def price(self, field: str, value: float | None) -> bool:
        """Whether the price of a unit is there, finite and not negative."""
        if value is None:
            self.add(field, "is required; give the shelf price of one unit, such as 1.99")
            return False
        return self.number(field, value, 0, MAX_PRICE)

    def quantity(self, field: str, value: int) -> bool:
        """Whether a number of units is at least 1 and not absurd."""
        return self.whole_number(field, value, 1, MAX_QUANTITY)

    def day(self, field: str, value: str) -> date | None:
        """The calendar day that an ISO 8601 text names, or None when it names none from 1970 to 2199."""
        day = day_named(value)
        if day is None:
            shown = value if len(value) <= 40 else f"{value[:40]}…"
            self.add(field, f"is {shown!r}; give a calendar day from {FIRST_YEAR} to {LAST_YEAR} such as 2026-05-22")
        return day

    def raise_if_any(self) -> None:
        """Ends the request when anything is wrong.

        Raises:
            InvalidInput: with every violation, up to `MAX_VIOLATIONS`.
        """
        if not self._count:
            return
        hidden = self._count - len(self._violations)
        if hidden:
            self._violations.append(FieldViolation("", f"and {hidden:,} more"))
        raise InvalidInput(self._violations)


class _ViolationsWithin(Violations):
    def __init__(self, outer: Violations, path: str) -> None:
        self._outer = outer
        self._path = path

    def add(self, field: str, description: str) -> None:
        self._outer.add(f"{self._path}.{field}", description)

    def raise_if_any(self) -> None:
        self._outer.raise_if_any()
