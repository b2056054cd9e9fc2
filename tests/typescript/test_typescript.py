"""The TypeScript client: what it is generated from, what would be published, and its own tests, run against a mesh.

`make typescript` installs what is needed. The tests themselves are in clients/typescript/test.
"""

import filecmp
import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.mesh import RunningMesh

CLIENT = Path(__file__).resolve().parents[2] / "clients/typescript"
CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")
LONGEST_SECONDS = 110


def lacking() -> str:
    """What is missing to run Node.js programs of the client; empty when nothing is."""
    node = shutil.which("node")
    if node is None or shutil.which("npm") is None:
        return "needs Node.js 20 or newer with npm"
    version = subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout
    if int(version.removeprefix("v").split(".")[0]) < 20:
        return f"needs Node.js 20 or newer; here is {version.strip()}"
    if not (CLIENT / "node_modules/typescript").exists():
        return "needs the development tools of the TypeScript client; `make typescript` installs them"
    return ""


pytestmark = pytest.mark.skipif(bool(lacking()), reason=lacking())
needs_chromium = pytest.mark.skipif(shutil.which(CHROMIUM) is None, reason=f"needs Chromium at {CHROMIUM}")


def run(*command: str, folder: Path = CLIENT, gateway: str = "") -> str:
    """Output of a program; the test fails, and shows it, when the program does."""
    result = subprocess.run(
        command,
        cwd=folder,
        env={
            **os.environ,
            "CI": "1",
            "NO_COLOR": "1",
            "CHROMIUM": CHROMIUM,
            **({"PANTREE_URL": gateway} if gateway else {}),
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=LONGEST_SECONDS,
    )
    assert result.returncode == 0, f"{' '.join(command)}\n{result.stdout}"
    return result.stdout


def run_tests(project: str, gateway: str = "") -> None:
    """Runs a vitest project and checks that there was something to run."""
    report = CLIENT / f"node_modules/.vitest-{project}.json"
    run(
        "node_modules/.bin/vitest", "run", "--project", project,
        "--reporter", "default", "--reporter", "json", "--outputFile.json", str(report), gateway=gateway,
    )  # fmt: skip
    document: dict[str, Any] = json.loads(report.read_text())
    assert document["numPassedTests"] == document["numTotalTests"] > 0


@pytest.fixture(scope="module")
def built() -> Path:
    """The client's folder, with what would be published built anew."""
    shutil.rmtree(CLIENT / "dist", ignore_errors=True)
    run("npm", "run", "build")
    return CLIENT


def test_generated_code_is_what_the_contract_gives(tmp_path: Path) -> None:
    run("node", "scripts/generate.mjs", str(tmp_path))
    committed = CLIENT / "src/generated"
    files = {file.relative_to(tmp_path) for file in tmp_path.rglob("*.ts")}
    assert files == {file.relative_to(committed) for file in committed.rglob("*.ts")}
    different = [str(file) for file in files if not filecmp.cmp(tmp_path / file, committed / file, shallow=False)]
    assert different == [], "run npm run generate in clients/typescript and commit"


def test_lock_file_names_no_registry() -> None:
    # Whoever installs uses the registry that they are set up for.
    lock = json.loads((CLIENT / "package-lock.json").read_text())
    assert [name for name, package in lock["packages"].items() if "resolved" in package] == []


def test_versions_are_exact() -> None:
    tools = json.loads((CLIENT / "package.json").read_text())["devDependencies"]
    assert {name: version for name, version in tools.items() if not re.fullmatch(r"\d+\.\d+\.\d+", version)} == {}


def test_what_would_be_published_can_be_used(built: Path, tmp_path: Path) -> None:
    listing = run("npm", "pack", "--json", "--ignore-scripts", "--silent", "--pack-destination", str(tmp_path))
    (packed,) = json.loads(listing[listing.index("[") :])
    assert {Path(file["path"]).parts[0] for file in packed["files"]} == {"README.md", "dist", "package.json", "src"}
    installed = tmp_path / "node_modules/pantree-client"
    installed.mkdir(parents=True)
    shutil.unpack_archive(tmp_path / packed["filename"], tmp_path / "unpacked")
    shutil.copytree(tmp_path / "unpacked/package", installed, dirs_exist_ok=True)
    # No dependency is installed beside it.
    program = tmp_path / "program.mts"
    program.write_text(
        'import { PantreeClient, type ProcessResult } from "pantree-client";\n'
        "const answer = (result: ProcessResult): string => result.recommendations.recommendations[0]!.name;\n"
        'console.log(typeof new PantreeClient("http://localhost:8000").process, typeof answer);\n'
    )
    compiler = str(built / "node_modules/typescript/bin/tsc")
    run(
        "node",
        compiler,
        "--strict",
        "--module",
        "nodenext",
        "--lib",
        "es2022,dom",
        str(program),
        folder=tmp_path,
    )
    assert run("node", str(tmp_path / "program.mjs")).split() == ["function", "function"]


def test_types_of_tests_scripts_and_readme(built: Path) -> None:
    run("npm", "run", "check")


def test_errors_and_retries(built: Path) -> None:
    run_tests("unit")


def test_against_a_mesh_in_node(built: Path, mesh: RunningMesh) -> None:
    run("node", "scripts/readme-examples.mjs", gateway=mesh.http)
    run_tests("node", gateway=mesh.http)


@needs_chromium
def test_against_a_mesh_in_chromium(built: Path, mesh: RunningMesh) -> None:
    run("node", "scripts/readme-examples.mjs", gateway=mesh.http)
    run_tests("chromium", gateway=mesh.http)
