"""Replays of plans through REST, WebSocket, gRPC and the command line."""

import csv
import json
import os
import subprocess
import sys
from datetime import date
from pathlib import Path
from typing import Any

import httpx
import pandas as pd
import pytest
import websockets

from pantree_client import Purchase, WhatIfRequest
from pantree_client.client import PantreeClient
from pantree_client.what_if import WhatIfStarted, WhatIfSummary
from tests.e2e.mesh import RunningMesh
from tests.pipeline.plain_replay import daily_replay, totals

FILE = Path(__file__).parents[2] / "examples" / "purchases.csv"
WEEKS = 8
ENVIRONMENT = {**os.environ, "COLUMNS": "80"}


def rows() -> list[dict[str, Any]]:
    with FILE.open(encoding="utf-8") as lines:
        return [
            {
                "date": line["date"],
                "name": line["item"],
                "quantity": int(line["quantity"]),
                "price": float(line["price"]),
                "saving": float(line["discount amount"]),
            }
            for line in csv.DictReader(lines)
        ]


def answer_to(mesh: RunningMesh, **changes: Any) -> httpx.Response:
    request = {"customer_id": "one", "history": rows(), "week_count": WEEKS, **changes}
    return httpx.post(f"{mesh.http}/api/v1/what-if", json=request, timeout=60)


@pytest.fixture(scope="module")
def replay(mesh: RunningMesh) -> dict[str, Any]:
    response = answer_to(mesh)
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


def test_replay_over_rest_equals_plain_pandas(replay: dict[str, Any]) -> None:
    as_of = date.fromisoformat(replay["started"]["as_of"])
    deliveries = pd.DataFrame(
        [
            {"date": date.fromisoformat(box["date"]), **{key: item[key] for key in ("name", "quantity", "price")}}
            for box in replay["started"]["plan"]["deliveries"]
            for item in box["items"]
            if box["date"] <= replay["started"]["end_date"]
        ]
    )
    lines = pd.DataFrame(rows())
    purchases = pd.DataFrame(
        {
            "date": [date.fromisoformat(day) for day in lines.date],
            "name": lines["name"],
            "quantity": lines.quantity,
            "paid": lines.price * lines.quantity - lines.saving,
        }
    )
    days = daily_replay(deliveries, purchases, as_of, WEEKS)
    assert len(replay["weeks"]) == WEEKS
    for week in replay["weeks"]:
        number = week["week_number"]
        assert week["totals"] == pytest.approx(totals(days[days.week == number]), abs=1e-6)
        assert week["cumulative_totals"] == pytest.approx(totals(days[days.week <= number]), abs=1e-6)
    assert replay["summary"]["totals"] == pytest.approx(totals(days), abs=1e-6)
    for item in replay["summary"]["items"]:
        assert item["units_on_hand"] == pytest.approx(days[days.name == item["name"]].on_hand.tolist())


def test_plan_is_that_of_process_for_the_purchases_until_then(mesh: RunningMesh, replay: dict[str, Any]) -> None:
    as_of = replay["started"]["as_of"]
    request = {"customer_id": "one", "as_of": as_of, "history": [row for row in rows() if row["date"] <= as_of]}
    result = httpx.post(f"{mesh.http}/api/v1/process", json=request, timeout=60).json()
    assert replay["started"]["plan"] == result["recommendations"]["plan"]


async def test_events_over_websocket_and_grpc_are_those_of_rest(mesh: RunningMesh, replay: dict[str, Any]) -> None:
    async with websockets.connect(f"{mesh.websocket}/ws/what-if/one") as socket:
        await socket.send(json.dumps({"history": rows(), "week_count": WEEKS}))
        frames = [json.loads(frame) async for frame in socket]
    assert [frame["type"] for frame in frames] == ["started", *["week"] * WEEKS, "completed"]
    assert [frame["data"] for frame in frames] == [replay["started"], *replay["weeks"], replay["summary"]]
    purchases = [Purchase(**{**row, "date": date.fromisoformat(row["date"])}) for row in rows()]
    request = WhatIfRequest("one", purchases, week_count=WEEKS)
    async with PantreeClient(mesh.address("pipeline")) as client:
        started, *weeks, completed = [event async for event in client.stream_what_if(request)]
        assert (await client.what_if(request)).summary == completed
    assert isinstance(started, WhatIfStarted)
    assert isinstance(completed, WhatIfSummary)
    assert started.as_of.isoformat() == replay["started"]["as_of"]
    assert len(weeks) == WEEKS
    assert completed.replay_id == replay["summary"]["replay_id"]


