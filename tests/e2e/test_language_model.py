"""A language model that is wrong about what is known, through the whole mesh."""

from datetime import date, timedelta
from typing import Any

import httpx
import pytest

from tests.e2e.mesh import RunningMesh, mesh_of_processes
from tests.enrichment.nim_server import lists, nim_at_loopback
from tests.enrichment.nim_stub import entry

# Purchase intervals of items that the catalog knows.
INTERVALS = {"Whole Milk": 7, "Chicken Thighs": 14, "Bananas": 7, "Paper Towels": 28, "Olive Oil": 42}
UNKNOWN = "Zorblatt Paste"
LIES = {
    "category": "baby",
    "certainty_ratio": 1.0,
    "perishability": "months",
    "suggested_interval_days": 360,
    "complements": ["Motor Oil"],
    "substitutes": ["Hot Dogs"],
}


def history() -> list[dict[str, Any]]:
    first = date(2026, 1, 5)
    return [
        {"name": name, "date": (first + timedelta(days=day)).isoformat(), "price": 4.0, "quantity": 1}
        for name, interval in {**INTERVALS, UNKNOWN: 14}.items()
        for day in range(0, 150, interval)
    ]


async def answers_of(mesh: RunningMesh) -> list[httpx.Response]:
    """Answers to the same request, sent three times."""
    body = {"customer_id": "model", "history": history(), "as_of": "2026-06-05", "seed": 1}
    async with httpx.AsyncClient(base_url=mesh.http, timeout=60) as client:
        return [await client.post("/api/v1/process", json=body) for _ in range(3)]


def known_items(answer: httpx.Response) -> list[dict[str, Any]]:
    recommendations = answer.json()["recommendations"]["recommendations"]
    return [item for item in recommendations if item["name"] in INTERVALS]


@pytest.mark.asyncio(loop_scope="session")
async def test_a_model_that_lies_changes_nothing_about_known_items(mesh: RunningMesh) -> None:
    without = await answers_of(mesh)
    async with (
        nim_at_loopback(lists(lambda items: [entry(item, **LIES) for item in items])) as model,
        mesh_of_processes(LLAMA_NIM_ENDPOINT=f"http://{model.address}/v1") as other,
    ):
        answers = await answers_of(other)
        assert any(UNKNOWN in str(call) for call in model.calls), "the model was asked"
    assert len(known_items(without[0])) == len(INTERVALS)
    for answer in answers:
        assert answer.status_code == 200, answer.text
        assert known_items(answer) == known_items(without[0])
        assert "nim" not in [warning["component"] for warning in answer.json()["warnings"]]
    assert answers[-1].headers["X-Cache"] == "hit"
