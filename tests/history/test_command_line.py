"""`pantree import` and `pantree customer`, with real services."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pantree_cli.app import app
from pantree_cli.mesh import free_ports
from pantree_runtime.errors import NotFound
from tests.history.test_kill import wait_until_serving

FILE = """customer,date,item,quantity,price
4711,2026-05-02,Milk,1,1.49
4711,2026-05-02,Milk,1,1.49
4711,2026-05-09,Bananas,2,0.25
4712,2026-05-09,Bread,1,2.99
"""


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    (port,) = free_ports(1)
    variables = {
        "PANTREE_HISTORY_PORT": str(port),
        "PANTREE_HISTORY_STORE_URL": "sqlite://:memory:",
        "PANTREE_HISTORY_TEST_TENANTS": '["sandbox"]',
    }
    with subprocess.Popen([sys.executable, "-m", "pantree_history"], env={**os.environ, **variables}) as process:
        wait_until_serving(port)
        yield f"127.0.0.1:{port}"
        process.terminate()


def pantree(*arguments: str) -> str:
    """Output of a command that succeeds."""
    result = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_files_are_imported_once_and_customers_shown(address: str, tmp_path: Path) -> None:
    file = tmp_path / "purchases.csv"
    file.write_text(FILE)
    checked = pantree("import", str(file), "--dry-run", "--address", address)
    assert "4 lines: 4 would be stored, 0 already stored, 0 rejected." in checked
    stored = pantree("import", str(file), "--address", address)
    assert "4 lines: 4 stored, 0 already stored, 0 rejected." in stored
    file.write_text(FILE + "4712,2026-05-16,Bread,1,2.99\n")
    again = pantree("import", str(file), "--address", address)
    assert "5 lines: 1 stored, 4 already stored, 0 rejected." in again
    shown = [json.loads(line) for line in pantree("customer", "show", "4711", "--address", address).splitlines()]
    assert [(line["name"], line["date"], line["quantity"]) for line in shown] == [
        ("Milk", "2026-05-02", 1),
        ("Milk", "2026-05-02", 1),
        ("Bananas", "2026-05-09", 2),
    ]
    exported = pantree("customer", "export", "4712", "--address", address).splitlines()
    assert json.loads(exported[0])["customer"]["line_count"] == 2
    with pytest.raises(NotFound, match="nothing is stored of this customer"):
        pantree("customer", "show", "4711", "--tenant", "north", "--address", address)
    merged = json.loads(pantree("customer", "merge", "4711", "4712", "--actor", "anna", "--address", address))
    assert (merged["customer_id"], merged["moved_line_count"]) == ("4711", 2)
    assert len(pantree("customer", "show", "4712", "--address", address).splitlines()) == 5
    receipt = json.loads(pantree("customer", "apply-retention", "--dry-run", "--address", address))
    assert receipt["retention_days"] == 3650
    assert "removed_line_count" not in receipt


def test_only_the_owner_may_read_the_files_of_a_store(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    (port,) = free_ports(1)
    variables = {"PANTREE_HISTORY_PORT": str(port), "PANTREE_HISTORY_STORE_URL": f"sqlite://{folder}/history.db"}
    with subprocess.Popen([sys.executable, "-m", "pantree_history"], env={**os.environ, **variables}) as process:
        wait_until_serving(port)
        modes = {path.name: path.stat().st_mode & 0o077 for path in folder.iterdir()}
        process.terminate()
    assert {"history.db", "history.key"} <= set(modes)
    assert set(modes.values()) == {0}
