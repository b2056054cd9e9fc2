"""Lines of receipts that are no goods: fees, tips, deposits, taxes, gift cards; and names of discounts and sums."""

import functools
import re
import tomllib
from collections.abc import Mapping
from importlib import resources

from pantree_domain.item_key import item_key


@functools.cache
def _data() -> Mapping[str, frozenset[str]]:
    text = resources.files(__package__).joinpath("charges.toml").read_text("utf-8")
    return {name: frozenset(words) for name, words in tomllib.loads(text).items()}


def is_charge(name: str) -> bool:
    """Whether a line of this name is a charge and not goods."""
    data = _data()
    rest = f" {' '.join(_words(name))} "
    found = False
    for phrase in data["phrases"]:
        if f" {phrase} " in rest:
            rest, found = rest.replace(f" {phrase} ", " "), True
    words = rest.split()
    found = found or any(word in data["charges"] for word in words)
    return found and all(word in data["charges"] or word in data["modifiers"] for word in words)


def names_discount(name: str) -> bool:
    """Whether a name is that of a discount."""
    return not _data()["discounts"].isdisjoint(_words(name))


def is_total(name: str) -> bool:
    """Whether a name is that of a sum below the purchases."""
    words = _words(name)
    return bool(words) and _data()["totals"].issuperset(words)


def _words(name: str) -> list[str]:
    return re.sub(r"[\W\d_]+", " ", item_key(name)).split()
