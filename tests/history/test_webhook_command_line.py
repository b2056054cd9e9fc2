"""`pantree webhooks`, with a real service."""

import json
import re

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from pantree_cli.app import app
from pantree_cli.webhooks import webhooks_app
from pantree_runtime.errors import InvalidInput, NotFound
from tests.history.test_command_line import address

__all__ = ["address"]


def pantree(address: str, *arguments: str, exit_code: int = 0) -> str:
    """Output of a command, in a terminal of 80 columns."""
    call = ("webhooks", *arguments, "--address", address)
    result = CliRunner().invoke(app, call, catch_exceptions=False, env={"COLUMNS": "80"})
    assert result.exit_code == exit_code, result.output
    return result.stdout


def test_webhook_from_its_creation_to_its_deletion(address: str) -> None:
    assert pantree(address, "list") == "There are no webhooks.\n"
    created = pantree(address, "create", "https://192-0-2-1.shop.invalid/hook", "--id", "erp")
    secret = re.search(r"Secret: (whsec_\S+)", created)
    assert secret
    rotated = pantree(address, "rotate", "erp", "--overlap-hours", "1")
    assert secret[1] not in rotated
    assert re.search(r"erp +https://192-0-2-1.shop.invalid/hook +0 +0", pantree(address, "list"))
    listed = pantree(address, "list", "--json")
    assert len(json.loads(listed)["secrets"]) == 2
    assert "whsec_" not in listed
    assert "Not delivered" in pantree(address, "test", "erp", exit_code=1)
    assert "To send: 0" in pantree(address, "replay", "erp", "--since", "2026-11-01T00:00:00Z")
    assert pantree(address, "dead-letters", "erp") == "There are no dead letters.\n"
    assert pantree(address, "delete", "erp") == "Webhook erp is deleted.\n"
    with pytest.raises(NotFound):
        pantree(address, "delete", "erp")
    with pytest.raises(InvalidInput, match="url: must"):
        pantree(address, "create", "http://127.0.0.1/")


@pytest.mark.parametrize("command", sorted(get_command(webhooks_app).commands))  # type: ignore[attr-defined] # a group
def test_command_has_help_with_an_example(command: str) -> None:
    result = CliRunner().invoke(app, ("webhooks", command, "--help"), env={"COLUMNS": "80"})
    assert result.exit_code == 0
    assert f"pantree webhooks {command}" in result.stdout
