"""The schema of a language model's replies, and the usable answers in a reply, which is untrusted data."""

import json
import unicodedata
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from pantree_domain.catalog import CATEGORIES, Perishability
from pantree_enrichment.core.item import (
    MAX_SUGGESTED_INTERVAL_DAYS,
    EnrichedItem,
    Failure,
    IntervalReason,
    ItemToEnrich,
    Outcome,
    RelatedItem,
    Relation,
)

SOURCE = "nim"
MAX_RELATED_ITEMS = 6
MAX_RELATED_NAME_CHARACTERS = 60

# A model picks one of the codes. People read these texts instead of the model's.
INTERVAL_REASONS = {
    "spoils_soon": "it spoils soon, so it is bought often and in small amounts",
    "used_daily": "it is used every day",
    "used_weekly": "it is used about every week",
    "used_now_and_then": "it is used now and then",
    "lasts_long": "it keeps well, and one pack lasts for many uses",
}

_MISSING = Failure("the language model left this item out", is_item_specific=True)
_INVALID = Failure("the language model's answer for this item was not usable", is_item_specific=True)
_UNUSABLE = Failure("the language model's reply was not usable")


def _check_printable(text: str) -> str:
    if not text.strip() or any(unicodedata.category(character).startswith("C") for character in text):
        raise ValueError("must have visible characters, and no control, format or private characters")
    return text


def _one_of(choices: Collection[str]) -> Callable[[str], str]:
    def check(text: str) -> str:
        if text not in choices:
            raise ValueError(f"must be one of {', '.join(choices)}")
        return text

    return check


_Category = Annotated[str, AfterValidator(_one_of(CATEGORIES)), Field(json_schema_extra={"enum": list(CATEGORIES)})]
_ReasonCode = Annotated[
    str, AfterValidator(_one_of(INTERVAL_REASONS)), Field(json_schema_extra={"enum": list(INTERVAL_REASONS)})
]


class _Entry(BaseModel):
    # The schema forbids other fields. Those of servers that do not enforce it are ignored.
    model_config = ConfigDict(strict=True, json_schema_extra={"additionalProperties": False})


class _RelatedItem(_Entry):
    name: Annotated[str, Field(min_length=1, max_length=MAX_RELATED_NAME_CHARACTERS), AfterValidator(_check_printable)]
    relation: Relation = Field(strict=False)


class _Answer(_Entry):
    category: _Category
    certainty_ratio: float = Field(ge=0, le=1)
    perishability: Perishability = Field(strict=False)
    suggested_interval_days: int = Field(ge=1, le=MAX_SUGGESTED_INTERVAL_DAYS)
    interval_reason: _ReasonCode
    related_items: list[_RelatedItem] = Field(max_length=MAX_RELATED_ITEMS)


class _ItemReference(_Entry):
    index: int = Field(ge=0)
    name: str


class _ReplyEntry(_Answer, _ItemReference):  # the fields of the last base come first
    pass


class _Reply(_Entry):
    items: list[_ReplyEntry]


def reply_schema() -> dict[str, Any]:
    """JSON Schema of a reply, for servers that can constrain their model to it."""
    schema = _Reply.model_json_schema()
    plain: dict[str, Any] = _plain_schema(schema, schema["$defs"])
    return plain


def _plain_schema(schema: Any, definitions: Mapping[str, Any]) -> Any:
    """A schema without titles and descriptions, and with references replaced by their definitions."""
    if isinstance(schema, list):
        return [_plain_schema(element, definitions) for element in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        return _plain_schema(definitions[schema["$ref"].rpartition("/")[2]], definitions)
    dropped = ("$defs", "title", "description")
    return {key: _plain_schema(value, definitions) for key, value in schema.items() if key not in dropped}


def outcomes_in(reply: bytes, items: Sequence[ItemToEnrich]) -> list[Outcome]:
    """The outcome of each item, in their order, from the body of a chat completion about them.

    An invalid answer affects only its own item.
    """
    listed = _entries(reply)
    if listed is None:
        return [_UNUSABLE] * len(items)
    entries: dict[int, list[dict[str, Any]]] = {}
    for entry in listed:
        index = entry.get("index") if isinstance(entry, dict) else None
        if type(index) is int and 0 <= index < len(items):
            entries.setdefault(index, []).append(entry)
    outcomes: list[Outcome] = []
    for index, item in enumerate(items):
        match entries.get(index, []):
            case []:
                outcomes.append(_MISSING)
            case [entry] if entry.get("name") == item.name:
                outcomes.append(answer_from(entry, item) or _INVALID)
            case _:  # several answers, or the answer to another item
                outcomes.append(_INVALID)
    return outcomes


def _entries(reply: bytes) -> list[Any] | None:
    """The entries in a completion, not validated; None if it has no list."""
    try:
        entries = json.loads(json.loads(reply)["choices"][0]["message"]["content"])["items"]
    except (ValueError, LookupError, TypeError, RecursionError):
        return None
    return entries if isinstance(entries, list) else None


def answer_from(entry: object, item: ItemToEnrich) -> EnrichedItem | None:
    """The answer about an item in an entry of a reply; None if it does not match the schema."""
    try:
        answer = _Answer.model_validate(entry)
    except ValidationError:
        return None
    return EnrichedItem(
        name=item.name,
        normalized_name=item.name,
        category=answer.category,
        certainty_ratio=answer.certainty_ratio,
        perishability=answer.perishability,
        related_items=tuple(RelatedItem(related.name, related.relation) for related in answer.related_items),
        suggested_interval_days=answer.suggested_interval_days,
        interval_reason=IntervalReason(answer.interval_reason, INTERVAL_REASONS[answer.interval_reason]),
        source=SOURCE,
    )


def entry_of(answer: EnrichedItem) -> dict[str, Any]:
    """A model's answer as an entry that `answer_from` reads."""
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
