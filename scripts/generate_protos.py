"""Generates the code of the contract: `protos/` in, `gen/pantree/` out.

- `gen/pantree/contract.binpb`: descriptor image of the contract with comments and options. buf lints it and compares
  it with earlier ones; the TypeScript client is generated from it; the gateway's documents take their texts from it.
- `gen/pantree/limits.json`: the bounds of all fields, from the `buf.validate` options, for `pantree_domain.limits`.
- For each proto a message module and its type stub, and for each service a gRPC module and its stub. They are generated
  without the `buf.validate` options, so that `pantree` needs no `buf` package at run time.

Run it with `make protos`. The tool versions are pinned in `scripts/constraints.txt`: generated code refuses to run with
an older grpcio or protobuf than it was made for.
"""

import json
import shutil
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import google.api
from google.api import annotations_pb2, field_behavior_pb2
from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory
from grpc_tools import protoc
from protovalidate import ViolationPb

ROOT = Path(__file__).resolve().parent.parent
PROTOS = ROOT / "protos"
GEN = ROOT / "gen"

VALIDATE = "buf/validate/validate.proto"
RULES = "pantree/rules/v1/rules.proto"
# Names of buf.validate rules in the limits; an option that is not listed is an error, so that none goes unchecked.
_NUMBER_LIMITS = {
    "gte": "minimum",
    "gt": "exclusive_minimum",
    "lte": "maximum",
    "lt": "exclusive_maximum",
    "finite": "finite",
}
_LIMITS = {
    "string": {
        "max_len": "max_length",
        "[pantree.rules.v1.not_blank]": "not_blank",
        "[pantree.rules.v1.no_control_characters]": "no_control_characters",
        "[pantree.rules.v1.no_invisible_characters]": "no_invisible_characters",
        "[pantree.rules.v1.calendar_day]": "calendar_day",
        "[pantree.rules.v1.forecast_day]": "forecast_day",
        "[pantree.rules.v1.currency_code]": "currency_code",
    },
    "enum": {"defined_only": "defined_only"},
    "int32": _NUMBER_LIMITS,
    "double": _NUMBER_LIMITS,
    "repeated": {"min_items": "min_items", "max_items": "max_items", "unique": "unique", "items": "items"},
}
# These options are known by being imported, so that they are not discarded with those of buf.validate.
_KNOWN_OPTIONS = (annotations_pb2.http, field_behavior_pb2.field_behavior)
_IGNORED = {"IGNORE_IF_ZERO_VALUE": "ignore_zero_value", "IGNORE_ALWAYS": "ignore_always"}


def run_protoc(*arguments: str) -> None:
    """Runs protoc, and ends the program with its exit code when it fails."""
    tools = Path(sys.executable).parent
    plugins = [f"--plugin={name}={tools / name}" for name in ("protoc-gen-mypy", "protoc-gen-mypy_grpc")]
    exit_code = protoc.main(["protoc", *plugins, *arguments])
    if exit_code:
        sys.exit(exit_code)


def read_contract(files: Iterable[str], temporary: Path) -> descriptor_pb2.FileDescriptorSet:
    """The protos and all that they import, with comments and options.

    `buf/validate/validate.proto` is in no wheel as text; the descriptor in protovalidate's wheel is the same.
    """
    validate = temporary / "validate.binpb"
    validate_file = descriptor_pb2.FileDescriptorProto.FromString(ViolationPb.desc().file.proto.to_binary())
    validate.write_bytes(descriptor_pb2.FileDescriptorSet(file=[validate_file]).SerializeToString())
    googleapis = Path(google.api.__path__[0]).parent.parent
    well_known_types = resources.files("grpc_tools") / "_proto"
    image = temporary / "contract.binpb"
    run_protoc(
        *(f"-I{folder}" for folder in (PROTOS, googleapis, well_known_types)),
        f"--descriptor_set_in={validate}",
        f"--descriptor_set_out={image}",
        "--include_imports",
        "--include_source_info",
        *files,
    )
    return descriptor_pb2.FileDescriptorSet.FromString(image.read_bytes())


def _fields(
    messages: Iterable[descriptor_pb2.DescriptorProto], scope: str
) -> Iterator[tuple[str, descriptor_pb2.FieldDescriptorProto]]:
    """Every field of some messages and of those nested in them, with the full name of its message."""
    for message in messages:
        name = f"{scope}.{message.name}"
        for field in message.field:
            yield name, field
        yield from _fields(message.nested_type, name)


def without_rules(contract: descriptor_pb2.FileDescriptorSet) -> descriptor_pb2.FileDescriptorSet:
    """The contract without the `buf.validate` options and the files that define them."""
    stripped = descriptor_pb2.FileDescriptorSet()
    for file in contract.file:
        if file.name in (VALIDATE, RULES):
            continue
        kept = stripped.file.add()
        kept.CopyFrom(file)
        kept.dependency[:] = [name for name in file.dependency if name not in (VALIDATE, RULES)]
        for _, field in _fields(kept.message_type, kept.package):
            field.ClearField("json_name")  # is the default one
            field.options.DiscardUnknownFields()  # this program's own descriptor pool has no buf.validate
            if not field.options.ByteSize():
                field.ClearField("options")
    return stripped


