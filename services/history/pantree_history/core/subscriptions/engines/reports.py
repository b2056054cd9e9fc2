"""What an engine reports, in our terms, and what all readers of webhooks share."""

import json
import re
from collections.abc import Mapping
from datetime import UTC, date, datetime
from enum import StrEnum
from typing import Annotated, Any, NamedTuple, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, StringConstraints, ValidationError

from pantree_domain.days import day_number
from pantree_history.core.lines import MICROSECONDS
from pantree_history.core.subscriptions.model import Cancellation, Engine, Item, Mirror, Status
from pantree_history.core.subscriptions.schedule import Interval
from pantree_runtime.errors import FieldViolation, InvalidInput

MAX_DOCUMENT_CHARACTERS = 32_768
"""Longest record of a subscription that is kept."""
MAX_COUNT = 366
"""Most units of an interval, as in the contract."""
_MAX_LISTED_PROBLEMS = 10
_MAX_NAME_CHARACTERS = 200
_MAX_ID_CHARACTERS = 128
_MAX_REASON_CHARACTERS = 64
_CONTROL_CHARACTER = re.compile(r"[\x00-\x1f\x7f-\x9f]")


class Snapshot(NamedTuple):
    """A subscription as its engine reports it."""

    household_id: str
    mirror: Mirror
    status: Status
    item: Item | None
    """None if the report names none."""
    quantity: int | None
    """Likewise."""
    interval: Interval
    next_day: int | None
    """Day of the next delivery; None if the report does not say it."""
    first_day: int | None
    """Day from which deliveries are counted; likewise."""
    ended_on: int | None = None
    cancellation: Cancellation = Cancellation()


class OrderStatus(StrEnum):
    """What an engine reports about one order."""

    NAMED = "named"
    """It has an id."""
    PLANNED = "planned"
    PLACED = "placed"
    SKIPPED = "skipped"
    FAILED = "failed"
    OUT_OF_STOCK = "out of stock"


class OrderReport(NamedTuple):
    """A report about the order of one delivery."""

    status: OrderStatus
    version: int
    """Orders the reports about one order: microseconds since 1970-01-01."""
    external_id: str = ""
    """The subscription in the engine; empty for those with this order."""
    household_id: str = ""
    """The household, if the report says it."""
    order_id: str = ""
    day: int | None = None
    """Day of the order; None if the report does not say it."""
    quantity: int | None = None
    """Units; likewise."""
    reason: str = ""
    """Why it failed."""


class EngineEvent(NamedTuple):
    """An event of an engine."""

    engine: Engine
    event_id: str
    """Empty if the engine sent none."""
    snapshots: tuple[Snapshot, ...] = ()
    orders: tuple[OrderReport, ...] = ()


def _text(value: Any) -> Any:
    """A number as text, and nothing as empty text."""
    if value is None:
        return ""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _check_printable(value: str) -> str:
    if not value.isprintable():
        raise ValueError("must not contain control characters or invisible characters")
    return value


Text = Annotated[str, BeforeValidator(_text), StringConstraints(strip_whitespace=True, max_length=2000)]
"""A text or a number; empty if absent."""
OptionalId = Annotated[
    str,
    BeforeValidator(_text),
    StringConstraints(strip_whitespace=True, max_length=96),
    AfterValidator(_check_printable),
]
"""An id, a text or a number; empty if absent."""
Id = Annotated[OptionalId, StringConstraints(min_length=1)]
"""An id."""


class Record(BaseModel):
    """A part of a payload. What is not read stays in the document."""

    model_config = ConfigDict(extra="ignore", frozen=True)


RecordT = TypeVar("RecordT", bound=Record)


def parse(payload: str) -> Mapping[str, Any]:
    """The JSON object of a payload. Halves of characters, as where an emoji was cut, become question marks.

    Raises:
        InvalidInput: it is none.
    """
    try:
        value = json.loads(payload, parse_constant=_refuse_constant)
        text = json.dumps(value, ensure_ascii=False)
        if text != (whole := text.encode(errors="replace").decode()):
            value = json.loads(whole)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise invalid("", "must be a JSON object")
    return value


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


def read(kind: type[RecordT], value: object, path: str) -> RecordT:
    """A part of a payload.

    Args:
        kind: what it is.
        value: its JSON value.
        path: where it is in the payload, for errors.

    Raises:
        InvalidInput: fields are missing or wrong.
    """
    try:
        return kind.model_validate(value)
    except ValidationError as error:
        raise InvalidInput(
            [
                FieldViolation(".".join(["payload", path, *map(str, one["loc"])]).strip("."), one["msg"])
                for one in error.errors(include_url=False)[:_MAX_LISTED_PROBLEMS]
            ]
        ) from None


def invalid(path: str, description: str) -> InvalidInput:
    """An error of a field of the payload."""
    return InvalidInput([FieldViolation(f"payload.{path}".rstrip("."), description)])


def shortened(text: str, max_characters: int) -> str:
    """A text as our own requests may have it: without control characters, and not longer. The document has it whole."""
    return _CONTROL_CHARACTER.sub(" ", text)[:max_characters].strip()


def item_of(name: str, item_id: str, variant: str = "") -> Item | None:
    """An item with the lengths of our contract; None without a name."""
    name = shortened(name, _MAX_NAME_CHARACTERS)
    if not name:
        return None
    return Item(
        name=name, item_id=shortened(item_id, _MAX_ID_CHARACTERS), variant=shortened(variant, _MAX_NAME_CHARACTERS)
    )


def reason_of(text: str) -> str:
    """A reason with the length of our contract."""
    return shortened(text, _MAX_REASON_CHARACTERS)


def document_of(value: object, path: str) -> str:
    """A record as it is kept.

    Raises:
        InvalidInput: it is too long.
    """
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    if len(text) > MAX_DOCUMENT_CHARACTERS:
        raise invalid(path, f"must have at most {MAX_DOCUMENT_CHARACTERS:,} characters; has {len(text):,}")
    return text


def checked_interval(interval: Interval, path: str) -> Interval:
    """An interval that can be kept.

    Raises:
        InvalidInput: it is not 1 to 366 units.
    """
    if not 1 <= interval.count <= MAX_COUNT:
        raise invalid(path, f"must be 1 to {MAX_COUNT} {interval.unit}s; is {interval.count:,}")
    return interval


def instant_of(text: str, path: str) -> int:
    """Microseconds since 1970-01-01 of an ISO 8601 time, which is in UTC unless it says otherwise.

    Raises:
        InvalidInput: it is none.
    """
    try:
        moment = datetime.fromisoformat(text)
        return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * MICROSECONDS)
    except (ValueError, OverflowError):
        raise invalid(path, "must be a time, ISO 8601") from None


def day_of(text: str, path: str) -> int | None:
    """The day of an ISO 8601 date or time, as it is written; None for an empty text.

    Raises:
        InvalidInput: it is none.
    """
    if not text:
        return None
    try:
        return day_number(date.fromisoformat(text[:10]))
    except (ValueError, OverflowError):
        raise invalid(path, "must be a date, ISO 8601") from None
