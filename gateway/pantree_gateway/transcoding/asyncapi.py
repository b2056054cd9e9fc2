"""The AsyncAPI 3 document of the WebSocket routes, from the contract's descriptors."""

from collections.abc import Mapping, Sequence
from typing import Any

from google.protobuf.descriptor import MethodDescriptor

from pantree_gateway.transcoding.binding import BoundMethod
from pantree_gateway.transcoding.events import ERROR, event_kinds
from pantree_gateway.transcoding.openapi import SchemaCollection
from pantree_gateway.transcoding.resumption import MAX_TOKEN_CHARACTERS, RESUME_TOKEN
from pantree_gateway.transcoding.upstream import UpstreamMethod
from pantree_gateway.transcoding.websocket import MAX_ID_CHARACTERS

_ID = {
    "description": "Id of the request; absent when it has none.",
    "anyOf": [{"type": "string", "minLength": 1, "maxLength": MAX_ID_CHARACTERS}, {"type": "integer"}],
}
_SEQ = {"type": "integer", "minimum": 1, "description": "Number of the frame in its answer, from 1."}
_TS = {"type": "string", "format": "date-time", "description": "When the frame was sent, in UTC."}
_RESUME_TOKEN = {"type": "string", "maxLength": MAX_TOKEN_CHARACTERS}
_TOKEN_OF_FRAME = {**_RESUME_TOKEN, "description": "Send it with the same request to get the frames after this one."}
_TOKEN_OF_REQUEST = {
    **_RESUME_TOKEN,
    "description": "Token of the last frame received; the frames up to it are not sent again.",
}


def asyncapi_document(
    info: Mapping[str, Any],
    methods: Sequence[UpstreamMethod],
    schemas: SchemaCollection,
    security: Sequence[Mapping[str, str]] = (),
) -> dict[str, Any]:
    """AsyncAPI document of methods with a WEBSOCKET binding, for callers that satisfy any of the security schemes."""
    channels: dict[str, Any] = {}
    operations: dict[str, Any] = {}
    messages: dict[str, Any] = {}
    requests: dict[str, tuple[dict[str, Any], BoundMethod]] = {}
    for bound in (method.bound for method in methods):
        name = _name(bound.method, taken=channels)
        sent = {ERROR: _message(name, ERROR, _ERROR_FRAME, "What is wrong and what to do.")}
        for kind, descriptor in (event_kinds(bound.method.output_type) or {}).items():
            data = schemas.refer_to(descriptor)
            frame = _frame({"type": {"const": kind}, "data": data, RESUME_TOKEN: _TOKEN_OF_FRAME})
            sent[kind] = _message(name, kind, frame, schemas.text(descriptor))
        body = schemas.body(bound)
        requests[f"{name}Request"] = (body, bound)
        reference = {"$ref": f"#/components/schemas/{name}Request"}
        received = {"request": _message(name, "request", reference, "Requests a stream; one JSON text.")}
        for key, message in {**received, **sent}.items():
            messages[f"{name}_{key}"] = message
        channels[name] = {
            "address": bound.binding.template.route_path.replace(":path}", "}"),
            "title": name,
            "description": schemas.text(bound.method),
            "messages": {key: {"$ref": f"#/components/messages/{name}_{key}"} for key in (*received, *sent)},
            "parameters": {
                bound.relative_to_body(path).rpartition(".")[2]: {"description": schemas.text(field)}
                for path, field in bound.path_fields.items()
            },
            "bindings": {"ws": {"method": "GET", "bindingVersion": "0.1.0"}},
        }
        channel = {"$ref": f"#/channels/{name}"}
        operations[name] = {
            "action": "receive",
            "title": name,
            "summary": f"Answers a request with a stream: {', '.join(kind for kind in sent if kind != ERROR)}.",
            "description": schemas.text(bound.method),
            "channel": channel,
            **({"security": [_asyncapi_scheme(scheme) for scheme in security]} if security else {}),
            "messages": [{"$ref": f"#/channels/{name}/messages/{key}"} for key in received],
            "reply": {
                "channel": channel,
                "messages": [{"$ref": f"#/channels/{name}/messages/{key}"} for key in sent],
            },
        }
    described = schemas.components()
    components = {**described, **{name: _request(described, *request) for name, request in requests.items()}}
    # The schemas of bodies without an id served only to build those of the requests.
    for body, _ in requests.values():
        if str(body) not in str({**messages, **components}):
            components.pop(body["$ref"].rpartition("/")[2], None)
    return {
        "asyncapi": "3.0.0",
        "info": info,
        "defaultContentType": "application/json",
        "channels": channels,
        "operations": operations,
        "components": {"messages": messages, "schemas": components},
    }


def _asyncapi_scheme(scheme: Mapping[str, str]) -> dict[str, str]:
    """A security scheme of OpenAPI in AsyncAPI's terms."""
    return {**scheme, "type": "httpApiKey"} if scheme["type"] == "apiKey" else dict(scheme)


def _name(method: MethodDescriptor, taken: Mapping[str, Any]) -> str:
    name, number = method.name, 2
    while name in taken:
        name, number = f"{method.name}{number}", number + 1
    return name


def _message(channel: str, kind: str, payload: dict[str, Any], summary: str) -> dict[str, Any]:
    return {"name": kind, "title": f"{channel} {kind}", "summary": summary, "payload": payload}


def _frame(own: Mapping[str, Any]) -> dict[str, Any]:
    properties = {**own, "seq": _SEQ, "ts": _TS}
    return {
        "type": "object",
        "required": list(properties),
        "properties": {**properties, "id": _ID},
        "additionalProperties": False,
    }


_ERROR_FRAME = _frame(
    {
        "type": {"const": ERROR},
        "error": {"type": "string", "description": "What is wrong, for people."},
        "problem": {"$ref": "#/components/schemas/Problem"},
    }
)


def _request(components: Mapping[str, Any], body: Mapping[str, Any], bound: BoundMethod) -> dict[str, Any]:
    """Schema of a request: the body with an id; fields in the path are not required."""
    schema = dict(components[body["$ref"].rpartition("/")[2]])
    in_path = {bound.relative_to_body(path) for path in bound.path_fields}
    schema["properties"] = {
        **schema["properties"],
        "id": {**_ID, "description": "Returned in every frame."},
        RESUME_TOKEN: _TOKEN_OF_REQUEST,
    }
    schema["required"] = [name for name in schema.get("required", []) if name not in in_path]
    if not schema["required"]:
        del schema["required"]
    return schema
