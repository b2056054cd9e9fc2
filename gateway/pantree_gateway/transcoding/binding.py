"""Converts HTTP requests to request messages, and response messages to JSON, according to one HTTP binding."""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import orjson
from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from starlette.requests import Request

from pantree.error.v1 import error_pb2
from pantree_gateway.transcoding.held_bytes import hold_body
from pantree_gateway.transcoding.http_rule import HttpBinding
from pantree_gateway.transcoding.json_codec import WELL_KNOWN, JsonCodec, parse_json
from pantree_gateway.transcoding.json_list_sizes import MIN_SCANNED_BYTES, ListSizeCheck
from pantree_gateway.transcoding.limits import Limits
from pantree_gateway.transcoding.problem import ProblemError, problem_for, too_large
from pantree_runtime.validation import Violations

# Messages that a path or a query can hold.
_STRING_MESSAGES = WELL_KNOWN - {f"google.protobuf.{name}" for name in ("Any", "ListValue", "Struct", "Value")}
_MASK = "update_mask"
_NO_BODY = object()


class BoundMethod:
    """A method with one of its HTTP bindings.

    Raises:
        ValueError: when the binding names fields that the messages do not have.
    """

    def __init__(self, method: MethodDescriptor, binding: HttpBinding, codec: JsonCodec) -> None:
        self.method = method
        self.binding = binding
        self.path = f"/{method.containing_service.full_name}/{method.name}"
        """Full name of the method in gRPC's form, such as `/pantree.pipeline.v1.PipelineService/Process`."""
        self.has_body = bool(binding.body)
        self.body_field = self._field_named(method.input_type, binding.body) if binding.body not in ("", "*") else None
        """Field that the body sets; None if there is no body, or if it is the whole request."""
        self.path_fields: Mapping[str, FieldDescriptor] = {
            variable.field_path: self._single_text_field(variable.field_path) for variable in binding.template.variables
        }
        """Fields that the path sets, by field path."""
        self.response_class = GetMessageClass(method.output_type)
        self._codec = codec
        self._list_sizes = ListSizeCheck(self.body_type)
        self._request_class = GetMessageClass(method.input_type)
        self.write_response: Callable[[Message], bytes] = self._compile_response()

    @property
    def body_type(self) -> Descriptor | None:
        """Message type of the body; None if there is no body, or if it is not a message."""
        if not self.has_body:
            return None
        return self.method.input_type if self.body_field is None else self.body_field.message_type

    def query_fields(self) -> list[FieldDescriptor]:
        """Fields that a query may set; it sets the fields of a message as `field.inner`."""
        if self.binding.body == "*":
            return []
        bound = {*self.path_fields, self.binding.body}
        return [field for field in self.method.input_type.fields if field.name not in bound]

    async def read_request(self, request: Request, limits: Limits) -> Message:
        """Request message of an HTTP request.

        Raises:
            InvalidInput: with the wrong fields, named by their path in the JSON body or their name in path or query.
            ProblemError: 415 when the body is not declared as JSON, 413 when it is too large, 408 when it takes too
                long to arrive, 429 when the caller's requests hold too much memory.
        """
        body = await _read_body(request, limits) if self.has_body else b""
        query = request.query_params.multi_items()
        return await limits.run_parser(len(body), self.request, request.path_params, query, body)

    def parse_body(self, body: bytes | bytearray | str) -> Any:
        """JSON value of a body.

        Raises:
            InvalidInput: when it is not JSON, or has a list far over its limit.
        """
        if len(body) >= MIN_SCANNED_BYTES:
            self._list_sizes.check(body.encode() if isinstance(body, str) else body)
        return parse_json(body)

    def request(
        self, parameters: Mapping[str, str], query: Iterable[tuple[str, str]], body: bytes | bytearray | str
    ) -> Message:
        """Request message from path parameters, query and JSON body."""
        # A body that is the whole request may be omitted, such as that of `POST /v1/books/8:archive`.
        has_value = self.has_body and (bool(body) or self.body_field is not None)
        return self.request_of_value(parameters, query, self.parse_body(body) if has_value else _NO_BODY)

    def request_of_value(self, parameters: Mapping[str, str], query: Iterable[tuple[str, str]], value: Any) -> Message:
        """Request message from path parameters, query and parsed body."""
        violations = Violations()
        request = self._request_class()
        if self.has_body and value is not _NO_BODY:
            if self.body_field is None:
                self._codec.read(request, value, violations)
            else:
                self._codec.read_field(request, self.body_field, value, violations)
                self._set_mask(value, request)
        self._read_query(request, query, violations)
        self._read_path(request, self.binding.template.values(parameters), violations)
        violations.raise_if_any()
        return request

    def relative_to_body(self, field_path: str) -> str:
        """Path of a field in the JSON body, from its path in the request message."""
        if self.body_field is None:
            return field_path
        name = self.body_field.name
        return "" if field_path == name else field_path.removeprefix(f"{name}.")

    def _compile_response(self) -> Callable[[Message], bytes]:
        write = self._codec.writer(self.method.output_type)
        name = self.binding.response_body
        if not name:
            return lambda response: orjson.dumps(write(response))
        field = self._field_named(self.method.output_type, name)
        if field.message_type is not None and not field.is_repeated:
            write_field = self._codec.writer(field.message_type)
            # Writing the whole response would omit an absent message; this writes an empty one.
            return lambda response: orjson.dumps(write_field(getattr(response, name)))
        return lambda response: orjson.dumps(write(response).get(name))

    def _read_path(self, request: Message, texts: Mapping[str, str], violations: Violations) -> None:
        for field_path, text in texts.items():
            field = self.path_fields[field_path]
            holder = _holder(request, field_path)
            name = self.relative_to_body(field_path)
            in_body = getattr(holder, field.name) if _is_set(holder, field) else None
            self._codec.read_texts(holder, field, [text], name, violations)
            if in_body is not None and in_body != getattr(holder, field.name):
                violations.add(name, "differs between path and body; omit it from the body")

    def _read_query(self, request: Message, query: Iterable[tuple[str, str]], violations: Violations) -> None:
        texts: dict[str, list[str]] = {}
        for name, text in query:
            texts.setdefault(name, []).append(text)
        if not texts:
            return
        allowed = self.query_fields()
        for name, values in texts.items():
            field = self._query_field(name, allowed)
            if field is None:
                known = ", ".join(field.name for field in allowed) or "none"
                violations.add(name[:40], f"is not a query parameter; known parameters: {known}")
                continue
            holder = _holder(request, name)
            oneof = field.containing_oneof
            other = holder.WhichOneof(oneof.name) if oneof is not None else None
            if other not in (None, field.name):
                violations.add(name, f"cannot be combined with {other}; send one of them")
            else:
                self._codec.read_texts(holder, field, values, name, violations)

    def _set_mask(self, value: Any, request: Any) -> None:
        """Sets the mask of a PATCH to the fields of its body, as grpc-gateway does. A mask in the query replaces it."""
        mask = self.method.input_type.fields_by_name.get(_MASK)
        mask_type = mask.message_type if mask is not None else None
        if self.binding.verb != "PATCH" or mask_type is None or mask_type.full_name != "google.protobuf.FieldMask":
            return
        if self.body_type is not None and isinstance(value, dict):
            getattr(request, _MASK).paths.extend(_leaf_paths(value, self.body_type))

    def _query_field(self, name: str, allowed: list[FieldDescriptor]) -> FieldDescriptor | None:
        first, _, _ = name.partition(".")
        if first not in {field.name for field in allowed} or name in self.path_fields:
            return None
        field = _find_field(self.method.input_type, name)
        return field if field is not None and _has_text_form(field) else None

    def _single_text_field(self, field_path: str) -> FieldDescriptor:
        field = _find_field(self.method.input_type, field_path)
        if field is None or field.is_repeated or not _has_text_form(field):
            raise ValueError(f"the path of {self.method.full_name} names {field_path}, which is not a scalar")
        return field

    def _field_named(self, descriptor: Descriptor, name: str) -> FieldDescriptor:
        field = descriptor.fields_by_name.get(name)
        if field is None:
            raise ValueError(
                f"the binding of {self.method.full_name} names {name}, which {descriptor.name} does not have"
            )
        return field


