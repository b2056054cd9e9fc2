"""OpenAPI schemas of messages and operations, described by the comments in the contract."""

from collections.abc import Mapping, Sequence
from typing import Any

from google.api import field_behavior_pb2
from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor, MethodDescriptor, ServiceDescriptor

from pantree_domain.limits import NO_LIMITS, FieldLimits, field_limits
from pantree_gateway.transcoding.binding import BoundMethod
from pantree_gateway.transcoding.events import event_kinds
from pantree_gateway.transcoding.problem import MEDIA_TYPE, PROBLEM_SCHEMA
from pantree_gateway.transcoding.streaming import EVENT_STREAM, NDJSON

_Described = Descriptor | EnumDescriptor | FieldDescriptor | MethodDescriptor | ServiceDescriptor

_INT32 = {"type": "integer", "format": "int32", "minimum": -(2**31), "maximum": 2**31 - 1}
_UINT32 = {"type": "integer", "format": "int64", "minimum": 0, "maximum": 2**32 - 1}
# Many languages lose digits of JSON numbers beyond 2^53, so proto3 JSON writes these as strings.
_INT64 = {"type": "string", "format": "int64"}
_UINT64 = {"type": "string", "format": "uint64"}
_SCALARS: Mapping[int, dict[str, Any]] = {
    FieldDescriptor.TYPE_DOUBLE: {"type": "number", "format": "double"},
    FieldDescriptor.TYPE_FLOAT: {"type": "number", "format": "float"},
    FieldDescriptor.TYPE_BOOL: {"type": "boolean"},
    FieldDescriptor.TYPE_STRING: {"type": "string"},
    FieldDescriptor.TYPE_BYTES: {"type": "string", "format": "byte"},
    **dict.fromkeys((FieldDescriptor.TYPE_INT32, FieldDescriptor.TYPE_SINT32, FieldDescriptor.TYPE_SFIXED32), _INT32),
    **dict.fromkeys((FieldDescriptor.TYPE_UINT32, FieldDescriptor.TYPE_FIXED32), _UINT32),
    **dict.fromkeys((FieldDescriptor.TYPE_INT64, FieldDescriptor.TYPE_SINT64, FieldDescriptor.TYPE_SFIXED64), _INT64),
    **dict.fromkeys((FieldDescriptor.TYPE_UINT64, FieldDescriptor.TYPE_FIXED64), _UINT64),
}
_WELL_KNOWN: Mapping[str, dict[str, Any]] = {
    "google.protobuf.Any": {"type": "object", "properties": {"@type": {"type": "string"}}},
    "google.protobuf.BoolValue": {"type": ["boolean", "null"]},
    "google.protobuf.BytesValue": {"type": ["string", "null"], "format": "byte"},
    "google.protobuf.DoubleValue": {"type": ["number", "null"]},
    "google.protobuf.Duration": {"type": "string", "pattern": r"^-?[0-9]+(\.[0-9]{1,9})?s$"},
    "google.protobuf.FieldMask": {"type": "string"},
    "google.protobuf.FloatValue": {"type": ["number", "null"]},
    "google.protobuf.Int32Value": {"type": ["integer", "null"]},
    "google.protobuf.Int64Value": {"type": ["string", "null"], "format": "int64"},
    "google.protobuf.ListValue": {"type": "array"},
    "google.protobuf.NullValue": {"type": "null"},
    "google.protobuf.StringValue": {"type": ["string", "null"]},
    "google.protobuf.Struct": {"type": "object"},
    "google.protobuf.Timestamp": {"type": "string", "format": "date-time"},
    "google.protobuf.UInt32Value": {"type": ["integer", "null"]},
    "google.protobuf.UInt64Value": {"type": ["string", "null"], "format": "uint64"},
    "google.protobuf.Value": {},
}
_PROBLEM_RESPONSES: Mapping[str, str] = {
    "400": "The request is invalid; `errors` names the wrong fields.",
    "404": "The requested object does not exist.",
    "500": "Unexpected error; the log has the details under the trace id.",
    "503": "A required part is unavailable; `component` names it.",
    "504": "The response was not ready in time.",
    "default": "Any other problem.",
}
_BODY_PROBLEM_RESPONSES: Mapping[str, str] = {
    "413": "The request is too large.",
    "415": "The body is not declared as JSON.",
}


