"""JSON values ↔ protobuf messages, by code compiled once from the descriptors.

The meaning is that of proto3 JSON with the contract's own field names: fields without presence are always written, a
null counts as absent, 64-bit integers are written as texts. It differs where a wrong request would otherwise pass or
surprise: unknown fields, numbers that are not finite, unknown enum numbers and over-long texts are errors, and all
errors of a request are collected with their paths. Types of `google.protobuf` that have a JSON form of their own
(Timestamp, Any, Struct, …) are left to `google.protobuf.json_format`.
"""

import base64
import binascii
import json
import math
import re
import struct
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, cast

import orjson
from google.protobuf import json_format
from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor, OneofDescriptor
from google.protobuf.message import Message

from pantree_runtime.errors import FieldViolation, InvalidInput
from pantree_runtime.validation import Violations

LONGEST_TEXT = 64 * 1024
DEEPEST = 64

# A place in a JSON value: the place around it, and the key or index in that. Texts are made of it only on errors.
Place = tuple[Any, str | int] | None
Writer = Callable[[Any], Any]
# Returns the value of a field, or _WRONG after noting what is wrong with it.
Reader = Callable[[Any, Place, Violations], Any]
# Sets a field of a message from a JSON value.
Setter = Callable[[Any, Any, Place, Violations], None]

_WRONG = object()
_NUMBER = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?")
_LARGEST_DOUBLE = sys.float_info.max
# The largest number that is rounded to a finite float of 32 bits: the shortest text of the largest one lies above it.
_LARGEST_FLOAT = (2 - 2**-24) * 2.0**127 * (1 - 2**-53)
_SHOWN_CHARACTERS = 40

_INTEGER_RANGES = {
    FieldDescriptor.TYPE_INT32: (-(2**31), 2**31 - 1),
    FieldDescriptor.TYPE_SINT32: (-(2**31), 2**31 - 1),
    FieldDescriptor.TYPE_SFIXED32: (-(2**31), 2**31 - 1),
    FieldDescriptor.TYPE_UINT32: (0, 2**32 - 1),
    FieldDescriptor.TYPE_FIXED32: (0, 2**32 - 1),
    FieldDescriptor.TYPE_INT64: (-(2**63), 2**63 - 1),
    FieldDescriptor.TYPE_SINT64: (-(2**63), 2**63 - 1),
    FieldDescriptor.TYPE_SFIXED64: (-(2**63), 2**63 - 1),
    FieldDescriptor.TYPE_UINT64: (0, 2**64 - 1),
    FieldDescriptor.TYPE_FIXED64: (0, 2**64 - 1),
}
_64_BIT_TYPES = frozenset(kind for kind, (_, most) in _INTEGER_RANGES.items() if most >= 2**63 - 1)
_FLOAT_TYPES = (FieldDescriptor.TYPE_DOUBLE, FieldDescriptor.TYPE_FLOAT)
_WELL_KNOWN = frozenset(
    f"google.protobuf.{name}"
    for name in (
        "Any", "Duration", "FieldMask", "ListValue", "Struct", "Timestamp", "Value", "BoolValue", "BytesValue",
        "DoubleValue", "FloatValue", "Int32Value", "Int64Value", "StringValue", "UInt32Value", "UInt64Value",
    )
)  # fmt: skip
# For these a null is a value, not an absent field.
_NULLABLE = frozenset({"google.protobuf.Value", "google.protobuf.NullValue"})


def parse_json(text: bytes | str) -> Any:
    """JSON value of a text.

    NaN and the infinities pass, although no JSON has them, so that the reader of the field can be told about them.

    Raises:
        InvalidInput: with the position, when it is no JSON.
    """
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        try:
            return json.loads(text)
        except (ValueError, RecursionError):
            where = f"line {error.lineno}, column {error.colno}"
            raise InvalidInput([FieldViolation("", f"the body is not JSON: {error.msg} at {where}")]) from None


def write_json(value: Any) -> bytes:
    """JSON text of a value."""
    return orjson.dumps(value)