def test_budget_of_zero_replays_no_deliveries(mesh: RunningMesh) -> None:
    answer = answer_to(mesh, constraints={"budget_per_month": 0, "required_items": ["Bananas"]}).json()
    assert [one["constraint"] for one in answer["started"]["binding_constraints"]] == ["budget_per_month"]
    assert answer["summary"]["items"] == []
    assert answer["summary"]["totals"]["box_count"] == 0
    assert answer["summary"]["total_spend"] > 0


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"week_count": 13}, "week_count"),
        ({"week_count": 0}, "week_count"),
        ({"history": []}, "history"),
        ({"as_of": "2026-11-24"}, "as_of"),
        ({"as_of": "2026-10-20"}, "week_count"),
        ({"stored_history": True}, "history"),
    ],
)
def test_wrong_requests_name_the_field(mesh: RunningMesh, changes: dict[str, Any], field: str) -> None:
    response = answer_to(mesh, **changes)
    assert response.status_code == 400
    assert [error["field"] for error in response.json()["errors"]] == [field]


def pantree(mesh: RunningMesh, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pantree_cli", *arguments, "--address", mesh.address("pipeline")]
    return subprocess.run(command, capture_output=True, text=True, timeout=100, env=ENVIRONMENT)


def test_command_shows_weeks_and_totals_in_80_columns(mesh: RunningMesh, replay: dict[str, Any]) -> None:
    result = pantree(mesh, "what-if", str(FILE), "--weeks", str(WEEKS))
    assert result.returncode == 0, result.stderr
    assert max(map(len, result.stdout.splitlines())) <= 80
    sums = replay["summary"]["totals"]
    text = " ".join(result.stdout.split())
    assert f"Paid {sums['paid']:.2f}" in text
    assert f"{abs(sums['savings']):.2f}" in text
    for name in ("Week by week", "Item by item", "Oat milk 1 L"):
        assert name in result.stdout
    wrong = pantree(mesh, "what-if", str(FILE), "--as-of", "2026-11-24")
    assert (wrong.returncode, "as_of: must be from" in wrong.stderr) == (2, True)


def plan_of_command(mesh: RunningMesh, *options: str) -> dict[str, Any]:
    result = pantree(mesh, "process", "--history", str(FILE), "--json", *options)
    assert result.returncode == 0, result.stderr
    plan: dict[str, Any] = json.loads(result.stdout)["recommendations"]["plan"]
    return plan


def first_month(plan: dict[str, Any]) -> list[dict[str, Any]]:
    first = date.fromisoformat(plan["deliveries"][0]["date"])
    return [one for one in plan["deliveries"] if (date.fromisoformat(one["date"]) - first).days < 28]


def test_budget_of_the_command_limits_the_plan(mesh: RunningMesh) -> None:
    plan = plan_of_command(mesh, "--budget", "20")
    assert 0 < sum(one["price"] for one in first_month(plan)) <= 20


def test_boxes_of_the_command_limit_the_plan(mesh: RunningMesh) -> None:
    assert len(first_month(plan_of_command(mesh, "--boxes", "2"))) in (1, 2)


def test_weekdays_of_the_command_are_those_of_the_deliveries(mesh: RunningMesh) -> None:
    plan = plan_of_command(mesh, "--weekday", "2")
    assert {date.fromisoformat(one["date"]).isoweekday() for one in plan["deliveries"]} == {2}


def test_excluded_item_of_the_command_is_not_delivered(mesh: RunningMesh) -> None:
    plan = plan_of_command(mesh, "--exclude", "Bananas")
    names = {item["name"] for one in plan["deliveries"] for item in one["items"]}
    assert names
    assert "Bananas" not in names
