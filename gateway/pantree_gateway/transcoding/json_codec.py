"""Converts between JSON values and protobuf messages, with functions compiled once from the descriptors.

The format is proto3 JSON with the field names of the contract: fields without presence are always written, null means
absent, 64-bit integers are written as strings. It is stricter where a wrong request would otherwise go unnoticed:
unknown fields, non-finite numbers, unknown enum numbers and overlong strings are errors. All errors of a request are
collected with their paths. Types of `google.protobuf` with a special JSON form (Timestamp, Any, Struct, …) are
converted by `google.protobuf.json_format`.
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
from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor
from google.protobuf.message import Message

from pantree_runtime.errors import FieldViolation, InvalidInput
from pantree_runtime.validation import Violations

MAX_STRING_CHARACTERS = 64 * 1024
# Applies to values of unbounded depth: a Struct, or a message that contains its own type.
MAX_DEPTH = 64

# A location in a JSON value: the location of its parent, and the key or index there. Formatted only for errors.
Place = tuple[Any, str | int] | None
Writer = Callable[[Any], Any]
# Returns the value of a field, or _WRONG after adding a violation.
Reader = Callable[[Any, Place, Violations], Any]
# Sets a field of a message from a JSON value.
Setter = Callable[[Any, Any, Place, Violations], None]

_WRONG = object()
_SURROGATE = re.compile("[\ud800-\udfff]")
_NUMBER = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?")
_LARGEST_DOUBLE = sys.float_info.max
# The largest double that rounds to a finite 32-bit float; the shortest decimal of the largest float lies above it.
_LARGEST_FLOAT = (2 - 2**-24) * 2.0**127 * (1 - 2**-53)
_SHOWN_CHARACTERS = 40
_MAX_KNOWN_CHARACTERS = 300

_INT32, _UINT32, _INT64, _UINT64 = (-(2**31), 2**31 - 1), (0, 2**32 - 1), (-(2**63), 2**63 - 1), (0, 2**64 - 1)
_INTEGER_RANGES = {
    **dict.fromkeys((FieldDescriptor.TYPE_INT32, FieldDescriptor.TYPE_SINT32, FieldDescriptor.TYPE_SFIXED32), _INT32),
    **dict.fromkeys((FieldDescriptor.TYPE_UINT32, FieldDescriptor.TYPE_FIXED32), _UINT32),
    **dict.fromkeys((FieldDescriptor.TYPE_INT64, FieldDescriptor.TYPE_SINT64, FieldDescriptor.TYPE_SFIXED64), _INT64),
    **dict.fromkeys((FieldDescriptor.TYPE_UINT64, FieldDescriptor.TYPE_FIXED64), _UINT64),
}
_64_BIT_TYPES = frozenset(kind for kind, (_, maximum) in _INTEGER_RANGES.items() if maximum >= 2**63 - 1)
_FLOAT_TYPES = (FieldDescriptor.TYPE_DOUBLE, FieldDescriptor.TYPE_FLOAT)
WELL_KNOWN = frozenset(
    f"google.protobuf.{name}"
    for name in (
        "Any", "Duration", "FieldMask", "ListValue", "Struct", "Timestamp", "Value", "BoolValue", "BytesValue",
        "DoubleValue", "FloatValue", "Int32Value", "Int64Value", "StringValue", "UInt32Value", "UInt64Value",
    )
)  # fmt: skip
# For these null is a value, not an absent field.
_NULLABLE = frozenset({"google.protobuf.Value", "google.protobuf.NullValue"})


def parse_json(text: bytes | bytearray | str) -> Any:
    """Parsed JSON.

    Accepts NaN and the infinities, which are not JSON, so that the error can name their field.

    Raises:
        InvalidInput: with the position, when it is not JSON.
    """
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        try:
            return json.loads(text)
        except (ValueError, RecursionError):
            where = f"line {error.lineno}, column {error.colno}"
            raise InvalidInput([FieldViolation("", f"the body is not JSON: {error.msg} at {where}")]) from None


class JsonCodec:
    """Converts messages from and to JSON values."""

    def __init__(self, *, max_string_characters: int = MAX_STRING_CHARACTERS) -> None:
        self._max_string_characters = max_string_characters
        self._writers: dict[Descriptor, Writer] = {}
        self._setters: dict[Descriptor, Setter] = {}
        self._field_setters: dict[FieldDescriptor, Setter] = {}

    def write(self, message: Message) -> Any:
        """JSON value of a message."""
        return self.writer(cast(Descriptor, message.DESCRIPTOR))(message)

    def read(self, message: Message, value: Any, violations: Violations) -> None:
        """Sets a message from a JSON value; adds a violation for each wrong field, with its path in the value."""
        self._setter(cast(Descriptor, message.DESCRIPTOR))(message, value, None, violations)

    def read_field(self, message: Message, field: FieldDescriptor, value: Any, violations: Violations) -> None:
        """Sets one field of a message from a JSON value; violations have paths in that value."""
        if value is None and not _nullable(field):
            violations.add("", "the body must be a value; is null")
        else:
            self._field_setter(field)(message, value, None, violations)

    def read_texts(
        self, message: Message, field: FieldDescriptor, texts: Sequence[str], name: str, violations: Violations
    ) -> None:
        """Sets a scalar field, or a message whose JSON form is a string, from path or query parameters.

        Violations name the field `name`.
        """
        values = [_value_of_text(text, field) for text in texts]
        if field.is_repeated:
            self._field_setter(field)(message, values, (None, name), violations)
        elif len(values) > 1:
            violations.add(name, f"must be sent once; is sent {len(values)} times")
        else:
            self._field_setter(field)(message, values[0], (None, name), violations)

    # Writing

    def writer(self, descriptor: Descriptor) -> Writer:
        """Function that converts a message of this type to a JSON value; compiled once."""
        if descriptor not in self._writers:
            # For messages that contain their own type.
            self._writers[descriptor] = lambda message: self._writers[descriptor](message)
            self._writers[descriptor] = self._compile_writer(descriptor)
        return self._writers[descriptor]

    def _compile_writer(self, descriptor: Descriptor) -> Writer:
        if descriptor.full_name in WELL_KNOWN:
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
        """Function that converts the value of a field to JSON; None if the value is JSON already."""
        entry = _map_entry(field)
        if entry is not None:
            write_key: Writer = (lambda key: "true" if key else "false") if _is_bool(entry["key"]) else str
            write_value = self._single_writer(entry["value"]) or (lambda value: value)
            # A map of messages has no items(). Sorted, since the order of a map differs between processes, and equal
            # responses must be identical bytes.
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
        if descriptor.full_name in WELL_KNOWN:
            return self._set_well_known
        setters = {field.name: (field.name, _nullable(field), self._field_setter(field)) for field in descriptor.fields}
        setters |= {field.json_name: setters[field.name] for field in descriptor.fields}
        known = _shortened(", ".join(field.name for field in descriptor.fields), _MAX_KNOWN_CHARACTERS) or "none"
        oneofs = [
            [(field.name, field.json_name) for field in oneof.fields]
            for oneof in descriptor.oneofs
            if len(oneof.fields) > 1
        ]
        contains_itself = _contains_itself(descriptor)

        def set_message(message: Any, value: Any, place: Place, violations: Violations) -> None:
            if not isinstance(value, dict):
                violations.add(*_expected(place, value, "an object"))
                return
            if contains_itself and _depth(place) > MAX_DEPTH:
                violations.add(_format_place(place), f"must not be nested more than {MAX_DEPTH} levels deep")
                return
            for key, part in value.items():
                found = setters.get(key)
                if found is None:
                    violations.add(_format_place((place, _shortened(key))), f"is unknown; known fields: {known}")
                    continue
                name, nullable, set_field = found
                if part is None and not nullable:
                    continue
                if key != name and value.get(name) is not None:
                    violations.add(_format_place((place, key)), f"is another name of {name}; send one of them")
                    continue
                set_field(message, part, (place, key), violations)
            for members in oneofs:
                present = [name for name, alias in members if value.get(name, value.get(alias)) is not None]
                if len(present) > 1:
                    text = f"cannot be combined with {present[0]}; send one of them"
                    violations.add(_format_place((place, present[1])), text)

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
                is_plain = _plain_check(field.message_type, self._max_string_characters)

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
        # A map of messages creates a value on access; a map of scalars allows assignment.
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
                key = read_key(_KEYS_OF_BOOLEANS.get(text, text) if key_is_bool else text, inner, violations)
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
        read_string = _string_reader(self._max_string_characters)
        return read_string if field.type == FieldDescriptor.TYPE_STRING else _bytes_reader(read_string)

    def _set_well_known(self, message: Any, value: Any, place: Place, violations: Violations) -> None:
        if not self._check_plain(value, place, MAX_DEPTH, violations):
            return
        try:
            json_format.ParseDict(value, message)
        except (json_format.ParseError, ValueError, TypeError) as error:
            kind = message.DESCRIPTOR.name
            violations.add(
                _format_place(place),
                f"must be a {kind} in its JSON form ({_shortened(str(error), 200)}); is {_shown(value)}",
            )

    def _check_plain(self, value: Any, place: Place, levels: int, violations: Violations) -> bool:
        """Whether a value of a type without its own fields is within the limits."""
        if levels < 0:
            violations.add(_format_place(place), f"must not be nested more than {MAX_DEPTH} levels deep")
            return False
        if isinstance(value, dict):
            parts: Iterable[tuple[str | int, Any]] = ((_shortened(key), part) for key, part in value.items())
        elif isinstance(value, list):
            parts = enumerate(value)
        elif isinstance(value, str):
            return _string_reader(self._max_string_characters)(value, place, violations) is not _WRONG
        elif isinstance(value, float) and not math.isfinite(value):
            violations.add(*_expected(place, value, "a finite number"))
            return False
        else:
            return True
        valid = [self._check_plain(part, (place, key), levels - 1, violations) for key, part in parts]
        return all(valid)


# Type of the plain JSON values of a field, and the range of the number or of the length of the string.
_Bounds = tuple[Any, float, float]


def _plain_check(descriptor: Descriptor, max_string_characters: int) -> Callable[[Any], bool]:
    """Predicate for JSON objects that need no conversion: they have the message's field names and exact types.

    Nearly all rows of a history do, and the message constructor accepts such an object as keyword arguments. The
    readers of the fields handle the others.
    """
    bounds: dict[str, _Bounds] = {}
    if all(len(oneof.fields) == 1 for oneof in descriptor.oneofs):
        bounds = {
            field.name: found
            for field in descriptor.fields
            if not field.is_repeated and (found := _bounds_of(field, max_string_characters)) is not None
        }

    def is_plain(value: Any) -> bool:
        if type(value) is not dict:
            return False
        for name, part in value.items():
            found = bounds.get(name)
            if found is None:
                return False
            kind, minimum, maximum = found
            if type(part) is not kind:
                return False
            # NaN compares false.
            if not (len(part) <= maximum and part.isascii() if kind is str else minimum <= part <= maximum):
                return False
        return True

    return is_plain


def _bounds_of(field: FieldDescriptor, max_string_characters: int) -> _Bounds | None:
    if field.type in _INTEGER_RANGES:
        return int, *_INTEGER_RANGES[field.type]
    if field.type == FieldDescriptor.TYPE_DOUBLE:
        return float, -_LARGEST_DOUBLE, _LARGEST_DOUBLE
    if field.type == FieldDescriptor.TYPE_FLOAT:
        return float, -_LARGEST_FLOAT, _LARGEST_FLOAT
    if field.type == FieldDescriptor.TYPE_BOOL:
        return bool, False, True
    return (str, 0, max_string_characters) if field.type == FieldDescriptor.TYPE_STRING else None


def _map_entry(field: FieldDescriptor) -> Mapping[str, FieldDescriptor] | None:
    """The fields `key` and `value` of a map; None for other fields."""
    kind = field.message_type
    return kind.fields_by_name if kind is not None and kind.GetOptions().map_entry else None


def _is_bool(field: FieldDescriptor) -> bool:
    return field.type == FieldDescriptor.TYPE_BOOL


_KEYS_OF_BOOLEANS = {"true": True, "false": False}
# The texts that Go's strconv.ParseBool, and so grpc-gateway, accepts.
_BOOLEANS = {
    **dict.fromkeys(("true", "True", "TRUE", "t", "T", "1"), True),
    **dict.fromkeys(("false", "False", "FALSE", "f", "F", "0"), False),
}


def _value_of_text(text: str, field: FieldDescriptor) -> Any:
    """JSON value of a path or query parameter."""
    if _is_bool(field):
        return _BOOLEANS.get(text, text)
    if field.enum_type is not None and (number := _whole_number(text)) is not None:
        return number
    return text


def _nullable(field: FieldDescriptor) -> bool:
    kind = field.message_type or field.enum_type
    return kind is not None and kind.full_name in _NULLABLE and not field.is_repeated


def _contains_itself(descriptor: Descriptor) -> bool:
    """Whether a message of this type can contain another one of its type, at any depth."""
    seen: set[Descriptor] = set()
    pending = [descriptor]
    while pending:
        for field in pending.pop().fields:
            if field.message_type == descriptor:
                return True
            if field.message_type is not None and field.message_type not in seen:
                seen.add(field.message_type)
                pending.append(field.message_type)
    return False


# Locations and values in errors


def _format_place(place: Place) -> str:
    """Location as a path, `items[0].price`; empty for the whole value."""
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


def _shortened(text: str, max_characters: int = _SHOWN_CHARACTERS) -> str:
    """Text from a request, shortened for an error and without unpaired surrogates."""
    shown = text[:max_characters].encode(errors="replace").decode()
    return shown if len(text) <= max_characters else f"{shown}…"


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return "a list"
    return (
        json.dumps(_shortened(value), ensure_ascii=False) if isinstance(value, str) else _shortened(json.dumps(value))
    )


def _expected(place: Place, value: Any, expected: str) -> tuple[str, str]:
    """Path and text of a violation."""
    subject = "must be" if place is not None else "the body must be"
    return _format_place(place), f"{subject} {expected}; is {_shown(value)}"


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
    """A 32-bit float with the fewest digits that parse to the same float."""
    if not math.isfinite(value):
        return _write_double(value)
    for digits in range(6, 9):
        short = float(f"{value:.{digits}g}")
        if abs(short) <= _LARGEST_FLOAT and struct.unpack("<f", struct.pack("<f", short))[0] == value:
            return short
    return value


# Readers of single values


def _integer_reader(minimum: int, maximum: int) -> Reader:
    def read(value: Any, place: Place, violations: Violations) -> Any:
        number = value
        if type(value) is not int:
            number = _whole_number(value)
            if number is None:
                violations.add(*_expected(place, value, "a whole number"))
                return _WRONG
        if minimum <= number <= maximum:
            return number
        violations.add(*_expected(place, value, f"a whole number from {minimum:,} to {maximum:,}"))
        return _WRONG

    return read


def _whole_number(value: Any) -> int | None:
    """Whole number from a float or a string; None for other values."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    # Twenty digits hold any 64-bit number.
    if isinstance(value, str) and len(value) <= 21 and re.fullmatch(r"-?[0-9]+", value):
        return int(value)
    return None


