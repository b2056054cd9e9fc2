"""Counts the elements of lists in raw JSON, to reject a list far over its limit before it is parsed.

A body of 16 MiB can hold millions of list elements, which take many times as much memory once parsed. The scan takes
about twice as long as parsing, and stops at the first list over its limit.
"""

import re
import sys
from typing import NamedTuple

import orjson
from google.protobuf.descriptor import Descriptor

from pantree_domain.limits import FieldLimits, field_limits
from pantree_runtime.errors import FieldViolation, InvalidInput
from pantree_runtime.validation import length_problem

# A shorter body cannot take much memory; validation rejects its lists over their limits.
MIN_SCANNED_BYTES = 32 * 1024
# Applies to each list that is not in the contract.
MAX_UNKNOWN_ITEMS = 10_000
# Applies to the elements and fields of all that is not in the contract.
MAX_UNKNOWN_TOTAL = 20_000
# Applies to each object; no message has as many fields.
MAX_FIELDS = 10_000
# The parser rejects deeper values.
_MAX_DEPTH = 1000

# Objects and arrays without others inside are single tokens; so are nearly all rows of a history.
_TOKEN = re.compile(
    rb"""[\s,]*+(?:
        ( \{ [^][{}"]*+ (?: STRING [^][{}"]*+ ){0,20}+ \} )   # 1: small object without others inside
      | ( \[ [^][{}"]{0,4096}+ \] )                          # 2: small array of scalars
      | ( STRING ) ( \s*+: )?                                # 3: string, 4: which is a key
      | ( [{[] )                                             # 5: start of another object or array
      | ( []}] )                                             # 6: its end
      | ( [^][{}",:\s]++ )                                   # 7: scalar
      | ( . | \Z )                                           # 8: not JSON, or the end
    )""".replace(b"STRING", rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"'),
    re.DOTALL | re.VERBOSE,
)
_SCALARS, _KEY, _START, _END, _OTHER = 2, 4, 5, 6, 8


class _Place(NamedTuple):
    """A place for a value, such as a field."""

    max_items: int
    """Applies if the value is a list."""
    fields: "dict[bytes, _Place]"
    """Places of the fields, if the value is an object or a list of objects, by JSON name."""
    is_list: bool
    """Whether the contract has a list there."""


class _Frame(NamedTuple):
    """Position of the scan in an object or array."""

    container: _Place
    place: _Place
    """Place of the current element or field."""
    element_count: int
    """Number of elements so far; in an object, -1 minus the number of fields."""
    key: bytes
    """Key of the current field."""


_UNKNOWN = _Place(MAX_UNKNOWN_ITEMS, {}, False)
_UNKNOWN_TEXT = f"more than {MAX_UNKNOWN_TOTAL:,} elements and fields are not in the contract"


class ListSizeCheck:
    """Checks the sizes of the lists in the JSON form of a message type."""

    def __init__(self, descriptor: Descriptor | None) -> None:
        self._root = _Place(MAX_UNKNOWN_ITEMS, {} if descriptor is None else _places(descriptor, {}), False)

    def check(self, body: bytes | bytearray) -> None:
        """Checks a body. Malformed JSON passes, since the parser will reject it.

        Raises:
            InvalidInput: with the first list over its limit.
        """
        frames: list[_Frame] = []
        container, place, count, key = _UNKNOWN, self._root, -1, b""
        has_key = True
        unknown_count = 0
        for token in _TOKEN.finditer(body):
            kind = token.lastindex
            if kind == _KEY:
                if count >= 0 or has_key:
                    return
                count -= 1
                if count < -1 - MAX_FIELDS:
                    raise _too_long(frames, f"must have at most {MAX_FIELDS:,} fields; has more")
                key, has_key = _decode_key(token[3]), True
                place = container.fields.get(key, _UNKNOWN)
                if place is _UNKNOWN:
                    unknown_count += 1
                    if unknown_count > MAX_UNKNOWN_TOTAL:
                        raise _too_long(frames[:1], _UNKNOWN_TEXT)
                continue
            if kind == _OTHER or (kind == _END and not frames):
                return
            if kind == _END:
                container, place, count, key = frames.pop()
                has_key = False
                continue
            if count >= 0:
                count += 1
                if count > container.max_items:
                    raise _too_long(frames, _items_text(container))
                if not container.is_list:
                    unknown_count += 1
                    if unknown_count > MAX_UNKNOWN_TOTAL:
                        raise _too_long(frames[:1], _UNKNOWN_TEXT)
            elif not has_key:
                return
            has_key = False
            if kind == _SCALARS:
                separator_count = body.count(b",", token.start(kind), token.end(kind))
                if separator_count >= place.max_items:
                    raise _too_long([*frames, _Frame(container, place, count, key)], _items_text(place))
                if not place.is_list:
                    unknown_count += separator_count
            elif kind == _START:
                if len(frames) > _MAX_DEPTH:
                    return
                frames.append(_Frame(container, place, count, key))
                container = place
                if token[kind] == b"[":
                    place, count = _Place(MAX_UNKNOWN_ITEMS, place.fields, False), 0
                else:
                    count = -1


def _decode_key(string: bytes) -> bytes:
    if b"\\" not in string:
        return string[1:-1]
    try:
        return str(orjson.loads(string)).encode()
    except ValueError:
        return b""


def _items_text(place: _Place) -> str:
    return length_problem(None, FieldLimits(max_items=place.max_items))


def _too_long(frames: list[_Frame], text: str) -> InvalidInput:
    path = "".join(
        f".{frame.key[:40].decode(errors='replace')}" if frame.element_count < 0 else f"[{frame.element_count - 1}]"
        for frame in frames
    )
    return InvalidInput([FieldViolation(path.lstrip("."), text)])


def _places(descriptor: Descriptor, known: dict[Descriptor, dict[bytes, _Place]]) -> dict[bytes, _Place]:
    """Places in the JSON form of a message type, by JSON name; `known` has those of other types."""
    if descriptor not in known:
        places = known[descriptor] = {}
        for field in descriptor.fields:
            max_items = field_limits(field.full_name).max_items or sys.maxsize
            nested = {} if field.message_type is None else _places(field.message_type, known)
            place = _Place(max_items if field.is_repeated else MAX_UNKNOWN_ITEMS, nested, field.is_repeated)
            places[field.name.encode()] = places[field.json_name.encode()] = place
    return known[descriptor]
