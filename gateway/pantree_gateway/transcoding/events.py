"""JSON form of the messages of a stream.

A message that consists of a single oneof of messages is an event: `{"type": <member>, "data": {…}}`. An error among
events is `{"type": "error", "error": <text>, "problem": {…}}`. Other streams have grpc-gateway's form:
`{"result": {…}}`, and `{"error": {…}}` with the problem document.
"""

from collections.abc import Callable
from typing import Any

from google.protobuf.descriptor import Descriptor

from pantree_gateway.transcoding.json_codec import JsonCodec
from pantree_gateway.transcoding.problem import Problem

# Returns the name of an event and its JSON value.
EventWriter = Callable[[Any], tuple[str, dict[str, Any]]]

ERROR = "error"
RESULT = "result"


def event_kinds(descriptor: Descriptor) -> dict[str, Descriptor] | None:
    """Message type of each kind of event, by name; None when messages of this type are not events."""
    kinds = {field.name: field.message_type for oneof in descriptor.oneofs for field in oneof.fields}
    if len(descriptor.oneofs) != 1 or len(kinds) != len(descriptor.fields):
        return None
    found = {name: kind for name, kind in kinds.items() if kind is not None}
    return found if len(found) == len(kinds) else None


def event_writer(descriptor: Descriptor, codec: JsonCodec) -> EventWriter:
    """Function that converts a message of a stream to the name of its event and its JSON value."""
    kinds = event_kinds(descriptor)
    if kinds is None:
        write_result = codec.writer(descriptor)
        return lambda message: (RESULT, {RESULT: write_result(message)})
    oneof = descriptor.oneofs[0].name
    writers = {name: codec.writer(kind) for name, kind in kinds.items()}

    def write(message: Any) -> tuple[str, dict[str, Any]]:
        member = message.WhichOneof(oneof)
        if member is None:
            raise ValueError(f"a {descriptor.full_name} has no member that this contract defines")
        return member, {"type": member, "data": writers[member](getattr(message, member))}

    return write


def error_event(problem: Problem, path: str) -> dict[str, Any]:
    """JSON value of an error in a stream of events."""
    return {"type": ERROR, "error": problem.detail, "problem": problem.document(path)}


def error_result(problem: Problem, path: str) -> dict[str, Any]:
    """JSON value of an error in any other stream."""
    return {"error": problem.document(path)}
