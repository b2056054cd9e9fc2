"""`--help` shows how a command is used, and the shells complete it."""

import re
import subprocess
import sys

import pytest
from typer.main import get_command

from pantree_cli.app import app
from pantree_cli.mesh import PARTS

COMMANDS = sorted(get_command(app).commands)  # type: ignore[attr-defined] # a group, as there are several commands


def pantree(*arguments: str, columns: int = 120) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": "/usr/bin:/bin", "COLUMNS": str(columns), "TERM": "dumb"}
    return subprocess.run(
        [sys.executable, "-m", "pantree_cli", *arguments], capture_output=True, text=True, timeout=60, env=environment
    )


@pytest.mark.parametrize("command", [name for name in COMMANDS if name != "version"])
def test_help_of_a_command_has_examples_that_use_its_own_options(command: str) -> None:
    text = pantree(command, "--help").stdout
    examples = re.findall(rf"pantree {command}\b.*", text.partition("Example")[2])
    assert examples, text
    options = set(re.findall(r"--[a-z-]+", text.partition("Example")[2]))
    listed = set(re.findall(r"--[a-z-]+", text.partition("Options")[2].partition("Example")[0]))
    assert options - listed == set()


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help_fits_into_eighty_columns_and_cuts_nothing_off(command: str) -> None:
    text = pantree(*command.split(), "--help", columns=80).stdout
    assert [line for line in text.splitlines() if len(line) > 80] == []
    assert "..." not in text.replace("[ARGS]...", "")
    assert "…" not in text
    # Names of types tell nobody what to write.
    assert re.findall(r"-[a-z]+ <[^>]*>", text) == []


def test_json_and_csv_exclude_each_other() -> None:
    result = pantree("demo", "--json", "--csv")
    assert result.returncode == 2
    assert "not both" in result.stderr


def test_shell_completes_parts() -> None:
    # The shell asks the command by its own name, which an installation gives it.
    as_installed = "import sys; from pantree_cli.app import run; sys.argv = ['pantree']; run()"
    asked = {"_PANTREE_COMPLETE": "complete_bash", "COMP_WORDS": "pantree serve ", "COMP_CWORD": "2"}
    result = subprocess.run(
        [sys.executable, "-c", as_installed],
        capture_output=True,
        text=True,
        timeout=60,
        env={"PATH": "/usr/bin:/bin", **asked},
    )
    assert set(result.stdout.split()) == {part.name for part in PARTS}, result.stderr
