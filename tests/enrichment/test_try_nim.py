import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

from pantree_enrichment.core.item import ItemToEnrich, ModelAnswer
from pantree_enrichment.core.model_item import model_item
from scripts.try_nim import Trial, attempt, real_items, record, report
from tests.enrichment.nim_server import answers, nim_at_loopback
from tests.enrichment.nim_stub import NimStub, completion, entries, entry, status, support
from tests.enrichment.test_prompt import outcomes_of

SCRIPT = Path(__file__).parents[2] / "scripts" / "try_nim.py"


def test_real_items_are_distinct_names_of_a_shop() -> None:
    items = real_items(200)
    assert len({model_item(item).name for item in items}) > 190
    assert ItemToEnrich("FLUID MILK WHITE ONLY") in items


def recorded_calls(trial: Trial, directory: Path) -> list[dict[str, Any]]:
    """The calls of a trial as recorded in a directory."""
    record(trial, directory, "a stub")
    return [json.loads(file.read_text(encoding="utf-8")) for file in sorted(directory.iterdir())]


async def test_report_of_a_server_that_answers_everything(tmp_path: Path) -> None:
    stub = NimStub(support("nvext", completion("Sure!")))
    items = [ItemToEnrich(name) for name in ("Potato Chips", "Milk", "Zorblax")]
    trial = await attempt("http://nim.test", items, transport=stub.transport)
    assert all(isinstance(outcome, ModelAnswer) for outcome in trial.outcomes)
    lines = report(trial).splitlines()
    assert "structured output: nvext.guided_json" in lines[0]
    assert "3, of which 3 were answered" in lines[1]
    assert lines[4].endswith("0.33 of 3")  # the first two were prose
    assert lines[5].endswith("1.00 of 3")
    assert lines[7].endswith("0.50 of 2")  # chips are a snack, milk is not; the rules do not know Zorblax

    recorded = recorded_calls(trial, tmp_path)
    assert len(recorded) == 3
    assert [isinstance(outcome, ModelAnswer) for outcome in outcomes_of(recorded[2])] == [True] * 3


async def test_report_of_a_server_that_ignores_the_schema() -> None:
    stub = NimStub(lambda call, items: entries([entry(item, category="weapons") for item in items]))
    trial = await attempt("http://nim.test", [ItemToEnrich("Milk")], transport=stub.transport)
    text = report(trial)
    assert "none works" in text
    assert "complete replies         0.00 of 5" in text
    assert "1 items: the language model is unavailable" in text


async def test_report_of_a_server_that_fails() -> None:
    text = report(await attempt("http://nim.test", [ItemToEnrich("Milk")], transport=NimStub(status(500)).transport))
    assert "1, of which 0 were answered" in text
    assert "1 items: the language model is unavailable" in text


async def test_script_asks_about_200_real_names_and_reports_the_result() -> None:
    async with nim_at_loopback(answers) as server:
        program = await asyncio.create_subprocess_exec(
            sys.executable,
            str(SCRIPT),
            f"{server.address}/v1",
            stdout=asyncio.subprocess.PIPE,
            env={**os.environ, "LLAMA_NIM_API_KEY": "not-a-real-key"},
        )
        output, _ = await program.communicate()
    assert program.returncode == 0
    text = output.decode()
    assert "structured output: response_format," in text
    assert "complete replies         1.00 of" in text
    assert "items with usable answer 1.00 of 200" in text
    assert "not-a-real-key" not in text
