"""The command line as people and programs use it, in separate processes."""

import csv
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from pantree_cli.mesh import ALL_PARTS, PARTS, port_settings
from tests.e2e.mesh import RunningMesh

PANTREE = [sys.executable, "-m", "pantree_cli"]
REQUEST = {"customer_id": "cust_001", "items": [{"name": "Bananas", "price": 1.99}], "seed": 5}


def pantree(*arguments: str, stdin: str = "", **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*PANTREE, *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=100,
        env={**os.environ, "COLUMNS": "80", **variables},
    )


@pytest.mark.parametrize("how", [[], ["--in-process"]], ids=["processes", "in one process"])
def test_demo_shows_months_and_recommendations(how: list[str]) -> None:
    result = pantree("demo", *how)
    assert result.returncode == 0, result.stderr
    assert "7 parts are serving" in result.stdout
    assert "Worth a subscription" in result.stdout
    assert "Bananas" in result.stdout
    assert re.search("Spend by month, .*: [▁-█]{6} ", result.stdout)
    assert "from all services SERVING to the result" in result.stdout
    assert result.stderr == ""


def test_demo_has_the_same_answer_in_processes_and_in_one_process() -> None:
    one, other = (json.loads(pantree("demo", "--json", *how).stdout) for how in ([], ["--in-process"]))
    assert one == other


def test_process_sends_a_request_to_a_running_mesh(mesh: RunningMesh, tmp_path: Path) -> None:
    file = tmp_path / "request.json"
    file.write_text(json.dumps(REQUEST))
    result = pantree("process", str(file), "--json", "--address", mesh.address("pipeline"))
    assert result.returncode == 0, result.stderr
    answer = httpx.post(f"{mesh.http}/api/v1/process", json=REQUEST, timeout=30)
    assert json.loads(result.stdout) == answer.json()


def test_csv_has_the_recommendations_of_the_answer(mesh: RunningMesh) -> None:
    arguments = ["process", "-", "--address", mesh.address("pipeline")]
    result = pantree(*arguments, "--csv", stdin=json.dumps(REQUEST))
    assert result.returncode == 0, result.stderr
    answer = json.loads(pantree(*arguments, "--json", stdin=json.dumps(REQUEST)).stdout)
    rows = list(csv.DictReader(result.stdout.splitlines()))
    recommendations = answer["recommendations"]["recommendations"]
    assert rows
    assert [(row["name"], row["frequency"]) for row in rows] == [
        (item["name"], item["subscription"]["frequency"]) for item in recommendations
    ]


def test_process_without_a_mesh_starts_its_own() -> None:
    result = pantree("process", "-", stdin=json.dumps(REQUEST))
    assert result.returncode == 0, result.stderr
    assert "Worth a subscription" in result.stdout


def test_wrong_request_ends_with_2_and_names_each_field(mesh: RunningMesh) -> None:
    request = {**REQUEST, "simulation_months": 0, "items": [{"name": "Bananas", "price": -1}]}
    result = pantree("process", "-", "--address", mesh.address("pipeline"), stdin=json.dumps(request))
    assert result.returncode == 2
    assert "simulation_months" in result.stderr
    assert "items[0].price" in result.stderr
    assert "Traceback" not in result.stderr


def test_wrong_history_ends_with_2_and_names_the_purchase(mesh: RunningMesh, tmp_path: Path) -> None:
    file = tmp_path / "purchases.csv"
    file.write_text("date,item,price,quantity\n2026-05-22,Milk,1.99,1\n2026-05-29,Milk,free,1\n")
    result = pantree("process", "--history", str(file), "--address", mesh.address("pipeline"))
    assert result.returncode == 2
    assert "line 3, price" in result.stderr


@pytest.mark.parametrize("arguments", [["process"], ["process", "nowhere.json"], ["serve", "nobody"], ["nonsense"]])
def test_wrong_usage_ends_with_2_without_a_traceback(arguments: list[str]) -> None:
    result = pantree(*arguments)
    assert result.returncode == 2
    assert "Traceback" not in result.stderr


def test_status_shows_each_part(mesh: RunningMesh) -> None:
    result = pantree("status", "--json", "--address", mesh.address("pipeline"))
    assert result.returncode == 0
    document = json.loads(result.stdout)
    assert document["state"] == "serving"
    states: dict[str, str] = {part.name: "serving" for part in PARTS if part.name not in ("gateway", "pipeline")}
    assert {part["name"]: part["state"] for part in document["components"]} == {**states, "history": "disabled"}


def test_status_without_a_mesh_ends_with_3() -> None:
    result = pantree("status", "--address", "127.0.0.1:9")
    assert result.returncode == 3
    assert "pipeline" in result.stderr


