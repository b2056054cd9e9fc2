"""Sends stories through the gateway of a running mesh, and prints what was right and what was not."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import httpx
from rich import box
from rich.console import Console
from rich.table import Table

from tests.stories.story import Problem, Story

_CONCURRENCY = 4
_TIMEOUT_SECONDS = 60.0


@dataclass(frozen=True)
class Outcome:
    """The answer to a story."""

    story: Story
    filler: int | None
    problems: tuple[Problem, ...]
    decision: tuple[Any, ...]
    """What must not depend on fillers: which of the story's items are offered."""

    @property
    def grade(self) -> str:
        """`right`, `wrong` or `absurd`."""
        if any(problem.absurd for problem in self.problems):
            return "absurd"
        return "wrong" if self.problems else "right"


async def outcomes_of(stories: Sequence[Story], url: str, fillers: Sequence[int | None] = (None,)) -> list[Outcome]:
    """The answer to each story with each filler, in order."""
    limit = asyncio.Semaphore(_CONCURRENCY)
    async with httpx.AsyncClient(base_url=url, timeout=_TIMEOUT_SECONDS) as client:

        async def outcome(story: Story, filler: int | None) -> Outcome:
            async with limit:
                response = await client.post("/api/v1/process", json=story.request(filler))
            response.raise_for_status()
            body = response.json()
            result = {**body["recommendations"], "warnings": body["warnings"], "as_of": body["as_of"]}
            names = {line.name for line in story.lines}
            offered = sorted(item["name"] for item in result["recommendations"] if item["name"] in names)
            return Outcome(story, filler, tuple(story.problems(result)), tuple(offered))

        return await asyncio.gather(*(outcome(story, filler) for story in stories for filler in fillers))


def print_table(console: Console, outcomes: Sequence[Outcome]) -> None:
    """One line per answer that is not right, and the totals by kind."""
    table = Table(header_style="bold", box=box.SIMPLE_HEAD)
    for column in ("kind", "story", "filler", "grade", "why"):
        table.add_column(column)
    for outcome in outcomes:
        if outcome.problems:
            filler = "" if outcome.filler is None else str(outcome.filler)
            why = "; ".join(problem.text for problem in outcome.problems)
            table.add_row(str(outcome.story.kind), outcome.story.name, filler, outcome.grade, why)
    console.print(table)
    totals = Table(header_style="bold", box=box.SIMPLE_HEAD)
    for column in ("kind", "answers", "right", "wrong", "absurd"):
        totals.add_column(column, justify="right")
    kinds = sorted({outcome.story.kind for outcome in outcomes})
    for label, chosen in [
        *((str(kind), [outcome for outcome in outcomes if outcome.story.kind == kind]) for kind in kinds),
        ("all", list(outcomes)),
    ]:
        grades = [outcome.grade for outcome in chosen]
        counts = (str(grades.count(grade)) for grade in ("right", "wrong", "absurd"))
        totals.add_row(label, str(len(chosen)), *counts)
    console.print(totals)


def changed_by_fillers(outcomes: Sequence[Outcome]) -> list[str]:
    """Names of the stories whose decision depends on the other purchases."""
    decisions: dict[str, set[tuple[Any, ...]]] = {}
    for outcome in outcomes:
        decisions.setdefault(outcome.story.name, set()).add(outcome.decision)
    return [name for name, found in decisions.items() if len(found) > 1]
