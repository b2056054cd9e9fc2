"""Installs the wheel of Pantree for an image: pinned versions, and only files whose hashes are in `scripts/hashes.txt`.

pip checks hashes only if every requirement has one, and a constraint does not count. So it first resolves what the
wheel needs, then installs exactly that.

    python scripts/install_with_hashes.py PYTHON WHEEL[EXTRAS]
"""

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

SCRIPTS = Path(__file__).parent


def hashes_of(text: str) -> dict[str, str]:
    """Requirement with its hashes, by normalized `name==version`, of a file that `make pins` writes."""
    entries = re.split(r"\n(?=\S)", text.strip())
    return {normalized(entry.partition(" ")[0]): entry for entry in entries}


def normalized(pin: str) -> str:
    """A `name==version` with the name as package indexes compare it (PEP 503)."""
    name, _, version = pin.partition("==")
    return f"{re.sub(r'[-_.]+', '-', name).lower()}=={version}"


def requirements_of(report: dict[str, list[dict[str, dict[str, str]]]], hashes: dict[str, str]) -> list[str]:
    """Requirements with hashes for everything in a report of `pip install`, except Pantree itself.

    Raises:
        SystemExit: when `scripts/hashes.txt` lacks one.
    """
    packages = [entry["metadata"] for entry in report["install"]]
    pins = [normalized(f"{one['name']}=={one['version']}") for one in packages if one["name"] != "pantree"]
    if missing := [pin for pin in pins if pin not in hashes]:
        raise SystemExit(f"scripts/hashes.txt lacks {', '.join(missing)}: run make pins")
    return [hashes[pin] for pin in pins]


def main(python: str, wheel: str) -> None:
    """Installs a wheel with extras, such as `pantree-1.whl[gateway]`, into the environment of an interpreter."""

    def install(*arguments: str) -> None:
        command = [sys.executable, "-m", "pip", "--python", python, "install", *arguments]
        subprocess.run(command, check=True)  # noqa: S603 # the arguments are those of the Dockerfile

    with tempfile.TemporaryDirectory() as directory:
        report, requirements = Path(directory, "report.json"), Path(directory, "requirements.txt")
        constraints = ["--constraint", str(SCRIPTS / "constraints.txt")]
        install("--quiet", "--dry-run", "--report", str(report), *constraints, wheel)
        hashes = hashes_of((SCRIPTS / "hashes.txt").read_text())
        requirements.write_text("\n".join(requirements_of(json.loads(report.read_text()), hashes)))
        install("--require-hashes", "--no-deps", "--requirement", str(requirements))
    install("--no-deps", wheel.partition("[")[0])


if __name__ == "__main__":
    main(*sys.argv[1:])