class JsonCodec:
    """Reads and writes messages as JSON values.

    Args:
        longest_text: most characters of one text.
        deepest: most levels of a value of unbounded depth, such as a Struct or a message that holds its own kind.
    """

    def __init__(self, *, longest_text: int = LONGEST_TEXT, deepest: int = DEEPEST) -> None:
        self._longest_text = longest_text
        self._deepest = deepest
        self._writers: dict[Descriptor, Writer] = {}
        self._setters: dict[Descriptor, Setter] = {}
        self._field_setters: dict[FieldDescriptor, Setter] = {}

    def write(self, message: Message) -> Any:
        """JSON value of a message."""
        return self.writer(cast(Descriptor, message.DESCRIPTOR))(message)

    def read(self, message: Message, value: Any, violations: Violations) -> None:
        """Sets a message from a JSON value, and notes every wrong field with its path in the value."""
        self._setter(cast(Descriptor, message.DESCRIPTOR))(message, value, None, violations)

    def read_field(self, message: Message, field: FieldDescriptor, value: Any, violations: Violations) -> None:
        """Sets one field of a message from a JSON value, and notes what is wrong with paths in that value."""
        if value is None and not _nullable(field):
            violations.add("", "the body is null; give a value")
        else:
            self._field_setter(field)(message, value, None, violations)

    def read_texts(
        self, message: Message, field: FieldDescriptor, texts: Sequence[str], name: str, violations: Violations
    ) -> None:
        """Sets one field of a message from the texts of a path or a query.

        Args:
            message: message to set.
            field: a field that is no message, unless of a kind that has a text as its JSON form.
            texts: one text, or any number for a repeated field.
            name: what to call the field in errors.
            violations: gets what is wrong.
        """
        values = [_value_of_text(text, field) for text in texts]
        if field.is_repeated:
            self._field_setter(field)(message, values, (None, name), violations)
        elif len(values) > 1:
            violations.add(name, f"is given {len(values)} times; give it once")
        else:
            self._field_setter(field)(message, values[0], (None, name), violations)

    # Writing

    def writer(self, descriptor: Descriptor) -> Writer:
        """What turns a message of this kind into a JSON value; made once."""
        if descriptor not in self._writers:
            # A message that holds its own kind finds this while it is being compiled.
            self._writers[descriptor] = lambda message: self._writers[descriptor](message)
            self._writers[descriptor] = self._compile_writer(descriptor)
        return self._writers[descriptor]

    def _compile_writer(self, descriptor: Descriptor) -> Writer:
        if descriptor.full_name in _WELL_KNOWN:
            return _write_well_known
        steps = [
            (field.name, field.has_presence and not field.is_repeated, self._value_writer(field))
            for field in descriptor.fields
        ]

        isfinite = math.isfinite

        def write(message: Any) -> dict[str, Any]:
            value: dict[str, Any] = {}
            for name, has_presence, write_value in steps:
                if has_presence and not message.HasField(name):
                    continue
                part = getattr(message, name)
                if write_value is None or (write_value is _write_double and isfinite(part)):
                    value[name] = part
                else:
                    value[name] = write_value(part)
            return value

        return write

    def _value_writer(self, field: FieldDescriptor) -> Writer | None:
        """What turns the value of a field into JSON; None when it is JSON already."""
        entry = _map_entry(field)
        if entry is not None:
            write_key = _key_writer(entry["key"])
            write_value = self._single_writer(entry["value"]) or (lambda value: value)
            # Not items(): a map of messages hands its values out by key only. Sorted, since the order in which a map is
            # held differs from process to process, and equal answers must be equal to the byte.
            return lambda values: {write_key(key): write_value(values[key]) for key in sorted(values)}
        write_one = self._single_writer(field)
        if not field.is_repeated:
            return write_one
        if write_one is None:
            return list
        if write_one is _write_double:
            return lambda values: (
                list(values) if all(map(math.isfinite, values)) else [_write_double(value) for value in values]
            )
        return lambda values: [write_one(value) for value in values]

    def _single_writer(self, field: FieldDescriptor) -> Writer | None:
        if field.message_type is not None:
            return self.writer(field.message_type)
        if field.enum_type is not None:
            if field.enum_type.full_name in _NULLABLE:
                return lambda _number: None
            names = {value.number: value.name for value in field.enum_type.values}
            return lambda number: names.get(number, number)
        if field.type == FieldDescriptor.TYPE_DOUBLE:
            return _write_double
        if field.type == FieldDescriptor.TYPE_FLOAT:
            return _write_float
        if field.type == FieldDescriptor.TYPE_BYTES:
            return lambda value: base64.b64encode(value).decode("ascii")
        return str if field.type in _64_BIT_TYPES else None

    # Reading

    def _setter(self, descriptor: Descriptor) -> Setter:
        if descriptor not in self._setters:
            self._setters[descriptor] = lambda *arguments: self._setters[descriptor](*arguments)
            self._setters[descriptor] = self._compile_setter(descriptor)
        return self._setters[descriptor]

    def _compile_setter(self, descriptor: Descriptor) -> Setter:
        if descriptor.full_name in _WELL_KNOWN:
            return self._set_well_known
        setters = {field.name: (field.name, _nullable(field), self._field_setter(field)) for field in descriptor.fields}
        setters |= {field.json_name: setters[field.name] for field in descriptor.fields}
        known = ", ".join(field.name for field in descriptor.fields) or "none"
        oneofs = [_member_names(oneof) for oneof in descriptor.oneofs if len(oneof.fields) > 1]
        deepest = self._deepest if _holds_itself(descriptor) else None

        def set_message(message: Any, value: Any, place: Place, violations: Violations) -> None:
            if not isinstance(value, dict):
                violations.add(*_expected(place, value, "an object"))
                return
            if deepest is not None and _depth(place) > deepest:
                violations.add(_text(place), f"lies more than {deepest} levels deep; nest less")
                return
            for key, part in value.items():
                found = setters.get(key)
                if found is None:
                    violations.add(_text((place, _shortened(key))), f"is unknown; known are {known}")
                    continue
                name, nullable, set_field = found
                if part is None and not nullable:
                    continue
                if key != name and value.get(name) is not None:
                    violations.add(_text((place, key)), f"is the same as {name}; give one of them")
                    continue
                set_field(message, part, (place, key), violations)
            for members in oneofs:
                given = [name for name, alias in members if value.get(name, value.get(alias)) is not None]
                if len(given) > 1:
                    violations.add(_text((place, given[1])), f"excludes {given[0]}; give one of them")

        return set_message

    def _field_setter(self, field: FieldDescriptor) -> Setter:
        setter = self._field_setters.get(field)
        if setter is None:
            setter = self._field_setters[field] = self._compile_field_setter(field)
        return setter

    def _compile_field_setter(self, field: FieldDescriptor) -> Setter:
        entry = _map_entry(field)
        if entry is not None:
            return self._map_setter(field.name, entry["key"], entry["value"])
        name = field.name
        if field.message_type is not None:
            set_message = self._setter(field.message_type)
            if field.is_repeated:
                is_plain = _plainness(field.message_type, self._longest_text)

                def set_messages(message: Any, value: Any, place: Place, violations: Violations) -> None:
                    if not isinstance(value, list):
                        violations.add(*_expected(place, value, "a list"))
                        return
                    add = getattr(message, name).add
                    for index, part in enumerate(value):
                        if is_plain(part):
                            add(**part)
                        else:
                            set_message(add(), part, (place, index), violations)

                return set_messages

            def set_submessage(message: Any, value: Any, place: Place, violations: Violations) -> None:
                part = getattr(message, name)
                part.SetInParent()
                set_message(part, value, place, violations)

            return set_submessage

        read = self._reader(field)
        if field.is_repeated:

            def set_scalars(message: Any, value: Any, place: Place, violations: Violations) -> None:
                if not isinstance(value, list):
                    violations.add(*_expected(place, value, "a list"))
                    return
                values = [read(part, (place, index), violations) for index, part in enumerate(value)]
                if _WRONG not in values:
                    getattr(message, name).extend(values)

            return set_scalars

        def set_scalar(message: Any, value: Any, place: Place, violations: Violations) -> None:
            part = read(value, place, violations)
            if part is not _WRONG:
                setattr(message, name, part)

        return set_scalar

    def _map_setter(self, name: str, key_field: FieldDescriptor, value_field: FieldDescriptor) -> Setter:
        read_key = self._reader(key_field)
        key_is_bool = _is_bool(key_field)
        # A map of messages makes the value of a key when it is asked for; a map of scalars is assigned to.
        kind = value_field.message_type
        set_value = self._setter(kind) if kind is not None else None
        read_value = self._reader(value_field) if kind is None else None

        def set_map(message: Any, value: Any, place: Place, violations: Violations) -> None:
            if not isinstance(value, dict):
                violations.add(*_expected(place, value, "an object"))
                return
            values = getattr(message, name)
            for text, part in value.items():
                inner = (place, _shortened(text))
                key = read_key(_bool_of(text) if key_is_bool else text, inner, violations)
                if key is _WRONG:
                    continue
                if set_value is not None:
                    set_value(values[key], part, inner, violations)
                elif read_value is not None and (read := read_value(part, inner, violations)) is not _WRONG:
                    values[key] = read

        return set_map

    def _reader(self, field: FieldDescriptor) -> Reader:
        if field.type in _INTEGER_RANGES:
            return _integer_reader(*_INTEGER_RANGES[field.type])
        if field.type in _FLOAT_TYPES:
            return _number_reader(_LARGEST_FLOAT if field.type == FieldDescriptor.TYPE_FLOAT else _LARGEST_DOUBLE)
        if field.type == FieldDescriptor.TYPE_BOOL:
            return _read_bool
        if field.enum_type is not None:
            return _enum_reader(field.enum_type)
        read_text = _text_reader(self._longest_text)
        return read_text if field.type == FieldDescriptor.TYPE_STRING else _bytes_reader(read_text)

    def _set_well_known(self, message: Any, value: Any, place: Place, violations: Violations) -> None:
        if not self._check_plain(value, place, self._deepest, violations):
            return
        try:
            json_format.ParseDict(value, message)
        except (json_format.ParseError, ValueError, TypeError) as error:
            kind = message.DESCRIPTOR.name
            violations.add(
                _text(place), f"is {_shown(value)}; give a {kind} in its JSON form ({_shortened(str(error), 200)})"
            )

    def _check_plain(self, value: Any, place: Place, levels: int, violations: Violations) -> bool:
        """Whether a value that no descriptor describes keeps within the limits."""
        if levels < 0:
            violations.add(_text(place), f"lies more than {self._deepest} levels deep; nest less")
            return False
        if isinstance(value, dict):
            parts: Iterable[tuple[str | int, Any]] = ((_shortened(key), part) for key, part in value.items())
        elif isinstance(value, list):
            parts = enumerate(value)
        elif isinstance(value, str):
            return _text_reader(self._longest_text)(value, place, violations) is not _WRONG
        elif isinstance(value, float) and not math.isfinite(value):
            violations.add(*_expected(place, value, "a finite number"))
            return False
        else:
            return True
        right = [self._check_plain(part, (place, key), levels - 1, violations) for key, part in parts]
        return all(right)