async def _read_body(request: Request, limits: Limits) -> bytearray:
    # Without a body, there is nothing that a Content-Type could describe.
    has_body = request.headers.get("content-length", "0") != "0" or "transfer-encoding" in request.headers
    content_type = request.headers.get("content-type", "" if has_body else "application/json")
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type != "application/json" and not media_type.endswith("+json"):
        detail = f"Content-Type is {media_type[:80]!r}; send JSON with Content-Type: application/json"
        raise ProblemError(problem_for(error_pb2.ERROR_REASON_UNSUPPORTED_MEDIA_TYPE, detail))
    return await read_bytes(request, limits)


async def read_bytes(request: Request, limits: Limits) -> bytearray:
    """Body of a request, of any type.

    Raises:
        ProblemError: 413 when it is too large, 408 when it takes too long to arrive, 429 when the caller's requests
            hold too much memory.
    """
    declared, max_bytes = request.headers.get("content-length", ""), limits.body_bytes
    if declared.isdecimal() and int(declared) > max_bytes:
        raise too_large(f"the body has {int(declared):,} bytes", max_bytes)
    # A list of chunks and their concatenation would take twice the memory.
    body = bytearray()
    time = asyncio.get_running_loop().time
    started = time()
    try:
        async with asyncio.timeout_at(started + limits.body_seconds) as timeout:
            async for chunk in request.stream():
                body += chunk
                if len(body) > max_bytes:
                    raise too_large(f"the body has over {max_bytes:,} bytes", max_bytes)
                hold_body(request.scope, len(body))
                ends_at = started + limits.body_seconds + len(body) / limits.min_body_bytes_per_second
                timeout.reschedule(min(ends_at, time() + limits.body_seconds))
    except TimeoutError:
        detail = (
            f"no part of the body arrived for {limits.body_seconds:g} seconds, or it took longer than that plus "
            f"a second for every {limits.min_body_bytes_per_second:,} bytes"
        )
        reason = error_pb2.ERROR_REASON_REQUEST_TIMEOUT
        raise ProblemError(problem_for(reason, detail, headers={"Connection": "close"})) from None
    return body


