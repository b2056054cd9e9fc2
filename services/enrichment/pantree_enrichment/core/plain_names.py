"""What the terse names of receipts mean, in words for shoppers.

A language model may supply them, too. It cannot write anything else there: every word must be known to the catalog or
be in the name itself, and the words must mean an item of the same category and kind of goods.
"""

import re

from pantree_domain.catalog import OTHER, Catalog, normalize_name
from pantree_domain.goods import load_goods_policy

_MAX_WORDS = 8
# Lower case or capitals, with apostrophes and hyphens within words.
_WORDS = re.compile(r"[A-Za-z]+(?:['-][A-Za-z]+)*(?: [A-Za-z]+(?:['-][A-Za-z]+)*)*")
_JOINING_WORDS = frozenset({"a", "and", "of", "or", "the"})


def is_terse(name: str) -> bool:
    """Whether a name is written in capitals only, as on receipts; other names are readable as they are."""
    return name.isascii() and name.isupper()


def plain_name_of(name: str, catalog: Catalog) -> str:
    """What a terse name means if all its words are known; otherwise empty."""
    if not is_terse(name):
        return ""
    words = normalize_name(name)
    if not words or not all(map(catalog.knows_word, words.split())):
        return ""
    item = catalog.categorize(name).item
    return item.name if item is not None and normalize_name(item.name) == words else words.capitalize()


def checked_plain_name(text: str, name: str, category: str, catalog: Catalog) -> str:
    """A language model's words for a terse name, in one form; empty unless they can be shown to shoppers.

    Args:
        text: what the model says.
        name: the name of the item.
        category: the item's category.
        catalog: knows the words.
    """
    plain = " ".join(text.split())
    if category == OTHER or not is_terse(name) or not _WORDS.fullmatch(plain):
        return ""
    known_words = _JOINING_WORDS.union(normalize_name(name).split())
    words = normalize_name(plain).split()
    if not 0 < len(words) <= _MAX_WORDS or not all(word in known_words or catalog.knows_word(word) for word in words):
        return ""
    if catalog.categorize(plain).category != category:
        return ""
    policy = load_goods_policy()
    match, own_match = policy.match(plain, ""), policy.match(name, "")
    if match is not None and (own_match is None or match.goods != own_match.goods):
        return ""
    return plain.lower().capitalize()