# Type of the plain JSON values of a field, and the least and the most of a number, or of the length of a text.
_Bounds = tuple[Any, float, float]


def _plainness(descriptor: Descriptor, longest_text: int) -> Callable[[Any], bool]:
    """Tells the JSON objects that are right as they stand: made of a message's own names and values.

    Rows of a history nearly all are; a message takes such an object in one go. Of others the reader of each field tells
    whether and how they can be read.
    """
    bounds: dict[str, _Bounds] = {}
    if all(len(oneof.fields) == 1 for oneof in descriptor.oneofs):
        bounds = {
            field.name: found
            for field in descriptor.fields
            if not field.is_repeated and (found := _bounds_of(field, longest_text)) is not None
        }

    def is_plain(value: Any) -> bool:
        if type(value) is not dict:
            return False
        for name, part in value.items():
            found = bounds.get(name)
            if found is None:
                return False
            kind, least, most = found
            if type(part) is not kind:
                return False
            # NaN compares false.
            if not (len(part) <= most and part.isascii() if kind is str else least <= part <= most):
                return False
        return True

    return is_plain


def _bounds_of(field: FieldDescriptor, longest_text: int) -> _Bounds | None:
    if field.type in _INTEGER_RANGES:
        return int, *_INTEGER_RANGES[field.type]
    if field.type == FieldDescriptor.TYPE_DOUBLE:
        return float, -_LARGEST_DOUBLE, _LARGEST_DOUBLE
    if field.type == FieldDescriptor.TYPE_FLOAT:
        return float, -_LARGEST_FLOAT, _LARGEST_FLOAT
    if field.type == FieldDescriptor.TYPE_BOOL:
        return bool, False, True
    return (str, 0, longest_text) if field.type == FieldDescriptor.TYPE_STRING else None


