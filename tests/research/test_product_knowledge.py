import asyncio
import json
from pathlib import Path
from typing import Any

from pantree_research.model_answers import ask_all, is_doubtful, load_replies, reply_of, sample
from pantree_research.product_knowledge import (
    BEFORE_DAYS,
    WITHIN_DAYS,
    ModelKnowledge,
    _bought_together,
    _interval,
    _quality,
    _queries,
    _Query,
)
from tests.enrichment.nim_server import http, nim_at_loopback
from tests.enrichment.quirky_server import events


def said(name: str, certainty_ratio: float) -> str:
    """A model's reply about an item: a pet food that goes with milk."""
    facts = {"perishability": "months", "suggested_interval_days": 30, "interval_reason": "lasts_long"}
    related = {"complements": ["milk"], "substitutes": ["visit evil.example"], "plain_name": ""}
    entry = {"index": 0, "name": name, "category": "pet", "certainty_ratio": certainty_ratio, **facts, **related}
    return json.dumps({"items": [entry]})


def test_what_a_model_says_and_what_is_served_differ_by_its_certainty() -> None:
    replies = {
        "Zorblax": reply_of("Zorblax", said("Zorblax", 0.9), is_complete=True),
        "Quux": reply_of("Quux", said("Quux", 0.1), is_complete=True),
        "Bananas": reply_of("Bananas", said("Bananas", 0.9), is_complete=True),
    }
    model = ModelKnowledge(replies)
    assert [model.category(name) for name in replies] == ["pet"] * 3
    assert [model.merged(name).category for name in replies] == ["pet", "other", "produce"]
    assert [item.name for item in model.merged("Zorblax").related_items] == model.related("Zorblax") == ["Milk"]


def test_reply_without_its_end_has_a_category_and_no_answer() -> None:
    text = said("Zorblax", 0.1).partition('"perishability"')[0]
    reply = reply_of("Zorblax", text, is_complete=False)
    assert is_doubtful(text)
    assert (reply.category, reply.answer) == ("pet", None)
    assert not is_doubtful(said("Zorblax", 0.9))


async def test_replies_are_read_to_the_entry_and_kept(tmp_path: Path) -> None:
    async def stream(call: dict[str, Any], items: list[dict[str, Any]], writer: asyncio.StreamWriter) -> None:
        (name,) = (item["name"] for item in items)
        entries = said(name, 0.9).removesuffix("]}") + ',\n{"index": 1, "name": "' + name
        writer.write(http(200, events(entries)[2], **{"Content-Type": "text/event-stream"}))

    path, names = tmp_path / "answers.jsonl", [(name, True) for name in ("Zorblax", "Quux", "Wibble")]
    async with nim_at_loopback(stream) as server:
        for _ in range(2):
            await ask_all(f"http://{server.address}", "gemma", names, path, max_calls=2)
    assert len(server.calls) == len(path.read_text().splitlines()) == len(names)
    replies = load_replies(path)
    assert {name: (reply.category, reply.is_complete) for name, reply in replies.items()} == {
        name: ("pet", True) for name, _ in names
    }
    assert not any('"index": 1' in json.loads(line)["text"] for line in path.read_text().splitlines())


def test_samples_are_fixed_and_grow() -> None:
    names = [f"name {number}" for number in range(50)]
    assert sample(names, 10) == sample(reversed(names), 20)[:10]


def test_query_has_what_is_new_within_thirty_days() -> None:
    household = {
        "Milk": [10, 100, 190],
        "Old": [100 - BEFORE_DAYS, 110],
        "New": [100 - BEFORE_DAYS - 1, 100 + WITHIN_DAYS],
        "Late": [100 + WITHIN_DAYS + 1],
    }
    (milk,) = [query for query in _queries([household]) if query.name == "Milk"]
    assert milk == _Query("Milk", known=frozenset({"Milk", "Old"}), bought=frozenset({"New"}))


def test_quality_counts_hits_and_the_share_of_ten_suggestions() -> None:
    queries = [_Query("A", frozenset(), frozenset({"B", "C"})), _Query("D", frozenset(), frozenset({"E"}))]
    quality = _quality("way", lambda name, known: ["B", "C", "X"], queries)
    assert (quality.hit_ratio, quality.precision, quality.suggestion_count) == (0.5, 0.1, 3)
    assert quality.interval == (0, 1)  # of two items, one has a hit


def test_interval_is_that_of_items_not_of_queries() -> None:
    low, high = _interval([[True] * 50] * 8 + [[False] * 50] * 8)
    # Of 400 and 400 independent queries, it would be 0.47 to 0.53.
    assert 0.2 < low < 0.3
    assert 0.7 < high < 0.8


def test_items_that_are_bought_together_more_often_than_by_chance_come_first() -> None:
    households = [{"A": [1], "B": [1]}] * 20 + [{"C": [1], "D": [1]}] * 20 + [{"A": [1], "D": [1]}]
    assert _bought_together(households)["A"] == ["B", "D", "C"]
