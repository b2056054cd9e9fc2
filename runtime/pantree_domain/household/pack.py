"""Reads pack sizes from names: `Toilet Paper 12 rolls` is toilet paper, twelve pieces."""

import functools
import re
import unicodedata
from typing import NamedTuple

from pantree_domain.catalog.data import read_words
from pantree_domain.catalog.names import normalize_name

_VOLUME, _WEIGHT, _COUNT = "ml", "g", "pieces"
_UNITS = {
    **dict.fromkeys(("ml",), (_VOLUME, 1.0)),
    **dict.fromkeys(("cl",), (_VOLUME, 10.0)),
    **dict.fromkeys(("dl",), (_VOLUME, 100.0)),
    **dict.fromkeys(("l", "lt", "ltr", "liter", "litre", "liters", "litres"), (_VOLUME, 1000.0)),
    **dict.fromkeys(("fl oz", "fl. oz", "fl.oz", "floz", "fluid ounces"), (_VOLUME, 29.57)),
    **dict.fromkeys(("pt", "pint", "pints"), (_VOLUME, 473.2)),
    **dict.fromkeys(("qt", "quart", "quarts"), (_VOLUME, 946.4)),
    **dict.fromkeys(("gal", "gallon", "gallons", "ga"), (_VOLUME, 3785.4)),
    **dict.fromkeys(("g", "gr", "gram", "grams"), (_WEIGHT, 1.0)),
    **dict.fromkeys(("kg", "kilo", "kilos"), (_WEIGHT, 1000.0)),
    **dict.fromkeys(("oz", "ounce", "ounces"), (_WEIGHT, 28.35)),
    **dict.fromkeys(("lb", "lbs", "pound", "pounds"), (_WEIGHT, 453.6)),
    **dict.fromkeys(
        (
            "ct", "count", "pk", "pack", "packs", "pcs", "pc", "pieces", "piece", "roll", "rolls", "stk", "st",
            "er pack", "rollen", "cans", "bottles", "bags", "pods", "tabs", "tablets", "capsules", "caps", "loads",
            "sheets", "rouleaux", "rollos",
        ),
        (_COUNT, 1.0),
    ),
    **dict.fromkeys(("dz", "doz", "dozen"), (_COUNT, 12.0)),
}  # fmt: skip
_UNIT = "|".join(sorted(map(re.escape, _UNITS), key=len, reverse=True))
_AMOUNT = re.compile(rf"(?<![\w.,])(?:(\d{{1,3}}) ?[x×] ?)?(\d{{1,4}}(?:[.,]\d{{1,3}})?)[ -]?({_UNIT})(?!\w)")
_SIZE = re.compile(r"\b(size|stage|stufe|grosse|gr|taille|talla|taglia|maat|step|no|nr)\.? ?(\d{1,2})\b")
_PACK_CLASS = re.compile(r"\b(?:family|value|club|bonus|jumbo|mega) (?:pack|size)s?\b")
_NUMBER = re.compile(r"\d+(?:[.,]\d+)? ?%?")
_MAX_PIECES = 10_000.0
# The names of a shop's usual items. With 65,536 names of any length, hostile ones took 224 MiB; these take 30 at most.
_MAX_CACHED_NAMES = 16_384
_MAX_CACHED_CHARACTERS = 80


class PackName(NamedTuple):
    """A name without its pack size, and the size."""

    words: tuple[str, ...]
    """What is bought: words of the name in order, without words for its make, and numbers that are no pack size."""
    make: frozenset[str]
    """Words for the make of an item, such as `organic`, which stand anywhere in a name."""
    size: int | None
    """Number after `size` or `stage`, which grows with a child; None for most names."""
    content: float | None
    """Amount in one pack, in `unit`; None when the name has none."""
    unit: str
    """`ml`, `g` or `pieces`; empty without a content."""

    @property
    def need(self) -> tuple[tuple[str, ...], frozenset[str]]:
        """The same for all sizes and packs of an item."""
        return self.words, self.make


def read_pack(name: str) -> PackName:
    """The parts of a name. Names of one item by different stores have the same parts."""
    return _cached_pack(name) if len(name) <= _MAX_CACHED_CHARACTERS else _read(name)


def _read(name: str) -> PackName:
    plain = _PACK_CLASS.sub(" ", _plain(name))
    size = None
    if found := _SIZE.search(plain):
        size = int(found[2])
        plain = plain[: found.start()] + " " + plain[found.end() :]
    content, unit = None, ""
    for found in _AMOUNT.finditer(plain):
        unit_name, factor = _UNITS[found[3]]
        amount = float(found[2].replace(",", ".")) * factor * float(found[1] or 1)
        # "12 pack 330 ml" is twelve times 330 ml.
        if content is None:
            content, unit = amount, unit_name
        elif unit == _COUNT and unit_name != _COUNT:
            content, unit = content * amount, unit_name
        elif unit_name == _COUNT and unit != _COUNT and amount <= _MAX_PIECES:
            content *= amount
    without_amounts = _AMOUNT.sub(" ", plain)
    numbers = [found.group().replace(" ", "") for found in _NUMBER.finditer(without_amounts)]
    normalized = normalize_name(without_amounts).split()
    modifiers = _modifiers()
    words = tuple(_shared(word) for word in normalized if word not in modifiers and not word.isdigit())
    make = frozenset(word for word in normalized if word in modifiers)
    if not words:
        words, make = tuple(sorted(make)), frozenset()
    return PackName((*words, *sorted(numbers)), make, size, content if content else None, unit if content else "")


_cached_pack = functools.lru_cache(maxsize=_MAX_CACHED_NAMES)(_read)


@functools.lru_cache(maxsize=_MAX_CACHED_NAMES)
def _shared(word: str) -> str:
    """The same string for a word of many names, whose parts then take half of the memory."""
    return word


@functools.cache
def _modifiers() -> frozenset[str]:
    return frozenset(read_words().modifiers)


def _plain(name: str) -> str:
    decomposed = unicodedata.normalize("NFKD", name)
    return "".join(character for character in decomposed if not unicodedata.combining(character)).casefold()
