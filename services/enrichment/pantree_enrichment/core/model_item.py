"""Prepares items for a language model.

A model gets the names as the shop writes them, in any script, as quoted data. A name that reads like an instruction is
harmless: the reply is limited to a closed schema, and every fact in it is checked against the catalog.
"""

import unicodedata

from pantree_domain.item_key import item_key
from pantree_enrichment.core.item import ItemToEnrich, ModelItem


def model_item(item: ItemToEnrich) -> ModelItem:
    """The item with its texts in Unicode's composed form and with single spaces; otherwise unchanged."""
    name, category = _composed(item.name), _composed(item.category)
    return ModelItem((item_key(name), item_key(category) if category else ""), name, category)


def has_words(item: ItemToEnrich) -> bool:
    """Whether the name has any letter or digit, without which a model knows no more than the rules."""
    return any(character.isalnum() for character in item.name)


def _composed(text: str) -> str:
    return " ".join(unicodedata.normalize("NFC", text).split())