def _map_entry(field: FieldDescriptor) -> Mapping[str, FieldDescriptor] | None:
    """Fields `key` and `value` of a map; None for a field that is none."""
    kind = field.message_type
    return kind.fields_by_name if kind is not None and kind.GetOptions().map_entry else None


def _is_bool(field: FieldDescriptor) -> bool:
    return field.type == FieldDescriptor.TYPE_BOOL


def _bool_of(text: str) -> bool | str:
    """Truth value that the key of a map writes as a text; the text itself when it is none."""
    return {"true": True, "false": False}.get(text, text)


# What Go's strconv.ParseBool takes, and with it grpc-gateway.
_TRUTH_TEXTS = {
    **dict.fromkeys(("true", "True", "TRUE", "t", "T", "1"), True),
    **dict.fromkeys(("false", "False", "FALSE", "f", "F", "0"), False),
}


def _value_of_text(text: str, field: FieldDescriptor) -> Any:
    """JSON value that a text in a path or a query stands for, where that is no text."""
    if _is_bool(field):
        return _TRUTH_TEXTS.get(text, text)
    if field.enum_type is not None and (number := _whole_number(text)) is not None:
        return number
    return text


def _nullable(field: FieldDescriptor) -> bool:
    kind = field.message_type or field.enum_type
    return kind is not None and kind.full_name in _NULLABLE and not field.is_repeated


