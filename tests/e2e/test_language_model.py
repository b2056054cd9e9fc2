"""A language model that is wrong about what is known, through the whole mesh."""

from collections.abc import AsyncIterator, Mapping
from datetime import date, timedelta
from typing import Any

import httpx
import pytest
import pytest_asyncio

from pantree_domain.catalog import load_catalog
from tests.e2e.mesh import RunningMesh, mesh_of_processes, until_healthy
from tests.enrichment.nim_server import NimServer, answers, http, lists, nim_at_loopback, sends
from tests.enrichment.nim_stub import entry, items_of
from tests.faults.dependencies import inside_in

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


# Of these, only the category of the last one is said wrong. The catalog lacks related items of all.
NEARLY_RIGHT = {"Pineapple": 14, "String Cheese": 7, "Quinoa": 28, "Salt": 42}
WRONG = "Salt"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def model() -> AsyncIterator[NimServer]:
    async with nim_at_loopback(answers) as server:
        yield server


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def mesh_with_model(model: NimServer) -> AsyncIterator[RunningMesh]:
    async with mesh_of_processes(LLAMA_NIM_ENDPOINT=f"http://{model.address}/v1") as running:
        yield running


def history(intervals: Mapping[str, int]) -> list[dict[str, Any]]:
    first = date(2026, 1, 5)
    return [
        {"name": name, "date": (first + timedelta(days=day)).isoformat(), "price": 4.0, "quantity": 1}
        for name, interval in intervals.items()
        for day in range(0, 150, interval)
    ]


async def answers_of(mesh: RunningMesh, intervals: Mapping[str, int], count: int = 3) -> list[httpx.Response]:
    """Answers to the same request, sent several times."""
    body = {"customer_id": "model", "history": history(intervals), "as_of": "2026-06-05", "seed": 1}
    async with httpx.AsyncClient(base_url=mesh.http, timeout=60) as client:
        return [await client.post("/api/v1/process", json=body) for _ in range(count)]


def known_items(answer: httpx.Response) -> list[dict[str, Any]]:
    recommendations = answer.json()["recommendations"]["recommendations"]
    return [item for item in recommendations if item["name"] in INTERVALS]


def hits(responses: list[httpx.Response]) -> int:
    return sum(response.headers["X-Cache"] == "hit" for response in responses)


def nearly_right(item: dict[str, Any]) -> dict[str, Any]:
    """What the catalog says about an item, but for one item another category."""
    known = load_catalog().categorize(item["name"]).item
    assert known is not None
    return entry(
        item,
        category="pet" if item["name"] == WRONG else known.category,
        perishability=known.perishability.value,
        suggested_interval_days=round(known.typical_interval_days),
    )


@pytest.mark.asyncio(loop_scope="session")
async def test_a_model_that_lies_changes_nothing_about_known_items(
    mesh: RunningMesh, mesh_with_model: RunningMesh, model: NimServer
) -> None:
    intervals = {**INTERVALS, UNKNOWN: 14}
    without = await answers_of(mesh, intervals)
    model.behavior = lists(lambda items: [entry(item, **LIES) for item in items])
    with_model = await answers_of(mesh_with_model, intervals)
    assert any(UNKNOWN in str(call) for call in model.calls), "the model was asked"
    assert len(known_items(without[0])) == len(INTERVALS)
    for answer in with_model:
        assert answer.status_code == 200, answer.text
        assert known_items(answer) == known_items(without[0])
        assert "nim" not in [warning["component"] for warning in answer.json()["warnings"]]
    assert with_model[-1].headers["X-Cache"] == "hit"


@pytest.mark.asyncio(loop_scope="session")
async def test_a_model_that_is_wrong_about_one_item_costs_no_warning_and_no_cache_hit(
    mesh: RunningMesh, mesh_with_model: RunningMesh, model: NimServer
) -> None:
    model.behavior = lists(lambda items: [nearly_right(item) for item in items])
    with_model = await answers_of(mesh_with_model, NEARLY_RIGHT, count=20)
    without = await answers_of(mesh, NEARLY_RIGHT, count=20)
    requested = {item["name"] for call in model.calls for item in items_of(call)}
    assert requested >= NEARLY_RIGHT.keys()
    assert [answer.json()["warnings"] for answer in with_model] == [[]] * 20
    assert hits(with_model) == hits(without) == 19
    # The model was believed about the others, and not about the wrong one.
    facts = {item["name"]: item["facts"] for item in with_model[0].json()["model_facts"]}
    assert facts == {name: ["related_items"] for name in NEARLY_RIGHT if name != WRONG}


@pytest.mark.asyncio(loop_scope="session")
async def test_a_model_that_fails_is_a_warning_and_in_health_without_its_address_or_words(
    mesh_with_model: RunningMesh, model: NimServer
) -> None:
    model.behavior = sends(http(500, b'{"error": "set CUDA_HOST in /etc/secret on 10.0.0.1"}'))
    (answer,) = await answers_of(mesh_with_model, {**INTERVALS, "Quuxel Wafers": 14}, count=1)
    assert [(one["component"], one["code"]) for one in answer.json()["warnings"]] == [("nim", "FALLBACK")]
    health: dict[str, Any] = await until_healthy(mesh_with_model, "degraded")
    assert health["components"]["language-model"]["status"] == "unavailable"
    async with httpx.AsyncClient(base_url=mesh_with_model.http) as client:
        status = (await client.get("/api/v1/status")).json()
    assert {one["name"]: one["state"] for one in status["components"]}["language-model"].endswith("UNAVAILABLE")
    for text in (answer.text, str(health), str(status)):
        assert "secret" not in text
        assert inside_in(text) == []
    model.behavior = answers
    await until_healthy(mesh_with_model, "healthy")
