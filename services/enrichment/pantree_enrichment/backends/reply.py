"""The schema of a language model's replies, and the usable answers in a reply, which is untrusted data.

Servers and models wrap the same answer differently: in a code block, behind a preface or its reasoning, as a tool call,
as a list of parts, or cut off in the middle. So every complete JSON object that looks like an entry is read, wherever
it stands, and the rest is ignored.
"""

import json
import math
import unicodedata
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from pantree_domain.catalog import CATEGORIES, Perishability
from pantree_domain.item_key import item_key
from pantree_enrichment.core.item import (
    MAX_SUGGESTED_INTERVAL_DAYS,
    Failure,
    IntervalReason,
    ModelAnswer,
    ModelItem,
    Outcome,
    RelatedItem,
    Relation,
)

MAX_RELATED_ITEMS = 6
MAX_RELATED_NAME_CHARACTERS = 60
MAX_PLAIN_NAME_CHARACTERS = 80
# Objects that cannot be read before the rest of a reply is ignored. A usable reply has one or two.
_MAX_UNREADABLE_OBJECTS = 500

# A model picks one of the codes. People read these texts instead of the model's.
INTERVAL_REASONS = {
    "spoils_soon": "it spoils soon, so it is bought often and in small amounts",
    "used_daily": "it is used every day",
    "used_weekly": "it is used about every week",
    "used_now_and_then": "it is used now and then",
    "lasts_long": "it keeps well, and one pack lasts for many uses",
}

_REASONING_START, _REASONING_END = "<think", "</think>"

UNUSABLE = Failure("the language model's reply was not usable", is_item_specific=True)
MISSING = Failure("the language model left this item out", is_item_specific=True)
INVALID = Failure("the language model's answer for this item was not usable", is_item_specific=True)


def _one_of(choices: Collection[str]) -> BeforeValidator:
    def check(value: object) -> str:
        text = value.strip().casefold() if isinstance(value, str) else ""
        if text not in choices:
            raise ValueError(f"must be one of {', '.join(choices)}")
        return text

    return BeforeValidator(check)


def _whole_number(value: object) -> object:
    """14 for 14.0, which some servers send for integers."""
    return int(value) if isinstance(value, float) and math.isfinite(value) and value.is_integer() else value


def _usable_names(value: object) -> object:
    """The names of a list that can be looked up; the others are left out."""
    if not isinstance(value, list):
        return value
    return [name for name in value if isinstance(name, str) and _is_printable(name)][:MAX_RELATED_ITEMS]


def _plain_name(value: object) -> object:
    """The text; empty if it cannot be shown. Then the rest of the answer still counts."""
    is_usable = isinstance(value, str) and _is_printable(value) and len(value) <= MAX_PLAIN_NAME_CHARACTERS
    return value if is_usable else ""


def _is_printable(text: str) -> bool:
    is_short = len(text.strip()) > 0 and len(text) <= MAX_RELATED_NAME_CHARACTERS
    return is_short and not any(unicodedata.category(character).startswith("C") for character in text)


_SHELF_LIVES = tuple(shelf_life.value for shelf_life in Perishability)
_Names = Annotated[
    list[Annotated[str, Field(min_length=1, max_length=MAX_RELATED_NAME_CHARACTERS)]],
    BeforeValidator(_usable_names),
    Field(max_length=MAX_RELATED_ITEMS),
]


class _Answer(BaseModel):
    # The schema forbids other fields. Those of servers that do not enforce it are ignored.
    model_config = ConfigDict(strict=True, json_schema_extra={"additionalProperties": False})

    category: Annotated[str, _one_of(CATEGORIES), Field(json_schema_extra={"enum": list(CATEGORIES)})]
    certainty_ratio: float = Field(ge=0, le=1)
    perishability: Annotated[str, _one_of(_SHELF_LIVES), Field(json_schema_extra={"enum": list(_SHELF_LIVES)})]
    suggested_interval_days: Annotated[int, BeforeValidator(_whole_number), Field(ge=1, le=MAX_SUGGESTED_INTERVAL_DAYS)]
    interval_reason: Annotated[
        str, _one_of(INTERVAL_REASONS), Field(json_schema_extra={"enum": list(INTERVAL_REASONS)})
    ]
    complements: _Names
    substitutes: _Names
    plain_name: Annotated[str, BeforeValidator(_plain_name), Field(max_length=MAX_PLAIN_NAME_CHARACTERS)] = ""


class _ItemReference(BaseModel):
    index: int = Field(ge=0)
    name: str


class _ReplyEntry(_Answer, _ItemReference):  # the fields of the last base come first
    pass


class _Reply(BaseModel):
    model_config = ConfigDict(json_schema_extra={"additionalProperties": False})

    items: list[_ReplyEntry]


# Keywords that some servers do not support in schemas. Every value is checked here in any case.
_LIMITS = ("minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems")


def reply_schema(*, with_limits: bool = True) -> dict[str, Any]:
    """JSON Schema of a reply, for servers that can constrain their model to it."""
    schema = _Reply.model_json_schema()
    dropped = ("$defs", "title", "description", "default", *(() if with_limits else _LIMITS))
    plain: dict[str, Any] = _plain_schema(schema, schema["$defs"], dropped)
    return plain


