"""Answers the entries of a bulk request one by one where they cannot be answered together, and splits the responses."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

import structlog
from google.protobuf.message import Message

from pantree_runtime.errors import InternalError, PantreeError

_log = structlog.get_logger(__name__)

EntryT = TypeVar("EntryT")
ResultT = TypeVar("ResultT")
MessageT = TypeVar("MessageT", bound=Message)


def answer_each(
    entries: Sequence[EntryT], answer_all: Callable[[Sequence[EntryT]], Sequence[ResultT]]
) -> list[ResultT | PantreeError]:
    """Result of each entry, in order, or the error of that entry alone.

    All entries are answered together. If that fails unexpectedly, each is answered alone, so that an entry never fails
    because of another one. A `PantreeError`, such as for an unknown model, concerns all entries and is raised.

    Args:
        entries: the valid entries of a bulk request.
        answer_all: results of some entries, in order.
    """
    try:
        return list(answer_all(entries))
    except PantreeError:
        raise
    except Exception:
        return [answer_alone(entry, lambda entry: answer_all([entry])[0]) for entry in entries]


def answer_alone(entry: EntryT, answer: Callable[[EntryT], ResultT]) -> ResultT | PantreeError:
    """Result of an entry, or its error."""
    try:
        return answer(entry)
    except PantreeError as error:
        return error
    except Exception:
        _log.exception("unexpected error in an entry of a bulk request")
        return InternalError("internal error")


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