def _member_names(oneof: OneofDescriptor) -> list[tuple[str, str]]:
    return [(field.name, field.json_name) for field in oneof.fields]


def _holds_itself(descriptor: Descriptor) -> bool:
    """Whether a message of this kind can hold another one of the same kind, at any depth."""
    seen: set[Descriptor] = set()
    waiting = [descriptor]
    while waiting:
        for field in waiting.pop().fields:
            if field.message_type == descriptor:
                return True
            if field.message_type is not None and field.message_type not in seen:
                seen.add(field.message_type)
                waiting.append(field.message_type)
    return False


# Places and values in errors


def _text(place: Place) -> str:
    """Place as people write it: `items[0].price`; empty for the whole value."""
    parts: list[str] = []
    while place is not None:
        place, key = place
        parts.append(f"[{key}]" if isinstance(key, int) else f".{key}")
    return "".join(reversed(parts)).removeprefix(".")


def _depth(place: Place) -> int:
    depth = 0
    while place is not None:
        place = place[0]
        depth += 1
    return depth


def _shortened(text: str, longest: int = _SHOWN_CHARACTERS) -> str:
    """Text of a request as an error may show it: not too long, and without halves of surrogate pairs."""
    shown = text[:longest].encode(errors="replace").decode()
    return shown if len(text) <= longest else f"{shown}…"


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return "a list"
    return (
        json.dumps(_shortened(value), ensure_ascii=False) if isinstance(value, str) else _shortened(json.dumps(value))
    )


def _expected(place: Place, value: Any, expected: str) -> tuple[str, str]:
    """Path of a wrong value, and what to give instead."""
    subject = "is" if place is not None else "the body is"
    return _text(place), f"{subject} {_shown(value)}; give {expected}"


