"""Screens items before they are sent to a language model.

Names are untrusted input. A model only gets them in plain form, in lower case without punctuation, so that nothing in
them looks like part of the prompt. A name that reads like an instruction is not sent at all, because it could change
the model's answers about other items of the batch.
"""

from pantree_domain.catalog import normalize_name
from pantree_enrichment.core.item import ItemToEnrich

# A receipt line has at most 40 characters, and a shop's name for an item rarely has more than a dozen words.
_MAX_WORDS = 20
_MAX_CHARACTERS = 120

# A name may contain one of them ("Answer pregnancy test", "Swiffer cleaning system"). No grocery item contains two.
_INSTRUCTION_WORDS = frozenset({
    "above", "answer", "assistant", "category", "certainty", "classify", "describe", "developer", "disregard",
    "everything", "forget", "ignore", "index", "instead", "instruct", "instruction", "interval", "json", "jailbreak",
    "must", "obey", "output", "override", "perishability", "pretend", "previous", "prompt", "reply", "request",
    "respond", "response", "rule", "say", "schema", "suggest", "suggested", "system", "tell", "them", "user", "you",
    "your",
})  # fmt: skip
_MAX_INSTRUCTION_WORDS = 1


def plain_item(item: ItemToEnrich) -> ItemToEnrich:
    """An item with name and category in plain form, as sent to a model. Equal plain items have equal answers."""
    category = normalize_name(item.category)
    return ItemToEnrich(normalize_name(item.name), "" if _reads_like_an_instruction(category) else category)


def skip_reason(item: ItemToEnrich) -> str:
    """Why an item is not sent to a model; empty if it is."""
    name = normalize_name(item.name)
    if not name:
        return "the language model was not asked: the name has neither letters nor digits"
    if _reads_like_an_instruction(name):
        return "the language model was not asked: the name does not read like the name of an item"
    return ""


def _reads_like_an_instruction(text: str) -> bool:
    words = text.split()
    return (
        len(text) > _MAX_CHARACTERS
        or len(words) > _MAX_WORDS
        or len(_INSTRUCTION_WORDS.intersection(words)) > _MAX_INSTRUCTION_WORDS
    )
