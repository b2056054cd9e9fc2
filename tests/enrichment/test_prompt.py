import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from pantree_domain.catalog import CATEGORIES
from pantree_enrichment.backends.prompt import PROMPT_VERSION, load_prompt
from pantree_enrichment.backends.reply import (
    INTERVAL_REASONS,
    ReplyReader,
    answer_from,
    entry_of,
    reply_schema,
    text_of,
)
from pantree_enrichment.core.item import ModelAnswer, Outcome
from tests.enrichment.answers import answer_about, model_item_of

REPLIES = sorted((Path(__file__).parent / "replies").glob("*.json"))

# Answers are cached by version: a changed text or schema needs a new version.
DIGESTS = {"v5": "d8fc315e66105e938c2b04e74a1cd91bee4a2ae6e9271001bff6cda2b3f7a250"}


def outcomes_of(recorded: dict[str, Any]) -> list[Outcome | None]:
    """The outcome of each item; None for those without an entry."""
    items = [model_item_of(item["name"], item["category"]) for item in recorded["items"]]
    outcomes = dict(ReplyReader(items).feed(text_of(recorded["reply"].encode())))
    return [outcomes.get(index) for index in range(len(items))]


def test_changed_prompt_has_a_new_version() -> None:
    prompt = load_prompt()
    text = json.dumps([prompt.system, prompt.repair("PROBLEM"), reply_schema()], sort_keys=True)
    assert hashlib.sha256(text.encode()).hexdigest() == DIGESTS[PROMPT_VERSION]


def test_prompt_names_every_field_and_value_of_the_schema() -> None:
    prompt = load_prompt().system
    entry = reply_schema()["properties"]["items"]["items"]
    for word in (
        *entry["required"],
        *CATEGORIES,
        *INTERVAL_REASONS,
        "days",
        "weeks",
        "months",
    ):
        assert word in prompt
    assert "$" not in prompt


@pytest.mark.parametrize("file", REPLIES, ids=[file.stem for file in REPLIES])
def test_recorded_reply_is_parsed(file: Path) -> None:
    recorded = json.loads(file.read_text(encoding="utf-8"))
    assert recorded["prompt_version"] == PROMPT_VERSION
    outcomes = outcomes_of(recorded)
    assert [outcome.category if isinstance(outcome, ModelAnswer) else None for outcome in outcomes] == recorded[
        "usable"
    ]


def test_all_fields_of_a_recorded_reply_are_parsed() -> None:
    recorded = json.loads((Path(__file__).parent / "replies" / "compact.json").read_text(encoding="utf-8"))
    chicken = outcomes_of(recorded)[0]
    assert isinstance(chicken, ModelAnswer)
    assert (chicken.certainty_ratio, chicken.suggested_interval_days) == (0.97, 10)
    assert chicken.interval_reason.code == "spoils_soon"
    assert [(related.name, related.relation.value) for related in chicken.related_items] == [
        ("rice", "complement"),
        ("broccoli", "complement"),
        ("turkey breast", "substitute"),
    ]


def test_answer_round_trips_through_an_entry() -> None:
    answer = answer_about(model_item_of("milk"))
    assert answer_from(json.loads(json.dumps(entry_of(answer)))) == answer
