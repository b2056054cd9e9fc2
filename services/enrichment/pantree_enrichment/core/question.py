"""What a language model is asked about an item, and which items it is not asked about.

Names come from anyone. A model sees them in their plain form alone, in lower case and without punctuation, so that
nothing in them can look like a part of the request. What reads like an instruction all the same is kept from it
altogether, since it might change what the model says about the other items of its list.
"""

from pantree_domain.catalog import normalize_name
from pantree_enrichment.core.item import ItemToEnrich

# A line of a receipt has 40 characters at most, a shop's title for an item rarely more than a dozen words.
_MOST_WORDS = 20
_MOST_CHARACTERS = 120

# Each alone may be in a name ("Answer pregnancy test", "Swiffer cleaning system"); two of them are no groceries.
_WORDS_OF_INSTRUCTIONS = frozenset({
    "above", "answer", "assistant", "category", "certainty", "classify", "describe", "developer", "disregard",
    "everything", "forget", "ignore", "index", "instead", "instruct", "instruction", "interval", "json", "jailbreak",
    "must", "obey", "output", "override", "perishability", "pretend", "previous", "prompt", "reply", "request",
    "respond", "response", "rule", "say", "schema", "suggest", "suggested", "system", "tell", "them", "user", "you",
    "your",
})  # fmt: skip
_MOST_WORDS_OF_INSTRUCTIONS = 1


def question_about(item: ItemToEnrich) -> ItemToEnrich:
    """What a model is asked: name and category in plain form. Equal questions have equal answers."""
    category = normalize_name(item.category)
    return ItemToEnrich(normalize_name(item.name), "" if _reads_like_an_instruction(category) else category)


def why_not_to_ask(item: ItemToEnrich) -> str:
    """Why a model is not asked about an item; empty when it is."""
    name = normalize_name(item.name)
    if not name:
        return "the language model was not asked: the name has neither letters nor digits"
    if _reads_like_an_instruction(name):
        return "the language model was not asked: the name does not read like an item's"
    return ""


def _reads_like_an_instruction(text: str) -> bool:
    words = text.split()
    return (
        len(text) > _MOST_CHARACTERS
        or len(words) > _MOST_WORDS
        or len(_WORDS_OF_INSTRUCTIONS.intersection(words)) > _MOST_WORDS_OF_INSTRUCTIONS
    )
