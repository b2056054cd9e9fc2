"""Generates the Python code of the contract: `protos/` in, `gen/` out.

For each proto it writes the message module, its type stub, and, where there is a service, the gRPC module with its
stub. Beside them stands `gen/pantree/contract.binpb`, a descriptor image with comments, from which buf checks for
breaking changes and the gateway takes the texts of its OpenAPI document.

Run it through `make protos`. The tool versions are pinned in `scripts/constraints.txt`, since generated code refuses to
run with an older grpcio or protobuf than it was made for.
"""

import shutil
import sys
import tempfile
from importlib import resources
from pathlib import Path

import google.api
from grpc_tools import protoc

ROOT = Path(__file__).resolve().parent.parent
PROTOS = ROOT / "protos"
GEN = ROOT / "gen"


def include_folders() -> list[str]:
    """Folders that protoc searches: ours, Google's API protos from their wheel, and the well-known types."""
    googleapis = Path(google.api.__path__[0]).parent.parent
    well_known_types = resources.files("grpc_tools") / "_proto"
    return [f"-I{folder}" for folder in (PROTOS, googleapis, well_known_types)]


def run_protoc(*arguments: str) -> None:
    """Runs protoc, and ends the program with its exit code when it fails."""
    tools = Path(sys.executable).parent
    plugins = [f"--plugin={name}={tools / name}" for name in ("protoc-gen-mypy", "protoc-gen-mypy_grpc")]
    exit_code = protoc.main(["protoc", *include_folders(), *plugins, *arguments])
    if exit_code:
        sys.exit(exit_code)


def write_packages(folder: Path) -> None:
    """Makes every generated folder below `folder` a package, and the whole typed."""
    for package in {file.parent for file in folder.rglob("*_pb2.py")}:
        while package != folder:
            (package / "__init__.py").touch()
            package = package.parent
    (folder / "pantree" / "py.typed").touch()


def generate(folder: Path) -> None:
    """Writes everything that is made from the protos into an empty folder."""
    files = sorted(str(file.relative_to(PROTOS)) for file in PROTOS.rglob("*.proto"))
    services = [file for file in files if file.endswith("_service.proto")]
    run_protoc(f"--python_out={folder}", f"--mypy_out=quiet:{folder}", *files)
    run_protoc(f"--grpc_python_out={folder}", f"--mypy_grpc_out=quiet:{folder}", *services)
    image = folder / "pantree" / "contract.binpb"
    run_protoc(f"--descriptor_set_out={image}", "--include_imports", "--include_source_info", *files)
    write_packages(folder)


def main() -> None:
    """Replaces `gen/`, so that a deleted proto leaves nothing behind; a failure leaves it as it was."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / GEN.name  # a temporary folder itself is closed to other users, and its copy would be
        folder.mkdir()
        generate(folder)
        shutil.rmtree(GEN, ignore_errors=True)
        shutil.copytree(folder, GEN)


if __name__ == "__main__":
    main()
