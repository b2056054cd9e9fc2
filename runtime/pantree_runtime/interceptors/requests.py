"""Parses and validates requests before they reach a servicer."""

from collections.abc import AsyncIterator, Callable
from typing import Any, NamedTuple

from google.protobuf.message import DecodeError, Message

from pantree_runtime.cpu import run_cpu
from pantree_runtime.errors import FieldViolation, InvalidInput
from pantree_runtime.list_sizes import check_list_sizes
from pantree_runtime.validation import Rule, validate

# Rows are the slowest: 20 ms per megabyte.
_MS_PER_BYTE = 20e-6


class ReceivedRequest(NamedTuple):
    """A request that has not been validated."""

    message: Message | None
    """None if `error` prevented parsing."""
    size: int
    """Bytes."""
    error: InvalidInput | None = None


def request_reader(parse: Callable[[bytes], Any]) -> Callable[[bytes], ReceivedRequest]:
    """Deserializer that does not parse messages with a list over its limit.

    It returns this error, or that the message is malformed, because gRPC turns any exception in a deserializer into
    INTERNAL.

    Args:
        parse: the deserializer of the generated code: `FromString` of the message type.
    """
    descriptor = parse.__self__.DESCRIPTOR  # type: ignore[attr-defined]

    def read(data: bytes) -> ReceivedRequest:
        try:
            check_list_sizes(data, descriptor)
        except InvalidInput as error:
            return ReceivedRequest(None, len(data), error)
        try:
            return ReceivedRequest(parse(data), len(data))
        except DecodeError:
            violation = FieldViolation("", f"the request is not a serialized {descriptor.full_name}")
            return ReceivedRequest(None, len(data), InvalidInput([violation]))

    return read


async def valid_request(received: ReceivedRequest, rule: Rule | None) -> Message:
    """The message of a request.

    Raises:
        InvalidInput: naming every field that violates a bound of the contract or the rule.
    """
    if received.error is not None:
        raise received.error
    assert received.message is not None
    await run_cpu(received.size * _MS_PER_BYTE, validate, received.message, rule)
    return received.message


async def valid_requests(stream: AsyncIterator[ReceivedRequest], rule: Rule | None) -> AsyncIterator[Any]:
    """The messages of a stream of requests.

    Raises:
        InvalidInput: at the first message that violates a bound of the contract or the rule.
    """
    async for received in stream:
        yield await valid_request(received, rule)