class SchemaCollection:
    """Schemas of the messages that operations use, each under `#/components/schemas`, described by comments."""

    def __init__(self, comments: Mapping[str, str]) -> None:
        self._comments = comments
        self._kinds: dict[str, Descriptor | EnumDescriptor] = {}
        self._closed: set[Descriptor] = set()

    def components(self) -> dict[str, Any]:
        """Schema of every referenced message and enum, and of problems, by name."""
        schemas: dict[str, Any] = {"Problem": PROBLEM_SCHEMA}
        # This list grows during the loop, since the schema of a message may refer to others.
        for name in (pending := list(self._kinds)):
            kind = self._kinds[name]
            schemas[name] = self._enum(kind) if isinstance(kind, EnumDescriptor) else self._message(kind)
            pending.extend(other for other in self._kinds if other not in pending)
        return dict(sorted(schemas.items()))

    def text(self, described: _Described) -> str:
        """Comment on an element of the contract; empty if it has none."""
        return self._comments.get(described.full_name, "")

    def tags(self, services: Sequence[ServiceDescriptor]) -> list[dict[str, str]]:
        """Tags of the services' operations."""
        return [{"name": _tag(service), "description": self.text(service)} for service in services]

    def operation_metadata(self, method: MethodDescriptor) -> dict[str, Any]:
        """Summary, description and tags of an operation, as arguments for a FastAPI route."""
        return {
            "summary": _words(method.name),
            "description": self.text(method),
            "tags": [_tag(method.containing_service)],
            "response_description": self.text(method.output_type) or "The response.",
        }

    def operation(self, bound: BoundMethod, examples: Mapping[str, Any]) -> dict[str, Any]:
        """Parameters, body (with examples by title) and responses of an operation."""
        operation: dict[str, Any] = {}
        parameters = [
            *(
                self._parameter("path", bound.relative_to_body(field_path).rpartition(".")[2], field)
                for field_path, field in bound.path_fields.items()
            ),
            *(self._parameter("query", field.name, field) for field in bound.query_fields()),
        ]
        if parameters:
            operation["parameters"] = parameters
        problems = dict(_PROBLEM_RESPONSES)
        if bound.has_body:
            problems |= _BODY_PROBLEM_RESPONSES
            body: dict[str, Any] = {"schema": self.body(bound)}
            if examples:
                body["examples"] = {title: {"summary": title, "value": value} for title, value in examples.items()}
            operation["requestBody"] = {"required": True, "content": {"application/json": body}}
        name = bound.binding.response_body
        output = bound.method.output_type
        if bound.method.server_streaming:
            content = self._stream_content(output)
        else:
            schema = self._value(output.fields_by_name[name]) if name else self.refer_to(output)
            content = {"application/json": {"schema": schema}}
        operation["responses"] = {"200": {"content": content}, **problem_responses(problems)}
        return operation

    def _stream_content(self, output: Descriptor) -> dict[str, Any]:
        """Content of a stream: the schema of a line, and server-sent events with such lines."""
        problem = {"$ref": "#/components/schemas/Problem"}
        kinds = event_kinds(output)
        if kinds is None:
            lines = [{"result": self.refer_to(output)}, {"error": problem}]
        else:
            lines = [{"type": {"const": name}, "data": self.refer_to(kind)} for name, kind in kinds.items()]
            lines.append({"type": {"const": "error"}, "error": {"type": "string"}, "problem": problem})
        schemas = [closed_object(line) for line in lines]
        return {
            NDJSON: {"schema": {"description": "Schema of each line.", "oneOf": schemas}},
            EVENT_STREAM: {"schema": {"type": "string", "description": "Server-sent events with such lines as data."}},
        }

    def body(self, bound: BoundMethod) -> dict[str, Any]:
        """Schema of the body of a method; unknown fields are errors."""
        if bound.body_type is not None:
            self._close(bound.body_type)
        field = bound.body_field
        return self.refer_to(bound.method.input_type) if field is None else self._value(field)

    def _close(self, descriptor: Descriptor) -> None:
        """Marks a message and all messages in it: unknown fields are errors."""
        if descriptor not in self._closed and descriptor.full_name not in _WELL_KNOWN:
            self._closed.add(descriptor)
            for field in descriptor.fields:
                if field.message_type is not None:
                    self._close(field.message_type)

    def _parameter(self, place: str, name: str, field: FieldDescriptor) -> dict[str, Any]:
        return {
            "name": name,
            "in": place,
            "required": place == "path" or _is_required(field),
            "description": self.text(field),
            "schema": self._value(field),
        }

    def refer_to(self, kind: Descriptor | EnumDescriptor) -> dict[str, Any]:
        """Reference to the schema of a message or enum, which `components` then includes."""
        name = kind.name
        if self._kinds.setdefault(name, kind) is not kind or name == "Problem":
            name = kind.full_name
            self._kinds[name] = kind
        return {"$ref": f"#/components/schemas/{name}"}

    def _message(self, descriptor: Descriptor) -> dict[str, Any]:
        schema: dict[str, Any] = {
            "type": "object",
            "title": descriptor.name,
            "description": self.text(descriptor),
            "properties": {field.name: self._property(field) for field in descriptor.fields},
        }
        required = [field.name for field in descriptor.fields if _is_required(field)]
        if required:
            schema["required"] = required
        if descriptor in self._closed:
            schema["additionalProperties"] = False
        return schema

    def _property(self, field: FieldDescriptor) -> dict[str, Any]:
        return {**self._value(field), "description": self.text(field)}

    def _value(self, field: FieldDescriptor) -> dict[str, Any]:
        limits = field_limits(field.full_name)
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            value = field.message_type.fields_by_name["value"]
            return {"type": "object", "additionalProperties": self._single(value, limits.items or NO_LIMITS)}
        if field.is_repeated:
            items = self._single(field, limits.items or NO_LIMITS)
            return {"type": "array", "items": items, **_list_bounds(limits)}
        return self._single(field, limits)

    def _single(self, field: FieldDescriptor, limits: FieldLimits) -> dict[str, Any]:
        kind = field.message_type or field.enum_type
        if kind is None:
            scalar = _SCALARS[field.type]
            if field.type == FieldDescriptor.TYPE_STRING:
                return {**scalar, **_string_bounds(limits)}
            # 64-bit integers are strings in JSON, for which the schema has no range.
            return {**scalar, **({} if scalar["type"] == "string" else _number_bounds(limits))}
        return dict(_WELL_KNOWN[kind.full_name]) if kind.full_name in _WELL_KNOWN else self.refer_to(kind)

    def _enum(self, descriptor: EnumDescriptor) -> dict[str, Any]:
        values = [self._comments.get(f"{descriptor.full_name}.{value.name}", "") for value in descriptor.values]
        return {
            "type": "string",
            "title": descriptor.name,
            "description": "\n\n".join([self.text(descriptor), *(f"- {text}" for text in values if text)]),
            "enum": [value.name for value in descriptor.values],
        }


