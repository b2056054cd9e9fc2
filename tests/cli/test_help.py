"""Help texts and shell completion."""

import os
import re
import subprocess
import sys

import pytest
from typer.main import get_command

from pantree_cli.app import app
from pantree_cli.mesh import ALL_PARTS

COMMANDS = sorted(get_command(app).commands)  # type: ignore[attr-defined] # a group, as there are several commands


def pantree(*arguments: str, columns: int = 120) -> subprocess.CompletedProcess[str]:
    environment = {
        "PATH": "/usr/bin:/bin",
        "COLUMNS": str(columns),
        "TERM": "dumb",
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    return subprocess.run(
        [sys.executable, "-m", "pantree_cli", *arguments], capture_output=True, text=True, timeout=60, env=environment
    )


@pytest.mark.parametrize("command", [name for name in COMMANDS if name != "version"])
def test_help_has_examples_with_options_of_the_command(command: str) -> None:
    text = pantree(command, "--help").stdout
    examples = re.findall(rf"pantree {command}\b.*", text.partition("Example")[2])
    assert examples, text
    options = set(re.findall(r"--[a-z-]+", text.partition("Example")[2]))
    listed = set(re.findall(r"--[a-z-]+", text.partition("Options")[2].partition("Example")[0]))
    assert options - listed == set()


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help_fits_into_eighty_columns_without_truncation(command: str) -> None:
    text = pantree(*command.split(), "--help", columns=80).stdout
    assert [line for line in text.splitlines() if len(line) > 80] == []
    assert "..." not in text.replace("[ARGS]...", "").replace("{FILE}...", "").replace("FILE...", "")
    assert "…" not in text
    # Metavars are examples such as HOST:PORT, not type names.
    assert re.findall(r"-[a-z]+ <[^>]*>", text) == []


def test_json_and_csv_are_mutually_exclusive() -> None:
    result = pantree("demo", "--json", "--csv")
    assert result.returncode == 2
    assert "not both" in result.stderr


def test_shell_completion_of_parts() -> None:
    # The shell calls the command by its installed name.
    as_installed = "import sys; from pantree_cli.app import run; sys.argv = ['pantree']; run()"
    completion = {"_PANTREE_COMPLETE": "complete_bash", "COMP_WORDS": "pantree serve ", "COMP_CWORD": "2"}
    result = subprocess.run(
        [sys.executable, "-c", as_installed],
        capture_output=True,
        text=True,
        timeout=60,
        env={"PATH": "/usr/bin:/bin", **completion},
    )
    assert set(result.stdout.split()) == {part.name for part in ALL_PARTS}, result.stderr
