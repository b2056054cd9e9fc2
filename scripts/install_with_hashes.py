"""Installs Pantree for an image: pinned versions, and only files whose hashes are in `scripts/hashes.txt`.

pip checks hashes only if every requirement has one, and a constraint does not count. So it first resolves what Pantree
needs, then installs exactly that. All of Pantree's distributions are wheels in a directory, and none is looked up.

    python scripts/install_with_hashes.py PYTHON DIRECTORY EXTRAS
"""

import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

SCRIPTS = Path(__file__).parent
OURS = ("pantree", "pantree-client", "pantree-contract", "pantree-runtime")


def hashes_of(text: str) -> dict[str, str]:
    """Requirement with its hashes, by normalized `name==version`, of a file that `make pins` writes."""
    entries = re.split(r"\n(?=\S)", text.strip())
    return {normalized(entry.partition(" ")[0]): entry for entry in entries}


def normalized(pin: str) -> str:
    """A `name==version` with the name as package indexes compare it (PEP 503)."""
    name, _, version = pin.partition("==")
    return f"{re.sub(r'[-_.]+', '-', name).lower()}=={version}"


def wheels_in(directory: Path) -> dict[str, Path]:
    """Wheel of each of Pantree's distributions."""
    found = {name: list(directory.glob(f"{name.replace('-', '_')}-*.whl")) for name in OURS}
    if missing := [name for name, wheels in found.items() if len(wheels) != 1]:
        raise SystemExit(f"{directory} needs exactly one wheel of {', '.join(missing)}")
    return {name: wheels[0] for name, wheels in found.items()}


def requirements_of(report: Mapping[str, Any], hashes: Mapping[str, str]) -> list[str]:
    """Requirements with hashes for everything in a report of `pip install`, except Pantree itself.

    Raises:
        SystemExit: when `scripts/hashes.txt` lacks one.
    """
    packages = [entry["metadata"] for entry in report["install"]]
    pins = [normalized(f"{one['name']}=={one['version']}") for one in packages if one["name"] not in OURS]
    if missing := [pin for pin in pins if pin not in hashes]:
        raise SystemExit(f"scripts/hashes.txt lacks {', '.join(missing)}: run make pins")
    return [hashes[pin] for pin in pins]


def main(python: str, directory: str, extras: str) -> None:
    """Installs the wheels in a directory, with extras such as `gateway,vector`, for an interpreter."""

    def install(*arguments: str) -> None:
        command = [sys.executable, "-m", "pip", "--python", python, "install", *arguments]
        subprocess.run(command, check=True)  # noqa: S603 # the arguments are those of the Dockerfile

    wheels = wheels_in(Path(directory))
    ours = [f"{wheels['pantree']}[{extras}]", *(str(wheel) for name, wheel in wheels.items() if name != "pantree")]
    with tempfile.TemporaryDirectory() as temporary:
        report, requirements = Path(temporary, "report.json"), Path(temporary, "requirements.txt")
        constraints = ["--constraint", str(SCRIPTS / "constraints.txt")]
        install("--quiet", "--dry-run", "--report", str(report), *constraints, *ours)
        hashes = hashes_of((SCRIPTS / "hashes.txt").read_text())
        requirements.write_text("\n".join(requirements_of(json.loads(report.read_text()), hashes)))
        install("--require-hashes", "--no-deps", "--requirement", str(requirements))
    install("--no-deps", *map(str, wheels.values()))


if __name__ == "__main__":
    main(*sys.argv[1:])
