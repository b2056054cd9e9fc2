"""Files as people have them, through the command line and a running mesh; and requests that once ended in errors."""

import csv
import datetime
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from pantree_domain.item_key import item_key
from tests.e2e.mesh import RunningMesh

CASES = Path(__file__).resolve().parents[1] / "reader" / "cases"
DAYS = [datetime.date(2026, 8, 6) + datetime.timedelta(weeks=week) for week in range(16)]


def process(mesh: RunningMesh, *arguments: str, stdin: str = "", **variables: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pantree_cli", "process", *arguments]
    if "PANTREE_PIPELINE_PORT" not in variables:
        command += ["--address", mesh.address("pipeline")]
    environment = {**os.environ, "COLUMNS": "80", **variables}
    return subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=60, env=environment)


def answers(mesh: RunningMesh, name: str, *arguments: str) -> list[dict[str, Any]]:
    result = process(mesh, "--history", str(CASES / name), "--as-of", "2026-11-26", "--json", *arguments)
    assert result.returncode == 0, result.stderr
    return [json.loads(line) for line in result.stdout.splitlines()]


def cadences(answer: dict[str, Any]) -> dict[str, str]:
    items = answer["recommendations"]["recommendations"]
    return {item["name"]: item["subscription"]["frequency"] for item in items}


def test_each_household_of_a_file_has_its_own_answer(mesh: RunningMesh) -> None:
    found = answers(mesh, "two_households.csv")
    assert [one["customer_id"] for one in found] == ["17850", "13047"]
    assert [cadences(one) for one in found] == [{"Milk 2L": "weekly"}] * 2
    (only,) = answers(mesh, "two_households.csv", "--household", "13047")
    assert only["customer_id"] == "13047"
    rows = process(mesh, "--history", str(CASES / "two_households.csv"), "--csv").stdout
    assert [row["customer_id"] for row in csv.DictReader(rows.splitlines())] == ["17850", "13047"]


@pytest.mark.parametrize(
    ("name", "item"),
    [
        ("german.csv", "Käse jung"),
        ("fees.csv", "Milk 2L"),
        ("refund_negative.csv", "Coffee beans 1kg"),
        ("category_later.csv", "Zorblax"),
        ("name_variants.csv", "Milk 2L"),
    ],
)
def test_weekly_item_of_a_file_is_recommended_weekly(mesh: RunningMesh, name: str, item: str) -> None:
    (answer,) = answers(mesh, name)
    assert {item_key(found): cadence for found, cadence in cadences(answer).items()} == {item_key(item): "weekly"}


def test_file_without_prices_has_cadences_and_no_amounts(mesh: RunningMesh) -> None:
    (answer,) = answers(mesh, "no_price_named.csv")
    assert cadences(answer) == {"whole milk": "weekly"}
    assert answer["history_summary"]["has_prices"] is False
    result = process(mesh, "--history", str(CASES / "no_price_named.csv"))
    assert "0.00" not in result.stdout
    assert "Costs and savings are unknown" in result.stdout


def test_remarks_are_reported_by_line_and_refused_by_strict(mesh: RunningMesh) -> None:
    file = str(CASES / "future_row.csv")
    result = process(mesh, "--history", file, "--json", "--as-of", "2026-11-26")
    assert "left out: line 18: 2027-03-04 is after the as-of date, 2026-11-26." in result.stderr
    refused = process(mesh, "--history", file, "--strict", "--as-of", "2026-11-26")
    assert refused.returncode == 2
    assert "line 18" in refused.stderr


def test_command_uses_the_mesh_that_runs_on_this_machine(mesh: RunningMesh) -> None:
    port = mesh.address("pipeline").split(":")[1]
    file = str(CASES / "german.csv")
    result = process(mesh, "--history", file, PANTREE_PIPELINE_PORT=port, PANTREE_PIPELINE_ADDRESS="")
    assert f"Using the mesh that runs at 127.0.0.1:{port}." in result.stdout
    assert "Käse jung" in result.stdout
    status = [sys.executable, "-m", "pantree_cli", "status"]
    environment = {**os.environ, "PANTREE_PIPELINE_PORT": port, "PANTREE_PIPELINE_ADDRESS": ""}
    found = subprocess.run(status, capture_output=True, text=True, timeout=60, env=environment)
    assert found.returncode == 0, found.stderr


