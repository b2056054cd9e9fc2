"""Counts list elements in serialized messages, so that oversized lists are refused before they are parsed.

A message of 4 MiB can hold two million list elements, which take many times as much memory once parsed. The scan reads
only tags and lengths, and skips nested messages too short to contain a list over its limit.
"""

import functools
from dataclasses import dataclass

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from pantree_domain.limits import FieldLimits, field_limits
from pantree_runtime.errors import FieldViolation, InvalidInput
from pantree_runtime.validation import length_problem

# Shorter messages do no harm when parsed; validation refuses their lists.
MIN_SCANNED_BYTES = 64 * 1024
_VARINT, _FIXED64, _LENGTH_DELIMITED, _FIXED32 = 0, 1, 2, 5
_WIDTHS = {
    FieldDescriptor.TYPE_DOUBLE: 8, FieldDescriptor.TYPE_FIXED64: 8, FieldDescriptor.TYPE_SFIXED64: 8,
    FieldDescriptor.TYPE_FLOAT: 4, FieldDescriptor.TYPE_FIXED32: 4, FieldDescriptor.TYPE_SFIXED32: 4,
}  # fmt: skip
# Elements of all lists of messages together. The largest valid request, 4 MiB of candidates, has about 50,000.
MAX_MESSAGES = 65_536
# A shorter message cannot hold enough elements to matter for their total.
_MIN_COUNTED_BYTES = 512
# Every varint ends with a byte below 128.
_CONTINUATION_BYTES = bytes(range(128, 256))


@dataclass(frozen=True)
class _Field:
    """A list with a limit, or a field whose messages contain such lists."""

    name: str
    is_list: bool
    is_message: bool
    limits: FieldLimits
    max_items: int | None
    width: int | None
    """Bytes per number in a packed list; 0 if they vary; None if the list is not packed."""
    nested: "_Message | None"


@dataclass(frozen=True)
class _Message:
    """The lists in a message type."""

    fields: dict[int, _Field]
    """By field number."""
    min_bytes: int
    """No list in a shorter message can be over its limit."""
    max_tag_counts: dict[bytes, int] | None
    """How often each of these bytes, which are tags, may occur while no list can be over its limit; None if unknown."""


def check_list_sizes(data: bytes, message: Descriptor) -> None:
    """Checks the number of elements of each list in a serialized message.

    Malformed data passes, since the parser refuses it.

    Raises:
        InvalidInput: naming the first list over its limit.
    """
    if len(data) >= MIN_SCANNED_BYTES:
        try:
            _scan(data, 0, len(data), _message(message), "", [0])
        except IndexError:
            return


def _scan(data: bytes, position: int, end: int, message: _Message, path: str, total: list[int]) -> None:
    """Checks the message in `data[position:end]`, and adds the elements of its lists of messages to `total`.

    Raises:
        InvalidInput: if a list is over its limit.
        IndexError: if the data ends too early.
    """
    tag_counts = message.max_tag_counts
    if tag_counts is not None and all(data.count(tag, position, end) <= count for tag, count in tag_counts.items()):
        return
    fields, counts = message.fields, dict.fromkeys(message.fields, 0)
    while position < end:
        # Most tags and sizes are one byte.
        tag, position = (data[position], position + 1) if data[position] < 128 else _read_varint(data, position)
        number, wire_type, size = tag >> 3, tag & 7, 0
        if wire_type == _LENGTH_DELIMITED:
            size, position = (data[position], position + 1) if data[position] < 128 else _read_varint(data, position)
        elif wire_type == _VARINT:
            while data[position] > 127:
                position += 1
            position += 1
        elif wire_type in (_FIXED64, _FIXED32):
            position += 8 if wire_type == _FIXED64 else 4
        else:
            return  # groups are not used
        field = fields.get(number)
        if field is not None:
            index = counts[number]
            if wire_type == _LENGTH_DELIMITED and field.width is not None:
                counts[number] += (
                    size // field.width
                    if field.width
                    else len(data[position : position + size].translate(None, _CONTINUATION_BYTES))
                )
            else:
                counts[number] += 1
                if field.is_list and field.is_message:
                    total[0] += 1
                    if total[0] > MAX_MESSAGES:
                        text = f"the lists of the request have more than {MAX_MESSAGES:,} elements in total"
                        raise InvalidInput([FieldViolation(path + field.name, text)])
            if field.max_items is not None and counts[number] > field.max_items:
                raise InvalidInput([FieldViolation(path + field.name, length_problem(None, field.limits))])
            nested = field.nested
            if nested is not None and size >= nested.min_bytes:
                place = f"{path}{field.name}[{index}]." if field.is_list else f"{path}{field.name}."
                _scan(data, position, position + size, nested, place, total)
        position += size


def _read_varint(data: bytes, position: int) -> tuple[int, int]:
    """The varint at a position, and the position after it."""
    number = shift = 0
    while True:
        byte = data[position]
        position += 1
        number |= (byte & 127) << shift
        if byte < 128:
            return number, position
        shift += 7


@functools.cache
def _message(message: Descriptor, outer: tuple[Descriptor, ...] = ()) -> _Message:
    """The lists of a message type, which is nested in messages of the types `outer`. Recursion is not followed."""
    fields: dict[int, _Field] = {}
    sizes: list[int] = []
    tag_counts: dict[bytes, int] | None = {}
    for field in message.fields:
        limits = field_limits(field.full_name)
        nested = None
        if field.message_type is not None and field.message_type not in (message, *outer):
            nested = _message(field.message_type, (*outer, message))
        if nested is not None and not nested.fields:
            nested = None
        max_items = limits.max_items
        if max_items is None and nested is None:
            continue
        width = _WIDTHS.get(field.type, 0) if field.is_packed else None
        is_message = field.message_type is not None
        fields[field.number] = _Field(field.name, field.is_repeated, is_message, limits, max_items, width, nested)
        tag = _varint(field.number << 3 | _LENGTH_DELIMITED)
        if max_items is not None:
            sizes.append((max_items + 1) * (len(tag) + 1 if width is None else width or 1))
            if is_message:
                sizes.append(_MIN_COUNTED_BYTES)
        if nested is not None:
            sizes.append(nested.min_bytes)
        if width is not None or (nested is not None and (field.is_repeated or nested.max_tag_counts is None)):
            tag_counts = None
        elif tag_counts is not None:
            own = {tag: max_items} if max_items is not None else {}
            for key, count in {**own, **((nested and nested.max_tag_counts) or {})}.items():
                tag_counts[key] = min(count, tag_counts.get(key, count))
    return _Message(fields, min(sizes, default=1 << 62), tag_counts)


def _varint(number: int) -> bytes:
    groups = []
    while number > 127:
        groups.append(number & 127 | 128)
        number >>= 7
    return bytes([*groups, number])
