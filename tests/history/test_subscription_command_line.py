"""`pantree subscriptions`, with a real service."""

import json
import re
from datetime import UTC, datetime, timedelta

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from pantree_cli.app import app
from pantree_cli.subscriptions import subscriptions_app
from pantree_runtime.errors import EtagMismatch, InvalidState, NotFound
from tests.history.test_command_line import address

__all__ = ["address"]

COMMANDS = sorted(get_command(subscriptions_app).commands)  # type: ignore[attr-defined] # a group
FIRST = datetime.now(UTC).date() + timedelta(days=10)


def pantree(address: str, *arguments: str) -> str:
    """Output of a command that succeeds, in a terminal of 80 columns."""
    call = ("subscriptions", *arguments, "--address", address)
    result = CliRunner().invoke(app, call, catch_exceptions=False, env={"COLUMNS": "80"})
    assert result.exit_code == 0, result.output
    assert [line for line in result.stdout.splitlines() if len(line) > 80] == []
    return result.stdout


@pytest.fixture
def milk(address: str, request: pytest.FixtureRequest) -> tuple[str, str]:
    """A customer of this test, and a subscription every week."""
    customer = f"c-{request.node.name}"
    pantree(address, "create", customer, "Milk", "--every", "weekly", "--first", FIRST.isoformat(), "--id", customer)
    return customer, customer


def rows(output: str) -> list[list[str]]:
    """Cells of the table of deliveries: number, day, state."""
    return [re.split(r"\s{2,}", line.strip())[:3] for line in output.splitlines() if re.match(r" *\d+ ", line)]


def day(weeks: int, days: int = 0) -> str:
    return (FIRST + timedelta(weeks=weeks, days=days)).isoformat()


def test_offer_is_accepted_and_listed(address: str) -> None:
    assert "4711 has no subscriptions." in pantree(address, "list", "4711")
    offered = pantree(
        address, "offer", "4711", "Coffee", "--every", "2 weeks", "--quantity", "2", "--item-id", "COF-1",
        "--variant", "1 kg", "--channel", "email",
    )  # fmt: skip
    found = re.match(r"Offer (\S+): 2 × Coffee, 1 kg, every 2 weeks\.", offered)
    assert found, offered
    accepted = pantree(address, "accept", "4711", found[1], "--first", day(0), "--id", "s-1", "--consent", "Yes.")
    assert "Subscription s-1 of 4711: 2 × Coffee, 1 kg, every 2 weeks; active." in accepted
    assert [row[:2] for row in rows(accepted)][:2] == [["1", day(0)], ["2", day(2)]]
    assert re.search(rf"{found[1]} .* s-1", pantree(address, "offers", "4711"))
    listed = pantree(address, "list", "4711")
    assert re.search(rf"s-1 +2 × Coffee, 1 kg, every 2 weeks +active +{day(0)}", listed), listed
    (one,) = map(json.loads, pantree_json(address, "list", "4711"))
    assert (one["item"]["item_id"], one["consent"], one["offer_id"]) == ("COF-1", "Yes.", found[1])


def pantree_json(address: str, *arguments: str) -> list[str]:
    """Lines of JSON, which are of any width."""
    call = ("subscriptions", *arguments, "--json", "--address", address)
    result = CliRunner().invoke(app, call, catch_exceptions=False)
    return result.stdout.splitlines()


def test_levers_change_what_is_shown(address: str, milk: tuple[str, str]) -> None:
    assert "Delivery 1 skipped." in pantree(address, "skip", *milk, "--reason", "too_much")
    moved = pantree(address, "move", *milk, day(1, 2), "--delivery", "2")
    assert "Delivery 2 moved." in moved
    assert [row[:2] for row in rows(moved)][1] == ["2", f"{day(1, 2)}, moved from"]
    assert "Subscription interval changed." in pantree(address, "interval", *milk, "2w")
    assert "Subscription quantity changed." in pantree(address, "quantity", *milk, "3")
    assert "Subscription item changed." in pantree(address, "item", *milk, "Oat milk")
    shown = pantree(address, "show", *milk, "--until", day(5))
    assert "3 × Oat milk, every 2 weeks; active." in shown
    assert [row[0] for row in rows(shown)] == ["1", "2", "3", "4"]
    assert "skipped: too_much" in re.sub(r"\s+", " ", shown)
    assert "Delivery 1 restored." in pantree(address, "restore", *milk, "1")
    assert "; paused until" in pantree(address, "pause", *milk, "--until", day(3))
    assert "; active." in pantree(address, "resume", *milk)
    assert "Nothing changed." in pantree(address, "quantity", *milk, "3")
    assert "Delivery 1 locked." in pantree(address, "send-now", *milk)
    assert f"; active, ends {day(8)}." in re.sub(r"\s+", " ", pantree(address, "cancel", *milk, "--on", day(8)))
    assert "; active." in pantree(address, "reactivate", *milk)
    cancelled = pantree(address, "cancel", *milk, "--reason", "too_much", "--comment", "Bye.")
    assert "Reason: too_much; Bye." in cancelled
    kinds = [json.loads(line)["type"].rpartition(".")[2] for line in pantree_json(address, "events", *milk)]
    assert kinds == [
        "created", "skipped", "moved", "interval_changed", "quantity_changed", "item_changed", "restored", "paused",
        "resumed", "locked", "cancellation_scheduled", "reactivated", "cancelled",
    ]  # fmt: skip
    assert "operator" in pantree(address, "events", *milk)


