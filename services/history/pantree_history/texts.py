"""Times and page tokens in the form in which callers see them."""

import base64
import binascii
import json
import re
from datetime import UTC, datetime, timedelta

from pantree_history.core.lines import MICROSECONDS
from pantree_runtime.errors import FieldViolation, InvalidInput

# 2200-01-01
_YEARS = (0, 7_258_118_400 * MICROSECONDS)
# Databases have numbers of 64 bits.
_MAX_NUMBER = 2**63 - 1


def time_text(instant: int) -> str:
    """ISO 8601 in UTC of microseconds since 1970-01-01."""
    seconds, micros = divmod(instant, MICROSECONDS)
    moment = datetime.fromtimestamp(seconds, UTC).replace(microsecond=micros)
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")


def read_instant(text: str) -> int | None:
    """Microseconds since 1970-01-01 in UTC of an ISO 8601 instant; None if it is invalid, or has no offset."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    if moment.tzinfo is None:
        return None
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def instant_of(text: str, field: str) -> int:
    """Microseconds since 1970-01-01 in UTC of a time with a time zone, or of the beginning of a day in UTC.

    Raises:
        InvalidInput: it is neither, or not of the years 1970 to 2199.
    """
    is_day = re.fullmatch(r"\d{4}-\d\d-\d\d", text) is not None
    instant = read_instant(f"{text}T00:00:00Z" if is_day else text)
    if instant is None or not _YEARS[0] <= instant < _YEARS[1]:
        expected = "must be a time with a time zone, such as 2027-01-31T00:00:00Z, or a day, from 1970 to 2199"
        raise InvalidInput([FieldViolation(field, expected)])
    return instant


def page_token(*values: object) -> str:
    """Token of the page after some values."""
    return base64.urlsafe_b64encode(json.dumps(values).encode()).decode()


def _can_be_stored(value: int | str) -> bool:
    """Whether a row may have a value: no text has NUL or half a character, and no number is negative."""
    if isinstance(value, int):
        return 0 <= value <= _MAX_NUMBER
    return "\0" not in value and not any("\ud800" <= one <= "\udfff" for one in value)


def read_page_token(
    token: str,
    kinds: tuple[type, ...],
    field: str = "page_token",
    expected: str = "next_page_token of the previous page",
) -> tuple[object, ...]:
    """Values of a token.

    Raises:
        InvalidInput: it is not one of ours.
    """
    try:
        values = json.loads(base64.urlsafe_b64decode(token.encode()))
    except (binascii.Error, ValueError, RecursionError):
        values = None
    if (
        not isinstance(values, list)
        or [type(value) for value in values] != list(kinds)
        or not all(map(_can_be_stored, values))
    ):
        raise InvalidInput([FieldViolation(field, f"must be {expected}, or empty")])
    return tuple(values)


def text_after(token: str) -> str:
    """Id after which a page begins; empty for the first page.

    Raises:
        InvalidInput: the token is not one of ours.
    """
    return str(read_page_token(token, (str,))[0]) if token else ""


def number_after(token: str) -> int:
    """Number after which a page begins; 0 for the first page.

    Raises:
        InvalidInput: the token is not one of ours.
    """
    return int(str(read_page_token(token, (int,))[0])) if token else 0
