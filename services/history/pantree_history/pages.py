"""Pages of lists."""

from collections.abc import Sequence
from typing import TypeVar

from google.protobuf.message import Message

# Of the 4 MiB that a message may have.
_MAX_PAGE_BYTES = 3 << 20

MessageT = TypeVar("MessageT", bound=Message)


def fitting(messages: Sequence[MessageT]) -> Sequence[MessageT]:
    """The first messages of a page, as many as fit into a response, at least one."""
    size = 0
    for count, message in enumerate(messages):
        size += message.ByteSize()
        if size > _MAX_PAGE_BYTES and count:
            return messages[:count]
    return messages
