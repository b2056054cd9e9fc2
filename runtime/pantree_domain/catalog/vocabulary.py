"""Finds the known word that an abbreviated, truncated or misspelled word most likely stands for."""

import functools
import re
from collections.abc import Iterable

# Shorter words are ambiguous: "ban" could be banana, bandage or ban; "better" is not a misspelled butter.
_MIN_PREFIX_LETTERS = 5
_MIN_CONSONANTS = 4
_MIN_MISSPELLED_LETTERS = 8  # of the correct spelling

_VOWEL = re.compile(r"[aeiouy]")
_MAX_ABBREVIATION_VOWELS = 1
_DOUBLED = re.compile(r"(.)\1+")


class Vocabulary:
    """Known words. If two of them match, the earlier one wins."""

    def __init__(self, words: Iterable[str]) -> None:
        self._words = dict.fromkeys(words)
        self._by_prefix: dict[str, str] = {}
        self._by_consonants: dict[str, str | None] = {}
        self._by_spelling: dict[str, str] = {}
        for word in self._words:
            for length in range(_MIN_PREFIX_LETTERS, len(word)):
                known = self._by_prefix.get(word[:length])
                if known is None or len(word) < len(known):
                    self._by_prefix[word[:length]] = word
            consonants = _consonants(word)
            # Ambiguous consonants match no word: "brd" could be bread, board or bird.
            self._by_consonants[consonants] = None if consonants in self._by_consonants else word
            if len(word) >= _MIN_MISSPELLED_LETTERS:
                for spelling in _one_letter_less(word):
                    self._by_spelling.setdefault(spelling, word)
        self.nearest = functools.lru_cache(maxsize=4096)(self._nearest)

    def __contains__(self, word: str) -> bool:
        return word in self._words

    def _nearest(self, word: str) -> str:
        """The word itself if it is known, else the known word that it truncates, abbreviates or misspells, else itself.

        A misspelled word has one letter more, less or different, or two swapped.
        """
        if word in self._words:
            return word
        if word in self._by_prefix:
            return self._by_prefix[word]
        consonants = _consonants(word)
        if len(consonants) >= _MIN_CONSONANTS and len(_VOWEL.findall(word)) <= _MAX_ABBREVIATION_VOWELS:
            abbreviated = self._by_consonants.get(consonants)
            if abbreviated is not None and abbreviated[0] == word[0]:
                return abbreviated
        if len(word) >= _MIN_MISSPELLED_LETTERS - 1:
            for spelling in (word, *_one_letter_less(word)):
                meant = spelling if spelling in self._words else self._by_spelling.get(spelling)
                if meant is not None and meant[0] == word[0] and len(meant) >= _MIN_MISSPELLED_LETTERS:
                    return meant
        return word


def _consonants(word: str) -> str:
    """Consonants of a word in order, without repetitions."""
    return _DOUBLED.sub(r"\1", _VOWEL.sub("", word))


def _one_letter_less(word: str) -> list[str]:
    return [word[:at] + word[at + 1 :] for at in range(len(word))]
