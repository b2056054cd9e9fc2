"""The Dockerfiles: lint, and all of them the same but for the part."""

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from pantree_cli.mesh import PARTS
from scripts.build_images import ROOT, dockerfiles, images, main

WARMED = {
    part.name
    for part in PARTS
    if "numba"
    in str(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"][part.name])
}


def test_every_part_has_a_dockerfile() -> None:
    assert set(dockerfiles()) == {part.name for part in PARTS}


def test_every_dockerfile_is_of_an_image_that_can_be_built() -> None:
    found = {path for folder in ("services", "gateway") for path in (ROOT / folder).rglob("Dockerfile*")}
    assert set(images().values()) == found


def test_image_that_does_not_exist_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["nonsense"])
    assert "there is no image nonsense; there are gateway" in capsys.readouterr().err


def test_extras_of_several_images_are_refused(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EXTRAS", "vector,qdrant")
    with pytest.raises(SystemExit, match="2"):
        main(["vector", "frequency"])
    assert "EXTRAS are those of one part" in capsys.readouterr().err


@pytest.mark.parametrize("name", images())
def test_dockerfile_has_no_finding(name: str) -> None:
    hadolint = shutil.which("hadolint") or str(Path(sys.executable).with_name("hadolint"))
    result = subprocess.run([hadolint, str(images()[name])], capture_output=True, text=True)
    assert result.stdout + result.stderr == ""


@pytest.mark.parametrize("part", dockerfiles())
def test_dockerfiles_differ_in_the_part_alone(part: str) -> None:
    def neutral(name: str) -> str:
        path = dockerfiles()[name]
        text = path.read_text().replace(str(path.relative_to(ROOT)), "FILE").replace(name, "PART")
        without = re.sub(r"# Compiles what .*\nRUN .*\"-m\", \"pantree_PART\", \"--demo\"\]\n", "", text)
        # Only a part with compiled functions runs while its image is built.
        assert (without != text) == (name in WARMED)
        return without

    assert neutral(part) == neutral("frequency")


def test_build_sees_what_the_wheel_is_made_of_and_no_settings() -> None:
    lines = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
    assert lines[0] == "*", "everything is left out unless it is named"
    let_in = {line.removeprefix("!") for line in lines if line.startswith("!")}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    packages = project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    assert {package.split("/")[0] for package in packages} <= let_in
    assert {project["project"]["readme"], *project["project"]["license-files"], "scripts/constraints.txt"} <= let_in
    assert not {".env", ".git", "tests"} & let_in
