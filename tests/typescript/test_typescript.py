"""The TypeScript client: its generated code, its package, and its own tests against a mesh.

`make typescript` installs the tools. The tests themselves are in clients/typescript/test.
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
MAX_SECONDS = 110


def skip_reason() -> str:
    """Why the tests cannot run on this machine; empty if they can."""
    node = shutil.which("node")
    if node is None or shutil.which("npm") is None:
        return "needs Node.js 20 or newer with npm"
    version = subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout
    if int(version.removeprefix("v").split(".")[0]) < 20:
        return f"needs Node.js 20 or newer; found {version.strip()}"
    if not (CLIENT / "node_modules/typescript").exists():
        return "needs the development tools of the TypeScript client; `make typescript` installs them"
    return ""


pytestmark = pytest.mark.skipif(bool(skip_reason()), reason=skip_reason())
needs_chromium = pytest.mark.skipif(shutil.which(CHROMIUM) is None, reason=f"needs Chromium at {CHROMIUM}")


def run(*command: str, folder: Path = CLIENT, gateway: str = "") -> str:
    """Output of a program. The test fails with it if the program fails."""
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
        timeout=MAX_SECONDS,
    )
    assert result.returncode == 0, f"{' '.join(command)}\n{result.stdout}"
    return result.stdout


def run_tests(project: str, gateway: str = "") -> None:
    """Runs a vitest project and checks that it contains tests."""
    report = CLIENT / f"node_modules/.vitest-{project}.json"
    run(
        "node_modules/.bin/vitest", "run", "--project", project,
        "--reporter", "default", "--reporter", "json", "--outputFile.json", str(report), gateway=gateway,
    )  # fmt: skip
    document: dict[str, Any] = json.loads(report.read_text())
    assert document["numPassedTests"] == document["numTotalTests"] > 0


@pytest.fixture(scope="module")
def built() -> Path:
    """Directory of the client with a new build."""
    shutil.rmtree(CLIENT / "dist", ignore_errors=True)
    run("npm", "run", "build")
    return CLIENT


def test_generated_code_is_up_to_date(tmp_path: Path) -> None:
    run("node", "scripts/generate.mjs", str(tmp_path))
    committed = CLIENT / "src/generated"
    files = {file.relative_to(tmp_path) for file in tmp_path.rglob("*.ts")}
    assert files == {file.relative_to(committed) for file in committed.rglob("*.ts")}
    different = [str(file) for file in files if not filecmp.cmp(tmp_path / file, committed / file, shallow=False)]
    assert different == [], "run npm run generate in clients/typescript and commit"


def test_request_types_show_the_bounds_of_the_contract() -> None:
    text = (CLIENT / "src/generated/rest.ts").read_text()
    for field, bounds in {
        "simulation_months?: number": {"@minimum 1", "@maximum 60"},
        "items?: readonly BasketItemInput[]": {"@maxItems 100"},
        "quantities?: readonly number[]": {"@maxItems 100000", "@items.minimum 1", "@items.maximum 10000"},
        "customer_name?: string": {"@maxLength 200"},
    }.items():
        comment = text.partition(f"  {field};")[0].rpartition("/**")[2]
        assert set(re.findall(r"@\S+ \d+", comment)) == bounds, field


def test_lock_file_names_no_registry() -> None:
    # An installation uses the registry of its environment.
    lock = json.loads((CLIENT / "package-lock.json").read_text())
    assert [name for name, package in lock["packages"].items() if "resolved" in package] == []


def test_versions_are_exact() -> None:
    tools = json.loads((CLIENT / "package.json").read_text())["devDependencies"]
    assert {name: version for name, version in tools.items() if not re.fullmatch(r"\d+\.\d+\.\d+", version)} == {}


def test_package_can_be_used(built: Path, tmp_path: Path) -> None:
    listing = run("npm", "pack", "--json", "--ignore-scripts", "--silent", "--pack-destination", str(tmp_path))
    (packed,) = json.loads(listing[listing.index("[") :])
    assert {Path(file["path"]).parts[0] for file in packed["files"]} == {"README.md", "dist", "package.json", "src"}
    installed = tmp_path / "node_modules/pantree-client"
    installed.mkdir(parents=True)
    shutil.unpack_archive(tmp_path / packed["filename"], tmp_path / "unpacked")
    shutil.copytree(tmp_path / "unpacked/package", installed, dirs_exist_ok=True)
    # The package has no dependencies.
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
