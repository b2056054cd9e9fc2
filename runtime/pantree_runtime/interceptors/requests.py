"""Parses and validates requests before they reach a servicer, and limits the memory that they hold."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

from google.protobuf.message import DecodeError, Message

from pantree_runtime import telemetry
from pantree_runtime.cpu import run_cpu
from pantree_runtime.errors import DeadlineExceeded, FieldViolation, InvalidInput, Overloaded, PantreeError
from pantree_runtime.fair_shares import FairShares, Hold, Holder
from pantree_runtime.list_sizes import check_list_sizes
from pantree_runtime.tenants import check_tenants_in
from pantree_runtime.validation import Rule, validate

# Rows are the slowest: 20 ms per megabyte.
_MS_PER_BYTE = 20e-6
# Measured: the message, its Python objects and what is computed from them take up to 8 times its size on the wire.
_BYTES_HELD_PER_BYTE = 8
# Shorter requests are limited by their number.
_MIN_HELD_BYTES = 16 * 1024
_RETRY_SECONDS = 1.0
_WAIT_SECONDS = 0.05
MAX_IDLE_SECONDS = 300.0
"""How long the caller of a bulk stream may take to send its next message."""


class RequestMemory:
    """The memory that requests of a server may hold.

    Args:
        max_bytes: limit of their sum.
    """

    def __init__(self, max_bytes: int) -> None:
        # All requests are of one holder, who gets half.
        self._shares = FairShares(2 * max_bytes)

    def hold(self, size: int) -> Hold | None:
        """What a request of this size holds until it is collected; None if it does not fit."""
        hold = Hold(self._shares, Holder(""))
        fits = size < _MIN_HELD_BYTES or hold.resize(_BYTES_HELD_PER_BYTE * size)
        return hold if fits else None


class ReceivedRequest:
    """A request that has not been validated."""

    __slots__ = ("_hold", "_memory", "_parse", "data", "error", "message", "size")

    def __init__(self, data: bytes, parse: Callable[[bytes], Any], memory: RequestMemory) -> None:
        self._parse = parse
        self._memory = memory
        self._hold: Hold | None = None
        self.data = data
        """Empty once it is parsed."""
        self.size = len(data)
        self.message: Message | None = None
        self.error: PantreeError | None = None

    def parse(self) -> bool:
        """Parses the data, and returns False if its memory is not available now; sets `message` or `error`."""
        self._hold = self._memory.hold(self.size)
        if self._hold is None:
            return False
        descriptor = self._parse.__self__.DESCRIPTOR  # type: ignore[attr-defined]
        try:
            check_list_sizes(self.data, descriptor)
            self.message = self._parse(self.data)
        except InvalidInput as error:
            self.error = error
        except DecodeError:
            violation = FieldViolation("", f"the request is not a serialized {descriptor.full_name}")
            self.error = InvalidInput([violation])
        self.data = b""
        return True


def request_reader(parse: Callable[[bytes], Any], memory: RequestMemory) -> Callable[[bytes], ReceivedRequest]:
    """Deserializer that does not parse messages with a list over its limit, or while the memory is in use.

    It returns errors, because gRPC turns any exception in a deserializer into INTERNAL.

    Args:
        parse: the deserializer of the generated code: `FromString` of the message type.
        memory: of all requests of the server.
    """

    def read(data: bytes) -> ReceivedRequest:
        received = ReceivedRequest(data, parse, memory)
        received.parse()
        return received

    return read


async def valid_request(received: ReceivedRequest, rule: Rule | None) -> Message:
    """The message of a request.

    Raises:
        InvalidInput: naming every field that violates a bound of the contract or the rule.
        Overloaded: if the requests in flight hold too much memory.
        PermissionDenied: if it names a tenant that the caller may not use.
    """
    if received.error is not None:
        raise received.error
    if received.message is None:
        telemetry.CALLS_REFUSED.labels("overloaded").inc()
        raise Overloaded("the requests in flight hold too much memory; try again in a second", _RETRY_SECONDS)
    await run_cpu(received.size * _MS_PER_BYTE, validate, received.message, rule)
    check_tenants_in(received.message)
    return received.message


async def valid_requests(stream: AsyncIterator[ReceivedRequest], rule: Rule | None) -> AsyncIterator[Any]:
    """The messages of a stream of requests. While the memory is in use, the stream waits.

    Raises:
        InvalidInput: at the first message that violates a bound of the contract or the rule.
        DeadlineExceeded: if the caller sends nothing for `MAX_IDLE_SECONDS`.
    """
    source = aiter(stream)
    while True:
        try:
            async with asyncio.timeout(MAX_IDLE_SECONDS):
                received = await anext(source)
        except StopAsyncIteration:
            return
        except TimeoutError:
            telemetry.CALLS_REFUSED.labels("stalled_stream").inc()
            raise DeadlineExceeded(f"the stream sent nothing for {MAX_IDLE_SECONDS:g} seconds") from None
        # A collected request frees memory, and nothing reports that.
        while received.message is None and received.error is None and not received.parse():  # noqa: ASYNC110
            await asyncio.sleep(_WAIT_SECONDS)
        yield await valid_request(received, rule)
