import json

from typer.testing import CliRunner

from pantree_cli.app import app
from pantree_domain.goods import load_goods_policy


def run(*arguments: str) -> str:
    result = CliRunner().invoke(app, ["policy", *arguments])
    assert result.exit_code == 0, result.output
    return result.output


def test_show_lists_every_type_with_its_explanation() -> None:
    shown = json.loads(run("show", "--json"))
    assert [(goods["type"], goods["explanation"]) for goods in shown] == [
        (goods.id, goods.explanation) for goods in load_goods_policy().types
    ]
    assert {goods["type"] for goods in shown if goods["offered"] == "no, unless opted in"} == {"alcohol", "medicines"}
    assert "tobacco" in run("show")


def test_check_says_which_rules_apply() -> None:
    assert "alcohol; offered: no, unless opted in" in run("check", "Reserva", "--category", "ALCOHOL > WINE")
    assert "offered: yes, by choice" in run("check", "Beer", "--opt-in", "alcohol")
    assert "no rules" in run("check", "Bananas")
    assert json.loads(run("check", "Bananas", "--json")) is None
    assert json.loads(run("check", "Marlboro", "--json"))["type"] == "tobacco"
