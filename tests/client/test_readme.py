"""The examples in the README of the client run unchanged except for addresses."""

import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

from pantree_client import PantreeClient
from tests.e2e.mesh import RunningMesh

README = (Path(__file__).resolve().parents[2] / "clients/python/README.md").read_text()
EXAMPLES = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
EXPECTED = [
    r"^\S.* (weekly|biweekly|every_3_weeks|monthly|every_6_weeks|bimonthly|quarterly) [\d.]+$",
    r"^[A-Z][a-z]+ \d{4} 100\.0$",
    r"^weekly\n.*price .*$",
    r"^2026-12-05 skipped\n2026-12-19 planned$",
    r"^7\.0 days between purchases$",
    r"^\['Bananas', 'Milk'\]\nStarted\nMonthlyUpdate\nfrequency$",
]


def test_table_has_the_arguments_of_the_client_and_their_defaults() -> None:
    table = README.partition("| argument of a client |")[2].partition("\n\n")[0]
    cells = [[cell.strip(" `") for cell in line.split("|")] for line in table.splitlines()[2:]]
    rows = {name: default for _, name, default, *_ in cells}
    parameters = list(inspect.signature(PantreeClient).parameters.values())
    assert list(rows) == [parameter.name for parameter in parameters]
    for parameter in parameters:
        default = parameter.default
        shown = f"{default:g}" if isinstance(default, float) else default or ""
        assert rows[parameter.name] == shown


@pytest.mark.parametrize(("example", "expected"), list(zip(EXAMPLES, EXPECTED, strict=True)))
def test_example(mesh: RunningMesh, tmp_path: Path, example: str, expected: str) -> None:
    code = example.replace('"127.0.0.1:50051"', f'"{mesh.address("pipeline")}"')
    code = code.replace('"127.0.0.1:50054"', f'"{mesh.address("frequency")}"')
    code = code.replace("http://localhost:8000", mesh.http)
    code = code.replace("SyncPantreeClient()", f'SyncPantreeClient("{mesh.address("pipeline")}")')
    script = tmp_path / "example.py"
    script.write_text(code)
    result = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result.stderr
    assert re.search(expected, result.stdout, re.MULTILINE), result.stdout
