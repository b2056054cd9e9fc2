"""Splits bulk responses into messages of limited size."""

from collections.abc import Iterable, Iterator
from typing import TypeVar

from google.protobuf.message import Message

MessageT = TypeVar("MessageT", bound=Message)


def split_by_size(entries: Iterable[MessageT], max_bytes: int = 1 << 20) -> Iterator[list[MessageT]]:
    """Lists of consecutive entries, each at most `max_bytes` in total. A larger entry gets a list of its own.

    The default is well below gRPC's limit of 4 MiB.
    """
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