# Writers of single values


def _write_well_known(message: Message) -> Any:
    return json_format.MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )


def _write_double(value: float) -> float | str:
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _write_float(value: float) -> float | str:
    """A float of 32 bits with the fewest digits that read back as the same one."""
    if not math.isfinite(value):
        return _write_double(value)
    for digits in range(6, 9):
        short = float(f"{value:.{digits}g}")
        if abs(short) <= _LARGEST_FLOAT and struct.unpack("<f", struct.pack("<f", short))[0] == value:
            return short
    return value


def _key_writer(field: FieldDescriptor) -> Callable[[Any], str]:
    return (lambda key: "true" if key else "false") if _is_bool(field) else str


# Readers of single values


def _integer_reader(least: int, most: int) -> Reader:
    def read(value: Any, place: Place, violations: Violations) -> Any:
        number = value
        if type(value) is not int:
            number = _whole_number(value)
            if number is None:
                violations.add(*_expected(place, value, "a whole number"))
                return _WRONG
        if least <= number <= most:
            return number
        violations.add(*_expected(place, value, f"a whole number from {least:,} to {most:,}"))
        return _WRONG

    return read


def _whole_number(value: Any) -> int | None:
    """Whole number that a float or a text stands for; None when it stands for none."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    # Twenty digits hold any 64-bit number; longer ones would only cost time.
    if isinstance(value, str) and len(value) <= 21 and re.fullmatch(r"-?[0-9]+", value):
        return int(value)
    return None


def _number_reader(largest: float) -> Reader:
    def read(value: Any, place: Place, violations: Violations) -> Any:
        number = value
        if isinstance(value, str) and len(value) <= 400 and _NUMBER.fullmatch(value):
            number = float(value)
        elif type(value) is not float and type(value) is not int:
            violations.add(*_expected(place, value, "a number"))
            return _WRONG
        # NaN compares false. An integer beyond all floats comes from a text that only Python's own parser reads.
        if abs(number) <= largest:
            return float(number)
        violations.add(*_expected(place, value, "a finite number"))
        return _WRONG

    return read


def _read_bool(value: Any, place: Place, violations: Violations) -> Any:
    if isinstance(value, bool):
        return value
    violations.add(*_expected(place, value, "true or false"))
    return _WRONG


def _text_reader(longest: int) -> Reader:
    def read(value: Any, place: Place, violations: Violations) -> Any:
        if not isinstance(value, str):
            violations.add(*_expected(place, value, "a text"))
            return _WRONG
        if len(value) > longest:
            violations.add(_text(place), f"has {len(value):,} characters; shorten it to at most {longest:,}")
            return _WRONG
        if not value.isascii() and not _is_unicode(value):
            violations.add(_text(place), "has half of a surrogate pair; give well-formed Unicode")
            return _WRONG
        return value

    return read


def _is_unicode(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _bytes_reader(read_text: Reader) -> Reader:
    def read(value: Any, place: Place, violations: Violations) -> Any:
        text = read_text(value, place, violations)
        if text is _WRONG:
            return _WRONG
        standard = text.rstrip("=").translate({ord("-"): "+", ord("_"): "/"})
        try:
            return base64.b64decode(standard + "=" * (-len(standard) % 4), validate=True)
        except (binascii.Error, ValueError):
            violations.add(*_expected(place, value, "bytes in base64"))
            return _WRONG

    return read


def _enum_reader(descriptor: EnumDescriptor) -> Reader:
    numbers: Mapping[str, int] = {value.name: value.number for value in descriptor.values}
    known = frozenset(numbers.values())
    expected = f"one of {', '.join(numbers)}"
    absent = 0 if descriptor.full_name in _NULLABLE else _WRONG

    def read(value: Any, place: Place, violations: Violations) -> Any:
        if value is None and absent is not _WRONG:
            return absent
        number = numbers.get(value) if isinstance(value, str) else _WRONG if isinstance(value, bool) else value
        if isinstance(number, int) and number in known:
            return number
        violations.add(*_expected(place, value, expected))
        return _WRONG

    return read