@pytest.mark.parametrize("how", [[], ["--in-process"]], ids=["processes", "in one process"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_up_serves_until_a_signal(how: list[str], number: signal.Signals) -> None:
    variables = {**os.environ, **port_settings(own_ports=True), "COLUMNS": "80"}
    process = subprocess.Popen(
        [*PANTREE, "up", "--without-history", *how],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=variables,
    )
    assert process.stdout is not None
    try:
        for line in process.stdout:
            if "All parts are serving" in line:
                break
        gateway = variables["PANTREE_GATEWAY_ADDRESS"]
        assert httpx.get(f"http://{gateway}/health").json()["status"] == "healthy"
        process.send_signal(number)
        _, errors = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 0, errors
    assert "Traceback" not in errors
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"http://{gateway}/health")


def test_up_says_where_purchases_are_stored_and_answers_for_them(tmp_path: Path) -> None:
    variables = {**port_settings(own_ports=True, parts=ALL_PARTS), "XDG_DATA_HOME": str(tmp_path), "COLUMNS": "80"}
    process = subprocess.Popen(
        [*PANTREE, "up", "--in-process"], stdout=subprocess.PIPE, text=True, env={**os.environ, **variables}
    )
    assert process.stdout is not None
    try:
        lines = []
        for line in process.stdout:
            lines.append(line.strip())
            if "All parts are serving" in line:
                break
        assert f"Purchases are stored in {tmp_path}/pantree/history.db." in lines
        assert any(line.startswith("history ") for line in lines)
        customer = f"http://{variables['PANTREE_GATEWAY_ADDRESS']}/api/v1/customers/4711"
        line_of_milk = {"order_id": "1", "line_id": "1", "name": "Milk", "date": "2026-05-02"}
        assert httpx.post(f"{customer}/purchases", json={"purchases": [line_of_milk]}).json()["added_count"] == 1
        assert httpx.get(f"{customer}/recommendations").status_code == 200
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
    finally:
        process.kill()
    names = {file.name for file in (tmp_path / "pantree").iterdir()}
    assert names >= {"history.db", "history.erasures.db", "history.key"}


def test_demo_opens_the_console_and_serves_until_a_signal(tmp_path: Path) -> None:
    opened = tmp_path / "opened"
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\necho "$1" > {opened}.part\nmv {opened}.part {opened}\n')
    browser.chmod(0o755)
    process = subprocess.Popen(
        [*PANTREE, "demo", "--open", "--in-process"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "BROWSER": f"{browser} %s", "COLUMNS": "80"},
    )
    assert process.stdout is not None
    try:
        console = next(line.split()[-1] for line in process.stdout if line.startswith("Console:"))
        page = httpx.get(console)
        assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
        for _ in range(100):
            if opened.exists():
                break
            time.sleep(0.1)
        link = opened.read_text().strip()
        assert link.startswith(f"{console}#/try?b=Bananas%2A1.99%2A1~Chicken+Breast%2A12.99%2A1&a=health_conscious")
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 0, errors
    with pytest.raises(httpx.ConnectError):
        httpx.get(console)


def test_up_on_a_port_in_use_names_the_setting_and_leaves_nothing_running(mesh: RunningMesh) -> None:
    variables = {**port_settings(own_ports=True), "PANTREE_VECTOR_PORT": mesh.address("vector").split(":")[1]}
    result = pantree("up", "--without-history", **variables)
    assert result.returncode == 3
    assert "PANTREE_VECTOR_PORT" in result.stderr
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"http://{variables['PANTREE_GATEWAY_ADDRESS']}/health")


@pytest.mark.parametrize("part", ["simulation", "vector", "frequency", "enrichment", "recommendation", "history"])
def test_each_part_has_a_demo(part: str) -> None:
    result = subprocess.run(
        [sys.executable, "-m", f"pantree_{part}", "--demo"], capture_output=True, text=True, timeout=60
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout
    assert result.stderr == ""


def test_pipeline_has_a_demo_when_the_other_parts_run(mesh: RunningMesh) -> None:
    command = [sys.executable, "-m", "pantree_pipeline", "--demo"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, env={**os.environ, **mesh.variables})
    assert result.returncode == 0, result.stderr
    assert "recommendation_id" in result.stdout


def test_wrong_setting_ends_with_2_and_names_the_variable() -> None:
    environment = {**os.environ, "PANTREE_FREQUENCY_PORT": "many"}
    result = subprocess.run(
        [sys.executable, "-m", "pantree_frequency"], capture_output=True, text=True, timeout=60, env=environment
    )
    assert result.returncode == 2
    assert "PANTREE_FREQUENCY_PORT" in result.stderr
    assert "Traceback" not in result.stderr
