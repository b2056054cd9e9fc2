"""Checks requests against the bounds in the contract (`pantree_domain.limits`).

Most requests are valid. So one function is compiled for each message type that makes the comparisons one would write by
hand and only returns whether a message is valid. If not, `_report_message` checks field by field and lists violations.
A test compares both with the library protovalidate (docs/decisions/0020-bounds-in-the-contract.md).
"""

import functools
import math
import re
from collections.abc import Callable, Sequence
from datetime import date
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from pantree_domain.limits import NO_LIMITS, FieldLimits, field_limits
from pantree_runtime.errors import FieldViolation, InvalidInput

FIRST_DAY, LAST_DAY = date(1970, 1, 1), date(2199, 12, 31)
# Further violations are only counted.
MAX_VIOLATIONS = 50
MAX_SHOWN_CHARACTERS = 40
_DAY_LENGTH = len("2026-05-22")
_CURRENCY_CODE = re.compile("[A-Z]{3}")
_CONTROL_CHARACTER = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_INVISIBLE_CHARACTER = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]"
)
_FLOATS = (FieldDescriptor.CPPTYPE_DOUBLE, FieldDescriptor.CPPTYPE_FLOAT)
# For shorter lists, numpy is slower than Python.
_MIN_NUMPY_LENGTH = 64

Check = Callable[[Any], bool]

# Adds its violations of a message to those given.
Rule = Callable[[Any, "Violations"], None]


class Violations:
    """The violations found in one request."""

    def __init__(self) -> None:
        self._described: dict[str, FieldViolation] = {}
        self._count = 0

    def add(self, field: str, description: str) -> None:
        """Adds a violation, unless one is listed for the field already.

        Args:
            field: path in the request, such as `items[0].price`.
            description: requirement and value, such as `must be a whole number from 1 to 100; is 0`.
        """
        if field in self._described:
            return
        self._count += 1
        if len(self._described) < MAX_VIOLATIONS:
            self._described[field] = FieldViolation(field, description)

    def within(self, path: str) -> "Violations":
        """A view that takes field paths relative to a nested message, whose own path is given, such as `items[0]`.

        So the full path is built only for violations; most of thousands of rows are valid.
        """
        return _NestedViolations(self, path)

    def raise_if_any(self) -> None:
        """Raises `InvalidInput` with at most `MAX_VIOLATIONS` violations and the number of the others."""
        if self._count:
            raise InvalidInput(list(self._described.values()), self._count - len(self._described))


class _NestedViolations(Violations):
    def __init__(self, outer: Violations, path: str) -> None:
        self._outer = outer
        self._path = path

    def add(self, field: str, description: str) -> None:
        self._outer.add(f"{self._path}.{field}", description)

    def raise_if_any(self) -> None:
        self._outer.raise_if_any()


def validate(message: Message, rule: Rule | None = None) -> None:
    """Checks a message against the bounds of the contract and a rule.

    Args:
        message: a request, or an element of a list whose elements are validated one by one.
        rule: adds violations of what the contract cannot express, such as a bound that is another field. It is also
            called for messages that violate bounds, so that all violations are reported together.

    Raises:
        InvalidInput: naming every field that violates a bound or the rule.
    """
    is_within_bounds = _validator(message.DESCRIPTOR)(message)
    if is_within_bounds and rule is None:
        return
    violations = Violations()
    if not is_within_bounds:
        _report_message(message, "", violations)
    if rule is not None:
        rule(message, violations)
    violations.raise_if_any()


def check_value(field: str, value: Any, path: str, violations: Violations) -> bool:
    """Whether a value from outside a message is within the bounds of a field of the contract.

    Args:
        field: full name of the field, such as `pantree.vector.v1.IndexHistoryRequest.tenant_id`.
        value: the value; numbers must have the field's type.
        path: origin of the value, for the violation.
        violations: gets the violation, if any.
    """
    description = _problem(value, field_limits(field), is_float=isinstance(value, float))
    if description:
        violations.add(path, description)
    return not description


def parse_day(text: str) -> date | None:
    """Calendar day of an ISO 8601 text; None if it is not a day from 1970-01-01 to 2199-12-31."""
    return _parse_day(text) if len(text) == _DAY_LENGTH else None


@functools.lru_cache(maxsize=4096)  # the purchases of a request share a few hundred days
def _parse_day(text: str) -> date | None:
    day = _parse_forecast_day(text)
    return day if day is not None and day <= LAST_DAY else None