def _find_field(descriptor: Descriptor, field_path: str) -> FieldDescriptor | None:
    """Field at the end of a path through single messages."""
    *holders, last = field_path.split(".")
    for name in holders:
        field = descriptor.fields_by_name.get(name)
        if field is None or field.message_type is None or field.is_repeated:
            return None
        descriptor = field.message_type
    return descriptor.fields_by_name.get(last)


def _holder(message: Any, field_path: str) -> Any:
    """Message that holds the field at the end of a path."""
    for name in field_path.split(".")[:-1]:
        message = getattr(message, name)
    return message


def _leaf_paths(value: Mapping[str, Any], descriptor: Descriptor) -> Iterator[str]:
    """Path of every leaf that a JSON object sets, in the message's own names."""
    for key, part in value.items():
        field = next((field for field in descriptor.fields if key in (field.name, field.json_name)), None)
        if field is None:
            continue
        kind = field.message_type
        if kind is None or field.is_repeated or not isinstance(part, dict) or kind.file.package == "google.protobuf":
            yield field.name
        else:
            yield from (f"{field.name}.{path}" for path in _leaf_paths(part, kind))


def _has_text_form(field: FieldDescriptor) -> bool:
    return field.message_type is None or field.message_type.full_name in _STRING_MESSAGES


def _is_set(message: Message, field: FieldDescriptor) -> bool:
    if field.has_presence:
        return message.HasField(field.name)
    return bool(getattr(message, field.name) != field.default_value)