def _number_reader(maximum: float) -> Reader:
    def read(value: Any, place: Place, violations: Violations) -> Any:
        number = value
        if isinstance(value, str) and len(value) <= 400 and _NUMBER.fullmatch(value):
            number = float(value)
        elif type(value) is not float and type(value) is not int:
            violations.add(*_expected(place, value, "a number"))
            return _WRONG
        # NaN compares false. Python's own parser returns integers beyond all floats.
        if abs(number) <= maximum:
            return float(number)
        violations.add(*_expected(place, value, "a finite number"))
        return _WRONG

    return read


def _read_bool(value: Any, place: Place, violations: Violations) -> Any:
    if isinstance(value, bool):
        return value
    violations.add(*_expected(place, value, "true or false"))
    return _WRONG


def _string_reader(max_characters: int) -> Reader:
    def read(value: Any, place: Place, violations: Violations) -> Any:
        if not isinstance(value, str):
            violations.add(*_expected(place, value, "a string"))
            return _WRONG
        if len(value) > max_characters:
            wrong = f"must have at most {max_characters:,} characters; has {len(value):,}"
            violations.add(_format_place(place), wrong)
            return _WRONG
        if not value.isascii() and _SURROGATE.search(value):
            violations.add(_format_place(place), "must be well-formed Unicode; has an unpaired surrogate")
            return _WRONG
        return value

    return read


def _bytes_reader(read_string: Reader) -> Reader:
    def read(value: Any, place: Place, violations: Violations) -> Any:
        text = read_string(value, place, violations)
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
