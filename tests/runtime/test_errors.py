import base64
from collections.abc import Iterator
from typing import cast
from urllib.parse import quote

import grpc
import pytest
from grpc_status import rpc_status

from pantree.error.v1.error_pb2 import ErrorReason
from pantree_runtime.errors import (
    AlreadyExists,
    ComponentUnavailable,
    CustomerErased,
    DeadlineTooShort,
    EtagMismatch,
    FieldViolation,
    InternalError,
    InvalidInput,
    InvalidState,
    NotFound,
    Overloaded,
    PantreeError,
    PermissionDenied,
    QuotaExceeded,
    RequestIdReused,
    StoreMismatch,
    TooLarge,
)
from pantree_runtime.status import MAX_STATUS_BYTES, status_of, translate_rpc_errors
from pantree_runtime.validation import Violations


def every_error(kind: type[PantreeError] = PantreeError) -> Iterator[type[PantreeError]]:
    for subclass in kind.__subclasses__():
        yield subclass
        yield from every_error(subclass)


def rpc_error_of(error: PantreeError) -> grpc.aio.AioRpcError:
    status = rpc_status.to_status(status_of(error))
    return grpc.aio.AioRpcError(
        status.code, grpc.aio.Metadata(), grpc.aio.Metadata(*status.trailing_metadata), details=status.details
    )


def plain_rpc_error(code: grpc.StatusCode, details: str = "") -> grpc.aio.AioRpcError:
    return grpc.aio.AioRpcError(code, grpc.aio.Metadata(), grpc.aio.Metadata(), details=details)


def test_every_reason_is_in_the_contract() -> None:
    declared = {name.removeprefix("ERROR_REASON_") for name in ErrorReason.DESCRIPTOR.values_by_name}
    # The gateway has reasons of its own, which its tests cover.
    assert {error.reason for error in every_error()} <= declared - {"UNSPECIFIED"}


@pytest.mark.parametrize(
    "error",
    [
        InvalidInput([FieldViolation("items[0].price", "is -1; give more"), FieldViolation("seed", "is bad")]),
        NotFound("no such customer", {"customer": "x"}),
        AlreadyExists("other content is stored"),
        CustomerErased("the customer was erased"),
        InvalidState("the subscription is cancelled"),
        EtagMismatch("it changed"),
        QuotaExceeded("no more", {"quota": "max_lines", "limit": "7"}),
        RequestIdReused("it was sent before"),
        StoreMismatch("has another model"),
        TooLarge("too large"),
        DeadlineTooShort("only 3 ms left"),
        ComponentUnavailable("frequency", "frequency is down"),
        Overloaded("too many calls; try again in 1.5 s", 1.5),
        PermissionDenied("may not call"),
        InternalError("internal error"),
    ],
)
def test_error_is_the_same_after_grpc(error: PantreeError) -> None:
    with pytest.raises(type(error)) as raised, translate_rpc_errors("pipeline"):
        raise rpc_error_of(error)
    assert (raised.value.message, raised.value.metadata) == (error.message, error.metadata)
    if isinstance(error, Overloaded):
        assert isinstance(raised.value, Overloaded)
        assert raised.value.retry_after_seconds == error.retry_after_seconds
    if isinstance(error, InvalidInput):
        assert isinstance(raised.value, InvalidInput)
        assert raised.value.violations == error.violations


def test_unreachable_part_is_named() -> None:
    with pytest.raises(ComponentUnavailable) as raised, translate_rpc_errors("frequency"):
        raise plain_rpc_error(grpc.StatusCode.UNAVAILABLE, "failed to connect")
    assert raised.value.component == "frequency"


def test_failure_to_send_a_message_is_a_lost_connection() -> None:
    # grpc.aio raises this if the connection is lost while it sends.
    with pytest.raises(ComponentUnavailable) as raised, translate_rpc_errors("vector"):
        raise grpc.aio.AioRpcError(
            grpc.StatusCode.INTERNAL,
            grpc.aio.Metadata(),
            grpc.aio.Metadata(),
            details="Internal error from Core",
            debug_error_string='Failed "execute_batch": (<grpc._cython.cygrpc.SendMessageOperation object>,)',
        )
    assert raised.value.component == "vector"


def test_unknown_failure_of_a_part_is_internal_and_names_it() -> None:
    with pytest.raises(InternalError, match="vector"), translate_rpc_errors("vector"):
        raise plain_rpc_error(grpc.StatusCode.DATA_LOSS)


LONG = "Zürcher Öl-Würstchen 東京のお米 🍚" * 2_000


@pytest.mark.parametrize("count", [1, 2, 10, 31, 32, 49, 50, 51, 60, 100, 999, 10_000])
@pytest.mark.parametrize("value", ["x", "x" * 300, LONG, "%\n\x00" * 999, "🍚" * 90], ids=str.__len__)
def test_status_of_any_number_of_violations_fits_in_trailers(count: int, value: str) -> None:
    violations = Violations()
    for index in range(count):
        violations.add(f"input.items[{index}].{value[:150]}", f"must be a number; is {value!r}")
    with pytest.raises(InvalidInput) as raised:
        violations.raise_if_any()
    status = status_of(raised.value)
    assert status.ByteSize() <= MAX_STATUS_BYTES
    # The trailers as gRPC counts them: each entry's key and value and 32 bytes more; a soft limit of 8 KiB.
    trailers = [*rpc_status.to_status(status).trailing_metadata]
    sent = sum(len(key) + len(base64.b64encode(cast(bytes, value))) + 32 for key, value in trailers)
    assert sent + len("grpc-message") + len(quote(status.message)) + 32 < 8_000
    with pytest.raises(InvalidInput) as received, translate_rpc_errors("pipeline"):
        raise rpc_error_of(raised.value)
    *named, last = received.value.violations
    if received.value.omitted_count:
        assert last == FieldViolation("", f"and {count - len(named):,} more")
    else:
        named.append(last)
        assert len(named) == count
    assert named[0].field.startswith("input.items[0]")
    # The next hop sends the same.
    assert status_of(received.value).details[1] == status.details[1]