def _parse_forecast_day(text: str) -> date | None:
    if len(text) != _DAY_LENGTH:
        return None
    try:
        day = date.fromisoformat(text)
    except ValueError:
        return None
    # `fromisoformat` also accepts weeks, such as 2026-W21-5.
    return day if day >= FIRST_DAY and text[7] == "-" else None


# The compiled check of a message type.


@functools.cache
def _validator(message: Descriptor) -> Check:
    """A compiled function that returns whether all fields of a message are within bounds."""
    names: dict[str, Any] = {
        "control_character": _CONTROL_CHARACTER.search,
        "invisible_character": _INVISIBLE_CHARACTER.search,
        "parse_day": _parse_day,
        "parse_forecast_day": _parse_forecast_day,
        "currency_code": _CURRENCY_CODE.fullmatch,
        "isfinite": math.isfinite,
        "are_numbers": _are_numbers,
        "are_texts": _are_texts,
    }
    statements = _check_message(message, "message", names, (message,))
    if not statements:
        return lambda message: True
    source = "\n    ".join(["def is_valid(message):", *statements, "return True"])
    # The source contains only names and numbers from the contract, never from a request.
    exec(compile(source, f"<bounds of {message.full_name}>", "exec"), names)  # noqa: S102
    is_valid: Check = names["is_valid"]
    return is_valid


def _check_message(
    message: Descriptor, variable: str, names: dict[str, Any], outer: tuple[Descriptor, ...]
) -> list[str]:
    """Lines of source that return False if a message violates a limit.

    Args:
        message: type of the message.
        variable: name of its variable.
        names: gets the objects that the source refers to.
        outer: the types of the messages it is nested in, and its own.
    """
    lines = []
    for field in message.fields:
        limits = field_limits(field.full_name)
        value, has = f"{variable}.{field.name}", f"{variable}.HasField({field.name!r})"
        if field.is_repeated:
            if checks := _check_list(field, limits, names, outer):
                lines += [f"value = {value}", *checks]
        elif field.message_type is not None:
            checks = _check_nested(field.message_type, names, outer)
            checks = [f"message{len(outer)} = {value}", *checks] if checks else []
            if limits.required:
                lines += [f"if not {has}: return False", *checks]
            elif checks:
                lines += [f"if {has}:", *_indented(*checks)]
        else:
            if condition := _condition(field, limits, names):
                # An absent field reads as its default, which may be out of bounds. That is rare, so it is checked last.
                unless = f" and {has}" if field.has_presence else " and value" if limits.ignore_zero_value else ""
                lines += [f"value = {value}", f"if not ({condition}){unless}: return False"]
            if limits.required:
                lines.append(f"if not {has}: return False")
    return lines


def _check_nested(message: Descriptor, names: dict[str, Any], outer: tuple[Descriptor, ...]) -> list[str]:
    """The same for a nested message, in a variable named for its depth."""
    variable = f"message{len(outer)}"
    if message not in outer:
        return _check_message(message, variable, names, (*outer, message))
    names[f"is_valid_{message.name}"] = lambda nested: _validator(message)(nested)
    return [f"if not is_valid_{message.name}({variable}): return False"]


def _check_list(
    field: FieldDescriptor, limits: FieldLimits, names: dict[str, Any], outer: tuple[Descriptor, ...]
) -> list[str]:
    """The same for the list in the variable `value`."""
    lines = []
    if limits.min_items:
        lines.append(f"if len(value) < {limits.min_items}: return False")
    if limits.max_items is not None:
        lines.append(f"if len(value) > {limits.max_items}: return False")
    if limits.unique:
        lines.append("if len(set(value)) < len(value): return False")
    items = limits.items or NO_LIMITS
    if field.message_type is not None:
        checks = [] if items.ignore_always else _check_nested(field.message_type, names, outer)
        return [*lines, f"for message{len(outer)} in value:", *_indented(*checks)] if checks else lines
    condition = _condition(field, items, names)
    if condition and field.cpp_type == FieldDescriptor.CPPTYPE_STRING:
        names[f"limits_{len(names)}"] = items
        lines.append(f"if value and not are_texts(value, limits_{len(names) - 1}): return False")
    elif condition:
        # A copy, because the elements of a Python list are read faster.
        one_by_one = ["for value in value[:]:", f"    if not ({condition}): return False"]
        if limits.max_items is not None and limits.max_items < _MIN_NUMPY_LENGTH:
            return [*lines, *one_by_one]
        names[f"is_in_bounds_{len(names)}"] = eval(f"lambda value: {condition}", names)  # noqa: S307 - as above
        lines += [f"if len(value) < {_MIN_NUMPY_LENGTH}:", *_indented(*one_by_one)]
        lines.append(f"elif not are_numbers(value, is_in_bounds_{len(names) - 1}): return False")
    return lines


