"""The Dockerfiles: lint, and agreement with the parts."""

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from scripts.build_images import (
    DOCKERFILE,
    IMAGE_NAMES,
    OWN_DOCKERFILES,
    PART_NAMES,
    ROOT,
    SAGEMAKER_DOCKERFILE,
    SPARK_DOCKERFILE,
    main,
)
from scripts.install_with_hashes import OURS, hashes_of, normalized, requirements_of, wheels_in

EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
WARMED = {part for part in PART_NAMES if "numba" in str(EXTRAS[part])}
"""Parts that use numba: its cache is filled while the image is built."""


def test_there_are_no_other_dockerfiles() -> None:
    found = {
        path for folder in ("batch", "services", "gateway", "clients") for path in (ROOT / folder).rglob("Dockerfile*")
    }
    assert {path for path in found if "node_modules" not in path.parts} == set(OWN_DOCKERFILES.values())


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


@pytest.mark.parametrize("file", [DOCKERFILE, SPARK_DOCKERFILE, SAGEMAKER_DOCKERFILE], ids=lambda file: file.name)
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
    assert {package.split("/")[0] for package in packages} | {"gen", "runtime", "clients"} <= included
    assert {project["project"]["readme"], *project["project"]["license-files"], "scripts/constraints.txt"} <= included
    assert {"scripts/hashes.txt", "scripts/install_with_hashes.py"} <= included
    assert not {".env", ".git", "tests"} & included


def test_every_pinned_version_has_hashes() -> None:
    pins = (ROOT / "scripts/constraints.txt").read_text().split()
    text = (ROOT / "scripts/hashes.txt").read_text()
    hashes = hashes_of(text)
    assert {normalized(pin) for pin in pins} == set(hashes)
    assert all(re.fullmatch(r"\S+( \\\n    --hash=sha256:[0-9a-f]{64})+", entry) for entry in hashes.values())


def test_package_without_a_hash_is_not_installed() -> None:
    names = ("pantree", "pantree-runtime", "Some_Package")
    report = {"install": [{"metadata": {"name": name, "version": "1.0"}} for name in names]}
    hashes = {"some-package==1.0": "some-package==1.0 --hash=sha256:0"}
    assert requirements_of(report, hashes) == ["some-package==1.0 --hash=sha256:0"]
    with pytest.raises(SystemExit, match=r"lacks some-package==1.0"):
        requirements_of(report, {})


def test_wheels_of_pantree_come_from_a_directory(tmp_path: Path) -> None:
    files = [tmp_path / f"{name.replace('-', '_')}-1.0-py3-none-any.whl" for name in OURS]
    for file in files[:-1]:
        file.touch()
    with pytest.raises(SystemExit, match="exactly one wheel of pantree-runtime"):
        wheels_in(tmp_path)
    files[-1].touch()
    assert wheels_in(tmp_path) == dict(zip(OURS, files, strict=True))


def test_release_builds_every_image() -> None:
    workflow = yaml.safe_load((ROOT / ".github/workflows/release.yaml").read_text())
    images = workflow["jobs"]["image"]["strategy"]["matrix"]["include"]
    assert [image["part"] for image in images] == IMAGE_NAMES
    assert all((ROOT / image["file"]).exists() for image in images)
