"""Finds phrases in names, word by word, without case, accents, punctuation and English plurals."""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Generic, TypeVar

from pantree_domain.catalog.names import singular

FoundT = TypeVar("FoundT")

PREFIX_LETTERS = 3
"""Minimum number of letters before a `*`."""

_NOT_A_WORD = re.compile(r"[\W_]+")
_APOSTROPHE = re.compile(r"['’`]")


class Phrases(Generic[FoundT]):
    """Phrases of words with what they indicate. A word that ends in `*` is a prefix."""

    def __init__(self, phrases: Iterable[tuple[str, FoundT]]) -> None:
        self._by_word: defaultdict[str, list[tuple[tuple[str, ...], FoundT]]] = defaultdict(list)
        self._by_prefix: defaultdict[str, list[tuple[tuple[str, ...], FoundT]]] = defaultdict(list)
        for phrase, value in phrases:
            words = pattern_words(phrase)
            if words[0].endswith("*"):
                self._by_prefix[words[0][:PREFIX_LETTERS]].append((words, value))
            else:
                self._by_word[words[0]].append((words, value))

    def found_in(self, words: Sequence[str]) -> list[FoundT]:
        """What the phrases that occur in the words indicate, in any order and perhaps repeatedly."""
        return [
            value
            for at, word in enumerate(words)
            for candidates in (self._by_word.get(word), self._by_prefix.get(word[:PREFIX_LETTERS]))
            for phrase, value in candidates or ()
            if _matches(phrase, words, at)
        ]


def pattern_words(phrase: str) -> tuple[str, ...]:
    """Words of a phrase in the singular; a `*` stays at the end of its word."""
    words: list[str] = []
    for part in phrase.split():
        if part.endswith("*"):
            plain = "".join(_plain(part[:-1]))
            # The words that it is compared with have lost the s of a plural.
            words.append(f"{plain.removesuffix('s')}*" if plain == f"{singular(plain)}s" else f"{plain}*")
        else:
            words += words_of(part)
    return tuple(words)


def words_of(text: str) -> list[str]:
    """Words of a text, without case, accents and punctuation, in the singular."""
    return [singular(word) for word in _plain(text)]


def _plain(text: str) -> list[str]:
    if not text.isascii():
        decomposed = unicodedata.normalize("NFKD", text)
        text = "".join(character for character in decomposed if not unicodedata.combining(character))
        # Invisible characters would split a word.
        text = "".join(character for character in text if unicodedata.category(character) != "Cf")
    return _NOT_A_WORD.sub(" ", _APOSTROPHE.sub("", text.casefold()).replace("&", " and ")).split()


def _matches(phrase: Sequence[str], words: Sequence[str], at: int) -> bool:
    if at + len(phrase) > len(words):
        return False
    for pattern, word in zip(phrase, words[at : at + len(phrase)], strict=True):
        if pattern.endswith("*"):
            if not word.startswith(pattern[:-1]):
                return False
        elif pattern != word:
            return False
    return True