def _plain_schema(schema: Any, definitions: Mapping[str, Any], dropped: Collection[str]) -> Any:
    """A schema without the dropped keywords, and with references replaced by their definitions."""
    if isinstance(schema, list):
        return [_plain_schema(element, definitions, dropped) for element in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        return _plain_schema(definitions[schema["$ref"].rpartition("/")[2]], definitions, dropped)
    plain = {key: _plain_schema(value, definitions, dropped) for key, value in schema.items() if key not in dropped}
    # Strict schemas require every field; a reply may lack those that have a default.
    return {**plain, "required": list(plain["properties"])} if "properties" in plain else plain


class ReplyReader:
    """Reads the entries of a reply as its text arrives, so that a reply that ends early keeps what came.

    Args:
        items: the items of the call.
    """

    def __init__(self, items: Sequence[ModelItem]) -> None:
        self._items = items
        self._index_of_name: dict[str, int] = {}
        for index, item in enumerate(items):
            self._index_of_name.setdefault(item_key(item.name), index)
        self._text = ""
        self._position = 0
        self._unreadable = 0
        self._outcomes: dict[int, Outcome] = {}
        self.has_entries = False
        """Whether the reply has entries so far, usable or not."""

    def feed(self, text: str) -> list[tuple[int, Outcome]]:
        """Index and outcome of each item whose first entry is complete with this text."""
        self._text += text
        if "}" not in text:
            return []
        found = []
        for entry in self._new_entries():
            index = self._index_of(entry)
            if index is None or index in self._outcomes:
                continue
            outcome = self._outcomes[index] = answer_from(entry) or INVALID
            found.append((index, outcome))
        return found

    def _new_entries(self) -> Iterator[dict[str, Any]]:
        """The complete entries that were not read yet."""
        decoder = json.JSONDecoder()
        reasoning_end = self._text.rfind(_REASONING_END)
        if reasoning_end < 0 and self._text.lstrip().startswith(_REASONING_START):
            return  # a draft of the answer does not count
        position = max(self._position, reasoning_end)
        while self._unreadable < _MAX_UNREADABLE_OBJECTS:
            start = self._text.find("{", position)
            if start < 0:
                return
            try:
                value, end = decoder.raw_decode(self._text, start)
            except (ValueError, RecursionError):
                # Not JSON, or an object that is not complete yet: its elements may be.
                self._unreadable += 1
                position = start + 1
                continue
            position = end
            listed = value["items"] if isinstance(value.get("items"), list) else [value]
            entries = [entry for entry in listed if isinstance(entry, dict) and "name" in entry]
            if "items" in value or entries:
                self.has_entries = True
            if entries:
                self._position, self._unreadable = end, 0
                yield from entries

    def _index_of(self, entry: Mapping[str, Any]) -> int | None:
        """Index of the item of an entry.

        Its name decides, since some models count from 1 or write the index as a text. The index decides between items
        with the same name.
        """
        name = entry["name"]
        key = item_key(name) if isinstance(name, str) and name.strip() else ""
        index = entry.get("index")
        if type(index) is int and 0 <= index < len(self._items) and item_key(self._items[index].name) == key:
            return index
        return self._index_of_name.get(key)


def text_of(reply: bytes) -> str:
    """The text of the first choice in the body of a chat completion; empty if there is none."""
    try:
        choice = json.loads(reply)["choices"][0]
    except (ValueError, LookupError, TypeError, RecursionError):
        return ""
    return text_of_choice(choice, "message")


def text_of_choice(choice: object, kind: str) -> str:
    """The text of a choice, wherever the server puts it.

    Args:
        choice: a choice of a completion, or of a chunk of one.
        kind: `message`, or `delta` in a chunk.
    """
    message = choice.get(kind) if isinstance(choice, dict) else None
    if not isinstance(message, dict):
        return ""
    content = message.get("content")
    if isinstance(content, list):
        content = "".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    if isinstance(content, str) and content:
        return content
    try:
        return "".join(str(call["function"]["arguments"]) for call in message["tool_calls"])
    except (LookupError, TypeError):
        pass
    # Servers that split off a model's reasoning put a short answer there, too.
    reasoning = message.get("reasoning_content") or message.get("reasoning")
    return reasoning if isinstance(reasoning, str) and kind == "message" else ""


def answer_from(entry: object) -> ModelAnswer | None:
    """The answer in an entry of a reply; None if it does not match the schema."""
    try:
        answer = _Answer.model_validate(entry)
    except ValidationError:
        return None
    related = [
        *(RelatedItem(name, Relation.COMPLEMENT) for name in answer.complements),
        *(RelatedItem(name, Relation.SUBSTITUTE) for name in answer.substitutes),
    ]
    return ModelAnswer(
        category=answer.category,
        certainty_ratio=answer.certainty_ratio,
        perishability=Perishability(answer.perishability),
        related_items=tuple(related),
        suggested_interval_days=answer.suggested_interval_days,
        interval_reason=IntervalReason(answer.interval_reason, INTERVAL_REASONS[answer.interval_reason]),
        plain_name=answer.plain_name,
    )


def entry_of(answer: ModelAnswer) -> dict[str, Any]:
    """A model's answer as an entry that `answer_from` reads."""
    return {
        "category": answer.category,
        "certainty_ratio": answer.certainty_ratio,
        "perishability": answer.perishability.value,
        "suggested_interval_days": answer.suggested_interval_days,
        "interval_reason": answer.interval_reason.code,
        "complements": [item.name for item in answer.related_items if item.relation is Relation.COMPLEMENT],
        "substitutes": [item.name for item in answer.related_items if item.relation is Relation.SUBSTITUTE],
        "plain_name": answer.plain_name,
    }
