"""What a language model must reply, and what of a reply is usable. It is untrusted data: nothing in it is followed."""

import json
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from pantree_domain.catalog import CATEGORIES, Perishability
from pantree_enrichment.core import (
    MAX_SUGGESTED_INTERVAL_DAYS,
    EnrichedItem,
    IntervalReason,
    ItemToEnrich,
    Outcome,
    RelatedItem,
    Relation,
    Unanswered,
)

SOURCE = "nim"
MAX_RELATED_ITEMS = 6
MAX_RELATED_NAME_CHARACTERS = 60

# A model picks one of these; the words that people read are ours.
INTERVAL_REASONS = {
    "spoils_soon": "it spoils soon, so it is bought often and in small amounts",
    "used_daily": "it is used every day",
    "used_weekly": "it is used about every week",
    "used_now_and_then": "it is used now and then",
    "lasts_long": "it keeps well, and one pack lasts for many uses",
}

_LEFT_OUT = Unanswered("the language model left this item out", concerns_item_alone=True)
_WRONG = Unanswered("the language model's answer for this item was not usable", concerns_item_alone=True)
_UNUSABLE = Unanswered("the language model's reply was not usable")


def reply_schema() -> dict[str, Any]:
    """JSON Schema of a reply, for servers that can hold a model to it."""
    item = _object(
        {
            "index": {"type": "integer", "minimum": 0},
            "name": {"type": "string"},
            "category": {"type": "string", "enum": list(CATEGORIES)},
            "certainty_ratio": {"type": "number", "minimum": 0, "maximum": 1},
            "perishability": {"type": "string", "enum": [perishability.value for perishability in Perishability]},
            "suggested_interval_days": {"type": "integer", "minimum": 1, "maximum": MAX_SUGGESTED_INTERVAL_DAYS},
            "interval_reason": {"type": "string", "enum": list(INTERVAL_REASONS)},
            "related_items": {
                "type": "array",
                "maxItems": MAX_RELATED_ITEMS,
                "items": _object(
                    {
                        "name": {"type": "string", "minLength": 1, "maxLength": MAX_RELATED_NAME_CHARACTERS},
                        "relation": {"type": "string", "enum": [relation.value for relation in Relation]},
                    }
                ),
            },
        }
    )
    return _object({"items": {"type": "array", "items": item}})


def _object(properties: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": dict(properties),
        "required": list(properties),
        "additionalProperties": False,
    }


def outcomes_in(reply: bytes, questions: Sequence[ItemToEnrich]) -> list[Outcome]:
    """What a reply says about each item that was asked about, in their order; each item fails by itself.

    Args:
        reply: body of a chat completion.
        questions: what was asked.
    """
    listed = _entries(reply)
    if listed is None:
        return [_UNUSABLE] * len(questions)
    entries: dict[int, Any] = {}
    counts: Counter[int] = Counter()
    for entry in listed:
        if isinstance(entry, dict) and _is_whole_number(entry.get("index"), 0, len(questions) - 1):
            entries[entry["index"]] = entry
            counts[entry["index"]] += 1
    outcomes: list[Outcome] = []
    for index, question in enumerate(questions):
        if index not in entries:
            outcomes.append(_LEFT_OUT)
            continue
        entry = entries[index]
        answer = answer_from(entry, question) if counts[index] == 1 and entry.get("name") == question.name else None
        outcomes.append(answer or _WRONG)
    return outcomes


def _entries(reply: bytes) -> list[Any] | None:
    """The entries that a completion lists, unchecked; None when it lists none."""
    try:
        entries = json.loads(json.loads(reply)["choices"][0]["message"]["content"])["items"]
    except (ValueError, LookupError, TypeError, RecursionError):
        return None
    return entries if isinstance(entries, list) else None


def answer_from(entry: object, question: ItemToEnrich) -> EnrichedItem | None:
    """What an entry says about an item; None unless all of it is as the schema wants it."""
    if not isinstance(entry, Mapping):
        return None
    related_items = _related_items(entry.get("related_items"))
    usable = (
        _is_one_of(entry.get("category"), CATEGORIES)
        and _is_ratio(entry.get("certainty_ratio"))
        and _is_one_of(entry.get("perishability"), [perishability.value for perishability in Perishability])
        and _is_whole_number(entry.get("suggested_interval_days"), 1, MAX_SUGGESTED_INTERVAL_DAYS)
        and _is_one_of(entry.get("interval_reason"), tuple(INTERVAL_REASONS))
    )
    if not usable or related_items is None:
        return None
    return EnrichedItem(
        name=question.name,
        normalized_name=question.name,
        category=entry["category"],
        certainty_ratio=float(entry["certainty_ratio"]),
        perishability=Perishability(entry["perishability"]),
        related_items=related_items,
        suggested_interval_days=entry["suggested_interval_days"],
        interval_reason=IntervalReason(entry["interval_reason"], INTERVAL_REASONS[entry["interval_reason"]]),
        source=SOURCE,
    )


def entry_of(answer: EnrichedItem) -> dict[str, Any]:
    """An answer as a reply's entry, from which `answer_from` makes it again."""
    assert answer.perishability is not None
    assert answer.interval_reason is not None
    return {
        "category": answer.category,
        "certainty_ratio": answer.certainty_ratio,
        "perishability": answer.perishability.value,
        "suggested_interval_days": answer.suggested_interval_days,
        "interval_reason": answer.interval_reason.code,
        "related_items": [
            {"name": related.name, "relation": related.relation.value} for related in answer.related_items
        ],
    }


def _related_items(entries: object) -> tuple[RelatedItem, ...] | None:
    """The related items that are listed; None when anything is wrong with one of them."""
    if not isinstance(entries, list) or len(entries) > MAX_RELATED_ITEMS:
        return None
    related = []
    for entry in entries:
        if not (
            isinstance(entry, dict)
            and _is_plain_name(entry.get("name"))
            and _is_one_of(entry.get("relation"), [relation.value for relation in Relation])
        ):
            return None
        related.append(RelatedItem(entry["name"], Relation(entry["relation"])))
    return tuple(related)


def _is_one_of(value: object, choices: Sequence[str]) -> bool:
    return isinstance(value, str) and value in choices


def _is_whole_number(value: object, least: int, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def _is_ratio(value: object) -> bool:
    # NaN fails the comparison.
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1


def _is_plain_name(value: object) -> bool:
    """Whether it is a short text without control, format or private characters."""
    return (
        isinstance(value, str)
        and bool(value.strip())
        and len(value) <= MAX_RELATED_NAME_CHARACTERS
        and not any(unicodedata.category(character).startswith("C") for character in value)
    )