def test_version_is_an_option() -> None:
    command = [sys.executable, "-m", "pantree_cli", "--version"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert result.stdout.strip().count(".") == 2


def test_request_with_a_byte_order_mark_on_standard_input(mesh: RunningMesh) -> None:
    request = {"customer_id": "c1", "seed": 3, "as_of": "2026-11-26", "items": [{"name": "Milk", "price": 1.49}]}
    result = process(mesh, "-", "--json", stdin="\ufeff" + json.dumps(request))
    assert result.returncode == 0, result.stderr


def test_a_hundred_faults_end_with_2(mesh: RunningMesh) -> None:
    request = {"customer_id": "c1", "items": [{"name": "Coffee", "price": -1.0}] * 100}
    result = process(mesh, "-", stdin=json.dumps(request))
    assert result.returncode == 2
    assert "items[0].price" in result.stderr
    assert "Traceback" not in result.stderr


WEEKLY = [{"name": "Milk", "date": f"{day}", "price": 1.49} for day in DAYS]


@pytest.mark.parametrize(
    "body",
    [
        {"history": WEEKLY, "as_of": "2199-12-31"},
        {"history": [*WEEKLY, {"name": "Bag", "date": "2199-12-31", "price": 0.1}]},
        {"items": [{"name": "Milk", "price": 1}], "seed": 3, "as_of": "2199-12-31"},
    ],
    ids=["as_of", "row", "first purchase"],
)
def test_last_years_of_the_contract_are_answered(mesh: RunningMesh, body: dict[str, Any]) -> None:
    answer = httpx.post(f"{mesh.http}/api/v1/process", json={"customer_id": "c1", **body}, timeout=60)
    assert answer.status_code == 200, answer.text


def test_rows_and_columns_with_spaces_in_names_have_the_same_answer(mesh: RunningMesh) -> None:
    names = ["Milk", "Milk "]
    rows = [{"name": names[week % 2], "date": f"{day}", "price": 1.49} for week, day in enumerate(DAYS)]
    columns = {
        "item_names": names,
        "item_indices": [week % 2 for week in range(16)],
        "days": [(day - datetime.date(1970, 1, 1)).days for day in DAYS],
        "quantities": [1] * 16,
        "prices": [1.49] * 16,
        "savings": [0] * 16,
    }
    first, second = (
        httpx.post(f"{mesh.http}/api/v1/process", json={"customer_id": "c1", **part}, timeout=60).json()
        for part in ({"history": rows}, {"history_columns": columns})
    )
    assert first["recommendations"] == second["recommendations"]
    assert cadences(first) == {"Milk ".strip(): "weekly"}


@pytest.mark.parametrize(("code", "is_whole"), [("JPY", True), ("EUR", False)])
def test_amounts_have_the_digits_of_the_currency(mesh: RunningMesh, code: str, is_whole: bool) -> None:
    rows = [{"name": "Milk", "item_id": "M1", "variant": "1 L", "date": f"{day}", "price": 238.5} for day in DAYS]
    body = {"customer_id": "c1", "currency_code": code, "history": rows}
    answer = httpx.post(f"{mesh.http}/api/v1/process", json=body, timeout=60).json()
    (item,) = answer["recommendations"]["recommendations"]
    assert (item["item_id"], item["variant"], answer["currency_code"]) == ("M1", "1 L", code)
    amounts = [item["subscription"]["annual_cost"], item["subscription"]["estimated_annual_savings"]]
    assert all(amount == int(amount) for amount in amounts) is is_whole


def test_unknown_currency_is_refused(mesh: RunningMesh) -> None:
    body = {"customer_id": "c1", "currency_code": "euro", "history": WEEKLY}
    answer = httpx.post(f"{mesh.http}/api/v1/process", json=body, timeout=60)
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["field"] == "currency_code"


def test_items_without_a_known_category_are_not_cut_off(mesh: RunningMesh) -> None:
    names = [f"Zorblax {letter}" for letter in "abcdefghijklmno"]
    rows = [{"name": name, "date": f"{day}", "price": 2.0} for name in names for day in DAYS]
    answer = httpx.post(f"{mesh.http}/api/v1/process", json={"customer_id": "c1", "history": rows}, timeout=60).json()
    assert len(answer["recommendations"]["recommendations"]) == len(names)
