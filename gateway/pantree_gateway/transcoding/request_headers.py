"""Headers that stand for fields of a request: `Idempotency-Key` for `request_id`, `If-Match` for `etag`."""

from collections.abc import Mapping
from typing import Any

from pantree_gateway.transcoding.stored_responses import KEY_HEADER
from pantree_runtime.errors import FieldViolation, InvalidInput

MATCH_HEADER = "If-Match"
ETAG_FIELD, REQUEST_ID_FIELD = "etag", "request_id"
_FIELDS = {REQUEST_ID_FIELD: KEY_HEADER, ETAG_FIELD: MATCH_HEADER}
_ANY_VERSION = "*"


def has_request_id(message: Any) -> bool:
    """Whether the part itself answers repeated requests with the same id."""
    return REQUEST_ID_FIELD in message.DESCRIPTOR.fields_by_name


def fill_from_headers(message: Any, headers: Mapping[str, str]) -> None:
    """Sets the fields of a request that headers stand for.

    Raises:
        InvalidInput: a header and its field differ.
    """
    for field, header in _FIELDS.items():
        if field not in message.DESCRIPTOR.fields_by_name or header not in headers:
            continue
        value = headers[header].strip().removeprefix("W/").removeprefix('"').removesuffix('"')
        if field == ETAG_FIELD and value == _ANY_VERSION:
            continue
        if getattr(message, field) not in ("", value):
            raise InvalidInput([FieldViolation(field, f"differs from the header {header}; send one of them")])
        setattr(message, field, value)
