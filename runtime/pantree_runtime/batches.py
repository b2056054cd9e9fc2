"""Bulk responses in messages of limited size."""

from collections.abc import Iterable, Iterator
from typing import TypeVar

from google.protobuf.message import Message

MessageT = TypeVar("MessageT", bound=Message)

RESPONSE_BYTES = 1 << 20
"""Size of a message of a bulk response, well below gRPC's limit of 4 MiB."""


def split_by_size(entries: Iterable[MessageT], max_bytes: int = RESPONSE_BYTES) -> Iterator[list[MessageT]]:
    """Consecutive entries in lists of at most `max_bytes` in total; a larger entry is a list of its own."""
    batch: list[MessageT] = []
    size = 0
    for entry in entries:
        entry_bytes = entry.ByteSize()
        if batch and size + entry_bytes > max_bytes:
            yield batch
            batch, size = [], 0
        batch.append(entry)
        size += entry_bytes
    if batch:
        yield batch
