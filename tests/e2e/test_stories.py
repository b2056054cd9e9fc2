"""Household stories without fillers, and what holds for every household. `make stories` is the long form."""

import random
from datetime import date, timedelta
from typing import Any

import httpx
import pytest

from tests.e2e.mesh import RunningMesh
from tests.stories.run import outcomes_of
from tests.stories.stories import STORIES
from tests.stories.story import Story

# Kinds of mistakes that are solved have no wrong answer any more.
SOLVED_KINDS = (0, 1, 2, 3, 5, 6, 8)
MIN_RIGHT_RATIO = 0.95
MAX_ABSURD = 0

FIELDS = ("interval_days", "quantity", "first_delivery_date")

ORDINARY = [story for story in STORIES if story.kind in {0, 1, 3, 7}][::3]


async def test_stories_have_the_answers_that_a_grocer_expects(mesh: RunningMesh) -> None:
    outcomes = await outcomes_of(STORIES, mesh.http)
    wrong = {outcome.story.name: outcome.problems for outcome in outcomes if outcome.problems}
    assert len(outcomes) - len(wrong) >= MIN_RIGHT_RATIO * len(outcomes), wrong
    assert sum(outcome.grade == "absurd" for outcome in outcomes) <= MAX_ABSURD, wrong
    assert not [outcome for outcome in outcomes if outcome.problems and outcome.story.kind in SOLVED_KINDS]


def answer(mesh: RunningMesh, request: dict[str, Any]) -> dict[str, Any]:
    """Offers by upper-case name without superfluous spaces, and the reasons of the other items."""
    response = httpx.post(f"{mesh.http}/api/v1/process", json=request, timeout=60)
    assert response.status_code == 200, response.text
    recommendations = response.json()["recommendations"]

    def key(name: str) -> str:
        return " ".join(name.upper().split())

    offers = {
        key(item["name"]): {field: item["subscription"][field] for field in FIELDS}
        for item in recommendations["recommendations"]
    }
    return offers | {key(item["name"]): item["reason"]["code"] for item in recommendations["omitted"]}


@pytest.mark.parametrize("story", ORDINARY, ids=lambda story: story.name)
def test_order_case_and_split_lines_do_not_change_an_answer(mesh: RunningMesh, story: Story) -> None:
    request = story.request()
    expected = answer(mesh, request)
    generator = random.Random(story.name)
    rows = request["history"]
    shuffled = generator.sample(rows, len(rows))
    renamed = [
        row | {"name": generator.choice([row["name"].upper(), row["name"].lower(), f" {row['name']}  "])}
        for row in rows
    ]
    split = [
        part | {"quantity": 1, "saving": row["saving"] / row["quantity"]}
        for row in rows
        for part in [row] * row["quantity"]
    ]
    for changed in (shuffled, renamed, split):
        assert answer(mesh, request | {"history": changed}) == expected


def test_equal_records_have_equal_answers_whatever_their_names(mesh: RunningMesh) -> None:
    as_of = date(2026, 6, 20)
    for ages in ([2, 9, 16], [3, 17, 31, 45, 59], [20, 48, 76, 104, 132, 160]):
        rows = [
            {"name": name, "date": (as_of - timedelta(days=age)).isoformat(), "price": 3.0, "category": "pantry"}
            for name in ("Apricot Spread", "Xylo Flakes", "Brill Paste")
            for age in ages
        ]
        request = {"customer_id": "story", "history": rows, "as_of": as_of.isoformat(), "include_omitted": True}
        found = list(answer(mesh, request).values())
        assert len(found) == 3
        assert all(one == found[0] for one in found), found
