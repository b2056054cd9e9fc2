"""Makes results of messages."""

from dataclasses import fields
from datetime import date
from typing import Any, TypeVar

from google.protobuf.message import Message

ValueT = TypeVar("ValueT")


def value_of(kind: type[ValueT], message: Message, *others: Message, **values: Any) -> ValueT:
    """Instance of a dataclass. Fields that are not in `values` are copied from the first message that has them.

    A field whose type is a message becomes `message` itself.
    """
    for one in fields(kind):  # type: ignore[arg-type] # every kind is a dataclass
        if one.name in values:
            continue
        if isinstance(one.type, type) and issubclass(one.type, Message):
            values[one.name] = message
            continue
        source = next(source for source in (message, *others) if one.name in source.DESCRIPTOR.fields_by_name)
        value = getattr(source, one.name)
        values[one.name] = date.fromisoformat(value) if one.type is date else value
    return kind(**values)
