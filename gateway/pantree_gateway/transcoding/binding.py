"""Makes request messages of HTTP requests and JSON of response messages, after the rule of one binding."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from pantree_gateway.transcoding.http_rule import HttpBinding
from pantree_gateway.transcoding.json_codec import JsonCodec, parse_json, write_json
from pantree_runtime.validation import Violations

# Messages whose JSON form is a text, so that a path or a query can hold them.
_WRITTEN_AS_TEXT = frozenset(
    f"google.protobuf.{name}"
    for name in (
        "Duration", "FieldMask", "Timestamp", "BoolValue", "BytesValue", "DoubleValue", "FloatValue", "Int32Value",
        "Int64Value", "StringValue", "UInt32Value", "UInt64Value",
    )
)  # fmt: skip


_MASK = "update_mask"
_NOTHING = object()


class BoundMethod:
    """A method together with one way to call it over HTTP.

    Args:
        method: the method.
        binding: the way to call it.
        codec: reads and writes the messages.

    Raises:
        ValueError: when the binding names fields that the messages do not have.
    """

    def __init__(self, method: MethodDescriptor, binding: HttpBinding, codec: JsonCodec) -> None:
        self.method = method
        self.binding = binding
        self._codec = codec
        self._request_class = GetMessageClass(method.input_type)
        self.response_class = GetMessageClass(method.output_type)
        self._body_field = self._field_named(method.input_type, binding.body) if binding.body not in ("", "*") else None
        self._path_fields = {
            variable.field_path: self._single_text_field(variable.field_path) for variable in binding.template.variables
        }
        self.write_response: Callable[[Message], bytes] = self._compile_response()

    @property
    def path(self) -> str:
        """Full name of the method as gRPC calls it, such as `/pantree.pipeline.v1.PipelineService/Process`."""
        return f"/{self.method.containing_service.full_name}/{self.method.name}"

    @property
    def has_body(self) -> bool:
        """Whether a request has a body."""
        return bool(self.binding.body)

    @property
    def body_field(self) -> FieldDescriptor | None:
        """Field of the request that the body is; None when the body is the whole request or there is none."""
        return self._body_field

    @property
    def path_fields(self) -> Mapping[str, FieldDescriptor]:
        """Fields that the path holds, by field path."""
        return self._path_fields

    def body_names(self) -> frozenset[str]:
        """Names that the fields of the body go by in JSON; none when it is no message."""
        kind = self.method.input_type if self._body_field is None else self._body_field.message_type
        fields = kind.fields if self.has_body and kind is not None else ()
        return frozenset(name for field in fields for name in (field.name, field.json_name))

    def query_fields(self) -> list[FieldDescriptor]:
        """Fields of the request itself that a query may set; fields of its messages are set as `field.inner`."""
        if self.binding.body == "*":
            return []
        bound = {*self._path_fields, self.binding.body}
        return [field for field in self.method.input_type.fields if field.name not in bound]

    def request(self, parameters: Mapping[str, str], query: Iterable[tuple[str, str]], body: bytes | str) -> Message:
        """Request message of an HTTP request.

        Args:
            parameters: what the router found in the path.
            query: names and values of the query, in order.
            body: JSON text; unused when the binding has no body.

        Raises:
            InvalidInput: naming every wrong field by its path in the JSON body, its name in the query, or the name of
                its path parameter.
        """
        # A whole request without anything in it may be sent as nothing at all, as with `:archive` and the like.
        has_value = self.has_body and (bool(body) or self._body_field is not None)
        return self.request_of_value(parameters, query, parse_json(body) if has_value else _NOTHING)

    def request_of_value(self, parameters: Mapping[str, str], query: Iterable[tuple[str, str]], value: Any) -> Message:
        """Request message of an HTTP request whose body has been parsed; otherwise as `request`."""
        violations = Violations()
        request = self._request_class()
        if self.has_body and value is not _NOTHING:
            if self._body_field is None:
                self._codec.read(request, value, violations)
            else:
                self._codec.read_field(request, self._body_field, value, violations)
                self._read_mask_from(value, request)
        self._read_query(request, query, violations)
        self._read_path(request, self.binding.template.values(parameters), violations)
        violations.raise_if_any()
        return request

    def relative_to_body(self, field_path: str) -> str:
        """Path of a field in the JSON body, from its path in the request message."""
        if self._body_field is None:
            return field_path
        name = self._body_field.name
        return "" if field_path == name else field_path.removeprefix(f"{name}.")

    def _compile_response(self) -> Callable[[Message], bytes]:
        write = self._codec.writer(self.method.output_type)
        name = self.binding.response_body
        if not name:
            return lambda response: write_json(write(response))
        field = self._field_named(self.method.output_type, name)
        if field.message_type is not None and not field.is_repeated:
            write_field = self._codec.writer(field.message_type)
            # Not through the whole response: an absent message is answered as an empty one, not as nothing.
            return lambda response: write_json(write_field(getattr(response, name)))
        return lambda response: write_json(write(response).get(name))

    def _read_path(self, request: Message, texts: Mapping[str, str], violations: Violations) -> None:
        for field_path, text in texts.items():
            field = self._path_fields[field_path]
            holder = _holder(request, field_path)
            name = self.relative_to_body(field_path)
            in_body = getattr(holder, field.name) if _is_given(holder, field) else None
            self._codec.read_texts(holder, field, [text], name, violations)
            if in_body is not None and in_body != getattr(holder, field.name):
                violations.add(name, "is one thing in the path and another in the body; leave it out of the body")

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
                violations.add(name[:40], f"is no parameter of this query; known are {known}")
            else:
                holder = _holder(request, name)
                oneof = field.containing_oneof
                given = holder.WhichOneof(oneof.name) if oneof is not None else None
                if given not in (None, field.name):
                    violations.add(name, f"excludes {given}; give one of them")
                else:
                    self._codec.read_texts(holder, field, values, name, violations)

    def _read_mask_from(self, value: Any, request: Any) -> None:
        """Sets the mask of a PATCH to the fields of its body, as grpc-gateway does; one in the query replaces it."""
        mask = self.method.input_type.fields_by_name.get(_MASK)
        kind = mask.message_type if mask is not None else None
        body_kind = self._body_field.message_type if self._body_field is not None else None
        if self.binding.verb != "PATCH" or kind is None or kind.full_name != "google.protobuf.FieldMask":
            return
        if body_kind is not None and isinstance(value, dict):
            getattr(request, _MASK).paths.extend(_leaf_paths(value, body_kind))

    def _query_field(self, name: str, allowed: list[FieldDescriptor]) -> FieldDescriptor | None:
        first, _, _ = name.partition(".")
        if first not in {field.name for field in allowed} or name in self._path_fields:
            return None
        field = _find(self.method.input_type, name)
        return field if field is not None and _is_text_like(field) else None

    def _single_text_field(self, field_path: str) -> FieldDescriptor:
        field = _find(self.method.input_type, field_path)
        if field is None or field.is_repeated or not _is_text_like(field):
            raise ValueError(f"the path of {self.method.full_name} names {field_path}, which is no single value")
        return field

    def _field_named(self, descriptor: Descriptor, name: str) -> FieldDescriptor:
        field = descriptor.fields_by_name.get(name)
        if field is None:
            raise ValueError(
                f"the binding of {self.method.full_name} names {name}, which {descriptor.name} does not have"
            )
        return field


def _find(descriptor: Descriptor, field_path: str) -> FieldDescriptor | None:
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
    """Path of every field that a JSON object sets, in the message's own names; those of a message lead inside."""
    for key, part in value.items():
        field = next((one for one in descriptor.fields if key in (one.name, one.json_name)), None)
        if field is None:
            continue
        kind = field.message_type
        if kind is None or field.is_repeated or not isinstance(part, dict) or kind.file.package == "google.protobuf":
            yield field.name
        else:
            yield from (f"{field.name}.{path}" for path in _leaf_paths(part, kind))


def _is_text_like(field: FieldDescriptor) -> bool:
    return field.message_type is None or field.message_type.full_name in _WRITTEN_AS_TEXT


def _is_given(message: Message, field: FieldDescriptor) -> bool:
    if field.has_presence:
        return message.HasField(field.name)
    return bool(getattr(message, field.name) != field.default_value)
