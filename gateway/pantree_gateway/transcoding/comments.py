"""Comments in a contract, from its descriptor image."""

from collections.abc import Mapping, Sequence
from typing import Any

from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet


def comments_of(image: bytes) -> Mapping[str, str]:
    """Comments by full name, from a serialized `FileDescriptorSet` that protoc made with `--include_source_info`.

    Names of enum values include the enum: `pantree.catalog.v1.Relation.RELATION_SAME`.
    """
    return {
        name: _unwrapped(location.leading_comments)
        for file in FileDescriptorSet.FromString(image).file
        for location in file.source_code_info.location
        if location.leading_comments and (name := _full_name(file, location.path))
    }


def _full_name(file: FileDescriptorProto, path: Sequence[int]) -> str:
    """Full name of the element at a location; empty for elements without a name, such as options."""
    names, element = [file.package], file
    # Field numbers of descriptor.proto alternate with positions.
    for number, position in zip(path[::2], path[1::2], strict=False):
        field: Any = element.DESCRIPTOR.fields_by_number.get(number)
        if field is None or not field.is_repeated or field.message_type is None:
            return ""
        element = getattr(element, field.name)[position]
        names.append(getattr(element, "name", ""))
    return ".".join(names) if len(path) % 2 == 0 else ""


def _unwrapped(comment: str) -> str:
    """Text with its paragraphs, but without the line breaks inside them."""
    paragraphs = "\n".join(line.strip() for line in comment.strip().splitlines()).split("\n\n")
    return "\n\n".join(" ".join(paragraph.split("\n")) for paragraph in paragraphs)
