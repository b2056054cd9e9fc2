"""Words that are known, and the known word that an abbreviated, cut-off or misspelt one most likely means."""

import functools
import re
from collections.abc import Iterable

# Shorter ones stand for too many words: "ban" is a banana, a bandage and a ban; "better" is no misspelt butter.
_LEAST_LETTERS_OF_BEGINNING = 5
_LEAST_CONSONANTS = 4
_LEAST_LETTERS_OF_MISSPELT_WORD = 8  # rightly spelt

_VOWEL = re.compile(r"[aeiouy]")
_MOST_VOWELS_OF_ABBREVIATION = 1
_DOUBLED = re.compile(r"(.)\1+")


class Vocabulary:
    """Known words.

    Args:
        words: the words; of two that a strange word may mean, the earlier one is taken.
    """

    def __init__(self, words: Iterable[str]) -> None:
        self._words = dict.fromkeys(words)
        self._by_beginning: dict[str, str] = {}
        self._by_consonants: dict[str, str | None] = {}
        self._by_spelling: dict[str, str] = {}
        for word in self._words:
            for length in range(_LEAST_LETTERS_OF_BEGINNING, len(word)):
                beginning = self._by_beginning.get(word[:length])
                if beginning is None or len(word) < len(beginning):
                    self._by_beginning[word[:length]] = word
            consonants = _consonants(word)
            # "brd" is bread, board and bird: what stands for several stands for none.
            self._by_consonants[consonants] = None if consonants in self._by_consonants else word
            if len(word) >= _LEAST_LETTERS_OF_MISSPELT_WORD:
                for spelling in _one_letter_less(word):
                    self._by_spelling.setdefault(spelling, word)
        self.nearest = functools.lru_cache(maxsize=4096)(self._nearest)

    def __contains__(self, word: str) -> bool:
        return word in self._words

    def _nearest(self, word: str) -> str:
        """The known word that a word means: itself, one that it begins or abbreviates, or one spelt nearly so.

        Nearly so is with one letter more, less or another, or with two swapped. A word that is near to none comes back
        as it is.
        """
        if word in self._words:
            return word
        if word in self._by_beginning:
            return self._by_beginning[word]
        consonants = _consonants(word)
        if len(consonants) >= _LEAST_CONSONANTS and len(_VOWEL.findall(word)) <= _MOST_VOWELS_OF_ABBREVIATION:
            abbreviated = self._by_consonants.get(consonants)
            if abbreviated is not None and abbreviated[0] == word[0]:
                return abbreviated
        if len(word) >= _LEAST_LETTERS_OF_MISSPELT_WORD - 1:
            for spelling in (word, *_one_letter_less(word)):
                meant = spelling if spelling in self._words else self._by_spelling.get(spelling)
                if meant is not None and meant[0] == word[0] and len(meant) >= _LEAST_LETTERS_OF_MISSPELT_WORD:
                    return meant
        return word


def _consonants(word: str) -> str:
    """The consonants of a word in order, none twice in a row."""
    return _DOUBLED.sub(r"\1", _VOWEL.sub("", word))


def _one_letter_less(word: str) -> list[str]:
    return [word[:at] + word[at + 1 :] for at in range(len(word))]
