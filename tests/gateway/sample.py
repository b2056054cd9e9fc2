"""The contract of `sample.proto`, compiled on import."""

import tempfile
from importlib import resources
from pathlib import Path
from typing import Any

import google.api
from google.protobuf import any_pb2, duration_pb2, field_mask_pb2, struct_pb2, timestamp_pb2, wrappers_pb2
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.descriptor_pool import Default
from google.protobuf.message_factory import GetMessageClass
from grpc_tools import protoc

# These files must be in the pool first.
_DEPENDENCIES = (any_pb2, duration_pb2, field_mask_pb2, struct_pb2, timestamp_pb2, wrappers_pb2)
_NAME = "sample.proto"


def _compile() -> bytes:
    """Descriptor image with comments."""
    folders = (
        Path(__file__).parent,
        Path(google.api.__path__[0]).parent.parent,
        resources.files("grpc_tools") / "_proto",
    )
    with tempfile.TemporaryDirectory() as folder:
        image = Path(folder) / "image"
        arguments = [f"-I{folder}" for folder in folders]
        code = protoc.main(
            ["protoc", *arguments, f"--descriptor_set_out={image}", "--include_imports", "--include_source_info", _NAME]
        )
        assert code == 0
        return image.read_bytes()


IMAGE = _compile()
_FILE = next(file for file in FileDescriptorSet.FromString(IMAGE).file if file.name == _NAME)
_FILE.ClearField("source_code_info")
Default().AddSerializedFile(_FILE.SerializeToString())
_DESCRIPTOR = Default().FindFileByName(_NAME)
LIBRARY = _DESCRIPTOR.services_by_name["LibraryService"]
BROKEN = _DESCRIPTOR.services_by_name["BrokenService"]
ID_OF_ITS_OWN = _DESCRIPTOR.services_by_name["IdOfItsOwnService"]


def message_class(name: str) -> Any:
    """Class of a message of the sample."""
    return GetMessageClass(_DESCRIPTOR.message_types_by_name[name])


Everything = message_class("Everything")
Book = message_class("Book")
