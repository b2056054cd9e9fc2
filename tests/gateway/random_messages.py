"""Random messages of any type, for comparing codecs."""

import string
from collections.abc import Callable
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from google.protobuf.struct_pb2 import Struct
from hypothesis import strategies as st

from pantree.purchase.v1.purchase_pb2 import BasketItem

_SIGNED_32 = st.integers(-(2**31), 2**31 - 1)
_SIGNED_64 = st.integers(-(2**63), 2**63 - 1)
_UNSIGNED_32 = st.integers(0, 2**32 - 1)
_UNSIGNED_64 = st.integers(0, 2**64 - 1)
_TEXTS = st.text(st.characters(codec="utf-8"), max_size=8)
_NAMES = st.text(string.ascii_lowercase, min_size=1, max_size=8)

_SCALARS: dict[int, st.SearchStrategy[Any]] = {
    FieldDescriptor.TYPE_INT32: _SIGNED_32,
    FieldDescriptor.TYPE_SINT32: _SIGNED_32,
    FieldDescriptor.TYPE_SFIXED32: _SIGNED_32,
    FieldDescriptor.TYPE_UINT32: _UNSIGNED_32,
    FieldDescriptor.TYPE_FIXED32: _UNSIGNED_32,
    FieldDescriptor.TYPE_INT64: _SIGNED_64,
    FieldDescriptor.TYPE_SINT64: _SIGNED_64,
    FieldDescriptor.TYPE_SFIXED64: _SIGNED_64,
    FieldDescriptor.TYPE_UINT64: _UNSIGNED_64,
    FieldDescriptor.TYPE_FIXED64: _UNSIGNED_64,
    FieldDescriptor.TYPE_BOOL: st.booleans(),
    FieldDescriptor.TYPE_STRING: _TEXTS,
    FieldDescriptor.TYPE_BYTES: st.binary(max_size=8),
}
_JSON_VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | _TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_NAMES, inner, max_size=3),
    max_leaves=4,
)


def _set_struct(message: Any, draw: Callable[..., Any]) -> None:
    message.update(draw(st.dictionaries(_NAMES, _JSON_VALUES, max_size=3)))


def _set_value(message: Any, draw: Callable[..., Any]) -> None:
    holder = Struct()
    holder.update({"value": draw(_JSON_VALUES)})
    message.CopyFrom(holder.fields["value"])


def _set_any(message: Any, draw: Callable[..., Any]) -> None:
    message.Pack(BasketItem(name=draw(_TEXTS), price=1.5))


_WELL_KNOWN: dict[str, Callable[[Any, Callable[..., Any]], None]] = {
    "google.protobuf.Timestamp": lambda message, draw: message.FromSeconds(draw(st.integers(-(10**10), 10**10))),
    "google.protobuf.Duration": lambda message, draw: message.FromNanoseconds(draw(st.integers(-(10**15), 10**15))),
    "google.protobuf.FieldMask": lambda message, draw: message.paths.extend(draw(st.lists(_NAMES, max_size=3))),
    "google.protobuf.Struct": _set_struct,
    "google.protobuf.Value": _set_value,
    "google.protobuf.Any": _set_any,
}


def messages(descriptor: Descriptor, *, finite: bool, levels: int = 2) -> st.SearchStrategy[Any]:
    """Messages of a type.

    Args:
        descriptor: the type.
        finite: whether numbers must be finite.
        levels: how deeply messages may be nested.
    """

    @st.composite
    def make(draw: Callable[..., Any]) -> Message:
        message = GetMessageClass(descriptor)()
        fill(message, draw, levels)
        return message

    def fill(message: Any, draw: Callable[..., Any], left: int) -> None:
        kind = message.DESCRIPTOR
        if kind.full_name in _WELL_KNOWN:
            _WELL_KNOWN[kind.full_name](message, draw)
            return
        for field in kind.fields:
            if not draw(st.booleans()) or (field.message_type is not None and left == 0):
                continue
            count = draw(st.integers(0, 3))
            container = getattr(message, field.name)
            if field.message_type is not None and field.message_type.GetOptions().map_entry:
                key_field, value_field = (field.message_type.fields_by_name[name] for name in ("key", "value"))
                for _ in range(count):
                    key = draw(scalars(key_field))
                    if value_field.message_type is not None:
                        fill(container[key], draw, left - 1)
                    else:
                        container[key] = draw(scalars(value_field))
            elif field.message_type is not None and field.is_repeated:
                for _ in range(count):
                    fill(container.add(), draw, left - 1)
            elif field.message_type is not None:
                container.SetInParent()
                fill(container, draw, left - 1)
            elif field.is_repeated:
                container.extend(draw(scalars(field)) for _ in range(count))
            else:
                setattr(message, field.name, draw(scalars(field)))

    def scalars(field: FieldDescriptor) -> st.SearchStrategy[Any]:
        if field.enum_type is not None:
            return st.sampled_from([value.number for value in field.enum_type.values])
        if field.type == FieldDescriptor.TYPE_FLOAT:
            # json_format cannot parse the largest numbers that it writes.
            return st.floats(-(2.0**127), 2.0**127, width=32) if finite else st.floats(width=32)
        if field.type == FieldDescriptor.TYPE_DOUBLE:
            return st.floats(allow_nan=not finite, allow_infinity=not finite)
        return _SCALARS[field.type]

    return make()
