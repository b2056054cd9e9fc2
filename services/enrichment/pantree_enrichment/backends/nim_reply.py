"""What a language model must reply, and what of a reply is usable. It is untrusted data: nothing in it is followed."""

import json
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from pantree_domain.catalog import CATEGORIES, Perishability, normalize_name
from pantree_enrichment.core import (
    MAX_SUGGESTED_INTERVAL_DAYS,
    EnrichedItem,
    ItemToEnrich,
    RelatedItem,
    Relation,
    Unanswered,
)

SOURCE = "nim"
MAX_RELATED_ITEMS = 6
MAX_RELATED_NAME_CHARACTERS = 60

_LEFT_OUT = Unanswered("the language model left this item out")
_WRONG = Unanswered("the language model's answer for this item was not usable")


class UnusableReply(Exception):
    """A reply says nothing usable about any item."""


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


def answers_in(reply: bytes, items: Sequence[ItemToEnrich]) -> list[EnrichedItem | Unanswered]:
    """What a reply says about each item that was asked about, in their order.

    Args:
        reply: body of a chat completion.
        items: what was asked.

    Raises:
        UnusableReply: when no item has a usable answer.
    """
    entries: dict[int, Any] = {}
    counts: Counter[int] = Counter()
    for entry in _entries(reply):
        if isinstance(entry, dict) and _is_whole_number(entry.get("index"), 0, len(items) - 1):
            entries[entry["index"]] = entry
            counts[entry["index"]] += 1
    answers = [
        _LEFT_OUT if index not in entries else _WRONG if counts[index] > 1 else _answer(entries[index], item)
        for index, item in enumerate(items)
    ]
    if all(isinstance(answer, Unanswered) for answer in answers):
        raise UnusableReply
    return answers


def _entries(reply: bytes) -> list[Any]:
    """The entries that a completion lists, unchecked."""
    try:
        content = json.loads(json.loads(reply)["choices"][0]["message"]["content"])
        entries = content["items"]
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        raise UnusableReply from error
    if not isinstance(entries, list):
        raise UnusableReply
    return entries


def _answer(entry: Mapping[str, Any], item: ItemToEnrich) -> EnrichedItem | Unanswered:
    """What an entry says about an item, if all of it is as the schema wants it."""
    related_items = _related_items(entry.get("related_items"))
    usable = (
        entry.get("name") == item.name
        and _is_one_of(entry.get("category"), CATEGORIES)
        and _is_ratio(entry.get("certainty_ratio"))
        and _is_one_of(entry.get("perishability"), [perishability.value for perishability in Perishability])
        and _is_whole_number(entry.get("suggested_interval_days"), 1, MAX_SUGGESTED_INTERVAL_DAYS)
    )
    if not usable or related_items is None:
        return _WRONG
    return EnrichedItem(
        name=item.name,
        normalized_name=normalize_name(item.name),
        category=entry["category"],
        certainty_ratio=float(entry["certainty_ratio"]),
        perishability=Perishability(entry["perishability"]),
        related_items=related_items,
        suggested_interval_days=entry["suggested_interval_days"],
        source=SOURCE,
    )


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
