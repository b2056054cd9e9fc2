"""Decides whether two names mean the same item."""

import functools
import re
import unicodedata
from collections.abc import Sequence

# Invisible characters that are neither formats (category Cf) nor white space: grapheme joiner, Hangul fillers,
# Khmer inherent vowels, variation selectors.
_INVISIBLE = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180d\u180f\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)


@functools.lru_cache(maxsize=16_384)
def item_key(name: str) -> str:
    """The key of an item. Names with equal keys are spellings of the same item.

    Keys ignore Unicode form, letter case, white space and invisible characters.
    """
    if name.isascii():
        return " ".join(name.split()).casefold()
    visible = _INVISIBLE.sub("", unicodedata.normalize("NFC", name))
    visible = "".join(character for character in visible if unicodedata.category(character) != "Cf")
    return unicodedata.normalize("NFC", " ".join(visible.split()).casefold()) or name


def distinct_positions(names: Sequence[str]) -> list[int] | None:
    """Position of each name's item among the distinct items in order of appearance; None if all names are distinct."""
    positions: dict[str, int] = {}
    found = [positions.setdefault(item_key(name), len(positions)) for name in names]
    return None if len(positions) == len(names) else found
