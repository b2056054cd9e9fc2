"""HTTP bindings of a method, from its `google.api.http` annotation.

Path templates follow the grammar in `google/api/http.proto`. A custom verb, such as
`custom { kind: "WEBSOCKET" path: … }`, is parsed like any other.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from google.api import annotations_pb2
from google.protobuf.descriptor import MethodDescriptor

_FIELD_PATH = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")
_LITERAL = re.compile(r"[^*{}/]+")
# A colon starts the custom verb only after the last slash and outside of variables.
_CUSTOM_VERB = re.compile(r":([^:/{}*]+)$")
_SEGMENT = re.compile(r"\{[^{}]*\}|[^/{}]+")


@dataclass(frozen=True)
class PathVariable:
    """A field of the request that the path sets."""

    field_path: str
    """Such as `input.customer_id`."""
    pieces: tuple[tuple[bool, str], ...]
    """Segments of the value in order: (True, name of a route parameter) or (False, literal)."""


@dataclass(frozen=True)
class PathTemplate:
    """A path template for a router."""

    route_path: str
    """Path in the router's notation, such as `/ws/stream/{customer_id}` or `/v1/{name:path}`."""
    variables: tuple[PathVariable, ...]
    specificity: tuple[int, ...]
    """Sort key that puts more specific templates first: literals before one segment before many."""

    def values(self, parameters: Mapping[str, str]) -> dict[str, str]:
        """Text of each field in the path by field path, from the router's parameters."""
        return {
            variable.field_path: "/".join(parameters[text] if bound else text for bound, text in variable.pieces)
            for variable in self.variables
        }


@dataclass(frozen=True)
class HttpBinding:
    """One way to call a method over HTTP."""

    verb: str
    """`GET`, `PUT`, `POST`, `DELETE`, `PATCH`, or the kind of a custom pattern."""
    template: PathTemplate
    body: str
    """`*` if the body is the whole request; otherwise the field that it sets; empty without a body."""
    response_body: str
    """Name of the field to return; empty for the whole response."""


def bindings_of(method: MethodDescriptor) -> tuple[HttpBinding, ...]:
    """Bindings of a method, the main one first; empty without an annotation.

    Raises:
        ValueError: when the annotation is malformed.
    """
    options = method.GetOptions()
    if not options.HasExtension(annotations_pb2.http):
        return ()
    rule = options.Extensions[annotations_pb2.http]
    try:
        return tuple(_binding(one) for one in (rule, *rule.additional_bindings))
    except ValueError as error:
        raise ValueError(f"google.api.http of {method.full_name}: {error}") from None


def _binding(rule: Any) -> HttpBinding:
    pattern = rule.WhichOneof("pattern")
    if pattern is None:
        raise ValueError("has no pattern; must be get, put, post, delete, patch or custom")
    verb, path = (rule.custom.kind, rule.custom.path) if pattern == "custom" else (pattern, getattr(rule, pattern))
    return HttpBinding(
        verb=verb.upper(), template=parse_template(path), body=rule.body, response_body=rule.response_body
    )


def parse_template(template: str) -> PathTemplate:
    """Path template of `google/api/http.proto`, such as `/v1/{name=shelves/*}:archive`.

    Raises:
        ValueError: when it is malformed, or names a field twice.
    """
    if not template.startswith("/"):
        raise ValueError(f"path {template!r} does not start with a slash")
    custom_verb = _CUSTOM_VERB.search(template)
    segments = _split(template[: custom_verb.start()] if custom_verb else template)
    variables = [_variable(segment) for segment in segments if segment.startswith("{")]
    field_paths = [field_path for field_path, _ in variables]
    if len(set(field_paths)) < len(field_paths):
        raise ValueError(f"path {template!r} names a field twice")
    names = _parameter_names(field_paths)

    pieces: list[tuple[bool, str, int]] = []
    bound: list[PathVariable] = []
    wildcards = 0
    for segment in segments:
        if segment.startswith("{"):
            field_path, parts = _variable(segment)
            own = list(_pieces(names[field_path], parts))
            bound.append(PathVariable(field_path, tuple((is_parameter, text) for is_parameter, text, _ in own)))
        else:
            wildcards += segment in ("*", "**")
            own = list(_pieces(f"wildcard_{wildcards}", [segment]))
        pieces += own
    route = [
        text if not is_parameter else f"{{{text}:path}}" if width == 2 else f"{{{text}}}"
        for is_parameter, text, width in pieces
    ]
    verb = custom_verb.group() if custom_verb else ""
    specificity = (0 if verb else 1, *(width for _, _, width in pieces))
    return PathTemplate(f"/{'/'.join(route)}{verb}", tuple(bound), specificity)


def _split(path: str) -> list[str]:
    segments = _SEGMENT.findall(path)
    if f"/{'/'.join(segments)}" != path:
        raise ValueError(f"path {path!r} is malformed")
    for segment in segments:
        if not segment.startswith("{") and segment not in ("*", "**") and not _LITERAL.fullmatch(segment):
            raise ValueError(f"path {path!r} has the segment {segment!r}; a * must be a whole segment")
    return segments


def _variable(segment: str) -> tuple[str, list[str]]:
    """Field path and inner segments of `{field}` or `{field=segments}`."""
    field_path, _, pattern = segment[1:-1].partition("=")
    if not _FIELD_PATH.fullmatch(field_path):
        raise ValueError(f"{segment!r} does not name a field")
    return field_path, _split(f"/{pattern}") if pattern else ["*"]


def _parameter_names(field_paths: list[str]) -> dict[str, str]:
    """Route parameter of each field: its own name if unique, else its whole path."""
    short = [field_path.rpartition(".")[2] for field_path in field_paths]
    return {
        field_path: name if short.count(name) == 1 else field_path.replace(".", "_")
        for field_path, name in zip(field_paths, short, strict=True)
    }


def _pieces(name: str, segments: list[str]) -> Iterator[tuple[bool, str, int]]:
    """Each segment as (is a parameter, its name or the literal, 0 for a literal, 1 for one segment or 2 for many)."""
    wildcards = sum(segment in ("*", "**") for segment in segments)
    number = 0
    for segment in segments:
        if segment in ("*", "**"):
            number += 1
            yield True, name if wildcards == 1 else f"{name}_{number}", len(segment)
        else:
            yield False, segment, 0
