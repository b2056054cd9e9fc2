"""Requests as servicers get them: parsed, and within the bounds of the contract."""

from collections.abc import AsyncIterator, Callable
from typing import Any, NamedTuple

from google.protobuf.message import Message

from pantree_runtime.cpu import run_cpu
from pantree_runtime.errors import InvalidInput
from pantree_runtime.list_sizes import check_list_sizes
from pantree_runtime.validation import Rule, validate

# Rows take longest: a megabyte of them 20 ms.
_MS_PER_BYTE = 20e-6


class ReceivedRequest(NamedTuple):
    """A request that is not validated yet."""

    message: Message | None
    """None when it was not parsed because of the error."""
    size: int
    """Size in bytes."""
    error: InvalidInput | None = None


def request_reader(parse: Callable[[bytes], Any]) -> Callable[[bytes], ReceivedRequest]:
    """Deserializer that does not parse a message with a list over its limit.

    gRPC turns each error in a deserializer into INTERNAL, so that the error is returned.

    Args:
        parse: the deserializer of generated code: `FromString` of the message type.
    """
    descriptor = parse.__self__.DESCRIPTOR  # type: ignore[attr-defined]

    def read(data: bytes) -> ReceivedRequest:
        try:
            check_list_sizes(data, descriptor)
        except InvalidInput as error:
            return ReceivedRequest(None, len(data), error)
        return ReceivedRequest(parse(data), len(data))

    return read


async def valid_request(received: ReceivedRequest, rule: Rule | None) -> Message:
    """The message of a request.

    Args:
        received: the request.
        rule: what must hold besides the bounds in the contract.

    Raises:
        InvalidInput: naming every field that violates a bound or the rule.
    """
    if received.error is not None:
        raise received.error
    assert received.message is not None
    await run_cpu(received.size * _MS_PER_BYTE, validate, received.message, rule)
    return received.message


async def valid_requests(stream: AsyncIterator[ReceivedRequest], rule: Rule | None) -> AsyncIterator[Any]:
    """The messages of a stream of requests.

    Raises:
        InvalidInput: at the first message that violates a bound or the rule.
    """
    async for received in stream:
        yield await valid_request(received, rule)