def problem_responses(texts: Mapping[str, str]) -> dict[str, Any]:
    """Responses with a problem document, from descriptions by status."""
    schema = {"$ref": "#/components/schemas/Problem"}
    return {
        status: {"description": text, "content": {MEDIA_TYPE: {"schema": schema}}}
        for status, text in sorted(texts.items())
    }


def closed_object(properties: Mapping[str, Any]) -> dict[str, Any]:
    """Schema of an object with exactly these properties, all required."""
    return {
        "type": "object",
        "required": list(properties),
        "properties": dict(properties),
        "additionalProperties": False,
    }


def _is_required(field: FieldDescriptor) -> bool:
    behavior = field.GetOptions().Extensions[field_behavior_pb2.field_behavior]
    return field_behavior_pb2.REQUIRED in behavior or field_limits(field.full_name).required


def _number_bounds(limits: FieldLimits) -> dict[str, Any]:
    minimum = min(limits.minimum, 0) if limits.minimum is not None and limits.ignore_zero_value else limits.minimum
    bounds = {
        "minimum": minimum,
        "maximum": limits.maximum,
        "exclusiveMinimum": limits.exclusive_minimum,
        "exclusiveMaximum": limits.exclusive_maximum,
    }
    return {name: bound for name, bound in bounds.items() if bound is not None}


def _string_bounds(limits: FieldLimits) -> dict[str, Any]:
    bounds: dict[str, Any] = {"minLength": 1} if limits.not_blank and not limits.ignore_zero_value else {}
    if limits.max_length is not None:
        bounds["maxLength"] = limits.max_length
    if limits.currency_code:
        bounds["pattern"] = "^([A-Z]{3})?$" if limits.ignore_zero_value else "^[A-Z]{3}$"
    return {**bounds, "format": "date"} if limits.calendar_day or limits.forecast_day else bounds


def _list_bounds(limits: FieldLimits) -> dict[str, Any]:
    bounds: dict[str, Any] = {"minItems": limits.min_items} if limits.min_items else {}
    if limits.max_items is not None:
        bounds["maxItems"] = limits.max_items
    return {**bounds, "uniqueItems": True} if limits.unique else bounds


def _tag(service: ServiceDescriptor) -> str:
    return service.name.removesuffix("Service")


def _words(name: str) -> str:
    """`ListArchetypes` as `List archetypes`."""
    return "".join(f" {letter}" if letter.isupper() else letter for letter in name).strip().capitalize()
