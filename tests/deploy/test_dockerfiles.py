"""The Dockerfiles: lint, and agreement with the parts."""

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from scripts.build_images import DOCKERFILE, PART_NAMES, ROOT, SAGEMAKER_DOCKERFILE, main

EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
WARMED = {part for part in PART_NAMES if "numba" in str(EXTRAS[part])}
"""Parts that use numba: its cache is filled while the image is built."""


def test_there_are_no_other_dockerfiles() -> None:
    found = {path for folder in ("services", "gateway", "clients") for path in (ROOT / folder).rglob("Dockerfile*")}
    assert {path for path in found if "node_modules" not in path.parts} == {SAGEMAKER_DOCKERFILE}


def test_dockerfile_names_every_part() -> None:
    (comment,) = re.findall(r"^# The part to build: (.+)\.$", DOCKERFILE.read_text(), re.MULTILINE)
    assert re.split(", | or ", comment) == PART_NAMES


def test_dockerfile_fills_the_cache_of_every_part_that_uses_numba() -> None:
    (pattern,) = re.findall(r'case "\$\{PART\}" in (\S+)\) .*--demo', DOCKERFILE.read_text())
    assert set(pattern.split("|")) == WARMED


def test_unknown_image_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["nonsense"])
    assert "unknown image nonsense; use one of gateway" in capsys.readouterr().err


def test_extras_of_several_images_are_rejected(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EXTRAS", "vector,qdrant")
    with pytest.raises(SystemExit, match="2"):
        main(["vector", "frequency"])
    assert "EXTRAS applies to one image" in capsys.readouterr().err


@pytest.mark.parametrize("file", [DOCKERFILE, SAGEMAKER_DOCKERFILE], ids=lambda file: file.name)
def test_dockerfile_has_no_finding(file: Path) -> None:
    hadolint = shutil.which("hadolint") or str(Path(sys.executable).with_name("hadolint"))
    result = subprocess.run([hadolint, str(file)], capture_output=True, text=True)
    assert result.stdout + result.stderr == ""


def test_build_context_holds_the_files_of_the_wheel_and_no_settings() -> None:
    lines = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
    assert lines[0] == "*", "everything is excluded unless it is named"
    included = {line.removeprefix("!") for line in lines if line.startswith("!")}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    packages = project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    assert {package.split("/")[0] for package in packages} <= included
    assert {project["project"]["readme"], *project["project"]["license-files"], "scripts/constraints.txt"} <= included
    assert not {".env", ".git", "tests"} & included