def test_household_is_paused_and_the_clock_of_a_test_tenant_ends_the_pause(address: str) -> None:
    sandbox = ("--tenant", "sandbox")
    for name in ("milk", "tea", "oats"):
        pantree(address, "create", "4711", name, "--every", "weekly", "--first", day(0), "--id", name, *sandbox)
    pantree(address, "pause", "4711", "oats", *sandbox)
    paused = pantree(address, "pause", "4711", "--all", "--until", day(4), *sandbox)
    assert re.findall(r"^ *(milk|tea|oats) .* paused", paused, re.M) == ["milk", "tea"]
    assert "Nothing changed." in pantree(address, "pause", "4711", "--all", "--until", day(4), *sandbox)
    shown = pantree(address, "clock", "show", *sandbox)
    assert re.fullmatch(r"The clock is at \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC\.\n", shown)
    assert shown == pantree(address, "clock", "show", *sandbox)
    assert "Events of subscriptions: 0;" in pantree(address, "clock", "advance", day(3), *sandbox)
    advanced = pantree(address, "clock", "advance", "--days", "30", *sandbox)
    assert f"The clock is at {day(3, 30)} 00:00:00 UTC." in advanced
    assert "Events of subscriptions: 2;" in advanced
    listed = pantree(address, "list", "4711", *sandbox)
    assert re.findall(r"^ *(\w+) .* (active|paused)", listed, re.M) == [
        ("milk", "active"), ("oats", "paused"), ("tea", "active"),
    ]  # fmt: skip
    assert "Nothing changed." in pantree(address, "resume", "4711", "--all", *sandbox)
    with pytest.raises(InvalidState, match="no test clock"):
        pantree(address, "clock", "show")


@pytest.mark.parametrize(
    "arguments",
    [
        ("pause", "4711"),
        ("resume", "4711", "s-1", "--all"),
        ("pause", "4711", "--all", "--etag", "x"),
        ("clock", "advance"),
    ],
)
def test_one_or_all_must_be_named(address: str, arguments: tuple[str, ...]) -> None:
    result = CliRunner().invoke(app, ["subscriptions", *arguments, "--address", address])
    assert result.exit_code == 2
    assert "Traceback" not in result.output


def test_a_change_is_made_once_and_only_to_the_known_version(address: str, milk: tuple[str, str]) -> None:
    (before,) = map(json.loads, pantree_json(address, "list", milk[0]))
    again = [pantree(address, "skip", *milk, "--request-id", "one", "--etag", before["etag"]) for _ in range(2)]
    assert again[0] == again[1]
    with pytest.raises(EtagMismatch):
        pantree(address, "pause", *milk, "--etag", before["etag"])
    with pytest.raises(InvalidState):
        pantree(address, "resume", *milk)
    with pytest.raises(NotFound):
        pantree(address, "show", milk[0], "another")


@pytest.mark.parametrize(
    ("text", "shown"),
    [("3d", "every 3 days"), ("10 days", "every 10 days"), ("Weekly", "every week"), ("1 month", "every month")],
)
def test_intervals_are_read(address: str, milk: tuple[str, str], text: str, shown: str) -> None:
    assert f"Milk, {shown}" in re.sub(r"\s+", " ", pantree(address, "interval", *milk, text))


def test_wrong_interval_is_explained(address: str) -> None:
    result = CliRunner().invoke(app, ["subscriptions", "interval", "4711", "s-1", "often", "--address", address])
    assert result.exit_code == 2
    assert "'often' is no interval" in result.output


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_each_command_has_an_example_and_fits(command: str) -> None:
    text = CliRunner().invoke(app, ["subscriptions", command, "--help"], env={"COLUMNS": "80"}).stdout
    lines = re.findall(rf"pantree subscriptions {command}\b.*", text.partition("Example")[2])
    assert lines, text
    used, listed = (set(re.findall(r"--[a-z-]+", part)) for part in ("\n".join(lines), text.partition("Options")[2]))
    assert used <= listed
    assert [line for line in text.splitlines() if len(line) > 80] == []
    assert "…" not in text