def _indented(*lines: str) -> list[str]:
    return [f"    {line}" for line in lines]


def _condition(field: FieldDescriptor, limits: FieldLimits, names: dict[str, Any]) -> str:
    """Expression that is true for values within the limits of a field; empty if there are none."""
    parts = []
    if limits.calendar_day:
        parts.append(f"len(value) == {_DAY_LENGTH} and parse_day(value)")
    if limits.forecast_day:
        parts.append("parse_forecast_day(value)")
    if limits.currency_code:
        parts.append("currency_code(value)")
    if limits.max_length is not None:
        parts.append(f"len(value) <= {limits.max_length}")
    if limits.not_blank:
        parts.append("value and not value.isspace()")
    if limits.no_control_characters:
        # No control character is printable, and few texts contain unprintable characters.
        parts.append("(value.isprintable() or not control_character(value))")
    if limits.no_invisible_characters:
        parts.append("(value.isprintable() or not invisible_character(value))")
    if limits.defined_only:
        names[f"values_{len(names)}"] = frozenset(_enum_names(field))
        parts.append(f"value in values_{len(names) - 1}")
    lower = [f"{limits.minimum!r} <= "] if limits.minimum is not None else []
    lower += [f"{limits.exclusive_minimum!r} < "] if limits.exclusive_minimum is not None else []
    upper = [f" <= {limits.maximum!r}"] if limits.maximum is not None else []
    upper += [f" < {limits.exclusive_maximum!r}"] if limits.exclusive_maximum is not None else []
    if lower or upper:
        parts.append("".join([*lower, "value", *upper]))
    if limits.finite:
        parts.append("isfinite(value)")
    return " and ".join(parts)


def _are_numbers(values: Any, is_in_bounds: Check) -> bool:
    """Whether all numbers of a long list are within bounds."""
    numpy = _numpy()
    if numpy is None:
        return all(map(is_in_bounds, values))
    array = numpy.asarray(values)
    # Both are NaN if any number is.
    return bool(is_in_bounds(numpy.minimum.reduce(array)) and is_in_bounds(numpy.maximum.reduce(array)))


@functools.cache
def _numpy() -> Any:
    """The module numpy; None if it is not installed."""
    try:
        import numpy
    except ImportError:
        return None
    return numpy


def _are_texts(values: Sequence[str], limits: FieldLimits) -> bool:
    """Whether all texts of a nonempty list are within limits."""
    joined = "".join(values)
    unprintable = "" if joined.isprintable() else joined
    return (
        (limits.max_length is None or len(joined) <= limits.max_length or max(map(len, values)) <= limits.max_length)
        and not (limits.not_blank and (not all(values) or any(map(str.isspace, values))))
        and not (limits.no_control_characters and _CONTROL_CHARACTER.search(unprintable))
        and not (limits.no_invisible_characters and _INVISIBLE_CHARACTER.search(unprintable))
    )


# The report of violations.


def _report_message(message: Any, path: str, violations: Violations) -> None:
    """Adds every violation in a message. Its path ends with a dot; that of the request itself is empty."""
    for field in message.DESCRIPTOR.fields:
        limits = field_limits(field.full_name)
        value, field_path = getattr(message, field.name), path + field.name
        if field.is_repeated:
            _report_list(field, value, field_path, limits, violations)
        elif field.has_presence and not message.HasField(field.name):
            if limits.required:
                violations.add(field_path, "is required")
        elif field.message_type is not None:
            if not _validator(field.message_type)(value):
                _report_message(value, field_path + ".", violations)
        elif (value or not limits.ignore_zero_value) and (problem := _problem_of(field, value, limits)):
            violations.add(field_path, problem)


def _report_list(
    field: FieldDescriptor, values: Sequence[Any], path: str, limits: FieldLimits, violations: Violations
) -> None:
    if len(values) < limits.min_items or (limits.max_items is not None and len(values) > limits.max_items):
        violations.add(path, length_problem(len(values), limits))
        return
    items = limits.items or NO_LIMITS
    if items.ignore_always:
        return
    if field.message_type is not None:
        is_valid = _validator(field.message_type)
        for index, value in enumerate(values):
            if not is_valid(value):
                _report_message(value, f"{path}[{index}].", violations)
        return
    first_indices: dict[Any, int] = {}
    for index, value in enumerate(values):
        if problem := _problem_of(field, value, items):
            violations.add(f"{path}[{index}]", problem)
        elif limits.unique and (first := first_indices.setdefault(value, index)) != index:
            violations.add(f"{path}[{index}]", f"must differ from the other elements; is the same as {path}[{first}]")