def limits_of(contract: descriptor_pb2.FileDescriptorSet) -> dict[str, dict[str, dict[str, Any]]]:
    """The limits of each field that has any, by full name of its message and name of the field.

    Raises:
        ValueError: when a field has a `buf.validate` option that Pantree does not check.
    """
    pool = descriptor_pool.DescriptorPool()
    for file in contract.file:
        pool.AddSerializedFile(file.SerializeToString())
    options_class = message_factory.GetMessageClass(pool.FindMessageTypeByName("google.protobuf.FieldOptions"))
    message_factory.GetMessageClassesForFiles([VALIDATE, RULES], pool)
    rules_extension = pool.FindExtensionByName("buf.validate.field")
    limits: dict[str, dict[str, dict[str, Any]]] = {}
    for file in contract.file:
        if not file.package.startswith("pantree."):
            continue
        for message, field in _fields(file.message_type, file.package):
            options: Any = options_class.FromString(field.options.SerializeToString())
            if options.HasExtension(rules_extension):
                rules = json_format.MessageToDict(
                    options.Extensions[rules_extension], preserving_proto_field_name=True, descriptor_pool=pool
                )
                try:
                    entry = _limits(rules)
                except KeyError as error:
                    raise ValueError(f"{message}.{field.name} has the option {error}, which is not checked") from None
                limits.setdefault(message, {})[field.name] = entry
    return limits


def _limits(rules: Mapping[str, Any]) -> dict[str, Any]:
    """Limits of a field, from the JSON form of its `buf.validate.FieldRules`.

    Raises:
        KeyError: for a rule that is not checked.
    """
    entry = {"required": rules["required"]} if "required" in rules else {}
    for kind, known in _LIMITS.items():
        given = dict(rules.get(kind, {}))
        for rule, name in known.items():
            if rule in given:
                value = given.pop(rule)
                entry[name] = _limits(value) if rule == "items" else _plain(value)
        for rule in given:
            raise KeyError(f"{kind}.{rule}")
    if "ignore" in rules:
        entry[_IGNORED[rules["ignore"]]] = True
    for kind in rules.keys() - _LIMITS.keys() - {"required", "ignore"}:
        raise KeyError(kind)
    return entry


def _plain(value: Any) -> Any:
    """A value without the decimal point or the quotes that JSON puts on whole numbers of 64 bits."""
    return int(value) if isinstance(value, str) or (isinstance(value, float) and value.is_integer()) else value


def json_of(limits: Mapping[str, Mapping[str, Any]]) -> str:
    """JSON text of the limits, with one line for each field."""
    messages = []
    for message, fields in limits.items():
        lines = ",\n".join(f"    {json.dumps(field)}: {json.dumps(entry)}" for field, entry in fields.items())
        messages.append(f"  {json.dumps(message)}: {{\n{lines}\n  }}")
    return "{\n" + ",\n".join(messages) + "\n}\n"


def write_packages(folder: Path) -> None:
    """Makes every generated folder below `folder` a package, and the whole typed."""
    for package in {file.parent for file in folder.rglob("*_pb2.py")}:
        while package != folder:
            (package / "__init__.py").touch()
            package = package.parent
    (folder / "pantree" / "py.typed").touch()


def generate(folder: Path, temporary: Path) -> None:
    """Writes everything that is made from the protos into an empty folder."""
    files = sorted(str(file.relative_to(PROTOS)) for file in PROTOS.rglob("*.proto"))
    contract = read_contract(files, temporary)
    stripped = temporary / "stripped.binpb"
    stripped.write_bytes(without_rules(contract).SerializeToString())
    with_code = [file for file in files if file != RULES]
    services = [file for file in with_code if file.endswith("_service.proto")]
    run_protoc(f"--descriptor_set_in={stripped}", f"--python_out={folder}", f"--mypy_out=quiet:{folder}", *with_code)
    run_protoc(
        f"--descriptor_set_in={stripped}",
        f"--grpc_python_out={folder}",
        f"--mypy_grpc_out=quiet:{folder}",
        *services,
    )
    (folder / "pantree" / "contract.binpb").write_bytes(contract.SerializeToString())
    (folder / "pantree" / "limits.json").write_text(json_of(limits_of(contract)), encoding="utf-8")
    write_packages(folder)


def main() -> None:
    """Replaces `gen/pantree/`, so that a deleted proto leaves nothing behind; a failure leaves it as it was."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / GEN.name  # a temporary folder itself is closed to other users, and its copy would be
        folder.mkdir()
        generate(folder, Path(temporary))
        shutil.rmtree(GEN / "pantree", ignore_errors=True)
        shutil.copytree(folder / "pantree", GEN / "pantree")


if __name__ == "__main__":
    main()
