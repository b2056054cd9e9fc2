"""Comments of a contract, from its descriptor image."""

from collections.abc import Mapping

from google.protobuf.descriptor_pb2 import DescriptorProto, EnumDescriptorProto, FileDescriptorSet


def comments_of(image: bytes) -> Mapping[str, str]:
    """Comments by full name; that of an enum value includes its enum, as `pantree.catalog.v1.Relation.RELATION_SAME`.

    Args:
        image: a serialized `FileDescriptorSet`, from protoc with `--include_source_info`.
    """
    comments: dict[str, str] = {}
    for file in FileDescriptorSet.FromString(image).file:
        names: dict[tuple[int, ...], str] = {}
        # A location's path consists of field numbers of descriptor.proto and positions.
        for index, message in enumerate(file.message_type):
            _add_message(names, message, (4, index), file.package)
        for index, enum in enumerate(file.enum_type):
            _add_enum(names, enum, (5, index), file.package)
        for index, service in enumerate(file.service):
            full_name = f"{file.package}.{service.name}"
            names[6, index] = full_name
            for number, method in enumerate(service.method):
                names[6, index, 2, number] = f"{full_name}.{method.name}"
        for location in file.source_code_info.location:
            name = names.get(tuple(location.path))
            if name is not None and location.leading_comments:
                comments[name] = _unwrapped(location.leading_comments)
    return comments


def _add_message(
    names: dict[tuple[int, ...], str], message: DescriptorProto, path: tuple[int, ...], scope: str
) -> None:
    full_name = f"{scope}.{message.name}"
    names[path] = full_name
    for index, field in enumerate(message.field):
        names[*path, 2, index] = f"{full_name}.{field.name}"
    for index, inner in enumerate(message.nested_type):
        _add_message(names, inner, (*path, 3, index), full_name)
    for index, enum in enumerate(message.enum_type):
        _add_enum(names, enum, (*path, 4, index), full_name)


def _add_enum(names: dict[tuple[int, ...], str], enum: EnumDescriptorProto, path: tuple[int, ...], scope: str) -> None:
    full_name = f"{scope}.{enum.name}"
    names[path] = full_name
    for index, value in enumerate(enum.value):
        names[*path, 2, index] = f"{full_name}.{value.name}"


def _unwrapped(comment: str) -> str:
    """Text with its paragraphs, but without the line breaks inside them."""
    paragraphs = "\n".join(line.strip() for line in comment.strip().splitlines()).split("\n\n")
    return "\n\n".join(" ".join(paragraph.split("\n")) for paragraph in paragraphs)