def length_problem(length: int | None, limits: FieldLimits) -> str:
    """Description of a list that is too short or too long; its length is None if it was not fully counted."""
    if limits.max_items is None:
        range_ = f"at least {limits.min_items:,}"
    elif not limits.min_items:
        range_ = f"at most {limits.max_items:,}"
    else:
        range_ = f"{limits.min_items:,} to {limits.max_items:,}"
    return f"must have {range_} elements; has {'more' if length is None else f'{length:,}'}"


def _problem_of(field: FieldDescriptor, value: Any, limits: FieldLimits) -> str:
    """Description of the violation of a field's value; empty if it is valid."""
    if limits.defined_only:
        names = _enum_names(field)
        return "" if value in names else f"must be one of {', '.join(names.values())}; is {value}"
    return _problem(value, limits, is_float=field.cpp_type in _FLOATS)


@functools.cache
def _enum_names(field: FieldDescriptor) -> dict[int, str]:
    """Names of the values of an enum field, by number."""
    assert field.enum_type is not None
    return {number: value.name for number, value in field.enum_type.values_by_number.items()}


def _problem(value: Any, limits: FieldLimits, *, is_float: bool) -> str:
    if isinstance(value, str):
        return _problem_of_text(value, limits)
    if isinstance(value, bytes | bool):
        return ""
    return _problem_of_number(value, limits, is_float=is_float)


def _problem_of_text(value: str, limits: FieldLimits) -> str:
    if limits.not_blank and not value:
        return "is required"
    if limits.not_blank and value.isspace():
        return "must not be blank"
    if limits.max_length is not None and len(value) > limits.max_length:
        return f"must have at most {limits.max_length:,} characters; has {len(value):,}"
    if limits.no_control_characters and _CONTROL_CHARACTER.search(value):
        return "must not contain control characters, such as line breaks and tabs"
    if limits.currency_code and not _CURRENCY_CODE.fullmatch(value):
        return f"must be an ISO 4217 code, such as EUR; is {shown(value)}"
    if limits.no_invisible_characters and (found := _INVISIBLE_CHARACTER.search(value)):
        return f"must not contain control characters or invisible characters, such as U+{ord(found[0]):04X}"
    is_no_day = limits.calendar_day and parse_day(value) is None
    if is_no_day or (limits.forecast_day and _parse_forecast_day(value) is None):
        if not value:
            return "is required: a calendar day such as 2026-05-22"
        last_day = LAST_DAY if limits.calendar_day else date.max
        return f"must be a calendar day from {FIRST_DAY} to {last_day}, such as 2026-05-22; is {shown(value)}"
    return ""


def shown(text: str) -> str:
    """A caller's text as quoted in errors, cut to 40 characters."""
    return repr(text if len(text) <= MAX_SHOWN_CHARACTERS else f"{text[:MAX_SHOWN_CHARACTERS]}…")


def _problem_of_number(value: float, limits: FieldLimits, *, is_float: bool) -> str:
    if (
        (limits.minimum is None or value >= limits.minimum)
        and (limits.maximum is None or value <= limits.maximum)
        and (limits.exclusive_minimum is None or value > limits.exclusive_minimum)
        and (limits.exclusive_maximum is None or value < limits.exclusive_maximum)
        and (not limits.finite or math.isfinite(value))
    ):
        return ""
    return f"must be {number_range(limits, is_float=is_float)}; is {value:{',g' if is_float else ','}}"


def number_range(limits: FieldLimits, *, is_float: bool) -> str:
    """Description of the valid numbers, such as `a whole number from 1 to 100`."""
    kind, form = ("a number", ",.10g") if is_float else ("a whole number", ",")
    if limits.minimum is not None and limits.maximum is not None:
        return f"{kind} from {limits.minimum:{form}} to {limits.maximum:{form}}"
    bounds = (
        ("of at least", limits.minimum), ("above", limits.exclusive_minimum),
        ("of at most", limits.maximum), ("below", limits.exclusive_maximum),
    )  # fmt: skip
    return f"{kind} " + " and ".join(f"{words} {limit:{form}}" for words, limit in bounds if limit is not None)
